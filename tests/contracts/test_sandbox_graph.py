"""The simulated Microsoft login and Graph mail API, judged by Microsoft's own description of Graph mail."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes, policy
from urllib.parse import parse_qsl, urlsplit

import msal
import pytest
import requests
from flufl.bounce import all_failures
from graph_client import (
    BEN,
    BOB,
    BOSS,
    IMMUTABLE,
    KEY,
    STAMP,
    WITH_STAMP,
    found_by_stamp,
    fresh_sandbox,
    graph_of,
    judge_exchange,
    message,
)

from tests.judges.graph_schema import judge_named


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def graph(sandbox):
    with graph_of(sandbox) as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        {"toRecipient": []},
        {"toRecipients": [{"address": BOB}]},
        {"body": {"contentType": "text/html"}},
        {"isRead": "true"},
        {"singleValueExtendedProperties": [{"id": STAMP}]},
    ],
)
def test_the_judge_refuses(body):
    with pytest.raises(AssertionError):
        judge_named("microsoft.graph.message-create", body)
    with pytest.raises(AssertionError):
        judge_named("microsoft.graph.message", body)


# --------------------------------------------------------------------------------------------------- drafts


@pytest.mark.parametrize("changes", [False, True])
def test_a_draft_is_sent_and_found_again_by_its_stamp(graph, sandbox, changes):
    sandbox.act("mail_settings", outlook_immutable_ids_change=changes)
    draft = graph("POST", "/messages", message(), status=201, headers=IMMUTABLE)
    assert draft["isDraft"] is True
    assert draft["webLink"].startswith("https://outlook.office365.com/owa/?ItemID=")

    assert graph("POST", f"/messages/{draft['id']}/send", status=202, headers=IMMUTABLE) == b""

    path, query = found_by_stamp(KEY.upper())
    (sent,) = graph("GET", path, params=query, headers=IMMUTABLE)["value"]
    assert (sent["id"] != draft["id"]) is changes
    assert sent["isDraft"] is False
    assert sent["internetMessageId"] == draft["internetMessageId"]
    assert sent["conversationId"] == draft["conversationId"]
    assert sent["singleValueExtendedProperties"] == [{"id": STAMP, "value": KEY}]
    (plain,) = graph("GET", path, params=query)["value"]
    assert plain["id"] not in (draft["id"], sent["id"]), "without the header the id is another kind"
    again = graph.refused("POST", f"/messages/{draft['id']}/send", headers=IMMUTABLE)
    assert again == (404, "ErrorItemNotFound")
    assert graph("GET", found_by_stamp(KEY, "drafts")[0])["value"] == []


def test_a_plain_id_dies_with_the_send(graph):
    draft = graph("POST", "/messages", message())
    graph("POST", f"/messages/{draft['id']}/send", status=202)
    assert graph.refused("GET", f"/messages/{draft['id']}") == (404, "ErrorItemNotFound")
    assert graph.refused("GET", f"/messages/{draft['id'].swapcase()}") == (404, "ErrorItemNotFound")
    assert graph.refused("GET", "/messages/short") == (400, "ErrorInvalidIdMalformed")


def test_only_drafts_can_be_rewritten(graph):
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    path = f"/messages/{draft['id']}"
    changed = graph("PATCH", path, {"subject": "New", "importance": "high"}, status=200, headers=IMMUTABLE)
    assert (changed["id"], changed["subject"], changed["importance"]) == (draft["id"], "New", "high")
    assert "<b>Bob</b>" in changed["body"]["content"]
    assert changed["changeKey"] != draft["changeKey"]
    stale = {"If-Match": draft["@odata.etag"]}
    assert graph.refused("PATCH", path, {"subject": "Old"}, headers=IMMUTABLE | stale)[0] == 412
    graph("POST", f"{path}/send", headers=IMMUTABLE)
    assert graph.refused("PATCH", path, {"subject": "Late"}, headers=IMMUTABLE) == (400, "ErrorInvalidPropertySet")
    assert graph("PATCH", path, {"categories": ["Sales"]}, headers=IMMUTABLE)["categories"] == ["Sales"]


def test_deleting_moves_to_the_bin_and_then_for_good(graph):
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    graph("DELETE", f"/messages/{draft['id']}", status=204, headers=IMMUTABLE)
    (binned,) = graph("GET", "/mailFolders/deleteditems/messages", headers=IMMUTABLE)["value"]
    assert binned["id"] == draft["id"]
    graph("DELETE", f"/messages/{draft['id']}", status=204, headers=IMMUTABLE)
    assert graph("GET", "/messages")["value"] == []


def test_mime_and_attachments(graph):
    mime = f"To: {BOB}\r\nSubject: By MIME\r\nX-Own: 1\r\nAuto-Submitted: auto-generated\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Grüße</p>\r\n".encode()
    made = graph.raw(
        "POST", f"{graph.owner}/messages", data=base64.b64encode(mime), headers={"Content-Type": "text/plain"}
    )
    judge_exchange("POST", "/me/messages", None, made)
    path = f"/messages/{made.json()['id']}"
    file = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "plan.pdf", "contentType": "application/pdf"}
    kept = graph("POST", f"{path}/attachments", file | {"contentBytes": base64.b64encode(b"%PDF").decode()}, status=201)
    assert (kept["name"], kept["size"]) == ("plan.pdf", 4)
    assert [one["name"] for one in graph("GET", f"{path}/attachments")["value"]] == ["plan.pdf"]
    assert graph("GET", path)["hasAttachments"] is True
    parsed = message_from_bytes(graph("GET", f"{path}/$value"), policy=policy.default)
    assert parsed["Subject"] == "By MIME"
    assert (parsed["X-Own"], parsed["Auto-Submitted"]) == ("1", None), "only x- headers are kept"
    assert parsed.get_body(("html",)).get_content().strip() == "<p>Grüße</p>"
    assert [part.get_filename() for part in parsed.iter_attachments()] == ["plan.pdf"]
    bad = graph.refused("POST", "/messages", data=b"@@", headers={"Content-Type": "text/plain"})
    assert bad == (400, "ErrorMimeContentInvalidBase64String")


def test_a_message_of_more_than_four_megabytes_is_refused(graph):
    huge = message(body={"contentType": "html", "content": "x" * (4 * 1024 * 1024)})
    assert graph.refused("POST", "/messages", huge) == (413, "ErrorMessageSizeExceeded")


def test_a_draft_is_sent_once_however_many_ask(graph, sandbox):
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    with ThreadPoolExecutor(4) as pool:
        path = f"{graph.owner}/messages/{draft['id']}/send"
        asked = [pool.submit(requests.post, graph.base + path, headers=graph.signed(), timeout=10) for _ in range(4)]
        statuses = sorted(one.result().status_code for one in asked)
    assert statuses == [202, 404, 404, 404]
    assert [one["effect"] for one in sandbox.log.effects] == ["draft_created", "mail_sent"]


def test_send_mail_gives_no_id(graph):
    graph("POST", "/sendMail", {"message": message(), "saveToSentItems": True}, status=202)
    assert graph.sandbox.log.effects[-1]["key"] == KEY
    graph("POST", "/sendMail", {"message": message(subject="Unkept"), "saveToSentItems": False}, status=202)
    assert [one["subject"] for one in graph("GET", "/mailFolders/sentitems/messages")["value"]] == ["Quarterly plan"]


def test_the_unsubscribe_property_becomes_a_header_of_what_is_sent(graph):
    properties = [{"id": "String 0x1045", "value": "<https://acme.example/u/1>"}]
    draft = graph("POST", "/messages", message(singleValueExtendedProperties=properties), headers=IMMUTABLE)
    graph("POST", f"/messages/{draft['id']}/send", headers=IMMUTABLE)
    parsed = message_from_bytes(graph("GET", f"/messages/{draft['id']}/$value", headers=IMMUTABLE))
    assert parsed["List-Unsubscribe"] == "<https://acme.example/u/1>"


def test_x_headers_are_told_of_drafts_but_not_of_sent_items(graph):
    headers = [{"name": "X-Connector-Intent", "value": KEY}]
    draft = graph("POST", "/messages", message(internetMessageHeaders=headers), headers=IMMUTABLE)
    assert "internetMessageHeaders" not in draft
    path, select = f"/messages/{draft['id']}", {"$select": "subject,internetMessageHeaders"}
    assert graph("GET", path, params=select, headers=IMMUTABLE)["internetMessageHeaders"] == headers
    graph("POST", f"{path}/send", headers=IMMUTABLE)
    told = graph("GET", path, params=select, headers=IMMUTABLE)
    assert set(told) == {"@odata.context", "@odata.etag", "id", "subject"}
    assert f"X-Connector-Intent: {KEY}".encode() in graph("GET", f"{path}/$value", headers=IMMUTABLE)


# -------------------------------------------------------------------------------------------------- replies


def test_a_reply_to_our_own_mail_is_addressed_to_ourselves(graph):
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    graph("POST", f"/messages/{draft['id']}/send", headers=IMMUTABLE)
    reply = graph("POST", f"/messages/{draft['id']}/createReply", {}, status=201, headers=IMMUTABLE)
    assert reply["conversationId"] == draft["conversationId"]
    assert reply["subject"] == "RE: Quarterly plan"
    assert [one["emailAddress"]["address"] for one in reply["toRecipients"]] == [BEN]
    assert "<b>Bob</b>" in reply["body"]["content"]
    parsed = message_from_bytes(
        graph("GET", f"/messages/{reply['id']}/$value", headers=IMMUTABLE), policy=policy.default
    )
    assert parsed["In-Reply-To"] == parsed["References"] == draft["internetMessageId"]
    everyone = graph("POST", f"/messages/{draft['id']}/createReplyAll", {}, status=201, headers=IMMUTABLE)
    assert [one["emailAddress"]["address"] for one in everyone["toRecipients"]] == [BOB]


def test_a_reply_takes_a_comment_or_a_body(graph, sandbox):
    graph("POST", f"/messages/{graph('POST', '/messages', message())['id']}/send")
    received = sandbox.act("prospect_replies", person=BOB)
    path = f"/messages/{received['id']}/createReply"
    commented = graph("POST", path, {"comment": "First\nsecond"}, status=201)
    assert "<body>First second<hr" in commented["body"]["content"]
    assert [one["emailAddress"]["address"] for one in commented["toRecipients"]] == [BOB]
    own = message(subject="RE: Ours")
    written = graph("POST", path, {"message": own}, status=201)
    assert written["subject"] == "RE: Ours"
    (found,) = graph("GET", found_by_stamp(KEY, "drafts")[0], params=found_by_stamp(KEY)[1])["value"]
    assert found["id"] == written["id"]
    assert graph.refused("POST", path, {"comment": "x", "message": own}) == (400, "ErrorInvalidArgument")
    assert graph.refused("POST", f"/messages/{written['id']}/createReply", {})[0] == 400


# ---------------------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("isDraft eq true", True),
        ("isDraft eq false", False),
        ("subject eq 'Quarterly plan'", True),
        ("startswith(subject,'quarterly')", True),
        ("subject eq 'it''s'", False),
        ("createdDateTime ge 2026-11-24T12:00:00Z", True),
        ("createdDateTime gt 2026-11-24T12:00:00Z", False),
        ("receivedDateTime le 2026-11-24T12:00:00Z and isDraft eq true", True),
        ("sentDateTime lt 2026-11-24T12:00:00Z or isDraft eq true", True),
        ("not (isDraft eq true)", False),
        ("from/emailAddress/address eq 'ben@acme.example'", True),
    ],
)
def test_filters(graph, test, found):
    draft = graph("POST", "/messages", message())
    listed = graph("GET", "/messages", params={"$filter": test})["value"]
    assert [one["id"] for one in listed] == ([draft["id"]] if found else [])


def test_conversation_and_message_id_can_be_filtered_on(graph):
    draft = graph("POST", "/messages", message())
    graph("POST", "/messages", message())
    for name in ("conversationId", "internetMessageId"):
        listed = graph("GET", "/messages", params={"$filter": f"{name} eq '{draft[name]}'", "$select": "subject"})
        assert [one["id"] for one in listed["value"]] == [draft["id"]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"$filter": "conversationId eq 'x'", "$orderby": "receivedDateTime"}, "InefficientFilter"),
        ({"$filter": "toRecipients/any(r: r/emailAddress/address eq 'x')"}, "ErrorInvalidUrlQueryFilter"),
        ({"$filter": "sujet eq 'x'"}, "RequestBroker--ParseUri"),
        ({"$filter": "receivedDateTime ge 2026-11-24T12:00:00"}, "RequestBroker--ParseUri"),
        ({"$filter": "receivedDateTime ge '2026-11-24T12:00:00Z'"}, "RequestBroker--ParseUri"),
        ({"$filter": "subject eq 'it's'"}, "BadRequest"),
        ({"$select": "sujet"}, "BadRequest"),
        ({"$expand": "singleValueExtendedProperties"}, "BadRequest"),
        ({"$top": "0"}, "BadRequest"),
        ({"$top": "1001"}, "BadRequest"),
        ({"$bogus": "1"}, "BadRequest"),
    ],
)
def test_queries_that_graph_refuses(graph, query, code):
    graph("POST", "/messages", message())
    assert graph.refused("GET", "/messages", params=query) == (400, code)


def test_order_is_taken_when_the_filter_begins_with_it_and_pages_follow(graph, sandbox):
    for number in range(5):
        graph("POST", "/messages", message(subject=f"Plan {number}"))
        sandbox.clock.advance(timedelta(minutes=1))
    query = {"$filter": "receivedDateTime ge 2026-11-24T00:00:00Z and isDraft eq true", "$orderby": "receivedDateTime"}
    page = graph(
        "GET", "/mailFolders/drafts/messages", params=query | {"$top": "2", "$select": "subject", "$count": "true"}
    )
    assert page["@odata.count"] == 5
    seen = []
    while True:
        seen += [one["subject"] for one in page["value"]]
        if "@odata.nextLink" not in page:
            break
        page = graph.follow(page["@odata.nextLink"])
    assert seen == [f"Plan {number}" for number in range(5)]


# ---------------------------------------------------------------------------------------------------- delta


def test_delta_tells_a_send_as_a_removal_here_and_a_creation_there(graph, sandbox):
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    drafts, sent, inbox = (
        graph(
            "GET",
            f"/mailFolders/{folder}/messages/delta",
            params=WITH_STAMP | {"$select": "subject"},
            headers=IMMUTABLE,
        )
        for folder in ("drafts", "sentitems", "inbox")
    )
    assert [one["id"] for one in drafts["value"]] == [draft["id"]]
    assert sent["value"] == inbox["value"] == []

    sandbox.act("rep_edits_draft", key=KEY, subject="Edited plan", body="<p>Mine</p>")
    drafts = graph.follow(drafts["@odata.deltaLink"], headers=IMMUTABLE)
    assert [(one["id"], one["subject"]) for one in drafts["value"]] == [(draft["id"], "Edited plan")]

    sandbox.act("rep_sends_draft", key=KEY, via="phone")
    reply = sandbox.act("prospect_replies", person=BOB)
    drafts, sent, inbox = (graph.follow(one["@odata.deltaLink"], headers=IMMUTABLE) for one in (drafts, sent, inbox))
    assert drafts["value"] == [{"@removed": {"reason": "deleted"}, "id": draft["id"]}]
    (one,) = sent["value"]
    assert (one["id"], one["subject"]) == (draft["id"], "Edited plan")
    assert one["singleValueExtendedProperties"][0]["value"] == KEY
    assert [one["id"] for one in inbox["value"]] == [reply["second_id"]]
    for one in (drafts, sent, inbox):
        assert graph.follow(one["@odata.deltaLink"], headers=IMMUTABLE)["value"] == []


def test_delta_comes_in_pages(graph):
    made = [graph("POST", "/messages", message())["id"] for _ in range(5)]
    prefer = {"Prefer": "odata.maxpagesize=2"}
    page = graph("GET", "/mailFolders/drafts/messages/delta", headers=prefer)
    seen = []
    while "@odata.nextLink" in page:
        assert len(page["value"]) == 2
        seen += [one["id"] for one in page["value"]]
        page = graph.follow(page["@odata.nextLink"], headers=prefer)
    assert seen + [one["id"] for one in page["value"]] == made


def test_an_expired_delta_link_is_410(graph, sandbox):
    link = graph("GET", "/mailFolders/inbox/messages/delta")["@odata.deltaLink"]
    sandbox.act("outlook_expires_delta", rep=BEN)
    path = urlsplit(link)
    answer = graph.raw("GET", path.path.removeprefix("/v1.0"), params=parse_qsl(path.query))
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "syncStateNotFound")
    assert graph.follow(answer.headers["Location"])["value"] == []
    assert graph.refused("GET", "/mailFolders/inbox/messages/delta?$deltatoken=rubbish")[0] == 400
    wrong = "/mailFolders/inbox/messages/delta?$filter=isDraft eq true"
    assert graph.refused("GET", wrong) == (400, "ErrorInvalidUrlQuery")


def test_sent_items_may_take_a_while(graph, sandbox):
    sandbox.act("mail_settings", outlook_sent_delay=30)
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    sent = graph("GET", "/mailFolders/sentitems/messages/delta")
    graph("POST", f"/messages/{draft['id']}/send", headers=IMMUTABLE)
    path, query = found_by_stamp(KEY)
    assert graph("GET", path, params=query)["value"] == []
    sent = graph.follow(sent["@odata.deltaLink"])
    assert sent["value"] == []
    sandbox.clock.advance(timedelta(seconds=31))
    assert len(graph("GET", path, params=query)["value"]) == 1
    assert len(graph.follow(sent["@odata.deltaLink"])["value"]) == 1


# -------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"toRecipient": []}, "RequestBodyRead"),
        ({"toRecipients": [{"address": BOB}]}, "RequestBodyRead"),
        ({"toRecipients": {"emailAddress": {"address": BOB}}}, "RequestBodyRead"),
        ({"toRecipients": [{"emailAddress": {"name": "Bob"}}]}, "ErrorInvalidRecipients"),
        ({"body": {"contentType": "text/html", "content": "x"}}, "RequestBodyRead"),
        ({"body": "x"}, "RequestBodyRead"),
        ({"isRead": "true"}, "RequestBodyRead"),
        ({"importance": "urgent"}, "RequestBodyRead"),
        ({"subject": 7}, "RequestBodyRead"),
        ({"internetMessageHeaders": []}, "InvalidInternetMessageHeaderCollection"),
        (
            {"internetMessageHeaders": [{"name": f"x-{n}", "value": "1"} for n in range(6)]},
            "InvalidInternetMessageHeaderCollection",
        ),
        ({"internetMessageHeaders": [{"name": "List-Unsubscribe", "value": "<x>"}]}, "InvalidInternetMessageHeader"),
        ({"singleValueExtendedProperties": [{"id": "ConnectorIntentId", "value": KEY}]}, "ErrorInvalidProperty"),
        ({"attachments": [{"name": "a", "contentBytes": ""}]}, "ErrorInvalidArgument"),
    ],
)
def test_a_malformed_message_is_refused_and_nothing_made(graph, sandbox, change, code):
    assert graph.refused("POST", "/messages", message(**change)) == (400, code)
    assert sandbox.state()["graph"][BEN]["mails"] == []


@pytest.mark.parametrize("to", [[], [{"emailAddress": {"address": "no address"}}]])
def test_a_draft_without_a_good_recipient_is_not_sent(graph, to):
    draft = graph("POST", "/messages", message(toRecipients=to), status=201)
    assert graph.refused("POST", f"/messages/{draft['id']}/send") == (400, "ErrorInvalidRecipients")


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", f"/users/{BEN}/messages", {"token": ""}, 401, "InvalidAuthenticationToken"),
        ("GET", f"/users/{BEN}/messages", {"token": "bogus"}, 401, "InvalidAuthenticationToken"),
        ("GET", "/me/messages", {}, 400, "BadRequest"),
        ("GET", "/users/nobody@acme.example/messages", {}, 404, "ErrorInvalidUser"),
        ("GET", "/users/ana@acme.example/messages", {}, 404, "ErrorInvalidUser"),
        ("GET", f"/users/{BEN}/messages", {"roles": ["Mail.Send"]}, 403, "ErrorAccessDenied"),
        ("POST", f"/users/{BEN}/messages", {"roles": ["Mail.Read"], "json": {}}, 403, "ErrorAccessDenied"),
        ("POST", f"/users/{BEN}/sendMail", {"roles": ["Mail.ReadWrite"], "json": {}}, 403, "ErrorAccessDenied"),
        ("GET", f"/users/{BEN}/mailFolders/nowhere/messages", {}, 404, "ErrorFolderNotFound"),
        ("GET", f"/users/{BEN}/bogus", {}, 400, "BadRequest"),
        ("PUT", f"/users/{BEN}/messages", {}, 405, "Request_BadRequest"),
        (
            "POST",
            f"/users/{BEN}/messages",
            {"data": "{}", "headers": {"Content-Type": "text/xml"}},
            400,
            "RequestBodyRead",
        ),
        (
            "POST",
            f"/users/{BEN}/messages",
            {"data": "{", "headers": {"Content-Type": "application/json"}},
            400,
            "BadRequest",
        ),
    ],
)
def test_refusals_have_graphs_shape(graph, method, path, more, status, code):
    answer = graph.raw(method, path, **more)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}


def test_a_users_own_token_opens_that_users_mailbox_only(graph, sandbox):
    token = sandbox.token("graph", BEN)
    assert graph.raw("GET", "/me", token=token).json()["mail"] == BEN
    assert graph.raw("GET", "/me/messages", token=token).status_code == 200
    assert graph.raw("GET", f"/users/{BEN.upper()}/messages", token=token).status_code == 200
    assert graph.raw("GET", "/users/dia@acme.example/messages", token=token).status_code == 403
    sandbox.act("rep_loses_mailbox", rep=BEN)
    answer = graph.raw("GET", "/me/messages", token=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "MailboxNotEnabledForRESTAPI")


def test_throttling_names_the_wait(graph, sandbox):
    sandbox.act("mail_settings", outlook_requests_per_10_minutes=1)
    assert graph.raw("GET", f"/users/{BEN}/messages").status_code == 200
    answer = graph.raw("GET", f"/users/{BEN}/messages")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "ApplicationThrottled")
    sandbox.clock.advance(timedelta(seconds=int(answer.headers["Retry-After"])))
    assert graph.raw("GET", f"/users/{BEN}/messages").status_code == 200


# ---------------------------------------------------------------------------------------------------- batch


def step(number, url=f"/users/{BEN}/messages", **more):
    return {
        "id": str(number),
        "method": "POST",
        "url": url,
        "headers": {"Content-Type": "application/json"},
        "body": message(),
    } | more


def test_a_batch_answers_item_by_item_four_at_a_time_for_a_mailbox(graph, sandbox):
    steps = [step(number) for number in range(5)]
    steps.append(step(5, dependsOn=["3"]))
    steps.append(step(6, dependsOn=["4"]))
    steps.append(step(7, "/users/dia@acme.example/messages"))
    steps.append({"id": "8", "method": "GET", "url": "/users/nobody@acme.example/messages"})
    answer = graph.raw("POST", "/$batch", json={"requests": steps})
    statuses = {one["id"]: one["status"] for one in answer.json()["responses"]}
    assert statuses == dict(zip("012345678", [201, 201, 201, 201, 429, 201, 424, 201, 404], strict=True))
    for one in answer.json()["responses"]:
        judge_named("microsoft.graph.message" if one["status"] == 201 else "error", one["body"])
    assert len(sandbox.state()["graph"][BEN]["mails"]) == 5
    assert sandbox.log.calls["graph"] == 1


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [step(number) for number in range(21)],
        [step(1), step(1)],
        [step(1, "https://graph.microsoft.com/v1.0/me")],
        [step(1, headers={})],
        [step(1, dependsOn=["2"])],
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(graph, sandbox, steps):
    answer = graph.raw("POST", "/$batch", json={"requests": steps})
    assert answer.status_code == 400
    assert sandbox.state()["graph"][BEN]["mails"] == []
    assert graph.raw("POST", "/$batch", json={"requests": [step(1)]}, token="bogus").status_code == 401


# ---------------------------------------------------------------------------------------------------- login


class PlainLoopback:
    """The HTTP client msal is given: it asks for https, the sandbox listens without."""

    def __init__(self, session):
        self.session = session

    def get(self, url, **more):
        return self.session.get(url.replace("https://127.", "http://127.", 1), **more)

    def post(self, url, **more):
        return self.session.post(url.replace("https://127.", "http://127.", 1), **more)

    def close(self):
        self.session.close()


@pytest.mark.parametrize(
    ("client", "secret", "scope", "error", "code"),
    [
        ("app", "right", "https://graph.microsoft.com/.default", None, None),
        ("app", "wrong", "https://graph.microsoft.com/.default", "invalid_client", 7000215),
        ("other", "right", "https://graph.microsoft.com/.default", "unauthorized_client", 700016),
        ("app", "right", "https://graph.microsoft.com/Mail.Send", "invalid_scope", 1002012),
    ],
)
def test_msal_signs_in_with_a_secret(graph, sandbox, client, secret, scope, error, code):
    sandbox.graph.register_client("contoso", "app", "right", roles=["Mail.Read"])
    with requests.Session() as session:
        app = msal.ConfidentialClientApplication(
            client,
            client_credential=secret,
            authority=sandbox.url.replace("http:", "https:") + "/contoso",
            instance_discovery=False,
            http_client=PlainLoopback(session),
            http_cache={},
        )
        result = app.acquire_token_for_client([scope])
    assert result.get("error") == error
    if error:
        assert result["error_codes"] == [code]
        assert result["error_description"].startswith(f"AADSTS{code}: ")
        return
    assert graph.raw("GET", f"/users/{BEN}/messages", token=result["access_token"]).status_code == 200
    assert graph.raw("POST", f"/users/{BEN}/sendMail", token=result["access_token"], json={}).status_code == 403
    sandbox.clock.advance(timedelta(hours=2))
    assert graph.raw("GET", f"/users/{BEN}/messages", token=result["access_token"]).status_code == 401


def test_msals_question_about_the_instance_is_answered(sandbox):
    with requests.Session() as session:
        query = {"api-version": "1.1", "authorization_endpoint": "https://127.0.0.1/contoso/oauth2/v2.0/authorize"}
        answer = session.get(f"{sandbox.url}/common/discovery/instance", params=query, timeout=10).json()
    https = sandbox.url.replace("http:", "https:")
    assert answer["tenant_discovery_endpoint"] == f"{https}/contoso/v2.0/.well-known/openid-configuration"
    assert urlsplit(sandbox.url).netloc in answer["metadata"][0]["aliases"]


def test_an_unknown_tenant_is_told(sandbox):
    with requests.Session() as session:
        answer = session.get(f"{sandbox.url}/nowhere/v2.0/.well-known/openid-configuration", timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [90002]


# ---------------------------------------------------------------------------------------- the people outside


def test_editing_the_subject_starts_another_conversation(graph, sandbox):
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    same = sandbox.act("rep_edits_draft", key=KEY, body="<p>Mine</p>", to=BOSS)
    assert (same["second_id"], same["thread"], same["to"]) == (draft["id"], draft["conversationId"], [BOSS])
    other = sandbox.act("rep_edits_draft", rep=BEN, person=BOSS, subject="Other")
    assert other["second_id"] == draft["id"]
    assert other["thread"] != draft["conversationId"]


def test_classic_outlook_sends_under_another_message_id(graph, sandbox):
    draft = graph("POST", "/messages", message())
    sent = sandbox.act("rep_sends_draft", key=KEY, via="desktop")
    assert sent["message_id"] != draft["internetMessageId"]
    assert sent["thread"] == draft["conversationId"]


def test_a_discarded_draft_lies_in_deleted_items(graph, sandbox):
    draft = graph("POST", "/messages", message(), headers=IMMUTABLE)
    sandbox.act("rep_deletes_draft", key=KEY)
    (binned,) = graph("GET", "/mailFolders/deleteditems/messages", headers=IMMUTABLE)["value"]
    assert binned["id"] == draft["id"]


def test_replies_reports_and_automatic_answers_land_in_the_conversation(graph, sandbox):
    draft = graph("POST", "/messages", message())
    graph("POST", f"/messages/{draft['id']}/send")
    sandbox.act("prospect_replies", key=KEY)
    sandbox.act("prospect_out_of_office", key=KEY)
    sandbox.act("prospect_bounces", key=KEY)
    query = {"$filter": f"conversationId eq '{draft['conversationId']}'"}
    listed = graph("GET", "/mailFolders/inbox/messages", params=query)["value"]
    bounce, away, reply = sorted(listed, key=lambda one: one["subject"], reverse=True)
    assert reply["subject"] == "Automatic reply: Quarterly plan"
    assert away["subject"] == "Re: Quarterly plan"
    assert bounce["subject"] == "Undeliverable: Quarterly plan"
    assert [one["emailAddress"]["address"] for one in bounce["toRecipients"]] == [BOB]
    report = message_from_bytes(graph("GET", f"/messages/{bounce['id']}/$value"), policy=policy.default)
    assert all_failures(report) == (set(), {BOB.encode()})
    select = {"$select": "internetMessageHeaders"}
    headers = graph("GET", f"/messages/{reply['id']}", params=select)["internetMessageHeaders"]
    assert {"name": "Auto-Submitted", "value": "auto-replied"} in headers
    text = graph("GET", f"/messages/{away['id']}", headers={"Prefer": 'outlook.body-content-type="text"'})
    assert text["body"]["contentType"] == "text"
    assert text["body"]["content"].startswith("Thanks, let us talk.")


def test_effects_name_the_intent_once_each(graph, sandbox):
    draft = graph("POST", "/messages", message())
    graph("POST", f"/messages/{draft['id']}/send")
    effects = [(one["service"], one["effect"], one["key"]) for one in sandbox.log.effects]
    assert effects == [("graph", "draft_created", KEY), ("graph", "mail_sent", KEY)]
