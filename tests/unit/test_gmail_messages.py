"""Gmail's Message resource, read into the core's values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.gmail.messages import (
    bare_subject,
    decode_raw,
    encode_raw,
    labels_of,
    looks_like_report,
    matching,
    received_mail,
    sent_mail,
)
from connector.ports import DraftRef, Trace

NOW = datetime(2026, 11, 23, 9, 0, 30, tzinfo=UTC)


def message(*headers: tuple[str, str], at: datetime = NOW, **fields: object) -> dict[str, object]:
    return {
        "id": "19a",
        "threadId": "18f",
        "internalDate": str(int(at.timestamp() * 1000)),
        "payload": {"headers": [{"name": name, "value": value} for name, value in headers]},
        **fields,
    }


def test_a_sent_mail_is_read_whatever_the_case_of_its_header_names():
    sent = sent_mail(
        message(
            ("Message-Id", " <new@mail.gmail.com>"),
            ("REFERENCES", "<a@x>\r\n <b@x>"),
            ("x-connector-intent", "ab" * 16),
            ("To", 'Ann "The" Bolt <Ann@Bolt.example>, bo@bolt.example'),
            ("Subject", "=?utf-8?q?Gr=C3=BC=C3=9Fe?="),
        ),
        NOW - timedelta(days=1),
    )
    assert (sent.provider_id, sent.thread_id, sent.at) == ("19a", "18f", NOW)
    assert (sent.internet_message_id, sent.references) == ("<new@mail.gmail.com>", ("<a@x>", "<b@x>"))
    assert (sent.key, sent.to, sent.subject) == ("ab" * 16, ("ann@bolt.example", "bo@bolt.example"), "Grüße")


def test_a_received_mail_keeps_every_header_in_order_and_unescapes_the_snippet():
    mail = received_mail(
        message(
            ("From", "Ann <ann@bolt.example>"),
            ("Received", "one"),
            ("received", "two"),
            ("In-Reply-To", "<q@mail.gmail.com>"),
            snippet="Tom &amp; I can&#39;t",
        ),
        None,
        NOW,
    )
    assert mail.headers["received"] == ("one", "two")
    assert (mail.sender.email, mail.sender.name, mail.in_reply_to) == ("ann@bolt.example", "Ann", "<q@mail.gmail.com>")
    assert mail.text == "Tom & I can't"


@pytest.mark.parametrize(
    ("written", "name", "email"),
    [
        ("=?utf-8?Q?M=C3=BCller=2C_Ann?= <Ann@Bolt.example>", "Müller, Ann", "ann@bolt.example"),
        ('"Bolt, Ann" <ann@bolt.example>', "Bolt, Ann", "ann@bolt.example"),
        # Gmail hands out decoded headers at times, without the quotes that the name needs then.
        ("Müller, Ann <ann@bolt.example>", "Ann", "ann@bolt.example"),
        ("=?utf-8?Q?boss=40acme=2Eexample?= <ann@bolt.example>", "boss@acme.example", "ann@bolt.example"),
        ("=?utf-8?Q?=3Cboss=40acme=2Eexample=3E=2C?= <ann@bolt.example>", "<boss@acme.example>,", "ann@bolt.example"),
        ("=?utf-8?Q?Ann_=28Bolt?= <ann@bolt.example>", "Ann (Bolt", "ann@bolt.example"),
    ],
)
def test_a_name_is_never_taken_for_an_address(written, name, email):
    mail = received_mail(message(("From", written), ("To", written)), None, NOW)
    assert (mail.sender.name, mail.sender.email, mail.to) == (name, email, (email,))
    assert sent_mail(message(("To", written)), NOW).to == (email,)


@pytest.mark.parametrize(
    "nothing", [{"payload": None}, {"payload": {"headers": None}}, {"labelIds": None}, {"internalDate": None}]
)
def test_a_field_that_holds_nothing_is_one_that_is_missing(nothing):
    odd = {**message(("From", "ann@bolt.example")), **nothing}
    assert received_mail(odd, None, NOW).provider_id == "19a"
    assert labels_of(odd) == frozenset()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("From", ""), ("To", "")),
        (("Subject", "=?nonsense?q?=ff?="), ("From", "=?utf-8?b?!!!?= <a@b.example>")),
        (("Message-ID", "no brackets"), ("References", "also none")),
    ],
)
def test_odd_headers_are_read_without_an_error(headers):
    assert received_mail(message(*headers), None, NOW).at == NOW


def test_a_message_without_a_date_takes_the_one_given():
    bare = message()
    del bare["internalDate"]
    assert sent_mail(bare, NOW).at == NOW


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Content-Type", 'Multipart/Report; report-type="delivery-status"')], True),
        ([("Return-Path", "<>")], True),
        ([("From", "Mail Delivery Subsystem <MAILER-DAEMON@googlemail.com>")], True),
        ([("From", "postmaster@bolt.example")], True),
        ([("X-Failed-Recipients", "ann@bolt.example")], True),
        ([("Content-Type", 'text/calendar; method="REPLY"')], True),
        ([("From", "ann@bolt.example"), ("Return-Path", "<ann@bolt.example>"), ("Content-Type", "text/plain")], False),
        ([], False),
    ],
)
def test_what_looks_like_a_delivery_report(headers, expected):
    shown = [{"name": name, "value": value} for name, value in headers]
    assert looks_like_report({"payload": {"headers": shown}}) is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("message/delivery-status", True),
        ("message/disposition-notification", True),
        ("Text/Calendar", True),
        ("text/html", False),
        ("application/pdf", False),
    ],
)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_report_or_calendar_answer_is_known_by_its_parts_however_deep(kind, expected, depth):
    part: dict = {"mimeType": kind}
    for _ in range(depth):
        part = {"mimeType": "multipart/mixed", "parts": [{"mimeType": "text/plain"}, part]}
    assert looks_like_report({"payload": part}) is expected


@pytest.mark.parametrize(
    ("subject", "bare"),
    [
        ("Hello", "hello"),
        ("Re: Hello", "hello"),
        ("RE: AW:  Fwd: Hello   there", "hello there"),
        ("Re[2]: Hello", "hello"),
        ("Regarding: Hello", "regarding: hello"),
        ("", ""),
    ],
)
def test_subjects_are_compared_without_answer_marks(subject, bare):
    assert bare_subject(subject) == bare


@given(st.binary(max_size=300))
def test_raw_survives_with_and_without_padding(content):
    raw = encode_raw(content)
    assert decode_raw({"raw": raw}) == decode_raw({"raw": raw.rstrip("=")}) == content


# ------------------------------------------------------------------------------------------- matching

KEY, OTHER = "1" * 32, "2" * 32
TRACE = Trace(
    key=KEY,
    draft=DraftRef(draft_id="r1", internet_message_id="<draft@mail.gmail.com>"),
    to="Ann@bolt.example",
    subject="Hello",
    since=NOW,
)


def candidate(*, stamp: str = "", message_id: str = "", to: str = "ann@bolt.example", subject: str = "Hello", at=NOW):
    headers = [("To", to), ("Subject", subject)]
    headers += [("X-Connector-Intent", stamp)] if stamp else []
    headers += [("Message-ID", message_id)] if message_id else []
    return message(*headers, at=at)


STAMPED = candidate(stamp=KEY, subject="Other words")
FOREIGN = candidate(stamp=OTHER)
SAME_ID = candidate(message_id="<draft@mail.gmail.com>", to="bo@bolt.example")
ALIKE = candidate(subject="RE: hello ")


@pytest.mark.parametrize(
    ("candidates", "matched_by", "hits"),
    [
        ([ALIKE, SAME_ID, STAMPED, FOREIGN], "stamp", [STAMPED]),
        ([STAMPED, STAMPED], "stamp", [STAMPED, STAMPED]),
        ([ALIKE, SAME_ID, FOREIGN], "message_id", [SAME_ID]),
        ([FOREIGN, ALIKE], "recipient_subject_time", [ALIKE]),
        ([FOREIGN], "", []),
        ([candidate(to="bo@bolt.example")], "", []),
        ([candidate(subject="Bye")], "", []),
        ([candidate(at=NOW - timedelta(seconds=2))], "", []),
        ([], "", []),
    ],
)
def test_the_strongest_key_wins_and_another_step_never_matches(candidates, matched_by, hits):
    assert matching(TRACE, candidates) == (matched_by, hits)
