"""Data that a mail must survive: what people have in a CRM, and what somebody may have put there to do harm.

`letter_to` goes the real path: fields of a person -> template -> `Letter.mail` -> bytes. `judge` says whether the bytes
are a mail that says what the letter says, and nothing else.
"""

from __future__ import annotations

import email
import email.policy
import re
import unicodedata
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

from hypothesis import strategies as st

from connector.campaigns.model import Step
from connector.content.compose import render
from connector.content.fields import check_lengths, fields_of
from connector.content.templates import Template, parse_template
from connector.intents import StepType
from connector.mime import to_bytes
from connector.people import Person, Rep
from connector.ports import STAMP_HEADER, Mail
from connector.store.people import StoredPerson
from connector.sync.letters import Letter

KEY = "0123456789abcdef0123456789abcdef"
REP = Rep(email="ana@acme.example", name="Ana Díaz")

SUBJECT = "{{first_name | default: '-'}} | {{company}}"
BODIES = {
    "md": "Dear {{first_name}},\n\n> {{custom.v}}\n\n- {{custom.v}}\n",
    "html": "<style>p{color:red}</style><p title='{{custom.v}}'>Dear {{first_name}}, {{custom.v}}</p>",
    "txt": "Dear {{first_name}},\n\n{{custom.v}}\n",
}
TEMPLATES: dict[str, Template] = {
    kind: parse_template(kind, f'---\nsubject: "{SUBJECT}"\n---\n{body}', kind) for kind, body in BODIES.items()
}

#: One line each, for tables.
LINES = [
    # scripts, direction, emoji, combining characters
    "Zoë Müller-Lüdenscheidt",
    "山田 太郎",
    "Владимир Ильич",
    "محمد بن عبد الله",
    "שלום עולם",
    "अनिल कुमार",
    "ประภาส ชลศรานนท์",
    "김철수",
    "👩‍👩‍👧‍👦 Family 🏳️‍🌈",
    "e\u0301\u0323 Zalgo H̸̡̪̯ͨ͊̽̅̾̎Ȩ̬̩̾͛ͪ̈́̀́͘ ̶̧̨̱̹̭̯ͧ̾ͬC̷̙̲̝͖ͭ̏ͥͮ͟Oͮ͏̮̪̝͍M̲̖͊̒ͪͩͬ̚̚͜Ȇ̴̟̟͙̞ͩ͌͝",
    "\u202egnp.exe \u2066abc\u2069",
    "a\u00a0b\u200bc\ufeffd\u00ad",
    # names as people write them
    'O\'Neil, Bob "Bobby" <bob@evil.example>',
    "Doe, Jane; Smith (comment) [x]",
    'back\\slash \\" quote',
    "bob@evil.example",
    "a, b@evil.example, c",
    # encoded words that decode to line breaks and headers
    "=?utf-8?q?=0D=0ABcc:_victim@evil.example?=",
    "=?utf-8?b?DQpCY2M6IHZpY3RpbUBldmlsLmV4YW1wbGU=?=",
    "=?utf-8?q?a?= =?utf-8?q?b?=",
    "=?utf-8?q?", "?=", "=?x?y?z?=", "é =?utf-8?q?=0A?=",
    # line breaks of every kind
    "x\r\nBcc: victim@evil.example", "x\nBcc: victim@evil.example", "x\rBcc: victim@evil.example",
    "x\x85Bcc: victim@evil.example", "x\u2028Bcc: victim@evil.example", "x\u2029Bcc: v@evil.example",
    "x\x0bBcc: v\x0cCc: w\x1cTo: x\x1d\x1e\x1f", "x\r\n\r\n<html>new body", "\x00\x01\x7f\x80\x9f",
    "x\r\n.\r\nMAIL FROM:<v@evil.example>", "From here", ".", "--=", "a\tb",
    # markup
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)",
    "[x](javascript:alert(1))", "![x](https://evil.example/x.png)", "</p></div></blockquote><b><i>x</b></i>",
    "<style>*{background:url(https://evil.example/)}</style>", "<svg/onload=alert(1)>", "<!--", "]]>", "&lt;b&gt;&#0;&#13;&",
    "{{ my.email }} {% if %}", "{{! prompt }}", "\ue000\ue001\ue002\ue003",
    # long
    "x" * 998, "日本" * 500, "é" * 1000, "word " * 300, "-" * 2000, "x" * 77, "ä" * 76,
]  # fmt: skip

