"""What the simulated Gmail refuses, limits and leaves out; its tables against Google's discovery document."""

import base64
import re
import threading
from datetime import timedelta
from email.message import EmailMessage

import pytest
import requests
from gmail_client import (
    ANA,
    BOB,
    CYN,
    KEY,
    NOON,
    SCOPE,
    draft_body,
    fresh_sandbox,
    gmail_of,
    headers_of,
    run,
    send_stamped,
)
from googleapiclient.errors import HttpError

from adapters.sandbox.gmail_methods import METHODS
from adapters.sandbox.gmail_shapes import SHAPES
from tests.judges import gmail_schema
from tests.judges.gmail_schema import DISCOVERY, judge, judge_request


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def gmail(sandbox):
    with gmail_of(sandbox) as service:
        yield service.users()


@pytest.fixture
def call(sandbox):
    """Speak to the service without Google's client: (method, path, json=, scopes=) -> response."""
    with requests.Session() as session:

        def send(http, path, *, scopes=(SCOPE + "modify",), subject=ANA, token=None, **more):
            token = token if token is not None else sandbox.token("gmail", subject, scopes=list(scopes))
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return session.request(http, f"{sandbox.url}/gmail/v1/users/{path}", headers=headers, timeout=10, **more)

        yield send


# -------------------------------------------------------------------------------------------------- refusals


def path_of(method):
    path = method.path.replace("users/{userId}", "me")
    return re.sub(r"\{\w+\}", "19a9000000999999", path)


def kind_of(node):
    if "$ref" in node:
        return node["$ref"]
    return f"[]{kind_of(node['items'])}" if node["type"] == "array" else node.get("format", node["type"])


def test_the_table_of_methods_is_the_discovery_documents():
    for name, ours in METHODS.items():
        google = gmail_schema.METHODS[f"gmail.{name}"]
        # The add-on scopes for reading belong to a message that is open; the sandbox knows no add-on.
        scopes = {scope for scope in google["scopes"] if "addons.current.message" not in scope}
        query = {one for one, about in google["parameters"].items() if about["location"] == "query"}
        assert {
            "http": ours.http,
            "path": f"gmail/v1/{ours.path}",
            "scopes": set(ours.scopes),
            "query": set(ours.query),
            "takes": ours.takes,
            "gives": ours.gives,
            "upload": str(ours.upload),
        } == {
            "http": google["httpMethod"],
            "path": google["path"],
            "scopes": scopes,
            "query": query | set(DISCOVERY["parameters"]),
            "takes": google.get("request", {}).get("$ref", ""),
            "gives": google.get("response", {}).get("$ref", ""),
            "upload": google.get("mediaUpload", {}).get("maxSize", "0"),
        }, name


def test_the_shapes_are_the_discovery_documents():
    for name, ours in SHAPES.items():
        google = DISCOVERY["schemas"][name]["properties"]
        assert dict(ours) == {field: kind_of(node) for field, node in google.items()}, name
    named = {kind.removeprefix("[]") for shape in SHAPES.values() for kind in shape.values()}
    assert {one for one in named if one[0].isupper()} <= set(SHAPES)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_asks_for_one_of_its_scopes(call, name):
    method = METHODS[name]
    every = {scope for one in gmail_schema.METHODS.values() for scope in one["scopes"]}
    for scope in sorted(every):
        answer = call(method.http, path_of(method), scopes=[scope])
        narrow = (
            answer.status_code == 403 and answer.json()["error"]["errors"][0]["reason"] == "insufficientPermissions"
        )
        assert narrow is (scope not in method.scopes), (scope, answer.status_code, answer.text)


