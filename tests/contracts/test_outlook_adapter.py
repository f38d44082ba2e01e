"""What the Outlook adapter puts on the wire and makes of single answers. The shared contract is in its own file."""

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import jsonschema
import pytest
import requests
import responses
from urllib3.exceptions import MaxRetryError, NewConnectionError

from adapters.outlook import MicrosoftAccount, OutlookAdapter, messages
from adapters.outlook.messages import STAMP
from adapters.sandbox import Sandbox
from adapters.sandbox.letter import open_letter
from connector.errors import OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import (
    Address,
    Attachment,
    DraftGone,
    DraftRef,
    DraftSaved,
    Mail,
    MailIdentity,
    MailReceived,
    MailSent,
    Thread,
    Trace,
    Whereabouts,
)
from tests.doubles import MemoryVault

GRAPH = "https://graph.microsoft.com/v1.0"
ME = f"{GRAPH}/me"
LOGIN = "https://login.microsoftonline.com/acme-tenant"
KEY = "0" * 31 + "1"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REP = MailIdentity(email="max@acme.example", name="Max")


OPENAPI = json.loads((Path(__file__).parents[1] / "data" / "graph-mail-openapi.json").read_text())
EXTENDED = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"id": {"type": "string"}, "value": {"type": "string"}},
        "required": ["id", "value"],
        "additionalProperties": False,
    },
}


def _schema(name: str) -> dict:
    """The schema of a request, with `nullable` said the JSON Schema way and extended properties, which the trimmed
    document leaves out."""
    document = deepcopy(OPENAPI)
    document["components"]["schemas"][f"microsoft.graph.{name}"]["properties"]["singleValueExtendedProperties"] = (
        EXTENDED
    )
    return {"$ref": f"#/components/schemas/microsoft.graph.{name}", "components": document["components"]}


def conforms(body: object, name: str) -> None:
    jsonschema.Draft202012Validator(_schema(name)).validate(body)


def mail(**changes: object) -> Mail:
    values = {
        "key": KEY,
        "sender": Address(email="max@acme.example", name="Max"),
        "to": Address(email="ann@north.example", name="Ann O'Hara"),
        "subject": "Hello",
        "html": "<p>Hello</p>",
        "text": "Hello",
        "attachments": (Attachment(name="a.pdf", media_type="application/pdf", content=b"%PDF"),),
        "unsubscribe": "https://acme.example/u/1",
    } | changes
    return Mail(**values)


class StoppedClock:
    def now(self):
        return NOW

    def sleep(self, seconds):
        """Wait no time: a test that needs to know looks at the calls."""


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mock:
        yield mock


@pytest.fixture
def secrets(monkeypatch):
    monkeypatch.setenv("GRAPH_TOKEN", "token-of-max")
    monkeypatch.setenv("GRAPH_SECRET", "secret-of-app")


def opened(section=None, *, sole=True):
    account = MicrosoftAccount.model_validate(section or {"auth": "access_token", "token": "${env:GRAPH_TOKEN}"})
    return OutlookAdapter().open_mailbox(account, REP, sole=sole, clock=StoppedClock(), vault=MemoryVault())


@pytest.fixture
def mailbox(secrets, wire):
    box = opened()
    yield box
    box.close()


def error(outer, **inner):
    return {"error": {"code": outer, "message": "Sorry.", "innerError": {"request-id": "r-1", **inner}}}


def message(id_="AAk=", **changes):
    return {
        "id": id_,
        "isDraft": True,
        "parentFolderId": "F-drafts",
        "subject": "Hello",
        "toRecipients": [{"emailAddress": {"address": "ann@north.example"}}],
        "internetMessageId": "<d@acme.example>",
        "conversationId": "C1",
        "createdDateTime": "2026-11-24T08:00:00Z",
        "lastModifiedDateTime": "2026-11-24T08:30:00Z",
        "sentDateTime": "2026-11-24T08:00:00Z",
        "webLink": "https://outlook.office365.com/owa/?ItemID=AAk%3D",
    } | changes


def stamped(id_="AAk=", key=KEY, **changes):
    return message(id_, singleValueExtendedProperties=[{"id": STAMP, "value": key}], **changes)


def sent(request):
    return json.loads(request.body)


def answers_batches(wire, answer):
    """Let `answer(path, query)` answer each part of every batch: a body, or a status and a body (and headers)."""

    def whole(request):
        parts = []
        for part in sent(request)["requests"]:
            assert part["method"] == "GET"
            assert 'IdType="ImmutableId"' in part["headers"]["Prefer"]
            split = urlsplit(part["url"])
            query = {name: values[0] for name, values in parse_qs(split.query).items()}
            got = answer(unquote(split.path), query)
            status, body, *headers = got if isinstance(got, tuple) else (200, got)
            parts.append({"id": part["id"], "status": status, "headers": headers[0] if headers else {}, "body": body})
        assert len(parts) <= 4
        return 200, {}, json.dumps({"responses": parts})

    wire.add_callback("POST", f"{GRAPH}/$batch", callback=whole, content_type="application/json")


FOLDERS = {f"/me/mailFolders/{name}": {"id": f"F-{name}"} for name in ("drafts", "deleteditems", "outbox")}
NOTHING = {"value": []}


# ------------------------------------------------------------------------------------------- bodies


