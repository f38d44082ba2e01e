"""The simulated Gmail API, driven by Google's own client and judged by Google's own discovery document."""

import base64
import importlib.resources
import json
import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import google_auth_httplib2
import httplib2
import pytest
import requests
from flufl.bounce import all_failures
from google.oauth2 import credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from jsonschema import Draft202012Validator
from sandbox_front import open_front

from connector.errors import BadInput

ANA, BOB = "ana@acme.example", "bob@buyer.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
SCOPE = "https://www.googleapis.com/auth/gmail."

DISCOVERY = json.loads(
    importlib.resources.files("googleapiclient.discovery_cache.documents").joinpath("gmail.v1.json").read_text()
)


def _schema(node):
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    kind = node.get("type")
    out = {"type": kind} if kind and kind != "any" else {}
    if node.get("format") in ("int64", "uint64"):
        out["pattern"] = r"^-?\d+$"
    if "enum" in node:
        out["enum"] = node["enum"]
    if kind == "array":
        out["items"] = _schema(node["items"])
    if kind == "object":
        out["properties"] = {name: _schema(inner) for name, inner in node.get("properties", {}).items()}
        more = node.get("additionalProperties")
        out["additionalProperties"] = _schema(more) if more else False
    return out


DEFINITIONS = {name: _schema(node) for name, node in DISCOVERY["schemas"].items()}


def _methods(resource):
    for method in resource.get("methods", {}).values():
        yield method["id"], method
    for inner in resource.get("resources", {}).values():
        yield from _methods(inner)


METHODS = dict(_methods(DISCOVERY))

#: What the sandbox answers, by Google's names.
SERVED = [
    "gmail.users.getProfile",
    "gmail.users.drafts.create",
    "gmail.users.drafts.send",
    "gmail.users.drafts.list",
    "gmail.users.drafts.get",
    "gmail.users.drafts.update",
    "gmail.users.drafts.delete",
    "gmail.users.messages.list",
    "gmail.users.messages.send",
    "gmail.users.messages.get",
    "gmail.users.messages.trash",
    "gmail.users.messages.delete",
    "gmail.users.threads.get",
    "gmail.users.history.list",
    "gmail.users.labels.list",
]


def judge(name, body):
    """Refuse what Google's document does not describe, unknown keys included."""
    errors = [
        error.message
        for error in Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFINITIONS}).iter_errors(body)
    ]
    assert not errors, errors


def run(request):
    """Execute a request of Google's client; judge what it sends and what it gets."""
    method = METHODS[request.methodId]
    if "request" in method and request.body:
        judge(method["request"]["$ref"], json.loads(request.body))
    answer = request.execute()
    if "response" in method:
        judge(method["response"]["$ref"], answer)
    return answer


@pytest.fixture(scope="module")
def front():
    with open_front() as running:
        yield running


@pytest.fixture
def sandbox(front):
    fresh = front.fresh(NOON)
    fresh.world.add_mailbox("gmail", ANA, "Ana Diaz")
    fresh.world.add_mailbox("gmail", "cyn@acme.example", "Cyn")
    return fresh


@pytest.fixture
def gmail(sandbox):
    token = credentials.Credentials(sandbox.token("gmail", ANA, scopes=[SCOPE + "modify"]))
    http = google_auth_httplib2.AuthorizedHttp(token, http=httplib2.Http(timeout=10))
    service = build(
        "gmail",
        "v1",
        http=http,
        client_options={"api_endpoint": sandbox.url},
        static_discovery=True,
        cache_discovery=False,
    )
    yield service.users()
    service.close()
    http.close()


@pytest.fixture
def call(sandbox):
    """Speak to the service without Google's client: (method, path, json=, scopes=) -> response."""
    with requests.Session() as session:

        def send(http, path, *, scopes=(SCOPE + "modify",), subject=ANA, token=None, **more):
            token = token if token is not None else sandbox.token("gmail", subject, scopes=list(scopes))
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return session.request(http, f"{sandbox.url}/gmail/v1/users/{path}", headers=headers, timeout=10, **more)

        yield send