@pytest.mark.parametrize("name", METHODS)
def test_documented_query_parameters_are_taken_and_others_refused(call, name):
    method = METHODS[name]
    for parameter in sorted(method.query):
        answer = call(method.http, path_of(method), params={parameter: "1"}, scopes=method.scopes)
        assert "Unknown name" not in answer.text, (parameter, answer.text)
    answer = call(method.http, path_of(method), params={"bogus": "1"}, scopes=method.scopes)
    assert answer.status_code == 400
    assert 'Unknown name "bogus": Cannot bind query parameter' in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"mesage": {}}, "Invalid JSON payload received. Unknown name \"mesage\" at 'draft': Cannot find field."),
        ({"message": {"raw": "", "body": 1}}, "Unknown name \"body\" at 'draft.message': Cannot find field."),
        ({"message": {"raw": "%%%"}}, "Invalid value at 'draft.message.raw' (TYPE_BYTES), Base64 decoding failed"),
        ({"message": {"raw": 7}}, "Invalid value at 'draft.message.raw'"),
        ({"message": []}, "Invalid value at 'draft.message'"),
        ({}, "'raw' RFC822 payload message string or uploading message via /upload/* URL required"),
    ],
)
def test_a_malformed_draft_is_refused(call, sandbox, body, message):
    answer = call("POST", "me/drafts", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["code"] == 400
    assert error["status"] == "INVALID_ARGUMENT"
    assert sandbox.state()["gmail"][ANA]["mails"] == []


@pytest.mark.parametrize(("to", "message"), [(None, "Recipient address required"), ("no address", "Invalid To header")])
def test_a_mail_without_a_good_recipient_is_not_sent(call, sandbox, to, message):
    draft = call("POST", "me/drafts", json=draft_body(to=to or "")).json()
    for path, body in (("drafts/send", {"id": draft["id"]}), ("messages/send", draft_body(to=to or "")["message"])):
        answer = call("POST", f"me/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)
    assert [one["place"] for one in sandbox.state()["gmail"][ANA]["mails"]] == ["drafts"]


@pytest.mark.parametrize(
    ("http", "path", "more", "status", "reason"),
    [
        ("GET", "me/profile", {"token": ""}, 401, "authError"),
        ("GET", "me/profile", {"token": "bogus"}, 401, "authError"),
        ("GET", "cyn@acme.example/profile", {}, 403, "forbidden"),
        ("GET", "me/messages?q=in:sent", {"scopes": [SCOPE + "metadata"]}, 403, "forbidden"),
        ("GET", "me/drafts/r999", {}, 404, "notFound"),
        ("GET", "me/messages/19a9000000999999", {}, 404, "notFound"),
        ("GET", "me/messages/xyz", {}, 400, "invalidArgument"),
        ("GET", "me/history", {}, 400, "invalidArgument"),
        ("GET", "me/history?startHistoryId=1", {"scopes": [SCOPE + "compose"]}, 403, "insufficientPermissions"),
    ],
)
def test_refusals_have_googles_shape(call, http, path, more, status, reason):
    answer = call(http, path, **more)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["errors"][0]["reason"]) == (status, status, reason)


def test_unknown_paths_and_expired_tokens_and_the_quota(call, sandbox):
    assert call("GET", "me/nothing").status_code == 404
    assert call("PATCH", "me/drafts").status_code == 404
    short = sandbox.token("gmail", ANA, hours=1)
    assert call("GET", f"{ANA.upper()}/profile", token=short).status_code == 200
    sandbox.clock.advance(timedelta(hours=2))
    assert call("GET", "me/profile", token=short).status_code == 401
    sandbox.act("mail_settings", gmail_units_per_minute=2)
    answers = [call("GET", "me/profile") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["errors"][0]["reason"] == "rateLimitExceeded"
    sandbox.clock.advance(timedelta(minutes=1))
    assert call("GET", "me/profile").status_code == 200


# ----------------------------------------------------------------------------------------------- the judge


@pytest.mark.parametrize("body", [{"identity": "r1"}, {"message": {"raw": 1}}, {"message": {"historyId": "x"}}])
def test_the_judge_refuses(body):
    with pytest.raises(AssertionError):
        judge("Draft", body)


@pytest.mark.parametrize(
    ("http", "path", "body"),
    [
        ("GET", "/gmail/v1/users/me/nothing", None),
        ("PATCH", "/gmail/v1/users/me/drafts", None),
        ("GET", "/gmail/v1/users/me/drafts?bogus=1", None),
        ("GET", "/gmail/v1/users/me/drafts?maxResults=many", None),
        ("GET", "/gmail/v1/users/me/messages/1?format=everything", None),
        ("GET", "/gmail/v1/users/me/profile", {}),
        ("POST", "/gmail/v1/users/me/drafts", {"message": {"raw": "+/"}}),
        ("GET", "/upload/gmail/v1/users/me/profile", None),
    ],
)
def test_the_judge_refuses_a_call(http, path, body):
    with pytest.raises(AssertionError):
        judge_request(http, f"https://gmail.googleapis.com{path}", body)


# ------------------------------------------------------------------------------------- who may not, and when


def error_of(answer):
    error = answer.json()["error"]
    return {"code": answer.status_code, "status": error["status"], **error["errors"][0]}


@pytest.mark.parametrize(
    ("action", "arguments", "status", "reason", "says"),
    [
        ("gmail_disables_api", {}, 403, "accessNotConfigured", "Gmail API has not been used in project"),
        ("gmail_forbids_apps", {}, 403, "domainPolicy", "The domain administrators have disabled Gmail apps."),
        ("rep_loses_mailbox", {"rep": ANA}, 400, "failedPrecondition", "Mail service not enabled"),
        ("gmail_revokes_access", {}, 401, "authError", "Invalid Credentials"),
    ],
)
def test_a_door_that_is_shut(call, sandbox, action, arguments, status, reason, says):
    token = sandbox.token("gmail", ANA, scopes=[SCOPE + "modify"])
    assert call("GET", "me/profile", token=token).status_code == 200
    sandbox.act(action, **arguments)
    answer = call("GET", "me/profile", token=token)
    assert (answer.status_code, error_of(answer)["reason"]) == (status, reason)
    assert says in error_of(answer)["message"]
    if reason == "accessNotConfigured":
        (detail,) = answer.json()["error"]["details"]
        assert (detail["reason"], detail["metadata"]["service"]) == ("SERVICE_DISABLED", "gmail.googleapis.com")
        assert detail["metadata"]["activationUrl"] in error_of(answer)["message"]


def test_the_metadata_scope_sees_headers_and_nothing_else(call, gmail):
    sent = send_stamped(gmail)
    narrow = {"scopes": [SCOPE + "metadata"]}
    shown = call("GET", f"me/messages/{sent['id']}?format=metadata", **narrow).json()
    assert shown["payload"]["headers"]
    assert "body" not in shown["payload"]
    for path in (
        f"me/messages/{sent['id']}",
        f"me/messages/{sent['id']}?format=raw",
        f"me/threads/{sent['threadId']}?format=full",
        "me/threads?q=plan",
    ):
        assert error_of(call("GET", path, **narrow))["reason"] == "forbidden", path
    (thread,) = call("GET", "me/threads", **narrow).json()["threads"]
    assert "snippet" not in thread


# --------------------------------------------------------------------------------------------------- quota


@pytest.mark.parametrize(("code", "status"), [(429, "RESOURCE_EXHAUSTED"), (403, "PERMISSION_DENIED")])
def test_spent_units_are_refused_both_ways_until_the_minute_is_over(call, sandbox, code, status):
    sandbox.act("mail_settings", gmail_units_per_minute=25, gmail_quota_status=code)
    assert [call("GET", "me/drafts").status_code for _ in range(6)] == [200] * 5 + [code]
    error = error_of(call("GET", "me/drafts"))
    assert (error["reason"], error["domain"], error["status"]) == ("rateLimitExceeded", "usageLimits", status)
    assert "'Queries per minute per user'" in error["message"]
    assert call("GET", "me/profile", subject=CYN).status_code == 200, "another user has units of their own"
    sandbox.clock.advance(timedelta(minutes=1))
    assert call("GET", "me/drafts").status_code == 200


def test_the_day_is_full_whoever_sent(call, sandbox, gmail):
    sandbox.act("mail_settings", gmail_sends_per_day=2)
    sandbox.act("rep_writes_mail", rep=ANA, person=BOB, subject="By hand")
    sandbox.clock.advance(timedelta(hours=3))
    draft = run(gmail.drafts().create(userId="me", body=draft_body()))
    assert call("POST", "me/messages/send", json=draft_body()["message"]).status_code == 200
    for path, body in (("drafts/send", {"id": draft["id"]}), ("messages/send", draft_body()["message"])):
        answer = call("POST", f"me/{path}", json=body)
        assert (answer.status_code, error_of(answer)["reason"]) == (429, "rateLimitExceeded")
        assert error_of(answer)["message"] == "User-rate limit exceeded.  Retry after 2026-11-25T12:00:00.000Z"
    assert run(gmail.drafts().get(userId="me", id=draft["id"]))["id"] == draft["id"]
    sandbox.clock.advance(timedelta(hours=21))
    assert call("POST", "me/drafts/send", json={"id": draft["id"]}).status_code == 200


def test_too_many_calls_at_once_are_429(sandbox):
    sandbox.act("mail_settings", gmail_concurrent_requests=2, gmail_delay=0.2)
    header = {"Authorization": f"Bearer {sandbox.token('gmail', ANA, scopes=[SCOPE + 'modify'])}"}
    told = []

    def ask():
        told.append(requests.get(f"{sandbox.url}/gmail/v1/users/me/profile", headers=header, timeout=10))

    askers = [threading.Thread(target=ask) for _ in range(5)]
    for one in askers:
        one.start()
    for one in askers:
        one.join()
    codes = sorted(one.status_code for one in told)
    assert codes[0] == 200
    assert codes[-1] == 429
    crowded = next(one for one in told if one.status_code == 429)
    assert error_of(crowded)["message"] == "Too many concurrent requests for user"


# -------------------------------------------------------------------------------------------- partial answers


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ("id", {"id"}),
        ("id,threadId", {"id", "threadId"}),
        ("payload/headers/name", {"payload"}),
        ("payload(headers(name),mimeType),id", {"payload", "id"}),
        ("*", {"id", "threadId", "labelIds", "snippet", "sizeEstimate", "historyId", "internalDate", "payload"}),
        ("payload/parts/parts/body/size", {"payload"}),
    ],
)
def test_an_answer_is_cut_to_its_fields(gmail, fields, kept):
    sent = send_stamped(gmail)
    answer = run(gmail.messages().get(userId="me", id=sent["id"], fields=fields))
    assert set(answer) == kept
    judge("Message", answer)
    if fields == "payload/headers/name":
        assert {tuple(one) for one in answer["payload"]["headers"]} == {("name",)}