def test_bodies_conform():
    body = messages.message_body(mail(), mailbox="max@acme.example")
    attachment = messages.attachment_body(mail().attachments[0])
    conforms(body | {"attachments": [attachment]}, "message-create")
    conforms(messages.editable_body(mail(), mailbox="max@acme.example"), "message-update")
    conforms(attachment, "attachment-create")


def test_the_judge_refuses_what_graph_refuses():
    for wrong in ({"toRecipient": []}, {"toRecipients": [{"address": "a@b.example"}]}, {"subject": 1}):
        with pytest.raises(jsonschema.ValidationError):
            conforms(wrong, "message-create")


def test_a_draft_is_stamped_and_carries_the_unsubscribe_address():
    properties = messages.message_body(mail(), mailbox="max@acme.example")["singleValueExtendedProperties"]
    assert properties == [
        {"id": "String {f16ba6a9-2c07-453e-a761-9535c45ec249} Name ConnectorIntentId", "value": KEY},
        {"id": "String 0x1045", "value": "<https://acme.example/u/1>"},
    ]


def test_another_sender_is_named_only_for_an_alias():
    assert "from" not in messages.message_body(mail(), mailbox="MAX@acme.example")
    body = messages.message_body(mail(sender=Address(email="m@acme.example")), mailbox="max@acme.example")
    assert body["from"] == {"emailAddress": {"address": "m@acme.example"}}


# ------------------------------------------------------------------------------------------- calls


def test_a_draft_is_one_request_that_conforms(wire, mailbox):
    wire.post(f"{ME}/messages", json=message(), status=201)
    draft = mailbox.create_draft(mail())
    assert draft == DraftRef(
        draft_id="AAk=", provider_id="AAk=", thread_id="C1", internet_message_id="<d@acme.example>"
    )
    (call,) = wire.calls
    assert call.request.headers["Authorization"] == "Bearer token-of-max"
    assert 'IdType="ImmutableId"' in call.request.headers["Prefer"]
    conforms(sent(call.request), "message-create")
    assert mailbox.calls == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"body": requests.ConnectionError("reset by peer")},
        {"body": requests.ReadTimeout("no answer")},
        {"status": 504, "json": error("UnknownError")},
        {"status": 503, "json": error("ErrorServerBusy")},
        {"status": 201, "body": '{"id": "AA'},
    ],
)
def test_a_lost_answer_is_never_repeated(wire, mailbox, answer):
    wire.post(f"{ME}/messages", **answer)
    with pytest.raises(OutcomeUnknown) as raised:
        mailbox.create_draft(mail())
    assert raised.value.key == KEY
    assert len(wire.calls) == 1


@pytest.mark.parametrize(
    "failure",
    [
        requests.ConnectTimeout("no route"),
        requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused"))),
    ],
)
def test_a_request_that_never_left_may_be_tried_again(wire, mailbox, failure):
    wire.post(f"{ME}/messages/AAk%3D/send", body=failure)
    with pytest.raises(Retry):
        mailbox.send_draft(DraftRef(draft_id="AAk="), KEY)


def test_throttled_creation_waits_as_long_as_asked(wire, mailbox):
    wire.post(f"{ME}/messages", status=429, json=error("ApplicationThrottled"), headers={"Retry-After": "17"})
    with pytest.raises(Retry) as raised:
        mailbox.create_draft(mail())
    assert raised.value.after == timedelta(seconds=17)
    assert len(wire.calls) == 1


def test_too_large_attachments_are_refused_before_any_call(mailbox):
    files = tuple(Attachment(name=n, media_type="image/png", content=bytes(1_600_000)) for n in ("a.png", "b.png"))
    with pytest.raises(Unsupported, match="come to 3,200,000 bytes"):
        mailbox.create_draft(mail(attachments=files))
    assert mailbox.calls == 0


@pytest.mark.parametrize(
    ("section", "sole", "base"),
    [
        ({"auth": "access_token", "token": "${env:GRAPH_TOKEN}"}, True, "/me"),
        ({"auth": "access_token", "token": "${env:GRAPH_TOKEN}"}, False, "/users/max@acme.example"),
        ({"auth": "access_token", "tokens": {"Max@acme.example": "${env:GRAPH_TOKEN}"}}, False, "/me"),
    ],
)
def test_the_mailbox_is_me_only_for_the_reps_own_token(secrets, wire, section, sole, base):
    wire.post(f"{GRAPH}{base}/messages", json=message(), status=201)
    box = opened(section, sole=sole)
    box.create_draft(mail())
    box.close()


def test_a_rep_without_a_token_must_be_connected(secrets):
    box = opened({"auth": "access_token", "tokens": {"eva@acme.example": "${env:GRAPH_TOKEN}"}}, sole=False)
    with pytest.raises(Reconnect) as raised:
        box.pull_mail(None)
    assert raised.value.account == "outlook:max@acme.example"
    assert box.calls == 0


def test_a_refused_given_token_is_not_tried_twice(wire, mailbox):
    wire.get(f"{ME}/messages/AAk%3D", status=401, json=error("InvalidAuthenticationToken"))
    with pytest.raises(Reconnect):
        mailbox.draft_address(DraftRef(draft_id="AAk="))
    assert len(wire.calls) == 1


# ------------------------------------------------------------------------------------- follow-ups

PREVIOUS = Thread(internet_message_id="<1'@acme.example>", provider_id="OLD=", mailbox="max@acme.example")


def conforms_to_create_reply(body):
    assert set(body) == {"message"}
    conforms(body["message"], "message-create")