def mime(*, to=f"Bob Buyer <{BOB}>", subject="Quarterly plan", text="Hello Bob", **headers):
    lines = [f"From: Ana Diaz <{ANA}>", f"Subject: {subject}", "Message-ID: <ours@acme.example>"]
    lines += [f"To: {to}"] if to else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    text = "\r\n".join([*lines, "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "", text, ""])
    return base64.urlsafe_b64encode(text.encode()).decode()


def draft_body(thread=None, **parts):
    message = {"raw": mime(**parts)} | ({"threadId": thread} if thread else {})
    return {"message": message}


def headers_of(message):
    return {one["name"].lower(): one["value"] for one in message["payload"]["headers"]}


def send_stamped(gmail, **parts):
    draft = run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY, **parts)))
    sent = run(gmail.drafts().send(userId="me", body={"id": draft["id"]}))
    return run(gmail.messages().get(userId="me", id=sent["id"], format="metadata"))


@pytest.mark.parametrize("body", [{"identity": "r1"}, {"message": {"raw": 1}}, {"message": {"historyId": "x"}}])
def test_the_judge_refuses(body):
    with pytest.raises(AssertionError):
        judge("Draft", body)


# ---------------------------------------------------------------------------------------------------- drafts


def test_sending_a_draft_gives_another_id_and_another_message_id(gmail):
    draft = run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    assert draft["message"]["labelIds"] == ["DRAFT"]
    full = run(gmail.drafts().get(userId="me", id=draft["id"], format="full"))
    assert headers_of(full["message"])["message-id"] == "<ours@acme.example>"

    sent = run(gmail.drafts().send(userId="me", body={"id": draft["id"]}))

    assert sent["labelIds"] == ["SENT"]
    assert sent["id"] != draft["message"]["id"]
    assert sent["threadId"] == draft["message"]["threadId"]
    headers = headers_of(run(gmail.messages().get(userId="me", id=sent["id"], format="metadata")))
    assert re.fullmatch(r"<\S+@mail\.gmail\.com>", headers["message-id"])
    assert headers["x-connector-intent"] == KEY
    for gone in (
        gmail.drafts().get(userId="me", id=draft["id"]),
        gmail.drafts().send(userId="me", body={"id": draft["id"]}),
    ):
        with pytest.raises(HttpError) as refused:
            run(gone)
        assert refused.value.status_code == 404
    assert run(gmail.drafts().list(userId="me")) == {"resultSizeEstimate": 0}


def test_an_update_keeps_the_draft_id_and_changes_the_message_id(gmail):
    draft = run(gmail.drafts().create(userId="me", body=draft_body()))
    thread = draft["message"]["threadId"]
    saved = run(gmail.drafts().update(userId="me", id=draft["id"], body=draft_body(thread, text="New words")))
    assert saved["id"] == draft["id"]
    assert saved["message"]["id"] != draft["message"]["id"]
    assert saved["message"]["threadId"] == thread
    raw = run(gmail.drafts().get(userId="me", id=draft["id"], format="raw"))["message"]["raw"]
    parsed = message_from_bytes(base64.urlsafe_b64decode(raw), policy=policy.default)
    assert parsed.get_content().strip() == "New words"
    orphan = run(gmail.drafts().update(userId="me", id=draft["id"], body=draft_body()))
    assert orphan["message"]["threadId"] != thread, "an update without threadId leaves the thread"


def test_lists_come_in_pages_newest_first(gmail, sandbox):
    made = []
    for _ in range(5):
        made.append(run(gmail.drafts().create(userId="me", body=draft_body()))["id"])
        sandbox.clock.advance(timedelta(seconds=1))
    seen, token = [], None
    while True:
        page = run(gmail.drafts().list(userId="me", maxResults=2, pageToken=token))
        seen += [one["id"] for one in page["drafts"]]
        token = page.get("nextPageToken")
        if not token:
            break
    assert seen == made[::-1]