def test_fields_of_a_list_and_of_an_empty_answer(gmail):
    draft = run(gmail.drafts().create(userId="me", body=draft_body(), fields="id"))
    assert set(draft) == {"id"}
    listed = run(gmail.drafts().list(userId="me", fields="nextPageToken,drafts(id,message/threadId)"))
    assert [set(one) for one in listed["drafts"]] == [{"id", "message"}]
    assert run(gmail.messages().list(userId="me", q="nothing", fields="messages/id")) == {}


@pytest.mark.parametrize(
    "fields", ["bogus", "payload/bogus", "id,", "id)", "payload(headers", "(id)", "payload/headers/name/first"]
)
def test_a_field_that_is_not_there_is_refused(gmail, fields):
    sent = send_stamped(gmail)
    with pytest.raises(HttpError, match="Request contains an invalid argument") as refused:
        run(gmail.messages().get(userId="me", id=sent["id"], fields=fields))
    assert refused.value.status_code == 400


# --------------------------------------------------------------------------- labels, attachments, addresses


def test_labels_are_given_and_taken_and_told_in_the_history(gmail, sandbox):
    send_stamped(gmail)
    reply = sandbox.act("prospect_replies", key=KEY)
    mine = run(gmail.labels().create(userId="me", body={"name": "Campaign"}))
    start = run(gmail.getProfile(userId="me"))["historyId"]
    change = {"addLabelIds": [mine["id"], "STARRED"], "removeLabelIds": ["INBOX", "UNREAD"]}
    changed = run(gmail.messages().modify(userId="me", id=reply["id"], body=change))
    assert set(changed["labelIds"]) == {mine["id"], "STARRED"}
    (record,) = run(gmail.history().list(userId="me", startHistoryId=start))["history"]
    assert set(record["labelsAdded"][0]["labelIds"]) == {mine["id"], "STARRED"}
    assert set(record["labelsRemoved"][0]["labelIds"]) == {"INBOX", "UNREAD"}
    assert run(gmail.labels().get(userId="me", id=mine["id"]))["messagesTotal"] == 1
    assert mine["id"] in {one["id"] for one in run(gmail.labels().list(userId="me"))["labels"]}
    back = run(gmail.threads().modify(userId="me", id=reply["thread"], body={"addLabelIds": ["INBOX"]}))
    assert [sorted(one["labelIds"]) for one in back["messages"]] == [
        ["INBOX", "SENT"],
        sorted([*change["addLabelIds"], "INBOX"]),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"addLabelIds": ["SENT"]},
        {"removeLabelIds": ["DRAFT"]},
        {"addLabelIds": ["Label_99"]},
        {"addLabelIds": ["STARRED"], "removeLabelIds": ["STARRED"]},
        {"addLabelIds": ["STARRED"] * 1 + [f"Label_{number}" for number in range(100)]},
        {"addLabelIds": "STARRED"},
    ],
)
def test_a_change_of_labels_that_cannot_be_is_refused(call, gmail, change):
    sent = send_stamped(gmail)
    assert call("POST", f"me/messages/{sent['id']}/modify", json=change).status_code == 400


