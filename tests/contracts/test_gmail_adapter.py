"""What is odd about Gmail, on the wire and against the sandbox; the common rules are in the mailbox contract."""

from __future__ import annotations

import importlib.resources
import json
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from threading import Thread as SystemThread
from typing import Any

import jsonschema
import pytest
import responses

from adapters.gmail import adapter
from adapters.gmail import mailbox as gmail_mailbox
from adapters.gmail.account import GoogleAccount
from adapters.gmail.messages import decode_raw
from adapters.gmail.transport import Transport
from adapters.sandbox import Sandbox
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import (
    Address,
    Attachment,
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

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
REP = MailIdentity(email="ana@acme.example", name="Ana Diaz")
KEY = "0f" * 16
ME = "https://gmail.googleapis.com/gmail/v1/users/me"


class FrozenClock:
    """Stands still; remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return START

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def a_mail(**fields: Any) -> Mail:
    return Mail(
        **{
            "key": KEY,
            "sender": Address(email=REP.email, name=REP.name),
            "to": Address(email="ann@bolt.example"),
            "subject": "Hello",
            "html": "<p>Hi</p>",
            "text": "Hi",
            **fields,
        }
    )


@pytest.fixture
def opened(monkeypatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("GMAIL_TOKEN", "the-token")
    made = []

    def open_one(*, rep: MailIdentity = REP, sole: bool = True, clock: Any = None, **section: Any) -> Any:
        account = GoogleAccount.model_validate({"auth": "access_token", "token": "${env:GMAIL_TOKEN}", **section})
        made.append(adapter.open_mailbox(account, rep, sole=sole, clock=clock or FrozenClock(), vault=MemoryVault()))
        return made[-1]

    yield open_one
    for mailbox in made:
        mailbox.close()


# ------------------------------------------------------------------------------- one request, whatever happens


class RawServer:
    """Takes connections, reads one whole request of each, and answers with `reply` (None: a reset)."""

    def __init__(self, reply: bytes | None) -> None:
        self.requests: list[bytes] = []
        self._reply = reply
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = SystemThread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += line.recv(65536)
                head, _, body = request.partition(b"\r\n\r\n")
                length = next(
                    (int(row[15:]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length:")), 0
                )
                while len(body) < length:
                    body += line.recv(65536)
                self.requests.append(head)
                if self._reply is None:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    line.sendall(self._reply)

    def close(self) -> None:
        # A blocked accept() ends only when somebody calls.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


LOST_ANSWERS = {
    "closed without a word": b"",
    "reset": None,
    "cut off in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut off in the body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id"',
    "not JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell",
    "not what was asked for": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]",
    "failed after acting": b"HTTP/1.1 503 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


EFFECTS: dict[str, Callable[[Any], object]] = {
    "create": lambda mailbox: mailbox.create_draft(a_mail()),
    "send": lambda mailbox: mailbox.send_draft(DraftRef(draft_id="r1"), KEY),
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_a_lost_answer_is_one_request_and_an_unknown_outcome(opened, effect, lost):
    server = RawServer(LOST_ANSWERS[lost])
    mailbox = opened(endpoint=server.url)
    try:
        with pytest.raises(OutcomeUnknown) as raised:
            EFFECTS[effect](mailbox)
    finally:
        server.close()
    assert raised.value.key == KEY
    assert [request.partition(b" ")[0] for request in server.requests] == [b"POST"]
    assert mailbox.calls == 1


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_good_answer_without_an_id_is_an_unknown_outcome(opened, effect):
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts{'/send' if effect == 'send' else ''}", json={"message": {}})
        with pytest.raises(OutcomeUnknown):
            EFFECTS[effect](opened())
        assert len(wire.calls) == 1


@pytest.mark.parametrize("lost", LOST_ANSWERS)
def test_a_lost_answer_to_a_read_is_tried_three_times(opened, lost):
    server = RawServer(LOST_ANSWERS[lost])
    clock = FrozenClock()
    try:
        with pytest.raises(Retry):
            opened(endpoint=server.url, clock=clock).pull_mail(None)
    finally:
        server.close()
    assert len(server.requests) == 3
    assert len(clock.slept) == 2


# ----------------------------------------------------------------------------------------- the error table


def google_error(status: int, reason: str, message: str = "In Google's words.") -> dict[str, Any]:
    item = {"domain": "global", "reason": reason, "message": message}
    return {"error": {"code": status, "message": message, "errors": [item], "status": "X"}}


@pytest.mark.parametrize(
    ("status", "reason", "on_read", "on_effect"),
    [
        (400, "invalidArgument", Refused, Refused),
        (400, "failedPrecondition", Refused, Refused),
        (401, "authError", Reconnect, Reconnect),
        (403, "rateLimitExceeded", Retry, Retry),
        (403, "userRateLimitExceeded", Retry, Retry),
        (403, "dailyLimitExceeded", Retry, Retry),
        (403, "domainPolicy", Reconnect, Reconnect),
        (403, "insufficientPermissions", Reconnect, Reconnect),
        (403, "forbidden", Refused, Refused),
        (404, "notFound", Refused, Refused),
        (429, "rateLimitExceeded", Retry, Retry),
        (500, "backendError", Retry, OutcomeUnknown),
        (503, "backendError", Retry, OutcomeUnknown),
    ],
)
def test_each_answer_says_what_the_caller_must_do(opened, status, reason, on_read, on_effect):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/profile", status=status, json=google_error(status, reason))
        wire.post(f"{ME}/drafts", status=status, json=google_error(status, reason))
        with pytest.raises(AdapterError) as read:
            opened().pull_mail(None)
        with pytest.raises(AdapterError) as effect:
            opened().create_draft(a_mail())
        posts = [call for call in wire.calls if call.request.method == "POST"]
    assert (type(read.value), type(effect.value)) == (on_read, on_effect)
    assert read.value.code == reason
    assert len(posts) == 1
    for error in (read.value, effect.value):
        assert REP.email in str(error)
        assert "the-token" not in str(error)


def test_the_missing_scope_is_named_for_reading_and_for_writing(opened):
    with responses.RequestsMock() as wire:
        refusal = google_error(403, "insufficientPermissions")
        wire.get(f"{ME}/profile", status=403, json=refusal)
        wire.post(f"{ME}/drafts", status=403, json=refusal)
        with pytest.raises(Reconnect, match=r"gmail\.readonly"):
            opened().pull_mail(None)
        with pytest.raises(Reconnect, match=r"gmail\.compose") as raised:
            opened().create_draft(a_mail())
    assert raised.value.account == f"gmail:{REP.email}"


def test_the_wait_that_google_asks_for_is_passed_on_and_not_slept(opened):
    clock = FrozenClock()
    with responses.RequestsMock() as wire:
        wire.get(
            f"{ME}/profile", status=429, json=google_error(429, "rateLimitExceeded"), headers={"Retry-After": "90"}
        )
        with pytest.raises(Retry) as raised:
            opened(clock=clock).pull_mail(None)
    assert raised.value.after == timedelta(seconds=90)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"Date": "Mon, 23 Nov 2026 09:00:00 GMT"}, timedelta(minutes=40)),
        ({"Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, timedelta(0)),
        ({"Date": "Mon, 23 Nov 2026 09:00:00 GMT", "Retry-After": "5"}, timedelta(seconds=5)),
        ({"Date": "soon"}, None),
        ({}, None),
    ],
)
def test_the_sending_limit_says_in_words_when_it_ends(opened, headers, after):
    message = "User-rate limit exceeded.  Retry after 2026-11-23T09:40:00.000Z (Mail sending)"
    with responses.RequestsMock() as wire:
        refusal = google_error(429, "rateLimitExceeded", message)
        wire.post(f"{ME}/drafts/send", status=429, json=refusal, headers=headers)
        with pytest.raises(Retry) as raised:
            opened().send_draft(DraftRef(draft_id="r1"), KEY)
    assert raised.value.after == after


@pytest.mark.parametrize("body", ["", "<!DOCTYPE html>", "[]", '{"error": "gone"}', '{"error": {"errors": [3]}}'])
def test_an_error_that_google_never_documented_is_still_a_sentence(opened, body):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/profile", status=418, body=body)
        with pytest.raises(Refused, match="HTTP 418") as raised:
            opened().pull_mail(None)
    assert raised.value.code == "418"


class RenewableToken:
    """A grant whose token gets a new number each time."""

    def __init__(self) -> None:
        self.number = 1

    def token(self) -> str:
        return f"token-{self.number}"

    def renew(self) -> bool:
        self.number += 1
        return True

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("statuses", "tokens"),
    [
        ([200], ["token-1"]),
        ([401, 200], ["token-1", "token-2"]),
        ([401, 401], ["token-1", "token-2"]),
        ([503], ["token-1"]),
        ([403], ["token-1"]),
        ([404], ["token-1"]),
    ],
)
def test_a_request_is_repeated_once_after_a_401_and_after_nothing_else(statuses, tokens):
    transport = Transport(RenewableToken())
    with responses.RequestsMock() as wire:
        for status in statuses:
            wire.post(f"{ME}/drafts/send", status=status)
        meta, _ = transport.request(f"{ME}/drafts/send", "POST", "{}")
        sent = [call.request.headers["authorization"] for call in wire.calls]
    transport.close()
    assert meta.status == statuses[-1]
    assert sent == [f"Bearer {token}" for token in tokens]
    assert transport.calls == len(tokens)


# ------------------------------------------------------------------------------------------ what is sent


def discovery_schema(name: str) -> dict[str, Any]:
    """Return one schema of Google's own description of the API, closed against unknown names."""
    text = importlib.resources.files("googleapiclient.discovery_cache.documents").joinpath("gmail.v1.json").read_text()

    def closed(schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return {"$ref": f"#/$defs/{schema['$ref']}"}
        made: dict[str, Any] = {} if schema.get("type", "any") == "any" else {"type": schema["type"]}
        if schema.get("type") == "array":
            made["items"] = closed(schema["items"])
        if schema.get("type") == "object":
            made["properties"] = {key: closed(value) for key, value in schema.get("properties", {}).items()}
            made["additionalProperties"] = False
        return made

    schemas = {key: closed(value) for key, value in json.loads(text)["schemas"].items()}
    return {"$ref": f"#/$defs/{name}", "$defs": schemas}


@pytest.mark.parametrize(
    ("mailbox_of_thread", "thread_id"), [(REP.email, "18f"), ("bo@acme.example", None), (None, None)]
)
def test_a_draft_body_is_what_google_describes_and_joins_a_thread_of_this_mailbox_only(
    opened, mailbox_of_thread, thread_id
):
    thread = Thread(
        internet_message_id="<b@mail.gmail.com>",
        references=("<a@mail.gmail.com>", "<b@mail.gmail.com>"),
        thread_id="18f",
        mailbox=mailbox_of_thread,
    )
    answer = {"id": "r7", "message": {"id": "19a", "threadId": "18f", "labelIds": ["DRAFT"]}}
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts", json=answer)
        ref = opened().create_draft(a_mail(thread=thread))
        body = json.loads(wire.calls[0].request.body)
        assert wire.calls[0].request.headers["Authorization"] == "Bearer the-token"
    jsonschema.validate(body, discovery_schema("Draft"))
    assert body["message"].get("threadId") == thread_id
    raw = message_from_bytes(decode_raw(body["message"]))
    assert (raw["X-Connector-Intent"], raw["In-Reply-To"]) == (KEY, "<b@mail.gmail.com>")
    assert raw["References"] == "<a@mail.gmail.com> <b@mail.gmail.com>"
    assert ref == DraftRef(draft_id="r7", provider_id="19a", thread_id="18f")


def test_a_draft_whose_conversation_the_rep_deleted_starts_a_new_one(opened):
    thread = Thread(internet_message_id="<b@mail.gmail.com>", thread_id="18f", mailbox=REP.email)
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts", status=404, json=google_error(404, "notFound"))
        wire.post(f"{ME}/drafts", json={"id": "r7", "message": {"id": "19a", "threadId": "19a"}})
        assert opened().create_draft(a_mail(thread=thread)).thread_id == "19a"
        first, second = (json.loads(call.request.body)["message"] for call in wire.calls)
    assert first["threadId"] == "18f"
    assert "threadId" not in second


def test_attachments_beyond_what_a_draft_may_carry_are_refused_before_any_call(opened):
    size = adapter.capabilities.attachment_bytes
    large = Attachment(name="a.pdf", media_type="application/pdf", content=b"x" * (size + 1))
    mailbox = opened()
    with pytest.raises(Unsupported, match="larger than the 3 MB"):
        mailbox.create_draft(a_mail(attachments=(large,)))
    assert mailbox.calls == 0


@pytest.mark.parametrize(
    ("sole", "section", "user"),
    [
        (True, {}, "me"),
        (False, {}, "ana@acme.example"),
        (False, {"tokens": {"ana@acme.example": "${env:GMAIL_TOKEN}"}}, "me"),
        (False, {"tokens": {"bo@acme.example": "${env:GMAIL_TOKEN}"}}, "ana@acme.example"),
    ],
)
def test_the_mailbox_is_me_when_the_token_is_the_reps_own(opened, sole, section, user):
    address = f"{ME.removesuffix('me')}{user.replace('@', '%40')}/profile"
    with responses.RequestsMock() as wire:
        wire.get(address, json={"historyId": "7"})
        opened(sole=sole, **section).pull_mail(None)
        assert len(wire.calls) == 1


def test_a_send_counts_although_its_message_id_cannot_be_read(opened):
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts/send", json={"id": "19b", "threadId": "18f", "labelIds": ["SENT"]})
        wire.get(f"{ME}/messages/19b", status=503)
        sent = opened().send_draft(DraftRef(draft_id="r1"), KEY)
        assert len([call for call in wire.calls if call.request.method == "POST"]) == 1
    assert (sent.provider_id, sent.thread_id, sent.internet_message_id, sent.at) == ("19b", "18f", None, START)


# --------------------------------------------------------------------------------------- history, page by page


def test_the_cursor_moves_only_after_the_last_page(opened):
    cursor = json.dumps({"history": "100", "at": START.isoformat()})
    added = {"history": [{"id": "101", "messagesAdded": [{"message": {"id": "19a", "labelIds": ["INBOX"]}}]}]}
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={**added, "nextPageToken": "p2", "historyId": "110"})
        wire.get(f"{ME}/history", status=503)
        with pytest.raises(Retry):
            opened().pull_mail(cursor)
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={**added, "nextPageToken": "p2", "historyId": "110"})
        wire.get(f"{ME}/history", json={"historyId": "120"})
        wire.get(f"{ME}/messages/19a", json={"id": "19a", "labelIds": ["INBOX"], "payload": {"headers": []}})
        pull = opened().pull_mail(cursor)
        asked = [call.request.params for call in wire.calls][:2]
    assert [query["startHistoryId"] for query in asked] == ["100", "100"]
    assert asked[0]["historyTypes"] == ["messageAdded", "messageDeleted", "labelAdded"]
    assert asked[1]["pageToken"] == "p2"
    assert json.loads(pull.cursor)["history"] == "120"
    assert len(pull.changes) == 1


