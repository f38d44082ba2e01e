"""What is odd about Gmail, on the wire and against the sandbox; the common rules are in the mailbox contract."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from datetime import timedelta
from email import message_from_bytes
from typing import Any

import jsonschema
import pytest
import responses
from gmail_world import (
    KEY,
    ME,
    REP,
    START,
    a_mail,
    google_error,
    trace,
)

from adapters.gmail import adapter, drafting, upload
from adapters.gmail.account import GoogleAccount
from adapters.gmail.messages import decode_raw
from adapters.sandbox import Sandbox
from connector.errors import Reconnect, Unsupported
from connector.ports import (
    Attachment,
    DraftRef,
    MailIdentity,
    Thread,
    Whereabouts,
)
from tests.doubles import MemoryVault

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


@pytest.mark.parametrize("at", [1, 2])
def test_attachments_beyond_what_a_draft_may_carry_are_refused_before_any_call(opened, at):
    size = adapter.capabilities.attachment_bytes // at
    file = Attachment(name="a.pdf", media_type="application/pdf", content=bytes(size))
    one_byte = Attachment(name="b.txt", media_type="text/plain", content=b"x")
    mailbox = opened()
    with pytest.raises(Unsupported, match="larger than the 25 MB"):
        mailbox.create_draft(a_mail(attachments=(file,) * at + (one_byte,)))
    assert mailbox.calls == 0


def test_a_text_so_long_that_the_whole_mail_is_too_large_is_refused_before_any_call(opened, monkeypatch):
    monkeypatch.setattr(drafting, "LARGEST", 1000)
    mailbox = opened()
    with pytest.raises(Unsupported, match="larger than the 25 MB"):
        mailbox.create_draft(a_mail(text="x" * 1000))
    assert mailbox.calls == 0


def test_a_draft_whose_conversation_gmail_takes_for_none_starts_a_new_one(opened):
    thread = Thread(internet_message_id="<b@mail.gmail.com>", thread_id="zz", mailbox=REP.email)
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts", status=400, json=google_error(400, "invalidArgument", "Invalid thread_id value"))
        wire.post(f"{ME}/drafts", json={"id": "r7", "message": {"id": "19a", "threadId": "19a"}})
        assert opened().create_draft(a_mail(thread=thread)).thread_id == "19a"


@pytest.mark.parametrize("section", [{}, {"tokens": {REP.email: "${env:GMAIL_TOKEN}"}}])
def test_with_a_ready_token_the_mailbox_is_named_so_that_another_is_refused(opened, section):
    with responses.RequestsMock() as wire:
        wire.get(f"{ME}/profile", json={"historyId": "7"})
        opened(**section).pull_mail(None)


def test_a_ready_token_of_another_mailbox_sends_nothing(sandbox, monkeypatch, opened):
    sandbox.world.add_mailbox("gmail", "zoe@acme.example", "Zoe")
    monkeypatch.setenv("GMAIL_TOKEN", sandbox.token("gmail", "zoe@acme.example"))
    mailbox = opened(endpoint=sandbox.url)
    with pytest.raises(Reconnect, match="belongs to another mailbox"):
        mailbox.create_draft(a_mail())
    assert sandbox.world.boxes["zoe@acme.example"].mails == {}


def test_a_send_counts_although_its_message_id_cannot_be_read(opened):
    with responses.RequestsMock() as wire:
        wire.post(f"{ME}/drafts/send", json={"id": "19b", "threadId": "18f", "labelIds": ["SENT"]})
        wire.get(f"{ME}/messages/19b", status=503)
        sent = opened().send_draft(DraftRef(draft_id="r1"), KEY)
        assert len([call for call in wire.calls if call.request.method == "POST"]) == 1
    assert (sent.provider_id, sent.thread_id, sent.internet_message_id, sent.at) == ("19b", "18f", None, START)


# ------------------------------------------------------------------------------------- against the sandbox


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
    mailbox = adapter.open_mailbox(account, stranger, clock=sandbox.clock, vault=MemoryVault())
    with pytest.raises(Reconnect) as raised:
        mailbox.pull_mail(None)
    mailbox.close()
    assert (raised.value.account, raised.value.code) == ("gmail:zoe@acme.example", "invalid_grant")


def test_the_draft_opens_in_the_reps_own_account_at_its_present_message(sandbox, delegated):
    mail = a_mail()
    ref = delegated.create_draft(mail)
    moved = sandbox.act("rep_edits_draft", key=mail.key, body="<p>Words</p>")
    assert moved["id"] != ref.provider_id
    expected = f"https://mail.google.com/mail/u/?authuser=ana@acme.example#drafts/{moved['id']}"
    assert delegated.draft_address(ref) == expected


def test_a_token_without_the_scope_for_reading_is_told_which_one(sandbox, opened, monkeypatch):
    compose = "https://www.googleapis.com/auth/gmail.compose"
    monkeypatch.setenv("GMAIL_TOKEN", sandbox.token("gmail", REP.email, scopes=[compose]))
    mailbox = opened(endpoint=sandbox.url, clock=sandbox.clock)
    cursor = mailbox.pull_mail(None).cursor
    with pytest.raises(Reconnect, match=r"gmail\.readonly"):
        mailbox.pull_mail(cursor)


# ------------------------------------------------------------------------------------------------ large mails


def stored(sandbox: Sandbox) -> Any:
    (mail,) = sandbox.world.boxes[REP.email].mails.values()
    return mail


@pytest.mark.parametrize("size", [1_000, upload.LARGEST_IN_JSON, adapter.capabilities.attachment_bytes])
def test_an_attachment_of_any_size_arrives_byte_for_byte_in_one_call(sandbox, delegated, size):
    content = hashlib.sha256(b"seed").digest() * (size // 32 + 1)
    file = Attachment(name="offer.bin", media_type="application/octet-stream", content=content[:size])
    ref = delegated.create_draft(a_mail(attachments=(file,)))
    assert delegated.calls == 1
    mail = message_from_bytes(stored(sandbox).raw)
    (part,) = (part for part in mail.walk() if part.get_filename() == "offer.bin")
    assert part.get_payload(decode=True) == content[:size]
    assert (mail["X-Connector-Intent"], ref.provider_id) == (KEY, stored(sandbox).id)


def test_a_large_follow_up_joins_the_thread(sandbox, delegated):
    first = delegated.send_draft(delegated.create_draft(a_mail()), KEY)
    thread = Thread(internet_message_id=first.internet_message_id, thread_id=first.thread_id, mailbox=REP.email)
    file = Attachment(name="a.bin", media_type="application/octet-stream", content=bytes(upload.LARGEST_IN_JSON))
    second = a_mail(key="e" * 32, subject="Re: Hello", thread=thread, attachments=(file,))
    assert delegated.create_draft(second).thread_id == first.thread_id


# ------------------------------------------------------------------------------------- when only drafts may be seen


@pytest.fixture
def composing(sandbox: Sandbox, opened: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    compose = "https://www.googleapis.com/auth/gmail.compose"
    monkeypatch.setenv("GMAIL_TOKEN", sandbox.token("gmail", REP.email, scopes=[compose]))
    return opened(endpoint=sandbox.url, clock=sandbox.clock, read_mail=False)


def test_without_reading_drafts_are_placed_found_and_sent_and_nothing_is_asked_that_would_be_refused(composing):
    mail = a_mail()
    ref = composing.create_draft(mail)
    found = composing.find(trace(mail, None))
    assert (found.where, found.draft.draft_id, found.matched_by) == (Whereabouts.DRAFT, ref.draft_id, "stamp")
    sent = composing.send_draft(ref, mail.key)
    assert (sent.key, sent.internet_message_id) == (mail.key, None)


def test_without_reading_a_draft_that_is_gone_is_neither_sent_nor_discarded(sandbox, composing):
    mail = a_mail()
    ref = composing.create_draft(mail)
    sandbox.act("rep_deletes_draft", key=mail.key)
    assert composing.find(trace(mail, ref)).where is Whereabouts.UNCLEAR
    assert composing.find(trace(mail, None)).where is Whereabouts.UNCLEAR


def test_without_reading_a_pull_calls_nobody_and_what_happened_is_seen_once_reading_is_allowed(
    sandbox, composing, delegated
):
    cursor = composing.pull_mail(None).cursor
    assert composing.pull_mail(cursor).changes == ()
    assert composing.calls == 0
    sandbox.act("prospect_writes", person="ann@bolt.example", rep=REP.email, subject="Meanwhile")
    sandbox.clock.advance(timedelta(days=3))
    (change,) = delegated.pull_mail(cursor).changes
    assert change.subject == "Meanwhile"