def test_a_draft_carries_no_label_but_its_own(gmail):
    draft = run(gmail.drafts().create(userId="me", body=draft_body()))["message"]
    changed = run(gmail.messages().modify(userId="me", id=draft["id"], body={"addLabelIds": ["STARRED"]}))
    assert changed["labelIds"] == ["DRAFT"]


def test_the_bin_gives_back_what_it_took(gmail, sandbox):
    sent = send_stamped(gmail)
    reply = sandbox.act("prospect_replies", key=KEY)
    for one, labels in ((sent, ["SENT"]), (reply, ["UNREAD", "INBOX"])):
        assert "TRASH" in run(gmail.messages().trash(userId="me", id=one["id"]))["labelIds"]
        assert run(gmail.messages().untrash(userId="me", id=one["id"]))["labelIds"] == labels


def test_an_attached_file_comes_by_its_id(gmail):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = ANA, BOB, "Offer"
    mail.set_content("See below")
    mail.add_attachment(b"\x00\xffoffer", maintype="application", subtype="pdf", filename="offer.pdf")
    raw = base64.urlsafe_b64encode(mail.as_bytes()).decode()
    draft = run(gmail.drafts().create(userId="me", body={"message": {"raw": raw}}))["message"]
    parts = run(gmail.messages().get(userId="me", id=draft["id"]))["payload"]["parts"]
    (attached,) = [one["body"]["attachmentId"] for one in parts if one["filename"] == "offer.pdf"]
    got = run(gmail.messages().attachments().get(userId="me", messageId=draft["id"], id=attached))
    assert (base64.urlsafe_b64decode(got["data"]), got["size"]) == (b"\x00\xffoffer", 7)
    with pytest.raises(HttpError, match="Invalid attachment token"):
        run(gmail.messages().attachments().get(userId="me", messageId=draft["id"], id="bogus"))


