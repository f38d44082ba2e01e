"""What kind of mail arrived is told by its marks, in the order of the specification."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.inbox.automatic import AUTOMATIC_SUBJECTS
from connector.inbox.classify import Classified, MailKind, classify
from connector.ports import Address, MailReceived

OWN = frozenset({"ana@acme.example", "ana.diaz@acme.example"})


def mail(
    *,
    sender: str = "bob@globex.example",
    subject: str = "Re: Hello",
    raw: bytes | None = None,
    text: str = "",
    in_reply_to=None,
    **headers: str,
) -> MailReceived:
    return MailReceived(
        provider_id="m1",
        at=datetime(2026, 11, 23, 9, tzinfo=UTC),
        sender=Address(email=sender),
        to=("ana@acme.example",),
        subject=subject,
        in_reply_to=in_reply_to,
        headers={name.replace("_", "-"): (value,) for name, value in headers.items()},
        text=text,
        raw=raw,
    )


def kind(**values) -> MailKind:
    return classify(mail(**values), own=OWN).kind


def report(*, blocks: str, original: str = "", media: str = "message/rfc822", headers: str = "") -> bytes:
    part = f"--b\r\nContent-Type: {media}\r\n\r\n{original}\r\n" if original else ""
    return (
        "From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\r\n"
        f"{headers}"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; mx.example\r\n\r\n{blocks}\r\n{part}--b--\r\n"
    ).encode()


def block(action: str, status: str, to: str = "Bob@globex.example") -> str:
    return f"Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}\r\n"


REPORT_HEADERS = {"content_type": 'multipart/report; report-type=delivery-status; boundary="b"', "return_path": "<>"}
DAEMON = "mailer-daemon@googlemail.example"
ORIGINAL = "Message-ID: <sent-1@mail.example>\r\nSubject: Hello\r\n\r\nHi\r\n"


def classified(raw: bytes, **values) -> Classified:
    return classify(
        mail(sender=DAEMON, subject="Delivery Status Notification", raw=raw, **REPORT_HEADERS, **values), own=OWN
    )


@pytest.mark.parametrize("sender", ["ana@acme.example", "Ana.Diaz@ACME.example"])
def test_what_the_rep_wrote_is_own_before_anything_else(sender):
    assert kind(sender=sender, subject="Automatic reply: x", auto_submitted="auto-replied") is MailKind.OWN


@pytest.mark.parametrize(
    ("action", "status", "expected", "policy"),
    [
        ("failed", "5.1.1", MailKind.BOUNCE, False),
        ("failed", "5.2.2", MailKind.BOUNCE, False),
        ("Failed (bad address)", "5.1.1 (unknown user)", MailKind.BOUNCE, False),
        ("failed", "5.7.1", MailKind.BOUNCE, True),
        ("failed", "5.6.1", MailKind.BOUNCE, True),
        ("failed", "5.1.8", MailKind.BOUNCE, True),
        ("failed", "5.2.3", MailKind.BOUNCE, True),
        ("failed", "5.4.1", MailKind.BOUNCE, False),
        ("failed", "4.7.1", MailKind.BOUNCE, True),
        ("failed", "", MailKind.BOUNCE, False),
        ("delayed", "4.4.1", MailKind.DELAYED, False),
        ("delivered", "2.0.0", MailKind.DELAYED, False),
        ("relayed", "2.0.0", MailKind.DELAYED, False),
    ],
)
def test_only_failed_is_a_bounce(action, status, expected, policy):
    found = classified(report(blocks=block(action, status), original=ORIGINAL))
    assert (found.kind, found.policy) == (expected, policy)
    assert found.status == (status.split() or [""])[0]
    assert found.failed_recipients == ("bob@globex.example",)
    assert found.original_message_id == "<sent-1@mail.example>"


def test_a_report_about_several_is_a_bounce_of_those_that_failed():
    found = classified(
        report(blocks=block("delayed", "4.4.1", "a@x.example") + "\r\n" + block("failed", "5.1.1", "b@x.example"))
    )
    assert (found.kind, found.failed_recipients, found.status) == (MailKind.BOUNCE, ("b@x.example",), "5.1.1")


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        pytest.param(
            report(blocks=block("failed", "5.1.1"), original=ORIGINAL, media="text/rfc822-headers"), {}, id="headers"
        ),
        pytest.param(
            report(blocks=block("failed", "5.1.1"), headers="X-Original-Message-ID: <sent-1@mail.example>\r\n"),
            {},
            id="x-",
        ),
        pytest.param(
            report(blocks=block("failed", "5.1.1")), {"in_reply_to": "<sent-1@mail.example>"}, id="in-reply-to"
        ),
        pytest.param(
            report(blocks=block("failed", "5.1.1")), {"x_original_message_id": "<sent-1@mail.example>"}, id="header"
        ),
    ],
)
def test_the_mail_a_report_is_about_is_found_wherever_it_is_named(raw, values):
    assert classified(raw, **values).original_message_id == "<sent-1@mail.example>"


def test_gmail_names_failed_recipients_in_a_header_even_without_the_whole_report():
    found = classify(
        mail(sender=DAEMON, text="550 5.1.1 no such user", x_failed_recipients="Bob@globex.example", return_path="<>"),
        own=OWN,
    )
    assert (found.kind, found.failed_recipients, found.status) == (MailKind.BOUNCE, ("bob@globex.example",), "5.1.1")


@pytest.mark.parametrize(
    ("subject", "text"),
    [("Delivery Status Notification (Delay)", ""), ("Delivery incomplete", "The response was: 451 4.7.0 later")],
)
def test_gmail_names_recipients_of_a_late_mail_in_the_same_header(subject, text):
    assert kind(sender=DAEMON, subject=subject, text=text, x_failed_recipients="bob@globex.example") is MailKind.DELAYED


QMAIL = (
    b"From: MAILER-DAEMON@mx.example\r\nSubject: failure notice\r\n\r\n"
    b"Hi. This is the qmail-send program at mx.example.\r\n"
    b"I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
    b"This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n"
    b"<bob@globex.example>:\r\nSorry, no mailbox here by that name.\r\n\r\n"
    b"--- Below this line is a copy of the message.\r\n"
)


def test_a_report_without_structure_is_read_by_the_library():
    found = classify(mail(sender="MAILER-DAEMON@mx.example", subject="failure notice", raw=QMAIL), own=OWN)
    assert (found.kind, found.failed_recipients) == (MailKind.BOUNCE, ("bob@globex.example",))


@pytest.mark.parametrize("author", [b"", b"From:\r\n", b"From: <>\r\n"])
def test_a_report_that_names_nobody_as_its_author_is_read_all_the_same(author, caplog):
    raw = author + QMAIL.partition(b"\r\n")[2]
    found = classify(mail(sender="", subject="failure notice", raw=raw), own=OWN)
    assert (found.kind, found.failed_recipients) == (MailKind.BOUNCE, ("bob@globex.example",))
    assert not caplog.records


def test_a_report_that_says_nothing_is_unknown():
    assert classified(b"From: x\r\n\r\nnothing").kind is MailKind.UNKNOWN


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"auto_submitted": "auto-replied"}, (MailKind.AUTOMATIC, True)),
        ({"auto_submitted": "auto-replied; owner-email=x"}, (MailKind.AUTOMATIC, True)),
        ({"auto_submitted": "auto-generated"}, (MailKind.AUTOMATIC, False)),
        ({"auto_submitted": "no"}, (MailKind.PERSONAL, False)),
        ({"x_autoreply": "yes"}, (MailKind.AUTOMATIC, True)),
        ({"x_autorespond": "1"}, (MailKind.AUTOMATIC, True)),
        ({"x_autoresponder": "1"}, (MailKind.AUTOMATIC, True)),
        ({"precedence": "auto_reply"}, (MailKind.AUTOMATIC, True)),
        ({"precedence": "Bulk"}, (MailKind.AUTOMATIC, False)),
        ({"precedence": "junk"}, (MailKind.AUTOMATIC, False)),
        ({"precedence": "list"}, (MailKind.AUTOMATIC, False)),
        ({"list_id": "<news.globex.example>"}, (MailKind.AUTOMATIC, False)),
        ({"x_auto_response_suppress": "All"}, (MailKind.PERSONAL, False)),
        ({"precedence": "normal"}, (MailKind.PERSONAL, False)),
    ],
)
def test_marks_of_automatic_mail(values, expected):
    found = classify(mail(**values), own=OWN)
    assert (found.kind, found.out_of_office) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"sender": "no-reply@globex.example"}, MailKind.AUTOMATIC),
        ({"sender": "orders.donotreply@globex.example"}, MailKind.AUTOMATIC),
        ({"sender": "noreply+17@globex.example"}, MailKind.AUTOMATIC),
        ({"sender": "noreplyhansen@globex.example"}, MailKind.PERSONAL),
        ({"list_unsubscribe": "<mailto:u@globex.example>"}, MailKind.AUTOMATIC),
    ],
)
def test_a_mailing_that_answers_a_mail_may_be_a_persons(values, expected):
    assert kind(**values) is expected
    answering = kind(in_reply_to="<sent-1@mail.example>", **values)
    assert answering is (MailKind.UNKNOWN if expected is MailKind.AUTOMATIC else expected)


@pytest.mark.parametrize(
    ("rule_of", "marked", "expected"),
    [
        ("bob@globex.example", False, (MailKind.AUTOMATIC, True)),
        ("Bob@Globex.example", True, (MailKind.AUTOMATIC, True)),
        ("old@acme.example", False, (MailKind.PERSONAL, False)),
        ("old@acme.example", True, (MailKind.UNKNOWN, False)),
    ],
)
def test_a_rule_writes_for_the_sender_or_passes_on_what_a_person_wrote(rule_of, marked, expected):
    marks = {"auto_submitted": "auto-generated"} if marked else {}
    found = classify(mail(x_ms_exchange_inbox_rules_loop=rule_of, **marks), own=OWN)
    assert (found.kind, found.out_of_office) == expected


@pytest.mark.parametrize("words", AUTOMATIC_SUBJECTS)
def test_automatic_answers_are_known_by_their_subject_in_many_languages(words):
    assert kind(subject=f"{words.capitalize()}: Hello") is MailKind.AUTOMATIC
    assert kind(subject=words.upper() if words.isascii() else words) is MailKind.AUTOMATIC


@pytest.mark.parametrize(
    "subject",
    [
        "Re: Out of office hours support",
        "Out of office hours are too expensive",
        "Abwesende Kollegen",
        "Re: Automatic reply tools?",
    ],
)
def test_a_subject_that_only_speaks_of_such_things_is_personal(subject):
    assert kind(subject=subject) is MailKind.PERSONAL


def calendar(method: str) -> bytes:
    return (
        'Content-Type: multipart/alternative; boundary="c"\r\n\r\n--c\r\nContent-Type: text/plain\r\n\r\nYes\r\n'
        f"--c\r\nContent-Type: text/calendar; method={method}; charset=UTF-8\r\n\r\nBEGIN:VCALENDAR\r\n--c--\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"content_type": "text/calendar; method=REPLY"}, MailKind.CALENDAR_OR_RECEIPT),
        ({"content_type": 'text/calendar; charset="utf-8"; method="REPLY"'}, MailKind.CALENDAR_OR_RECEIPT),
        ({"content_type": "text/calendar; method=REQUEST"}, MailKind.PERSONAL),
        (
            {"content_class": "urn:content-classes:calendarmessage", "subject": "Zugesagt: Hello"},
            MailKind.CALENDAR_OR_RECEIPT,
        ),
        # The class is on invitations too, and without the whole mail nobody can tell.
        ({"content_class": "urn:content-classes:calendarmessage"}, MailKind.UNKNOWN),
        ({"sender": "bob@globex.example", "raw": calendar("REPLY")}, MailKind.CALENDAR_OR_RECEIPT),
        ({"sender": "bob@globex.example", "raw": calendar("REQUEST")}, MailKind.PERSONAL),
        ({"content_type": 'multipart/report; report-type="disposition-notification"'}, MailKind.CALENDAR_OR_RECEIPT),
    ],
)
def test_calendar_answers_and_receipts_are_no_replies(values, expected):
    assert kind(**values) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, MailKind.PERSONAL),
        ({"content_type": "multipart/alternative; boundary=x"}, MailKind.PERSONAL),
        ({"sender": ""}, MailKind.UNKNOWN),
        ({"return_path": "<>"}, MailKind.UNKNOWN),
        # Not proven to be a report, and hardly written by a person: somebody must look.
        ({"sender": "postmaster@globex.example", "subject": "Re: Hello"}, MailKind.UNKNOWN),
        ({"sender": "Mailer-Daemon@globex.example"}, MailKind.UNKNOWN),
        ({"sender": "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@globex.example"}, MailKind.UNKNOWN),
    ],
)
def test_what_bears_no_mark_is_personal_if_it_has_an_author(values, expected):
    assert kind(**values) is expected


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=300), text=st.text(max_size=100), structured=st.booleans())
def test_no_mail_stops_the_mailbox(raw, text, structured):
    head = (
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n'
        if structured
        else b""
    )
    headers = REPORT_HEADERS if structured else {}
    found = classify(mail(sender=DAEMON, raw=head + raw, text=text, **headers), own=OWN)
    assert found.kind in MailKind
    assert found.reason


@pytest.mark.parametrize(
    "values",
    [
        {"subject": ("*" * 6 + "a") * 60},
        {"subject": "[x] " * 5000},
        {"subject": "EXT: " * 5000 + "x"},
        {"sender": "no-reply-" * 2000 + "@globex.example"},
        {"x_failed_recipients": "a" * 1_000_000},
        {"content_type": "multipart/report; " + "a=b; " * 20_000},
        {"raw": report(blocks=f"Action: failed\r\nStatus: 5.1.1\r\nFinal-Recipient: rfc822; {'a' * 1_000_000}\r\n")},
        {"raw": b"From: x\r\n\r\n" + b"> " * 500_000 + b"Message-ID: x", "subject": "failure notice"},
    ],
)
def test_a_hostile_mail_is_judged_at_once(values):
    """A pattern that tries every way would not come back from these."""
    assert kind(**values) in MailKind