def test_a_follow_up_is_a_reply_made_ours(wire, mailbox):
    wire.post(f"{ME}/messages/OLD%3D/createReply", json=message(subject="RE: Hello"), status=201)
    wire.patch(f"{ME}/messages/AAk%3D", json=message())
    assert mailbox.create_draft(mail(thread=PREVIOUS, attachments=())).thread_id == "C1"
    begun, mended = (sent(call.request) for call in wire.calls)
    conforms_to_create_reply(begun)
    assert {"id": STAMP, "value": KEY} in begun["message"]["singleValueExtendedProperties"]
    conforms(mended, "message-update")
    assert mended["subject"] == "Hello"
    assert mended["body"] == {"contentType": "html", "content": "<p>Hello</p>"}
    assert [to["emailAddress"]["address"] for to in mended["toRecipients"]] == ["ann@north.example"]


def test_a_follow_up_attaches_after_it_is_begun(wire, mailbox):
    wire.post(f"{ME}/messages/OLD%3D/createReply", json=message(), status=201)
    wire.patch(f"{ME}/messages/AAk%3D", json=message())
    wire.post(f"{ME}/messages/AAk%3D/attachments", json={"id": "A"}, status=201)
    mailbox.create_draft(mail(thread=PREVIOUS))
    conforms(sent(wire.calls[-1].request), "attachment-create")


def test_a_previous_mail_that_moved_is_found_by_its_message_id(wire, mailbox):
    wire.post(f"{ME}/messages/OLD%3D/createReply", status=404, json=error("ErrorItemNotFound"))
    wire.get(f"{ME}/messages", json={"value": [{"id": "DRAFT", "isDraft": True}, {"id": "NEW", "isDraft": False}]})
    wire.post(f"{ME}/messages/NEW/createReply", json=message(), status=201)
    wire.patch(f"{ME}/messages/AAk%3D", json=message())
    mailbox.create_draft(mail(thread=PREVIOUS, attachments=()))
    query = parse_qs(urlsplit(wire.calls[1].request.url).query)
    assert query["$filter"] == ["internetMessageId eq '<1''@acme.example>'"]


@pytest.mark.parametrize("thread", [PREVIOUS, Thread(provider_id="OLD=", mailbox="eva@acme.example")])
def test_a_previous_mail_that_is_not_here_is_not_replied_to(wire, mailbox, thread):
    if thread is PREVIOUS:
        wire.post(f"{ME}/messages/OLD%3D/createReply", status=404, json=error("ErrorItemNotFound"))
        wire.get(f"{ME}/messages", json=NOTHING)
    wire.post(f"{ME}/messages", json=message(), status=201)
    assert mailbox.create_draft(mail(thread=thread)).draft_id == "AAk="


@pytest.mark.parametrize(
    ("removal", "raised"), [({"status": 204}, Refused), ({"body": requests.ConnectionError()}, OutcomeUnknown)]
)
def test_a_reply_that_cannot_be_finished_is_removed(wire, mailbox, removal, raised):
    wire.post(f"{ME}/messages/OLD%3D/createReply", json=message(), status=201)
    wire.patch(f"{ME}/messages/AAk%3D", status=400, json=error("ErrorInvalidRecipients"))
    wire.post(f"{ME}/messages/AAk%3D/permanentDelete", **removal)
    with pytest.raises(raised) as caught:
        mailbox.create_draft(mail(thread=PREVIOUS))
    assert type(caught.value) is raised
    assert caught.value.code == "ErrorInvalidRecipients"


# ---------------------------------------------------------------------------------------- sending


def test_accepted_is_sent_even_with_retry_after(wire, mailbox):
    wire.post(f"{ME}/messages/AAk%3D/send", status=202, headers={"Retry-After": "10"})
    answers_batches(wire, lambda path, query: message(isDraft=False) if path.endswith("AAk=") else NOTHING)
    mail_ = mailbox.send_draft(DraftRef(draft_id="AAk="), KEY)
    assert (mail_.provider_id, mail_.internet_message_id, mail_.thread_id) == ("AAk=", "<d@acme.example>", "C1")
    assert mailbox.calls == 2


def test_a_sent_copy_under_another_id_is_found_by_its_stamp(wire, mailbox):
    wire.post(f"{ME}/messages/AAk%3D/send", status=202)
    copy = stamped("NEW=", isDraft=False, internetMessageId="<s@acme.example>")
    found = {"value": [copy]}
    answers_batches(wire, lambda path, query: found if "sentitems" in path else (404, error("ErrorItemNotFound")))
    assert mailbox.send_draft(DraftRef(draft_id="AAk="), KEY).internet_message_id == "<s@acme.example>"


@pytest.mark.parametrize("look", [(200, NOTHING), (403, error("ErrorAccessDenied")), (400, error("BadRequest"))])
def test_accepted_is_sent_though_the_copy_cannot_be_seen(wire, mailbox, look):
    wire.post(f"{ME}/messages/AAk%3D/send", status=202)
    answers_batches(wire, lambda path, query: look)
    mail_ = mailbox.send_draft(DraftRef(draft_id="AAk=", thread_id="C1", internet_message_id="<d@acme.example>"), KEY)
    assert (mail_.provider_id, mail_.at, mail_.internet_message_id) == ("AAk=", NOW, "<d@acme.example>")


def test_no_draft_to_send(wire, mailbox):
    wire.post(f"{ME}/messages/AAk%3D/send", status=404, json=error("ErrorItemNotFound"))
    with pytest.raises(Refused) as raised:
        mailbox.send_draft(DraftRef(draft_id="AAk="), KEY)
    assert raised.value.code == "draft_gone"


