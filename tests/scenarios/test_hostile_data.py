"""Whatever a CRM holds, the mail says it and nothing else; or it is refused with a sentence that says whose field it is.

The same bytes go through the simulated Gmail; `tests/judges/test_dovecot.py` reads them with a mail server that nobody
here wrote.
"""

from __future__ import annotations

import base64
import email
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import getaddresses
from html.parser import HTMLParser
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sandbox import Sandbox
from connector.content.fields import LONGEST_VALUE
from connector.errors import BadInput
from connector.mime import to_bytes
from connector.ports import STAMP_HEADER, Address, Attachment, Mail
from tests.hostile import (
    BODIES,
    KEY,
    LINES,
    REP,
    TEXTS,
    judge,
    judge_wire,
    letter_to,
    letters_of,
    one_line,
    person,
)

KINDS = sorted(BODIES)
#: Headers of a mail with a file.
HEADERS = ["From", "To", "Subject", STAMP_HEADER, "MIME-Version", "Content-Type"]


class Tags(HTMLParser):
    """What a page would do."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


#: Tags and attributes of a mail to somebody harmless, by format.
HARMLESS = {kind: Tags(letter_to(person(value="x"), kind)[0].html) for kind in KINDS}


def check(kind: str, first: str, last: str, company: str, value: str) -> None:
    value = value if one_line(value) else "x"
    to = person(first=first, last=last, company=company, value=value)
    letter, mail, raw = letter_to(to, kind)
    judge(mail, raw)
    assert mail.to.email == to.email
    assert one_line(mail.to.name) == one_line(f"{first} {last}")
    assert letters_of(mail.subject) == letters_of(
        f"{first if one_line(first) else '-'} | {company if one_line(company) else 'your company'}"
    )
    assert letters_of(letter.text).count(letters_of(value)) >= (2 if kind == "md" else 1)
    page = Tags(letter.html)
    # A text has a paragraph for each blank line of a value; no other tag, and no attribute, comes from data.
    assert [tag for tag in page.tags if tag not in ("p", "br")] == [
        tag for tag in HARMLESS[kind].tags if tag not in ("p", "br")
    ]
    assert {name for name, _ in page.attributes} == {name for name, _ in HARMLESS[kind].attributes}
    assert [value for name, value in page.attributes if name == "style"] == [
        value for name, value in HARMLESS[kind].attributes if name == "style"
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", LINES, ids=lambda line: ascii(line)[:40])
def test_each_known_trick_is_a_text_like_any_other(kind, value):
    check(kind, value, "", "Globex", value)
    check(kind, "Ann", value, value, "x")


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), first=TEXTS, last=TEXTS, company=TEXTS, value=TEXTS)
def test_whatever_the_fields_hold_the_mail_says_it_and_nothing_else(kind, first, last, company, value):
    check(kind, first, last, company, value)


@settings(max_examples=40, deadline=None)
@given(name=TEXTS, shown=st.booleans())
def test_a_file_keeps_its_name_in_any_script_and_adds_no_header(name, shown):
    file = Attachment(name=name, media_type="image/png", content=b"\x89PNG", content_id="logo" if shown else None)
    to = Address(email="ann@globex.example")
    sender = Address(email=REP.email, name=REP.name)
    raw = to_bytes(Mail(key=KEY, sender=sender, to=to, subject="s", html="h", text="t", attachments=(file,)))
    judge_wire(raw)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.keys() == HEADERS
    [part] = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert sorted(part.keys()) == sorted(
        ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition", *(["Content-ID"] if shown else [])]
    )
    assert part.get_content_disposition() == ("inline" if shown else "attachment")
    # `get_filename` would take quotes and angle brackets off a name that has some.
    assert one_line(part["Content-Disposition"].params.get("filename", "")) == one_line(name)
    assert part.get_content() == file.content


#: What somebody may have put in the field of an address: no mail goes to it, or to part of it.
NO_ADDRESSES = {
    "nothing": "",
    "a header more": "ann@globex.example\r\nBcc: victim@evil.example",
    "a line end": "ann@globex.example\n",
    "a carriage return": "ann@globex.example\r",
    "a line separator": "ann@globex.example\u2028",
    "two": "ann@globex.example, victim@evil.example",
    "two with a semicolon": "ann@globex.example;victim@evil.example",
    "two with a space": "ann@globex.example victim@evil.example",
    "two at once": "ann@globex.example@evil.example",
    "a name": "Ann <ann@globex.example>",
    "angle brackets": "<ann@globex.example>",
    "a group": "undisclosed:ann@globex.example;",
    "a comment": "ann(x)@globex.example",
    "a comment behind": "ann@globex.example (victim@evil.example)",
    "quotes": '"ann"@globex.example',
    "quotes around two": '"ann@globex.example, x"@evil.example',
    "an encoded word": "=?utf-8?q?ann=40globex.example=2C_victim?=@evil.example",
    "an encoded line break": "=?utf-8?q?=0D=0ABcc:?=@evil.example",
    "a local part in another script": "änn@globex.example",
    "a domain in another script": "ann@глобекс.example",
    "a domain without a dot": "ann@localhost",
    "an address literal": "ann@[127.0.0.1]",
    "a source route": "@evil.example:ann@globex.example",
    "a null": "ann\x00@globex.example",
    "a tab": "ann@globex.example\t",
    "too long": "a" * 250 + "@globex.example",
}


@pytest.mark.parametrize("address", NO_ADDRESSES.values(), ids=NO_ADDRESSES)
def test_what_is_more_or_less_than_one_address_is_refused_by_the_name_of_person_and_field(address):
    with pytest.raises(BadInput) as refused:
        letter_to(person(email=address))
    said = str(refused.value)
    assert "the field email" in said
    assert f"person {address!a}" in said
    assert "\n" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_too_long_is_refused_by_the_name_of_person_and_field(kind):
    with pytest.raises(BadInput, match=r"person ann@globex\.example: the field custom\.v has 50,001 characters"):
        letter_to(person(value="x" * (LONGEST_VALUE + 1)), kind)
    # What the template does not say may be of any length.
    letter_to(person(last="x" * (LONGEST_VALUE + 1)), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piece", ["<div>", "**a", "> ", "[", "a\u0301", "日本語", "&lol;", "- a\n"])
def test_the_longest_value_is_a_text_like_any_other(kind, piece):
    value = piece * (LONGEST_VALUE // len(piece))
    letter, mail, raw = letter_to(person(value=value), kind)
    judge(mail, raw)
    assert letters_of(value) in letters_of(letter.text)


@pytest.fixture(scope="module")
def gmail() -> Iterator[Any]:
    """Give a way to put bytes into a simulated mailbox as a draft, and to look at it: (method, path, body) -> answer."""
    with Sandbox(datetime(2026, 11, 24, 12, tzinfo=UTC)) as sandbox, requests.Session() as session:
        sandbox.act("add_mail_account", kind="gmail", email=REP.email, name=REP.name)
        session.headers["Authorization"] = f"Bearer {sandbox.token('gmail', REP.email)}"

        def call(method: str, path: str, body: Any = None) -> Any:
            answer = session.request(method, f"{sandbox.url}/gmail/v1/users/me/{path}", json=body, timeout=10)
            answer.raise_for_status()
            return answer.json()

        yield call


@pytest.mark.parametrize("value", LINES, ids=lambda line: ascii(line)[:40])
def test_gmail_keeps_the_same_bytes_and_reads_the_same_mail(gmail, value):
    _, mail, raw = letter_to(person(first=value, company=value, value=value if one_line(value) else "x"))
    made = gmail("POST", "drafts", {"message": {"raw": base64.urlsafe_b64encode(raw).decode()}})
    kept = gmail("GET", f"drafts/{made['id']}?format=raw")["message"]["raw"]
    assert base64.urlsafe_b64decode(kept) == raw
    shown = gmail("GET", f"drafts/{made['id']}")["message"]["payload"]["headers"]
    headers = {header["name"].lower(): header["value"] for header in shown}
    assert sorted(headers) == sorted(name.lower() for name in HEADERS)
    assert headers["subject"] == one_line(mail.subject)
    [(name, address)] = getaddresses([headers["to"]])
    assert address == mail.to.email
    assert letters_of(name) == letters_of(one_line(value))