#: Something of everything, for properties.
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.sampled_from(LINES),
    st.builds(lambda a, b, c: a + b + c, st.text(max_size=20), st.sampled_from(LINES), st.text(max_size=20)),
    st.text(st.sampled_from("\r\n\x85\u2028\ud83d =?_<>,;:\"'()@\\é日"), max_size=40),
)

_HEADERS = {"from", "to", "subject", STAMP_HEADER.lower(), "mime-version", "content-type"}
_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOT_IN_PARTS = re.compile(r"\r\n|\r|\n")


def person(
    *, email: str = "ann@globex.example", first: str = "Ann", last: str = "", company: str = "Globex", value: str = "x"
) -> Person:
    """Return a person whose fields hold these."""
    return Person(email=email, first_name=first, last_name=last, company=company, custom={"v": value or "-"})


def letter_to(to: Person, kind: str = "md", *, folder: Path = Path()) -> tuple[Letter, Mail, bytes]:
    """Return what a person gets: letter, mail and bytes. Raises `BadInput` as the composing of intents does."""
    template, fields = TEMPLATES[kind], fields_of(to, REP)
    check_lengths(fields, template.fields, f"person {to.email}")
    made = render(template, fields, signature=REP.signature)
    step = Step(day=1, step=1, type=StepType.EMAIL, template=kind)
    letter = Letter(
        step=step, rep=REP, person=StoredPerson(person=to), subject=made.subject, text=made.text, html=made.html
    )
    mail = letter.mail(KEY, folder, {})
    return letter, mail, to_bytes(mail)


def one_line(text: str) -> str:
    """Return a text as a header shows it: control characters and runs of spaces are one space."""
    return " ".join(_BREAKS.sub(" ", whole(text)).split())


def whole(text: str) -> str:
    """Return a text with each half of a character shown as one that could not be read."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def lines(text: str) -> list[str]:
    """Return the lines of a body, however they end."""
    return _NOT_IN_PARTS.split(text.rstrip("\r\n"))


def letters_of(text: str) -> str:
    """Return what of a text is neither space nor control character."""
    return "".join(one for one in whole(text) if not one.isspace() and unicodedata.category(one) not in ("Cc", "Co"))


def judge_wire(raw: bytes) -> None:
    """Assert that the bytes are lawful lines of a mail, 7 bits each."""
    assert max(raw) < 0x80
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    head = raw.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", head)


def judge(mail: Mail, raw: bytes) -> EmailMessage:
    """Assert that the bytes say what the mail says, to its one recipient, and nothing else."""
    judge_wire(raw)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert {name.lower() for name in message} == _HEADERS
    assert len(message.keys()) == len(_HEADERS)
    assert [part.defects for part in message.walk()] == [[] for _ in message.walk()]
    assert str(message["Subject"]) == one_line(mail.subject)
    assert message[STAMP_HEADER] == mail.key
    for header, address in (("To", mail.to), ("From", mail.sender)):
        (found,) = message[header].addresses
        assert found.addr_spec == address.email
        assert shown_name(raw, header) == one_line(address.name)
        if len(one_line(address.name).encode()) < 40:  # one encoded word; Python parts several with a space
            assert found.display_name == one_line(address.name)
    plain, rich = message.get_body(("plain",)), message.get_body(("html",))
    assert lines(plain.get_content()) == lines(mail.text)
    assert lines(rich.get_content()) == lines(mail.html)
    return message


def shown_name(raw: bytes, header: str) -> str:
    """Return the display name in a header, its encoded words joined as RFC 2047 says."""
    name, _ = parseaddr(email.message_from_bytes(raw, policy=email.policy.compat32)[header])
    return str(make_header(decode_header(name)))