@pytest.mark.parametrize("cursor", ["", "7", "{}", '{"history": "1", "at": "noon"}', '{"history": "1", "at": null}'])
def test_a_cursor_that_is_none_of_ours_is_refused(opened, cursor):
    with pytest.raises(Refused) as raised:
        opened().pull_mail(cursor)
    assert raised.value.code == "cursor"


def test_what_vanished_or_is_nobodys_business_is_passed_over(opened):
    labels = {"19a": ["SPAM"], "19b": ["CHAT"], "19c": ["INBOX"], "19d": ["TRASH"], "19e": ["SCHEDULED"]}
    added = [{"message": {"id": one, "labelIds": names}} for one, names in labels.items()]
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "messagesAdded": added}], "historyId": "9"})
        wire.get(f"{ME}/messages/19c", status=404, json=google_error(404, "notFound"))
        assert opened().pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes == ()


def test_the_trail_of_an_autosave_costs_one_look_at_the_drafts_and_one_message(opened):
    added = [{"message": {"id": one, "labelIds": ["DRAFT"]}} for one in ("19a", "19b", "19c")]
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "messagesAdded": added}], "historyId": "9"})
        wire.get(f"{ME}/drafts", json={"drafts": [{"id": "r1", "message": {"id": "19c"}}]})
        wire.get(f"{ME}/messages/19c", json={"id": "19c", "labelIds": ["DRAFT"], "payload": {"headers": []}})
        mailbox = opened()
        (change,) = mailbox.pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes
    assert change == DraftSaved(draft=DraftRef(draft_id="r1", provider_id="19c"))
    assert mailbox.calls == 3