@pytest.mark.parametrize("method", ["insert", "import_"])
def test_a_mail_is_brought_in_without_being_sent(gmail, sandbox, method):
    body = draft_body(Date="Mon, 23 Nov 2026 08:00:00 +0000")["message"] | {"labelIds": ["INBOX", "UNREAD"]}
    made = run(getattr(gmail.messages(), method)(userId="me", body=body, internalDateSource="dateHeader"))
    assert sorted(made["labelIds"]) == ["INBOX", "UNREAD"]
    shown = run(gmail.messages().get(userId="me", id=made["id"], format="metadata"))
    assert headers_of(shown)["message-id"] == "<ours@acme.example>", "nothing is overwritten"
    assert int(shown["internalDate"]) == int((NOON - timedelta(hours=28)).timestamp() * 1000)
    assert sandbox.log.effects == []


def test_the_addresses_a_rep_sends_as(sandbox):
    sandbox.act("add_alias", rep=ANA, alias="Sales@acme.example", name="Acme Sales")
    with gmail_of(sandbox, "settings.basic") as service:
        send_as = service.users().settings().sendAs()
        listed = run(send_as.list(userId="me"))["sendAs"]
        assert [(one["sendAsEmail"], one.get("isPrimary", False)) for one in listed] == [
            (ANA, True),
            ("sales@acme.example", False),
        ]
        assert run(send_as.get(userId="me", sendAsEmail="sales@acme.example"))["displayName"] == "Acme Sales"
        with pytest.raises(HttpError) as gone:
            run(send_as.get(userId="me", sendAsEmail=BOB))
    assert gone.value.status_code == 404