def test_multipart_mail_is_told_part_by_part(gmail, sandbox):
    run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    sandbox.act("rep_edits_draft", key=KEY, body="<p>Grüße</p>")
    (one,) = run(gmail.drafts().list(userId="me"))["drafts"]
    payload = run(gmail.drafts().get(userId="me", id=one["id"]))["message"]["payload"]
    assert payload["mimeType"] == "multipart/alternative"
    assert [part["mimeType"] for part in payload["parts"]] == ["text/plain", "text/html"]
    html = base64.urlsafe_b64decode(payload["parts"][1]["body"]["data"]).decode()
    assert html.strip() == '<div dir="ltr"><p>Grüße</p></div>'


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"to:{BOB}", True),
        ("to:other@buyer.example", False),
        (f"from:{ANA}", True),
        ('subject:"quarterly plan"', True),
        ("subject:(plan quarterly)", True),
        ("subject:quarter", False),
        ("rfc822msgid:<ours@acme.example>", True),
        ("rfc822msgid:ours@acme.example", True),
        ("rfc822msgid:other@acme.example", False),
        ("in:drafts", True),
        ("in:sent", False),
        ("in:anywhere", True),
        ("-in:sent", True),
        (f"after:{int(NOON.timestamp()) - 1}", True),
        (f"after:{int(NOON.timestamp()) + 1}", False),
        ("after:2026/11/24", True),
        ("before:2026/11/24", False),
        ("newer_than:1d", True),
        (f'in:drafts to:{BOB} subject:"Quarterly plan" after:2026/11/23', True),
        ("hello", True),
        ("nothing", False),
    ],
)
def test_search(gmail, query, found):
    made = run(gmail.drafts().create(userId="me", body=draft_body()))
    messages = run(gmail.messages().list(userId="me", q=query)).get("messages", [])
    assert [one["id"] for one in messages] == ([made["message"]["id"]] if found else [])
    drafts = run(gmail.drafts().list(userId="me", q=query)).get("drafts", [])
    assert [one["id"] for one in drafts] == ([made["id"]] if found else [])


# --------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize(
    ("subject", "answers", "joins"),
    [
        ("Re: Quarterly plan", True, True),
        ("Quarterly plan", True, True),
        ("Another matter", True, False),
        ("Re: Quarterly plan", False, False),
    ],
)
def test_a_thread_is_joined_only_with_references_and_subject(gmail, subject, answers, joins):
    first = send_stamped(gmail)
    sent_id = headers_of(first)["message-id"]
    headers = {"In_Reply_To": sent_id, "References": sent_id} if answers else {}
    body = draft_body(first["threadId"], subject=subject, **headers)
    draft = run(gmail.drafts().create(userId="me", body=body))
    assert (draft["message"]["threadId"] == first["threadId"]) is joins
    thread = run(gmail.threads().get(userId="me", id=first["threadId"], format="minimal"))
    assert len(thread["messages"]) == (2 if joins else 1)


@pytest.mark.parametrize(("thread", "status"), [("19a9000000999999", 404), ("not a thread", 400)])
def test_an_unknown_thread_is_refused(call, thread, status):
    assert call("POST", "me/drafts", json=draft_body(thread)).status_code == status


# --------------------------------------------------------------------------------------------------- history


def test_history_tells_edits_sends_and_replies(gmail, sandbox):
    draft = run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    start = run(gmail.getProfile(userId="me"))["historyId"]
    assert run(gmail.history().list(userId="me", startHistoryId=start)) == {"historyId": start}

    edited = sandbox.act("rep_edits_draft", key=KEY, body="<p>Hi</p>")
    sent = sandbox.act("rep_sends_draft", key=KEY, via="phone")
    reply = sandbox.act("prospect_replies", person=BOB)

    answer = run(gmail.history().list(userId="me", startHistoryId=start))
    told = []
    for record in answer["history"]:
        for kind in ("messagesAdded", "messagesDeleted"):
            told += [(kind, one["message"]["id"], one["message"].get("labelIds")) for one in record.get(kind, [])]
    assert told == [
        ("messagesDeleted", draft["message"]["id"], ["DRAFT"]),
        ("messagesAdded", edited["id"], ["DRAFT"]),
        ("messagesDeleted", edited["id"], ["DRAFT"]),
        ("messagesAdded", sent["id"], ["SENT"]),
        ("messagesAdded", reply["id"], ["UNREAD", "INBOX"]),
    ]
    only = run(gmail.history().list(userId="me", startHistoryId=start, historyTypes=["messageAdded"], labelId="SENT"))
    assert [one["messagesAdded"][0]["message"]["id"] for one in only["history"]] == [sent["id"]]
    paged = run(gmail.history().list(userId="me", startHistoryId=start, maxResults=2))
    rest = run(gmail.history().list(userId="me", startHistoryId=start, pageToken=paged["nextPageToken"]))
    assert [one["id"] for one in paged["history"] + rest["history"]] == [one["id"] for one in answer["history"]]