def test_a_mail_rescued_from_spam_is_news(opened):
    rescued = {"message": {"id": "19a", "labelIds": ["INBOX"]}, "labelIds": ["INBOX"]}
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/history", json={"history": [{"id": "1", "labelsAdded": [rescued]}], "historyId": "9"})
        wire.get(f"{ME}/messages/19a", json={"id": "19a", "labelIds": ["INBOX"], "payload": {"headers": []}})
        (change,) = opened().pull_mail(json.dumps({"history": "1", "at": START.isoformat()})).changes
    assert isinstance(change, MailReceived)


# ------------------------------------------------------------------------------------- against the sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(start=START) as running:
        running.act("add_mail_account", kind="gmail", email=REP.email, name=REP.name)
        yield running


@pytest.fixture
def delegated(sandbox, tmp_path: Path) -> Iterator[Any]:
    """A mailbox opened by a service account in the name of the rep."""
    section = sandbox.accounts(tmp_path)["accounts"]["google"]
    mailbox = adapter.open_mailbox(
        GoogleAccount.model_validate(section), REP, sole=False, clock=sandbox.clock, vault=MemoryVault()
    )
    yield mailbox
    mailbox.close()


def test_a_service_account_fetches_one_token_which_is_not_counted_as_a_call(sandbox, delegated):
    cursor = delegated.pull_mail(None).cursor
    delegated.pull_mail(cursor)
    assert delegated.calls == sandbox.log.calls["gmail"] == 2
    assert sandbox.log.calls["gmail:token"] == 1