def test_a_lost_send_is_not_repeated(wire, mailbox):
    wire.post(f"{ME}/messages/AAk%3D/send", status=504)
    with pytest.raises(OutcomeUnknown):
        mailbox.send_draft(DraftRef(draft_id="AAk="), KEY)
    assert len(wire.calls) == 1


# ------------------------------------------------------------------------------- looking and deleting


def test_a_draft_that_became_a_sent_mail_is_not_deleted(wire, mailbox):
    wire.get(f"{ME}/messages/AAk%3D", json={"id": "AAk=", "isDraft": False})
    mailbox.delete_draft(DraftRef(draft_id="AAk="))
    assert [call.request.method for call in wire.calls] == ["GET"]


def test_deleting_what_is_gone_is_no_error(wire, mailbox):
    wire.get(f"{ME}/messages/AAk%3D", status=404, json=error("ErrorItemNotFound"))
    mailbox.delete_draft(DraftRef(draft_id="AAk="))


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ({"json": message()}, False),
        ({"json": message(parentFolderId="F-deleteditems")}, True),
        ({"json": message(isDraft=False)}, True),
        ({"json": error("ErrorItemNotFound"), "status": 404}, True),
    ],
)
def test_the_address_of_a_draft_is_read_now(wire, mailbox, answer, gone):
    wire.get(f"{ME}/messages/AAk%3D", **answer)
    if "id" in answer["json"]:
        answers_batches(wire, lambda path, query: FOLDERS[path])
    if not gone:
        assert mailbox.draft_address(DraftRef(draft_id="AAk=")) == "https://outlook.office365.com/owa/?ItemID=AAk%3D"
        return
    with pytest.raises(Refused) as raised:
        mailbox.draft_address(DraftRef(draft_id="AAk="))
    assert raised.value.code == "draft_gone"


TRACE = Trace(
    key=KEY,
    draft=DraftRef(draft_id="AAk=", thread_id="C1", internet_message_id="<d@acme.example>"),
    to="ann@north.example",
    subject="It's time",
    since=datetime(2026, 11, 24, 7, tzinfo=UTC),
)
SENT = {"isDraft": False, "parentFolderId": "F-sentitems"}
ELSEWHERE = {"toRecipients": [{"emailAddress": {"address": "boss@acme.example"}}]}


def shelf(**places):
    """Answer look-ups: place or key -> messages; `stored` is the one found by id."""

    def answer(path, query):
        if path in FOLDERS:
            return FOLDERS[path]
        if path == "/me/messages/AAk=":
            return places.get("stored") or (404, error("ErrorItemNotFound"))
        filter_ = query["$filter"]
        assert "$orderby" not in query
        if filter_.startswith("internetMessageId eq"):
            return {"value": places.get("message_id", [])}
        if filter_ == "receivedDateTime ge 2026-11-24T07:00:00Z":
            return {"value": places.get("later", [])}
        assert f"ep/value eq '{KEY}'" in filter_
        return {"value": places.get(path.split("/")[3] if "mailFolders" in path else "anywhere", [])}

    return answer


@pytest.mark.parametrize(
    ("places", "where", "matched_by"),
    [
        ({"stored": message()}, Whereabouts.DRAFT, "stored id"),
        ({"stored": message(**SENT)}, Whereabouts.SENT, "stored id"),
        ({"stored": message(parentFolderId="F-deleteditems")}, Whereabouts.DISCARDED, "stored id"),
        ({"stored": message(parentFolderId="F-outbox")}, Whereabouts.SCHEDULED, "stored id"),
        ({"drafts": [stamped("B")]}, Whereabouts.DRAFT, "stamp in Drafts"),
        ({"sentitems": [stamped("B", **SENT)]}, Whereabouts.SENT, "stamp in Sent Items"),
        ({"sentitems": [stamped("B", **SENT, **ELSEWHERE)]}, Whereabouts.SENT, "stamp in Sent Items"),
        (
            {"stored": message(), "sentitems": [stamped("B", **SENT, **ELSEWHERE)]},
            Whereabouts.DRAFT,
            "stored id",
        ),
        (
            {"deleteditems": [stamped("B", parentFolderId="F-deleteditems")]},
            Whereabouts.DISCARDED,
            "stamp in Deleted Items",
        ),
        ({"anywhere": [stamped("B", isDraft=False)]}, Whereabouts.SENT, "stamp anywhere"),
        ({"anywhere": [stamped("B", parentFolderId="F-outbox")]}, Whereabouts.SCHEDULED, "stamp anywhere"),
        ({"recoverableitemsdeletions": [stamped("B")]}, Whereabouts.DISCARDED, "stamp in the second bin"),
        ({"message_id": [message("B", **SENT, **ELSEWHERE)]}, Whereabouts.SENT, "Message-ID"),
        ({"later": [message("B", **SENT)]}, Whereabouts.SENT, "conversation, recipient and time"),
        (
            {"later": [message("B", subject="it's  TIME", conversationId="C2", **SENT)]},
            Whereabouts.SENT,
            "recipient, subject and time",
        ),
        (
            {"stored": message(parentFolderId="F-deleteditems"), "later": [message("B", **SENT)]},
            Whereabouts.SENT,
            "conversation, recipient and time",
        ),
        (
            {"stored": message(isDraft=False, parentFolderId="F-deleteditems", sentDateTime="2026-11-24T08:10:00Z")},
            Whereabouts.SENT,
            "stored id",
        ),
        # Not ours: to somebody else, about something else, another intent's.
        ({"later": [message("B", **SENT, **ELSEWHERE)]}, Whereabouts.UNCLEAR, ""),
        ({"later": [message("B", conversationId="C2", **SENT)]}, Whereabouts.UNCLEAR, ""),
        ({"later": [stamped("B", key="f" * 32, **SENT)]}, Whereabouts.UNCLEAR, ""),
        ({}, Whereabouts.UNCLEAR, ""),
    ],
)
def test_where_a_mail_is(wire, mailbox, places, where, matched_by):
    answers_batches(wire, shelf(**places))
    found = mailbox.find(TRACE)
    assert (found.where, found.matched_by) == (where, matched_by)
    assert (found.draft is not None, found.sent is not None) == (
        where is Whereabouts.DRAFT,
        where is Whereabouts.SENT,
    )