def test_history_tells_the_bin_as_labels(gmail, sandbox):
    send_stamped(gmail)
    reply = sandbox.act("prospect_replies", person=BOB)
    start = run(gmail.getProfile(userId="me"))["historyId"]
    run(gmail.messages().trash(userId="me", id=reply["id"]))
    (record,) = run(gmail.history().list(userId="me", startHistoryId=start))["history"]
    assert record["labelsAdded"][0]["labelIds"] == ["TRASH"]
    assert record["labelsRemoved"][0]["labelIds"] == ["INBOX"]
    assert "messages" not in run(gmail.messages().list(userId="me", q="in:inbox"))
    assert run(gmail.messages().list(userId="me", q="in:trash"))["messages"][0]["id"] == reply["id"]


def test_expired_history_is_404_and_a_fresh_start_works(gmail, sandbox):
    start = run(gmail.getProfile(userId="me"))["historyId"]
    sandbox.act("gmail_expires_history", rep=ANA)
    with pytest.raises(HttpError) as refused:
        run(gmail.history().list(userId="me", startHistoryId=start))
    assert refused.value.status_code == 404
    fresh = run(gmail.getProfile(userId="me"))["historyId"]
    assert run(gmail.history().list(userId="me", startHistoryId=fresh))["historyId"] == fresh


# -------------------------------------------------------------------------------------------------- refusals


def path_of(method):
    path = METHODS[method]["path"].removeprefix("gmail/v1/users/")
    return path.replace("{userId}", "me").replace("{id}", "19a9000000999999")


@pytest.mark.parametrize("name", SERVED)
def test_scopes_are_those_of_the_discovery_document(call, name):
    method = METHODS[name]
    every = {scope for one in METHODS.values() for scope in one["scopes"]}
    # The add-on scopes for reading belong to a message that is open; the sandbox knows no add-on.
    for scope in sorted(scope for scope in every if "addons.current.message" not in scope):
        answer = call(method["httpMethod"], path_of(name), scopes=[scope])
        narrow = (
            answer.status_code == 403 and answer.json()["error"]["errors"][0]["reason"] == "insufficientPermissions"
        )
        assert narrow is (scope not in method["scopes"]), (scope, answer.status_code, answer.text)


@pytest.mark.parametrize("name", SERVED)
def test_documented_query_parameters_are_taken_and_others_refused(call, name):
    method = METHODS[name]
    documented = [one for one, about in method["parameters"].items() if about["location"] == "query"]
    documented += DISCOVERY["parameters"]
    for parameter in documented:
        answer = call(method["httpMethod"], path_of(name), params={parameter: "1"}, scopes=method["scopes"])
        assert "Unknown name" not in answer.text, (parameter, answer.text)
    answer = call(method["httpMethod"], path_of(name), params={"bogus": "1"}, scopes=method["scopes"])
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
    draft = call("POST", "me/drafts", json=draft_body(to=to)).json()
    for path, body in (("drafts/send", {"id": draft["id"]}), ("messages/send", {"raw": mime(to=to)})):
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


# ---------------------------------------------------------------------------------------- the people outside


@pytest.mark.parametrize("drops", [False, True])
def test_an_edited_draft_keeps_or_loses_its_stamp(gmail, sandbox, drops):
    sandbox.act("mail_settings", gmail_edit_drops_stamp=drops, gmail_edit_changes_draft_id=True)
    draft = run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    edited = sandbox.act("rep_edits_draft", rep=ANA, person=BOB, subject="Another matter")
    assert edited["key"] == ("" if drops else KEY)
    assert edited["thread"] != draft["message"]["threadId"]
    assert [one["id"] for one in run(gmail.drafts().list(userId="me"))["drafts"]] == [edited["second_id"]]
    assert edited["second_id"] != draft["id"]


