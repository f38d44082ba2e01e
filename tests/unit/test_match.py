"""Incoming and sent mails are matched by the strongest key there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connector.inbox.classify import Classified, MailKind
from connector.inbox.match import KnownMail, OpenDraft, match_received, match_sent, match_writer, normalised_subject
from connector.ports import Address, MailReceived, SentMail

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST = KnownMail(intent="i1", person="bob@globex.example", sent_at=MONDAY, internet_message_id="<1@m>", thread_id="t1")
SECOND = KnownMail(
    intent="i2", person="bob@globex.example", sent_at=MONDAY + 2 * DAY, internet_message_id="<2@m>", thread_id="t1"
)
OTHER = KnownMail(intent="i3", person="eve@globex.example", sent_at=MONDAY, internet_message_id="<3@m>", thread_id="t3")
ALL = (SECOND, OTHER, FIRST)
PERSONAL = Classified(kind=MailKind.PERSONAL, reason="x")


def received(*, sender: str = "bob@globex.example", at: datetime = MONDAY + 3 * DAY, **values) -> MailReceived:
    return MailReceived(
        provider_id="m", at=at, sender=Address(email=sender), to=("ana@acme.example",), subject="Re: Hello", **values
    )


def report(**values) -> Classified:
    return Classified(kind=MailKind.BOUNCE, reason="x", **values)


@pytest.mark.parametrize(
    ("mail", "classified", "expected"),
    [
        pytest.param(
            received(in_reply_to="<1@m>", thread_id="t3"), PERSONAL, ("i1", "message_id", True), id="id before thread"
        ),
        pytest.param(
            received(references=("<1@m>", "<2@m>")), PERSONAL, ("i2", "message_id", True), id="the last reference first"
        ),
        pytest.param(
            received(references=("<1@m>", "<x@y>")), PERSONAL, ("i1", "message_id", True), id="an older reference"
        ),
        pytest.param(
            received(sender="pa@globex.example", thread_id="t1"), PERSONAL, ("i2", "thread", False), id="somebody else"
        ),
        pytest.param(
            received(thread_id="t1", at=MONDAY + DAY), PERSONAL, ("i1", "thread", True), id="nothing sent later"
        ),
        pytest.param(received(sender="EVE@globex.example"), PERSONAL, ("i3", "address", True), id="address"),
        pytest.param(received(sender="joe@globex.example"), PERSONAL, None, id="nobody of ours"),
        pytest.param(received(at=MONDAY - DAY), PERSONAL, None, id="before anything was sent"),
        pytest.param(
            received(sender="daemon@x", thread_id="t3"),
            report(original_message_id="<1@m>"),
            ("i1", "message_id", False),
            id="report by id",
        ),
        pytest.param(
            received(sender="daemon@x"),
            report(failed_recipients=("eve@globex.example",)),
            ("i3", "address", False),
            id="report by address",
        ),
        pytest.param(
            received(sender="bob@globex.example"),
            report(failed_recipients=("joe@x",)),
            None,
            id="a report is not about its sender",
        ),
    ],
)
def test_whom_a_mail_is_about(mail, classified, expected):
    match = match_received(mail, classified, ALL)
    assert (match and (match.intent, match.matched_by, match.from_person)) == expected


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        pytest.param("eve@globex.example", ("i3", "eve@globex.example"), id="was written to herself"),
        pytest.param("joe@globex.example", None, id="was never written to"),
        pytest.param("bob@globex.example", None, id="is who was written to"),
    ],
)
def test_an_answer_in_somebody_elses_thread_is_its_writers_too(sender, expected):
    mail = received(sender=sender, in_reply_to="<2@m>")
    match = match_received(mail, PERSONAL, ALL)
    assert match is not None
    writer = match_writer(mail, match, ALL)
    assert (writer and (writer.intent, writer.person)) == expected


DRAFT = OpenDraft(
    key="k1",
    to="bob@globex.example",
    subject="Re: Hello",
    since=MONDAY,
    draft_id="d1",
    provider_id="p1",
    thread_id="t1",
    internet_message_id="<d1@m>",
)
DRAFT_2 = OpenDraft(
    key="k2", to="bob@globex.example", subject="Other", since=MONDAY, draft_id="d2", provider_id="p2", thread_id="t1"
)


def sent(**values) -> SentMail:
    defaults = {"provider_id": "new", "at": MONDAY + DAY, "to": ("Bob@globex.example",), "subject": "Written by hand"}
    return SentMail(**{**defaults, **values})


@pytest.mark.parametrize(
    ("mail", "drafts", "expected"),
    [
        pytest.param(sent(provider_id="p2", key="k1"), (DRAFT, DRAFT_2), ("k2", "id"), id="id before stamp"),
        pytest.param(sent(provider_id="d1"), (DRAFT,), ("k1", "id"), id="an immutable id"),
        pytest.param(
            sent(key="k2", internet_message_id="<d1@m>"),
            (DRAFT, DRAFT_2),
            ("k2", "stamp"),
            id="stamp before Message-ID",
        ),
        pytest.param(
            sent(internet_message_id="<d1@m>", thread_id="t1"), (DRAFT, DRAFT_2), ("k1", "message_id"), id="Message-ID"
        ),
        pytest.param(sent(thread_id="t1"), (DRAFT,), ("k1", "thread"), id="thread"),
        pytest.param(sent(thread_id="t1"), (DRAFT, DRAFT_2), None, id="two drafts in the thread"),
        pytest.param(
            sent(thread_id="t1", subject="FW: hello"), (DRAFT, DRAFT_2), ("k1", "recipient_subject_time"), id="subject"
        ),
        pytest.param(sent(thread_id="t1", to=("x@y.example",)), (DRAFT,), None, id="thread, but to somebody else"),
        pytest.param(sent(subject="hello "), (DRAFT,), ("k1", "recipient_subject_time"), id="recipient and subject"),
        pytest.param(sent(subject="Hello", at=MONDAY - DAY), (DRAFT,), None, id="sent before the draft was made"),
        pytest.param(
            sent(subject="Hello", at=MONDAY - timedelta(minutes=1)),
            (DRAFT,),
            ("k1", "recipient_subject_time"),
            id="clocks differ",
        ),
        pytest.param(sent(), (DRAFT,), None, id="by hand"),
        pytest.param(sent(key="k9", subject="Hello"), (DRAFT,), None, id="the stamp of another intent"),
        pytest.param(
            sent(subject="Hello", to=("x@y.example",), cc=("bob@globex.example",)),
            (DRAFT,),
            ("k1", "recipient_subject_time"),
            id="moved from To to Cc",
        ),
        pytest.param(
            sent(thread_id="t1", to=("x@y.example",)),
            (replace(DRAFT, own_thread=True),),
            ("k1", "own_thread"),
            id="to somebody else, in a thread in which nothing but the draft ever was",
        ),
        pytest.param(
            sent(thread_id="t1", to=("x@y.example",)),
            (replace(DRAFT, own_thread=True), replace(DRAFT_2, own_thread=True)),
            None,
            id="two drafts in their own thread",
        ),
    ],
)
def test_which_draft_was_sent(mail, drafts, expected):
    match = match_sent(mail, drafts)
    assert (match and (match.key, match.matched_by)) == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Hello", "hello"),
        ("  Re:  re: FW: Hello \t there ", "hello there"),
        ("AW: WG: Grüße", "grüsse"),
        ("SV: VS: Hej", "hej"),
        ("Re[2]: RE (3): Hello", "hello"),
        ("[EXTERNAL] Re: Hello", "hello"),
        ("回复\uff1aHello", "hello"),
        ("Regarding: Hello", "regarding: hello"),
        ("Re", "re"),
        ("", ""),
    ],
)
def test_subjects_are_compared_without_marks_case_and_spaces(subject, expected):
    assert normalised_subject(subject) == expected