def test_what_was_never_seen_is_absent(wire, mailbox):
    answers_batches(wire, shelf())
    trace = Trace(key=KEY, draft=None, to=TRACE.to, subject=TRACE.subject, since=TRACE.since)
    assert mailbox.find(trace).where is Whereabouts.ABSENT
    assert mailbox.calls == 2


@pytest.mark.parametrize("filtered", ["receivedDateTime", "internetMessageId", "singleValueExtendedProperties"])
def test_a_search_that_failed_is_unclear(wire, mailbox, filtered):
    def answer(path, query):
        return (400, error("InefficientFilter")) if filtered in query.get("$filter", "") else NOTHING

    answers_batches(wire, answer)
    assert mailbox.find(TRACE).where is Whereabouts.UNCLEAR


def test_a_search_without_end_is_unclear(wire, mailbox):
    endless = {"value": [], "@odata.nextLink": f"{ME}/mailFolders/sentitems/messages?$skip=200"}
    answers_batches(
        wire, lambda path, query: endless if "$skip" in query or "rec" in query.get("$filter", "") else NOTHING
    )
    assert mailbox.find(TRACE).where is Whereabouts.UNCLEAR


def test_left_over_drafts_are_told_but_never_a_forward(wire, mailbox):
    ours = stamped("B", subject=TRACE.subject)
    forward = stamped("D", subject="FW: It's time", **ELSEWHERE)
    answers_batches(wire, shelf(sentitems=[stamped("S", **SENT)], drafts=[ours, forward]))
    found = mailbox.find(TRACE)
    assert found.where is Whereabouts.SENT
    assert [draft.draft_id for draft in found.extra] == ["B"]


def test_only_the_throttled_part_of_a_batch_is_asked_again(wire, mailbox):
    asked = []

    def answer(path, query):
        asked.append(path)
        if path.startswith("/me/mailFolders/sentitems") and asked.count(path) == 1:
            return 429, error("ApplicationThrottled"), {"Retry-After": "0"}
        if path in FOLDERS:
            return FOLDERS[path]
        return NOTHING if "mailFolders" in path else message(**SENT)

    answers_batches(wire, answer)
    assert mailbox.find(TRACE).where is Whereabouts.SENT
    looked = ["messages", "drafts", "sentitems", "deleteditems", "sentitems"]
    assert [path.split("/")[-2] for path in asked[:5]] == looked


# --------------------------------------------------------------------------------------- incoming


def delta(folder, token):
    return f"{ME}/mailFolders/{folder}/messages/delta?$deltatoken={token}"


def cursor(**tokens):
    tokens = {"drafts": "d1", "sentitems": "s1", "inbox": "i1"} | tokens
    links = {folder: delta(folder, token).removeprefix(GRAPH) for folder, token in tokens.items()}
    return json.dumps({"at": "2026-11-24T08:00:00Z", "links": links})


def test_the_first_pull_starts_from_now(wire, mailbox):
    asked = {}

    def answer(path, query):
        folder = path.split("/")[3]
        if "$skiptoken" in query:
            return {"value": [{"id": "older"}], "@odata.deltaLink": delta(folder, "1")}
        asked[folder] = query
        return {"value": [{"id": "old"}], "@odata.nextLink": f"{delta(folder, '')}&$skiptoken=2"}

    answers_batches(wire, answer)
    pull = mailbox.pull_mail(None)
    assert pull.changes == ()
    assert not pull.resynced
    kept = json.loads(pull.cursor)
    assert kept["at"] == "2026-11-24T09:00:00Z"
    assert kept["links"]["inbox"] == "/me/mailFolders/inbox/messages/delta?$deltatoken=1"
    select = "id,lastModifiedDateTime"
    since = {"$select": select, "$filter": "receivedDateTime ge 2026-11-24T08:55:00Z", "changeType": "created"}
    assert asked == {"drafts": {"$select": select}, "sentitems": since, "inbox": since}


def test_a_pull_without_news_is_one_call(wire, mailbox):
    answers_batches(wire, lambda path, query: {"value": [], "@odata.deltaLink": delta(path.split("/")[3], "2")})
    pull = mailbox.pull_mail(cursor())
    assert pull.changes == ()
    assert json.loads(pull.cursor)["links"]["drafts"].endswith("$deltatoken=2")
    assert mailbox.calls == 1