def test_an_expired_token_is_renewed_once_and_the_effect_happens_once(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    sandbox.clock.advance(timedelta(hours=2))
    delegated.send_draft(ref, mail.key)
    sent = [effect for effect in sandbox.log.effects if effect["effect"] == "mail_sent"]
    assert len(sent) == 1
    assert sandbox.log.calls["gmail:token"] == 2


def test_a_rep_whom_google_does_not_know_must_be_reconnected(sandbox, tmp_path, delegated):
    account = GoogleAccount.model_validate(sandbox.accounts(tmp_path / "other")["accounts"]["google"])
    stranger = MailIdentity(email="zoe@acme.example", name="Zoe")
    mailbox = adapter.open_mailbox(account, stranger, sole=False, clock=sandbox.clock, vault=MemoryVault())
    with pytest.raises(Reconnect) as raised:
        mailbox.pull_mail(None)
    mailbox.close()
    assert (raised.value.account, raised.value.code) == ("gmail:zoe@acme.example", "invalid_grant")


def trace(mail: Mail, draft: DraftRef | None) -> Trace:
    return Trace(key=mail.key, draft=draft, to=mail.to.email, subject=mail.subject, since=START - timedelta(minutes=1))


def test_an_edited_draft_that_lost_its_stamp_and_its_id_is_still_found(sandbox, delegated):
    sandbox.act("mail_settings", gmail_edit_drops_stamp=True, gmail_edit_changes_draft_id=True)
    mail = a_mail()
    ref = delegated.create_draft(mail)
    cursor = delegated.pull_mail(None).cursor
    sandbox.act("rep_edits_draft", key=mail.key, body="<p>My own words</p>")
    found = delegated.find(trace(mail, ref))
    assert (found.where, found.matched_by) == (Whereabouts.DRAFT, "recipient_subject_time")
    (saved,) = (change for change in delegated.pull_mail(cursor).changes if isinstance(change, DraftSaved))
    assert (saved.key, saved.draft.draft_id) == (None, found.draft.draft_id)


def test_drafts_that_only_look_alike_are_never_reported_as_left_over(sandbox, delegated):
    sandbox.act("mail_settings", gmail_edit_drops_stamp=True, gmail_edit_changes_draft_id=True)
    ours, another = a_mail(), a_mail(key="e" * 32)
    ref = delegated.create_draft(ours)
    delegated.create_draft(another)
    for mail in (ours, another):
        sandbox.act("rep_edits_draft", key=mail.key, body="<p>My own words</p>")
    found = delegated.find(trace(ours, ref))
    assert (found.where, found.matched_by, found.extra) == (Whereabouts.DRAFT, "recipient_subject_time", ())


def test_a_draft_that_the_rep_scheduled_is_neither_discarded_nor_sent_until_it_goes(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    cursor = delegated.pull_mail(None).cursor
    sandbox.act("rep_schedules_draft", key=mail.key, minutes=30)
    assert delegated.find(trace(mail, ref)).where is Whereabouts.SCHEDULED
    waiting = delegated.pull_mail(cursor)
    assert not [change for change in waiting.changes if isinstance(change, MailSent | MailReceived)]
    sandbox.clock.advance(timedelta(hours=1))
    (sent,) = (c.mail for c in delegated.pull_mail(waiting.cursor).changes if isinstance(c, MailSent))
    assert sent.key == mail.key
    assert delegated.find(trace(mail, ref)).where is Whereabouts.SENT


def test_the_draft_opens_in_the_reps_own_account_at_its_present_message(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    moved = sandbox.act("rep_edits_draft", key=mail.key, body="<p>Words</p>")
    assert moved["id"] != ref.provider_id
    expected = f"https://mail.google.com/mail/u/?authuser=ana@acme.example#drafts/{moved['id']}"
    assert delegated.draft_address(ref) == expected


def test_a_look_up_among_more_mails_than_are_read_does_not_claim_that_it_is_nowhere(sandbox, delegated, monkeypatch):
    monkeypatch.setattr(gmail_mailbox, "_CANDIDATES", 2)
    for number in range(3):
        delegated.create_draft(a_mail(key=f"{number:032x}"))
    before = delegated.calls
    assert delegated.find(trace(a_mail(), None)).where is Whereabouts.UNCLEAR
    assert delegated.calls - before <= 2 + 2 * 2


def test_a_full_look_larger_than_a_page_goes_on_with_the_next_pull_and_loses_nothing(sandbox, delegated, monkeypatch):
    monkeypatch.setattr(gmail_mailbox, "_LOOK_PAGE", 2)
    cursor = delegated.pull_mail(None).cursor
    subjects = {f"Question {number}" for number in range(5)}
    for subject in subjects:
        sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject=subject)
    sandbox.act("gmail_expires_history", rep=REP.email)
    seen: list[str] = []
    for _ in range(3):
        pull = delegated.pull_mail(cursor)
        assert pull.resynced
        assert len(pull.changes) <= 2
        seen += [change.subject for change in pull.changes]
        cursor = pull.cursor
    assert (set(seen), len(seen)) == (subjects, 5)
    pull = delegated.pull_mail(cursor)
    assert (pull.changes, pull.resynced) == ((), False)


def test_a_token_without_the_scope_for_reading_is_told_which_one(sandbox, opened, monkeypatch):
    compose = "https://www.googleapis.com/auth/gmail.compose"
    monkeypatch.setenv("GMAIL_TOKEN", sandbox.token("gmail", REP.email, scopes=[compose]))
    mailbox = opened(endpoint=sandbox.url, clock=sandbox.clock)
    cursor = mailbox.pull_mail(None).cursor
    with pytest.raises(Reconnect, match=r"gmail\.readonly"):
        mailbox.pull_mail(cursor)
