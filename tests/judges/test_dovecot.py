"""What a mail server that nobody here wrote reads in our mails is what they were to say."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.mime import to_bytes
from connector.ports import STAMP_HEADER, Address, Attachment, Mail, Thread
from tests.hostile import BODIES, KEY, LINES, REP, TEXTS, letter_to, lines, one_line, person
from tests.judges.dovecot import Dovecot, Reading, run_dovecot

KINDS = sorted(BODIES)
#: Most characters of a file's name in the file systems there are, and an attachment is a file of the project. Dovecot
#: joins 128 pieces of a name (RFC 2231) and drops the rest; this many characters are 64 at most.
LONGEST_NAME = 255
HEADERS = ("from", "to", "subject", STAMP_HEADER.lower(), "mime-version", "content-type")

LOGO = Attachment(name="logo.png", media_type="image/png", content=bytes(range(256)) * 20, content_id="1@connector")
PHOTO = Attachment(name="照片 1.jpg", media_type="image/jpeg", content=b"\xff\xd8\r\n.\r\n", content_id="2@connector")
LIST = Attachment(name="price list.pdf", media_type="application/pdf", content=b"%PDF\x00\r\n.\r\n--=\r\n")
TERMS = Attachment(name="Größen & Preise عربي " * 8 + ".txt", media_type="text/plain", content="ä\n".encode())
EMPTY = Attachment(name="empty", media_type="nonsense", content=b"")


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with run_dovecot() as running:
        yield running


def a_mail(**changes) -> Mail:
    return Mail(
        **{
            "key": KEY,
            "sender": Address(email=REP.email, name=REP.name),
            "to": Address(email="bob@globex.example", name="Bob O'Neil, Jr."),
            "subject": "Hello Bob",
            "html": "<p>Hello</p>",
            "text": "Hello",
            **changes,
        }
    )


def check(read: Reading, mail: Mail, raw: bytes) -> None:
    """Assert that all of a mail was read as it was meant, files aside."""
    sender = [(one_line(mail.sender.name), mail.sender.email)]
    assert read.raw == raw
    assert read.subject == one_line(mail.subject)
    assert read.addresses == {
        **dict.fromkeys(("from", "sender", "reply-to"), sender),
        "to": [(one_line(mail.to.name), mail.to.email)],
        "cc": [],
        "bcc": [],
    }
    plain, rich = (leaf for leaf in read.leaves if leaf.charset == "utf-8" and not leaf.shown)
    assert (plain.kind, rich.kind) == ("text/plain", "text/html")
    assert lines(plain.content.decode()) == lines(mail.text)
    assert lines(rich.content.decode()) == lines(mail.html)


def check_letter(dovecot: Dovecot, kind: str, **fields: str) -> Reading:
    _, mail, raw = letter_to(person(**fields), kind)
    read = dovecot.read(raw)
    check(read, mail, raw)
    assert read.shape == "alternative(plain html)"
    assert read.headers == HEADERS
    assert (read.in_reply_to, read.message_id) == ("", "")
    return read


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", LINES, ids=lambda line: ascii(line)[:40])
def test_each_known_trick_is_read_as_a_text_like_any_other(dovecot, kind, value):
    said = value if one_line(value) else "x"
    check_letter(dovecot, kind, first=value, last="", company="Globex", value=said)
    check_letter(dovecot, kind, first="Ann", last=value, company=value, value="x")


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), first=TEXTS, last=TEXTS, company=TEXTS, value=TEXTS)
def test_whatever_the_fields_hold_is_read_as_it_stands(dovecot, kind, first, last, company, value):
    check_letter(dovecot, kind, first=first, last=last, company=company, value=value if one_line(value) else "x")


@pytest.mark.parametrize(
    "word", ["Müller", "山田", "Владимир", "محمد", "שלום", "कुमार", "ชลศรานนท์", "김철수", "👩‍👩‍👧‍👦"]
)
def test_it_finds_names_and_subjects_by_the_words_in_them(dovecot, word):
    name = f"Dear {word}, {'long ' * 30}{word}"
    read = dovecot.read(to_bytes(a_mail(subject=f"{'long ' * 30}{word}", to=Address(email="bob@x.example", name=name))))
    other = dovecot.read(to_bytes(a_mail()))
    for header in ("SUBJECT", "TO"):
        found = dovecot.search(header, unicodedata.normalize("NFC", word))
        assert read.uid in found
        assert other.uid not in found


@pytest.mark.parametrize(
    ("files", "shape"),
    [
        ((), "alternative(plain html)"),
        ((LOGO,), "related(alternative(plain html) png)"),
        ((LIST,), "mixed(alternative(plain html) pdf)"),
        ((LOGO, LIST), "mixed(related(alternative(plain html) png) pdf)"),
        (
            (LOGO, PHOTO, LIST, TERMS, EMPTY),
            "mixed(related(alternative(plain html) png jpeg) pdf plain octet-stream)",
        ),
    ],
)
def test_images_and_files_are_where_readers_look_for_them(dovecot, files, shape):
    mail = a_mail(html="<p><img src='cid:1@connector'> 日本</p>", text="日本", attachments=files)
    raw = to_bytes(mail)
    read = dovecot.read(raw)
    check(read, mail, raw)
    assert read.shape == shape
    assert read.headers == HEADERS
    assert [(leaf.shown, leaf.name, leaf.content_id, leaf.content) for leaf in read.leaves[2:]] == [
        (
            "attachment" if file.content_id is None else "inline",
            file.name,
            f"<{file.content_id}>" if file.content_id else "",
            file.content,
        )
        for file in files
    ]


@settings(max_examples=40, deadline=None)
@given(name=TEXTS.map(lambda text: text[:LONGEST_NAME]))
@example(name="\U0001f600" * LONGEST_NAME)
def test_a_file_keeps_its_name_in_any_script(dovecot, name):
    read = dovecot.read(to_bytes(a_mail(attachments=(replace(LIST, name=name),))))
    assert read.headers == HEADERS
    [_, _, leaf] = read.leaves
    assert (one_line(leaf.name), leaf.shown, leaf.content) == (one_line(name), "attachment", LIST.content)


def test_a_follow_up_is_in_the_conversation_of_all_before_it(dovecot):
    ids = [f"<{'x' * 90}.{number}@mail.globex.example>" for number in range(25)]
    # A mailbox gives each mail its Message-ID; ours have none.
    first, second, unrelated = (f"Message-ID: {one}\r\n".encode() for one in (ids[0], ids[-1], "<other@x.example>"))
    start = dovecot.read(first + to_bytes(a_mail(subject="One")))
    answer = dovecot.read(second + to_bytes(a_mail(subject="Two", thread=Thread(internet_message_id=ids[0]))))
    mail = a_mail(subject="Three", thread=Thread(internet_message_id=ids[-1], references=tuple(ids)))
    raw = to_bytes(mail)
    follow_up = dovecot.read(raw)
    other = dovecot.read(unrelated + to_bytes(a_mail(subject="Three")))
    check(follow_up, mail, raw)
    assert follow_up.in_reply_to == ids[-1]
    assert follow_up.headers == (*HEADERS[:3], "in-reply-to", "references", *HEADERS[3:])
    conversations = dovecot.conversations()
    assert {start.uid, answer.uid, follow_up.uid} in conversations
    assert {other.uid} in conversations


def test_unsubscribing_has_the_two_headers_that_providers_ask_for(dovecot):
    address = f"https://go.acme.example/u/{'t' * 300}"
    mail = a_mail(unsubscribe=address)
    raw = to_bytes(mail)
    read = dovecot.read(raw)
    check(read, mail, raw)
    assert read.headers == (*HEADERS[:3], "list-unsubscribe", "list-unsubscribe-post", *HEADERS[3:])
    assert read.uid in dovecot.search("HEADER List-Unsubscribe", f"<{address}>")