REPLY = {
    "id": "R",
    "subject": "Re: Hello",
    "from": {"emailAddress": {"address": "ann@north.example"}},
    "toRecipients": [{"emailAddress": {"address": "max@acme.example"}}],
    "receivedDateTime": "2026-11-24T08:40:00Z",
    "bodyPreview": "Yes please",
    "internetMessageHeaders": [{"name": "In-Reply-To", "value": "<d@acme.example>"}],
}


def test_changes_are_told_once_and_in_order(wire, mailbox):
    news = {
        "drafts": [{"id": "D"}, {"id": "D"}, {"id": "X", "@removed": {"reason": "deleted"}}, {"id": "vanished"}],
        "sentitems": [{"id": "S"}],
        "inbox": [{"id": "R"}, {"id": "B"}],
    }
    bounce = REPLY | {"id": "B", "from": {"emailAddress": {"address": "postmaster@acme.example"}}}
    bounce["receivedDateTime"] = "2026-11-24T08:50:00Z"
    single = {
        "D": stamped("D"),
        "S": message("S", sentDateTime="2026-11-24T08:20:00Z", **SENT),
        "R": REPLY,
        "B": bounce,
        "vanished": (404, error("ErrorItemNotFound")),
    }

    def answer(path, query):
        if path.endswith("/delta"):
            folder = path.split("/")[3]
            return {"value": news[folder], "@odata.deltaLink": delta(folder, "2")}
        return single[path.rpartition("/")[2]]

    answers_batches(wire, answer)
    wire.get(f"{ME}/messages/B/$value", body=b"Content-Type: multipart/report\r\n\r\n")
    pull = mailbox.pull_mail(cursor())
    sent_, saved, reply, report, gone = pull.changes
    assert isinstance(sent_, MailSent)
    assert (sent_.mail.provider_id, sent_.mail.key) == ("S", None)
    assert saved == DraftSaved(
        draft=DraftRef(draft_id="D", provider_id="D", thread_id="C1", internet_message_id="<d@acme.example>"),
        key=KEY,
        edited=True,
    )
    assert isinstance(reply, MailReceived)
    assert (reply.text, reply.in_reply_to, reply.raw) == ("Yes please", "<d@acme.example>", None)
    assert report.raw == b"Content-Type: multipart/report\r\n\r\n"
    assert gone == DraftGone(provider_id="X")
    assert mailbox.calls == 4  # deltas, two batches of details, one MIME


@pytest.mark.parametrize(
    "answer", [(410, error("SyncStateNotFound")), (410, None), (400, error("BadRequest", code="resyncRequired"))]
)
def test_an_expired_cursor_is_a_look_since_its_instant(wire, mailbox, answer):
    asked = []

    def whole(path, query):
        if not path.endswith("/delta"):
            return REPLY
        folder = path.split("/")[3]
        asked.append((folder, query.get("$filter")))
        if folder == "inbox" and "$deltatoken" in query:
            return answer
        news = [{"id": "R", "lastModifiedDateTime": "2026-11-24T08:40:00Z"}] if folder == "inbox" else []
        return {"value": news, "@odata.deltaLink": delta(folder, "9")}

    answers_batches(wire, whole)
    pull = mailbox.pull_mail(cursor())
    assert pull.resynced
    assert [change.provider_id for change in pull.changes] == ["R"]
    assert asked[-1] == ("inbox", "receivedDateTime ge 2026-11-24T07:55:00Z")
    assert set(json.loads(pull.cursor)["links"]) == {"drafts", "sentitems", "inbox"}


def test_old_drafts_are_not_news_after_an_expired_cursor(wire, mailbox):
    def whole(path, query):
        if not path.endswith("/delta"):
            return stamped(path.rpartition("/")[2])
        if "$deltatoken" in query:
            return 410, error("SyncStateNotFound")
        drafts = [
            {"id": "old", "lastModifiedDateTime": "2026-11-24T07:54:00Z"},
            {"id": "edited", "lastModifiedDateTime": "2026-11-24T08:01:00Z"},
        ]
        folder = path.split("/")[3]
        return {"value": drafts if folder == "drafts" else [], "@odata.deltaLink": delta(folder, "9")}

    answers_batches(wire, whole)
    assert [change.draft.draft_id for change in mailbox.pull_mail(cursor()).changes] == ["edited"]


def test_a_draft_sent_between_delta_and_reading_is_left_to_the_next_pull(wire, mailbox):
    def whole(path, query):
        folder = path.split("/")[3]
        news = [{"id": "D"}] if folder == "drafts" else []
        return {"value": news, "@odata.deltaLink": delta(folder, "2")} if "delta" in path else message("D", **SENT)

    answers_batches(wire, whole)
    assert mailbox.pull_mail(cursor()).changes == ()


def test_a_link_is_asked_of_our_own_endpoint_only(wire, mailbox):
    asked = []

    def answer(path, query):
        asked.append(path)
        ends = {"value": [], "@odata.deltaLink": "https://evil.example/v1.0/me/mailFolders/x/messages/delta?t=1"}
        return {"value": [], "@odata.nextLink": "https://evil.example/v1.0/me/next"} if len(asked) < 4 else ends

    answers_batches(wire, answer)
    mailbox.pull_mail(cursor())
    assert asked[3:] == ["/me/next"] * 3
    assert {urlsplit(call.request.url).netloc for call in wire.calls} == {"graph.microsoft.com"}


def test_a_link_outside_the_api_is_refused(wire, mailbox):
    answers_batches(wire, lambda path, query: {"value": [], "@odata.deltaLink": "https://graph.microsoft.com/beta/me"})
    with pytest.raises(Refused, match="not one of its own"):
        mailbox.pull_mail(cursor())


