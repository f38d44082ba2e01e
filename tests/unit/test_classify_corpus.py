"""The corpus of incoming mail is classified as its table says, as each message comes out of Gmail's adapter."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.inbox.classify import MailKind, classify
from tests.corpus import AT, FOLDER, OWN, TRUTHS, Entry, as_graph_gives, as_received, classified, counted, entries

DOCS = Path(__file__).parents[2] / "docs" / "incoming-mail.md"

each = pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.file) for entry in entries()])
each_report = pytest.mark.parametrize(
    "entry", [pytest.param(entry, id=entry.file) for entry in entries() if entry.is_ in ("bounce", "delayed")]
)
some = st.sampled_from(entries())


@each
def test_each_message_is_of_its_kind(entry: Entry):
    fetched = as_received(entry.raw).raw is not None
    assert classified(entry.raw, whole=True).kind is entry.said
    assert classified(entry.raw).kind is (entry.said if fetched else entry.headers_only)
    assert classified(entry.raw, whole=False).kind in _kinds_by_headers(entry)


@each
def test_outlooks_adapter_gives_the_same_or_leaves_it_open(entry: Entry):
    mail = as_graph_gives(entry.raw)
    expected = {entry.said} if mail.raw is not None else _kinds_by_headers(entry)
    assert classify(mail, own=OWN).kind in expected


def _kinds_by_headers(entry: Entry) -> set[MailKind]:
    """Return what the headers alone may make of a mail: its kind, and of a report that nobody could read it."""
    readable = {MailKind.BOUNCE, MailKind.DELAYED, MailKind.CALENDAR_OR_RECEIPT}
    return {entry.headers_only} | ({MailKind.UNKNOWN} if entry.said in readable else set())


#: What marks an answer of Exchange, apart from its subject.
EXCHANGE_MARKS = ("auto-submitted", "x-ms-exchange-generated-message-source", "x-ms-exchange-inbox-rules-loop")
LOCALISED = [entry for entry in entries() if entry.system == "Exchange" and entry.file.startswith("answers/exchange-")]


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.file) for entry in LOCALISED])
def test_exchanges_subject_tells_an_answer_in_its_language_where_the_marks_are_lost(entry: Entry):
    mail = as_received(entry.raw)
    bare = {name: values for name, values in mail.headers.items() if name not in EXCHANGE_MARKS}
    assert classify(replace(mail, headers=bare, raw=None), own=OWN).kind is MailKind.AUTOMATIC


@each
def test_no_person_is_called_automatic_and_no_machine_a_person(entry: Entry):
    for whole in (True, False, None):
        said = classified(entry.raw, whole=whole)
        if entry.is_ == "person":
            assert said.kind in (MailKind.PERSONAL, MailKind.UNKNOWN), said.reason
        elif not entry.undecidable:
            assert said.kind is not MailKind.PERSONAL, said.reason


@each
def test_only_the_undecidable_are_misjudged_or_left_open(entry: Entry):
    right = {
        "own": (MailKind.OWN,),
        "bounce": (MailKind.BOUNCE,),
        "delayed": (MailKind.DELAYED,),
        "answer": (MailKind.AUTOMATIC,),
        "notice": (MailKind.AUTOMATIC,),
        "calendar": (MailKind.CALENDAR_OR_RECEIPT,),
        "receipt": (MailKind.CALENDAR_OR_RECEIPT,),
        "person": (MailKind.PERSONAL,),
    }
    assert (classified(entry.raw).kind in right[entry.is_]) is not entry.undecidable
    assert entry.why or not entry.undecidable


@each
def test_only_answers_of_a_mailbox_count_as_out_of_office(entry: Entry):
    said = classified(entry.raw)
    assert said.out_of_office is (entry.is_ == "answer" and said.kind is MailKind.AUTOMATIC)


@each_report
def test_a_report_is_fetched_whole_by_the_adapter(entry: Entry):
    assert (as_received(entry.raw).raw is not None) or entry.undecidable


@each_report
def test_a_report_tells_whom_what_and_about_which_mail(entry: Entry):
    if entry.source == "written":
        said = classified(entry.raw, whole=True)
        assert (said.failed_recipients, said.status) == (entry.failed, entry.status)
        assert said.original_message_id == entry.original


@pytest.mark.parametrize(
    "entry",
    [
        entry
        for entry in entries()
        if entry.source != "written" and entry.is_ in ("bounce", "delayed") and not entry.undecidable
    ],
)
def test_a_report_of_the_librarys_own_test_data_names_an_address(entry: Entry):
    assert all("@" in address for address in classified(entry.raw).failed_recipients)
    assert classified(entry.raw).failed_recipients


def test_the_corpus_is_as_wide_as_it_claims():
    assert len(entries()) >= 120
    assert {entry.is_ for entry in entries()} == {truth for truth, _ in TRUTHS}
    assert len({entry.language for entry in entries() if entry.is_ == "answer" and not entry.undecidable}) >= 10
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.eml")} == {entry.file for entry in entries()}


def test_the_page_on_incoming_mail_counts_what_the_corpus_gives():
    assert counted() in DOCS.read_text("utf-8"), f"put this into {DOCS.name}:\n\n{counted()}"


@settings(max_examples=150, deadline=None)
@given(entry=some)
def test_the_case_of_header_names_changes_nothing(entry: Entry):
    head, gap, body = entry.raw.partition(b"\r\n\r\n") if b"\r\n\r\n" in entry.raw else entry.raw.partition(b"\n\n")
    shouted = re.sub(rb"(?m)^[A-Za-z0-9-]+(?=:)", lambda name: name[0].upper(), head)
    assert classified(shouted + gap + body) == classified(entry.raw)


@settings(max_examples=150, deadline=None)
@given(entry=some, fold=st.sampled_from(["\r\n ", "\r\n\t", "\n  ", "  "]))
def test_folding_of_header_values_changes_nothing(entry: Entry, fold: str):
    mail = as_received(entry.raw)
    folded = replace(
        mail,
        subject=mail.subject.replace(" ", fold, 1) if mail.subject.startswith("Re: ") else mail.subject,
        headers={
            name: tuple(fold + value.replace(" ", fold) for value in values) for name, values in mail.headers.items()
        },
    )
    assert classify(folded, own=OWN) == classify(mail, own=OWN)


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=400))
@example(raw=b"Content-Type: multipart/report; boundary=\r\n\r\n--\r\n")
@example(raw=b"Content-Type: message/delivery-status\r\n\r\nAction: =?x?Q?failed?=\r\n")
def test_any_bytes_are_of_some_kind(raw: bytes):
    mail = replace(as_received(b"From: mailer-daemon@x.example\r\n\r\n"), raw=raw, at=AT)
    assert classify(mail, own=OWN).kind in MailKind


@settings(max_examples=300, deadline=None)
@given(entry=some, start=st.integers(0, 6000), length=st.integers(0, 400), filling=st.binary(max_size=20))
def test_a_damaged_message_is_of_some_kind(entry: Entry, start: int, length: int, filling: bytes):
    mail = as_received(entry.raw, whole=True)
    raw = entry.raw[:start] + filling + entry.raw[start + length :]
    assert classify(replace(mail, raw=raw), own=OWN).kind in MailKind
