"""Whatever a CRM holds, the mail says it and nothing else; or it is refused with a sentence that says whose field it is.

The same bytes go through the simulated Gmail; `tests/judges/test_dovecot.py` reads them with a mail server that nobody
here wrote.
"""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile import BODIES, LINES, TEXTS, judge, letter_to, letters_of, one_line, person

KINDS = sorted(BODIES)


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
@pytest.mark.parametrize("value", LINES, ids=ascii)
def test_each_known_trick_is_a_text_like_any_other(kind, value):
    check(kind, value, "", "Globex", value)
    check(kind, "Ann", value, value, "x")


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), first=TEXTS, last=TEXTS, company=TEXTS, value=TEXTS)
def test_whatever_the_fields_hold_the_mail_says_it_and_nothing_else(kind, first, last, company, value):
    check(kind, first, last, company, value)