# ---------------------------------------------------------------------------------------- sign-in

CREDENTIALS = {
    "auth": "client_credentials",
    "tenant": "acme-tenant",
    "client_id": "app",
    "client_secret": "${env:GRAPH_SECRET}",
}


def discovered(wire, base=LOGIN, served=None):
    served = served or base
    wire.get(
        f"{served}/v2.0/.well-known/openid-configuration",
        json={
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
        },
    )


def token(wire, **answer):
    wire.post(f"{LOGIN}/oauth2/v2.0/token", **answer)


def test_an_application_signs_in_once_for_all_its_mailboxes(secrets, wire):
    discovered(wire)
    token(wire, json={"access_token": "app-token", "expires_in": 3600, "token_type": "Bearer"})
    for rep in ("max", "eva"):
        wire.get(f"{GRAPH}/users/{rep}@acme.example/messages/AAk%3D", json={"id": "AAk=", "isDraft": False})
    adapter = OutlookAdapter()
    account = MicrosoftAccount.model_validate(CREDENTIALS)
    for rep in ("max", "eva"):
        identity = MailIdentity(email=f"{rep}@acme.example", name=rep)
        box = adapter.open_mailbox(account, identity, sole=False, clock=StoppedClock(), vault=MemoryVault())
        box.delete_draft(DraftRef(draft_id="AAk="))
        assert box.calls == 1
        box.close()
    asked = [call.request for call in wire.calls if call.request.url.endswith("/token")]
    assert len(asked) == 1
    assert parse_qs(asked[0].body)["scope"] == ["https://graph.microsoft.com/.default"]
    assert wire.calls[-1].request.headers["Authorization"] == "Bearer app-token"


def test_a_token_that_stopped_working_is_renewed_once(secrets, wire):
    discovered(wire)
    for number in (1, 2):
        token(wire, json={"access_token": f"token-{number}", "expires_in": 3600, "token_type": "Bearer"})
    url = f"{GRAPH}/users/max@acme.example/messages"
    wire.post(url, status=401, json=error("InvalidAuthenticationToken"))
    wire.post(url, status=201, json=message())
    box = opened(CREDENTIALS)
    assert box.create_draft(mail()).draft_id == "AAk="
    box.close()
    assert [call.request.headers["Authorization"] for call in wire.calls if call.request.url == url] == [
        "Bearer token-1",
        "Bearer token-2",
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": 401, "json": {"error": "invalid_client", "error_description": "AADSTS7000215: bad"}}, Reconnect),
        ({"status": 400, "json": {"error": "unauthorized_client"}}, Reconnect),
        ({"status": 400, "json": {"error": "interaction_required"}}, Reconnect),
        ({"status": 400, "json": {"error": "temporarily_unavailable"}}, Retry),
        ({"status": 503, "body": "busy"}, Retry),
        ({"body": requests.ConnectionError("reset")}, Retry),
    ],
)
def test_what_sign_in_says(secrets, wire, answer, kind):
    discovered(wire)
    token(wire, **answer)
    box = opened(CREDENTIALS)
    with pytest.raises(kind) as raised:
        box.create_draft(mail())
    assert type(raised.value) is kind
    assert "secret-of-app" not in str(raised.value)
    if kind is Reconnect:
        assert raised.value.account == "outlook:max@acme.example"
    assert box.calls == 0


def test_an_unknown_tenant_is_said(secrets, wire):
    wire.get(f"{LOGIN}/v2.0/.well-known/openid-configuration", status=400, json={"error": "invalid_tenant"})
    with pytest.raises(Reconnect, match="does not know the tenant"):
        opened(CREDENTIALS).create_draft(mail())


def test_a_loopback_authority_is_spoken_to_in_plain(secrets, wire):
    here = "127.0.0.1:4321"
    discovered(wire, base=f"https://{here}/acme-tenant", served=f"http://{here}/acme-tenant")
    wire.post(f"http://{here}/acme-tenant/oauth2/v2.0/token", json={"access_token": "t", "expires_in": 3600})
    wire.post(f"http://{here}/v1.0/users/max@acme.example/messages", json=message(), status=201)
    box = opened(CREDENTIALS | {"authority": f"http://{here}", "endpoint": f"http://{here}/v1.0"})
    box.create_draft(mail())
    box.close()


# ---------------------------------------------------------------------------------- on the sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(start=NOW) as running:
        running.graph.register_client("acme-tenant", "app", "secret-of-app")
        yield running


@pytest.fixture
def office(sandbox, secrets):
    """Open mailboxes of new reps in the sandbox, by application; every oddity is switched off again."""
    adapter, boxes = OutlookAdapter(), []
    account = MicrosoftAccount.model_validate(
        CREDENTIALS | {"authority": sandbox.url, "endpoint": f"{sandbox.url}/v1.0"}
    )
    usual = dict(sandbox.act("mail_settings"))

    def open_one(email="max@acme.example"):
        sandbox.act("add_mail_account", kind="outlook", email=email)
        identity = MailIdentity(email=email, name="Max")
        boxes.append(adapter.open_mailbox(account, identity, sole=False, clock=sandbox.clock, vault=MemoryVault()))
        return boxes[-1]

    yield open_one
    sandbox.act("mail_settings", **usual)
    for box in boxes:
        box.close()


keys = map("{:032x}".format, count(1))