def test_a_scheduled_draft_is_neither_draft_nor_sent_until_its_time(gmail, sandbox):
    run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    sandbox.act("rep_schedules_draft", key=KEY, minutes=30)
    places = {"in:drafts": 0, "in:sent": 0, "in:scheduled": 1}
    assert {q: run(gmail.messages().list(userId="me", q=q))["resultSizeEstimate"] for q in places} == places
    sandbox.clock.advance(timedelta(minutes=31))
    places = {"in:drafts": 0, "in:sent": 1, "in:scheduled": 0}
    assert {q: run(gmail.messages().list(userId="me", q=q))["resultSizeEstimate"] for q in places} == places


def received(gmail, told):
    raw = run(gmail.messages().get(userId="me", id=told["id"], format="raw"))["raw"]
    return message_from_bytes(base64.urlsafe_b64decode(raw), policy=policy.default)


def test_a_reply_lands_in_the_thread_with_the_real_message_id(gmail, sandbox):
    first = send_stamped(gmail)
    told = sandbox.act("prospect_replies", key=KEY, text="Yes!", from_="office@buyer.example", cc="cyn@acme.example")
    reply = received(gmail, told)
    sent_id = headers_of(first)["message-id"]
    assert told["thread"] == first["threadId"]
    assert (reply["In-Reply-To"], reply["References"]) == (sent_id, sent_id)
    assert (reply["From"], reply["Subject"]) == ("office@buyer.example", "Re: Quarterly plan")
    assert sandbox.state()["gmail"]["cyn@acme.example"]["mails"][0]["message_id"] == reply["Message-ID"]


def test_an_out_of_office_says_so_or_does_not(gmail, sandbox):
    send_stamped(gmail)
    marked = received(gmail, sandbox.act("prospect_out_of_office", person=BOB))
    assert marked["Auto-Submitted"] == "auto-replied"
    bare = received(gmail, sandbox.act("prospect_out_of_office", person=BOB, marked=False))
    assert bare["Auto-Submitted"] is None
    assert bare["Subject"] == "Re: Quarterly plan"


@pytest.mark.parametrize(("outcome", "status"), [("failed", "5.1.1"), ("failed", "5.2.2"), ("delayed", "4.4.1")])
def test_a_delivery_report_is_rfc_3464(gmail, sandbox, outcome, status):
    first = send_stamped(gmail)
    told = sandbox.act("prospect_bounces", person=BOB, outcome=outcome, status=status)
    report = received(gmail, told)
    assert told["thread"] == first["threadId"]
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    _text, delivery, original = report.iter_parts()
    about = delivery.get_payload()[1]
    assert (about["Action"], about["Status"], about["Final-Recipient"]) == (outcome, status, f"rfc822; {BOB}")
    assert headers_of(first)["message-id"] in original.get_payload()
    temporary, permanent = all_failures(report)
    assert permanent == ({BOB.encode()} if outcome == "failed" else set())
    assert temporary == ({BOB.encode()} if outcome == "delayed" else set())


def test_mail_between_two_mailboxes_arrives_without_bcc(gmail, sandbox):
    run(gmail.messages().send(userId="me", body={"raw": mime(to="cyn@acme.example", Bcc=BOB)}))
    (arrived,) = sandbox.state()["gmail"]["cyn@acme.example"]["mails"]
    assert (arrived["place"], arrived["to"]) == ("inbox", ["cyn@acme.example"])


def test_nobody_acts_on_a_mail_that_is_not_there(sandbox):
    with pytest.raises(BadInput, match=r"no mail to bob@buyer.example lies in the sent of any mailbox"):
        sandbox.act("prospect_replies", person=BOB)


def test_effects_name_the_intent_once_each(gmail, sandbox):
    send_stamped(gmail)
    effects = [(one["effect"], one["key"], one["mailbox"]) for one in sandbox.log.effects]
    assert effects == [("draft_created", KEY, ANA), ("mail_sent", KEY, ANA)]
