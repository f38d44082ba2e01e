"""All that the Gmail adapter sends, held against Google's discovery document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from harness_gmail import Harness
from mailbox_contract import Relay

from adapters.gmail import adapter
from adapters.gmail.account import SCOPES
from adapters.gmail.quota import UNITS
from adapters.gmail.upload import LARGEST_IN_JSON
from adapters.sandbox import Sandbox
from connector.ports import Attachment, Thread
from tests.judges.gmail_requests import judge_wire
from tests.judges.gmail_schema import METHODS


@pytest.fixture
def harness() -> Iterator[Harness]:
    with Sandbox(start=datetime(2026, 11, 23, 9, 0, tzinfo=UTC)) as sandbox:
        relay = Relay(sandbox.url)
        made = Harness(sandbox, relay, adapter)
        yield made
        made.close()
        relay.close()


def use_all(harness: Harness) -> None:
    """Do with a mailbox all that the core does with it."""
    mailbox = harness.mailbox
    mailbox.check()
    cursor = mailbox.pull_mail(None).cursor
    mail = harness.mail()
    draft = mailbox.create_draft(mail)
    mailbox.draft_address(draft)
    mailbox.find(harness.trace(mail, draft))
    mailbox.find(harness.trace(mail))
    sent = mailbox.send_draft(draft, mail.key)
    mailbox.find(harness.trace(mail, replace(draft, draft_id="r1", internet_message_id=sent.internet_message_id)))
    thread = Thread(
        internet_message_id=sent.internet_message_id,
        references=(sent.internet_message_id,),
        thread_id=sent.thread_id,
        mailbox=harness.rep.email,
    )
    large = Attachment(name="plan.pdf", media_type="application/pdf", content=b"x" * LARGEST_IN_JSON)
    follow_up = harness.mail(subject=f"Re: {mail.subject}", thread=thread)
    mailbox.create_draft(follow_up)
    mailbox.delete_draft(mailbox.create_draft(replace(follow_up, attachments=(large,))))
    harness.act("prospect_bounces", key=mail.key)
    harness.act("prospect_replies", key=mail.key, person=harness.person)
    mailbox.pull_mail(cursor)
    harness.clock.advance(timedelta(days=9))
    harness.expire_cursor()
    assert mailbox.pull_mail(cursor).resynced


def test_every_call_of_the_adapter_is_one_that_google_describes(harness):
    use_all(harness)
    assert harness.relay.complaints == []
    calls = harness.relay.judged
    assert {call.id for call in calls} == set(UNITS)
    assert [call.id for call in calls if call.upload] == ["gmail.users.drafts.create"]
    assert len(calls) > harness.mailbox.calls, "there was no batch"


def test_the_scopes_asked_for_open_every_method_that_is_called():
    assert [name for name in UNITS if not set(SCOPES) & set(METHODS[name]["scopes"])] == []


JSON = {"Content-Type": "application/json"}
RELATED = {"Content-Type": 'multipart/related; boundary="b"'}
MIXED = {"Content-Type": 'multipart/mixed; boundary="b"'}
ME = "/gmail/v1/users/me"


def parts(*parts: tuple[str, str]) -> bytes:
    written = "".join(f"--b\r\nContent-Type: {kind}\r\n\r\n{content}\r\n" for kind, content in parts)
    return f"{written}--b--\r\n".encode()


def part(line: str) -> tuple[str, str]:
    return "application/http", f"{line} HTTP/1.1\r\nAccept: application/json\r\n\r\n"


METADATA = ("application/json", json.dumps({"message": {"threadId": "1"}}))
MAIL = ("message/rfc822", "To: a@b.example\r\n\r\nHello")
UPLOAD = f"/upload{ME}/drafts?uploadType=multipart"

GOOD = {
    "a call": ("GET", f"{ME}/drafts?maxResults=20&fields=drafts(id)", {}, b""),
    "a body": ("POST", f"{ME}/drafts/send", JSON, b'{"id": "r1"}'),
    "an upload": ("POST", UPLOAD, RELATED, parts(METADATA, MAIL)),
    "a batch": ("POST", "/batch/gmail/v1", MIXED, parts(part(f"GET {ME}/messages/1?format=full"))),
}

BAD = {
    "an unknown method": ("GET", f"{ME}/draughts", {}, b""),
    "the wrong verb": ("PATCH", f"{ME}/drafts/send", JSON, b"{}"),
    "an unknown parameter": ("GET", f"{ME}/drafts?max=20", {}, b""),
    "a value that is none": ("GET", f"{ME}/messages/1?format=whole", {}, b""),
    "an unknown name in a body": ("POST", f"{ME}/drafts/send", JSON, b'{"draftId": "r1"}'),
    "a body that is not wanted": ("GET", f"{ME}/drafts", JSON, b"{}"),
    "an unknown name in an upload": ("POST", UPLOAD, RELATED, parts(("application/json", '{"thread": "1"}'), MAIL)),
    "an upload of something else": ("POST", UPLOAD, RELATED, parts(METADATA, ("text/plain", "Hello"))),
    "an upload cut off": ("POST", UPLOAD, RELATED, parts(METADATA, MAIL)[:-9]),
    "an upload without its type": ("POST", f"/upload{ME}/drafts", RELATED, parts(METADATA, MAIL)),
    "an upload to a method that takes none": (
        "POST",
        f"/upload{ME}/stop?uploadType=multipart",
        RELATED,
        parts(METADATA, MAIL),
    ),
    "an unknown parameter in a batch": ("POST", "/batch/gmail/v1", MIXED, parts(part(f"GET {ME}/messages/1?all=1"))),
    "an empty batch": ("POST", "/batch/gmail/v1", MIXED, parts()),
    "a batch too large": ("POST", "/batch/gmail/v1", MIXED, parts(*[part(f"GET {ME}/messages/1")] * 101)),
}


@pytest.mark.parametrize("request_", GOOD.values(), ids=GOOD)
def test_the_judge_takes_what_google_describes(request_):
    assert len(judge_wire(*request_)) == 1


@pytest.mark.parametrize("request_", BAD.values(), ids=BAD)
def test_the_judge_refuses_what_google_does_not_describe(request_):
    with pytest.raises(AssertionError):
        judge_wire(*request_)