def trace(mail_, draft, sandbox):
    since = sandbox.clock.now() - timedelta(hours=1)
    return Trace(key=mail_.key, draft=draft, to=mail_.to.email, subject=mail_.subject, since=since)


def test_reps_of_an_application_share_one_real_token_across_threads(sandbox, office):
    before = sandbox.log.calls["graph:token"]
    boxes = [office(f"rep{number}@acme.example") for number in range(4)]
    with ThreadPoolExecutor(len(boxes)) as threads:
        drafts = list(threads.map(lambda box: box.create_draft(mail(key=next(keys))), boxes))
    assert len({draft.draft_id for draft in drafts}) == 4
    assert [box.calls for box in boxes] == [1] * 4
    assert sandbox.log.calls["graph:token"] == before + 2  # discovery, token


def test_a_revoked_token_is_renewed_and_a_revoked_application_must_be_reconnected(sandbox, office):
    box = office()
    cursor_ = box.pull_mail(None).cursor
    sandbox.tokens.revoke_all("graph")
    cursor_ = box.pull_mail(cursor_).cursor
    sandbox.act("outlook_revokes_access")
    with pytest.raises(Reconnect) as raised:
        box.pull_mail(cursor_)
    assert raised.value.account == "outlook:max@acme.example"
    sandbox.graph.register_client("acme-tenant", "app", "secret-of-app")


def test_a_licence_taken_away_asks_for_a_person(sandbox, office):
    box = office("gone@acme.example")
    sandbox.act("rep_loses_mailbox", rep="gone@acme.example")
    with pytest.raises(Reconnect, match="licence"):
        box.pull_mail(None)


def test_an_id_that_changes_on_send_is_no_matter(sandbox, office):
    box = office()
    sandbox.act("mail_settings", outlook_immutable_ids_change=True)
    mail_ = mail(key=next(keys))
    draft = box.create_draft(mail_)
    sent_ = box.send_draft(draft, mail_.key)
    assert sent_.provider_id != draft.draft_id
    assert (sent_.key, sent_.to) == (mail_.key, ("ann@north.example",))
    found = box.find(trace(mail_, draft, sandbox))
    assert (found.where, found.sent) == (Whereabouts.SENT, sent_)


def test_a_message_id_that_classic_outlook_changes_is_no_matter(sandbox, office):
    box = office()
    mail_ = mail(key=next(keys))
    draft = box.create_draft(mail_)
    sandbox.act("rep_sends_draft", key=mail_.key, via="desktop")
    found = box.find(trace(mail_, draft, sandbox))
    assert found.where is Whereabouts.SENT
    assert found.sent.internet_message_id != draft.internet_message_id


def test_a_sent_copy_that_is_late_is_unclear_until_it_is_there(sandbox, office):
    box = office()
    sandbox.act("mail_settings", outlook_sent_delay=30)
    mail_ = mail(key=next(keys))
    draft = box.create_draft(mail_)
    sent_ = box.send_draft(draft, mail_.key)
    assert (sent_.internet_message_id, sent_.at) == (draft.internet_message_id, sandbox.clock.now())
    assert box.find(trace(mail_, draft, sandbox)).where is Whereabouts.UNCLEAR
    sandbox.clock.advance(timedelta(seconds=31))
    assert box.find(trace(mail_, draft, sandbox)).where is Whereabouts.SENT


def test_a_mail_the_rep_schedules_is_neither_draft_nor_sent(sandbox, office):
    box = office()
    mail_ = mail(key=next(keys))
    draft = box.create_draft(mail_)
    sandbox.act("rep_schedules_draft", key=mail_.key, minutes=60)
    assert box.find(trace(mail_, draft, sandbox)).where is Whereabouts.SCHEDULED
    sandbox.clock.advance(timedelta(minutes=61))
    assert box.find(trace(mail_, draft, sandbox)).where is Whereabouts.SENT


def test_a_follow_up_carries_our_words_once_and_its_file(sandbox, office):
    box = office()
    first = mail(key=next(keys))
    sent_ = box.send_draft(box.create_draft(first), first.key)
    previous = Thread(
        internet_message_id=sent_.internet_message_id, provider_id=sent_.provider_id, mailbox="max@acme.example"
    )
    second = mail(
        key=next(keys), subject="Re: Hello", html="<p>Again</p><blockquote>Hello</blockquote>", thread=previous
    )
    draft = box.create_draft(second)
    assert draft.thread_id == sent_.thread_id
    (stored,) = (one for one in sandbox.world.boxes["max@acme.example"].mails.values() if one.stamp == second.key)
    letter = open_letter(stored.raw)
    assert (letter.subject, letter.to) == ("Re: Hello", (("Ann O'Hara", "ann@north.example"),))
    assert letter.html.count("Hello") == 1
    assert [(file.name, file.content) for file in letter.enclosures] == [("a.pdf", b"%PDF")]


def test_a_mailbox_with_many_changes_tells_each_once(sandbox, office):
    box = office("busy@acme.example")
    cursor_ = box.pull_mail(None).cursor
    for number in range(9):
        sandbox.act("prospect_writes", person=f"p{number}@north.example", rep="busy@acme.example", subject=f"{number}")
    before = box.calls
    pull = box.pull_mail(cursor_)
    assert [change.subject for change in pull.changes] == [str(number) for number in range(9)]
    assert box.calls == before + 4  # the deltas, and nine mails by fours
    assert box.pull_mail(pull.cursor).changes == ()
