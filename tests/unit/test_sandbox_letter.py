"""Mails of the sandbox survive being written and read again."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from adapters.sandbox.letter import Enclosure, Letter, bare_subject, head, open_letter, with_headers

#: A mail is slow to shrink; a failing example is told as it was found.
QUICK = (Phase.explicit, Phase.generate)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs", "Co", "Cn"]), max_size=200
).map(lambda text: " ".join(text.split()))
blocks = st.lists(words, min_size=1, max_size=5).map("\n".join)
address = st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.example", fullmatch=True)
message_id = st.from_regex(r"<[a-z0-9.+-]{1,120}@[a-z]{1,40}\.example>", fullmatch=True)
files = st.builds(
    Enclosure,
    name=st.from_regex(r"[a-z]{1,12}\.pdf", fullmatch=True),
    media_type=st.just("application/pdf"),
    content=st.binary(max_size=300),
)
letters = st.builds(
    Letter,
    sender=st.tuples(st.just("Ana Diaz"), address),
    to=st.lists(st.tuples(words.filter(lambda name: '"' not in name and "\\" not in name), address), max_size=3).map(
        tuple
    ),
    subject=words,
    html=blocks.map(lambda text: f"<p>{text}</p>"),
    text=blocks.filter(str.strip),
    enclosures=st.lists(files, max_size=2).map(tuple),
    message_id=message_id,
    in_reply_to=message_id,
    references=st.lists(message_id, max_size=12).map(tuple),
    headers=st.just((("X-Connector-Intent", "0123"),)),
)


@settings(max_examples=60, deadline=None, phases=QUICK)
@given(letters)
def test_a_letter_is_read_back_as_it_was_written(letter):
    back = open_letter(letter.raw(NOON))
    assert back.text.strip() == letter.text.strip()
    for part in ("sender", "to", "subject", "html", "enclosures", "message_id", "in_reply_to", "references", "headers"):
        assert getattr(back, part) == getattr(letter, part), part


@settings(max_examples=60, deadline=None, phases=QUICK)
@given(letters)
def test_the_raw_mail_has_no_broken_line(letter):
    raw = letter.raw(NOON)
    assert not message_from_bytes(raw, policy=policy.default).defects
    lines = raw.split(b"\r\n")
    assert max(len(line) for line in lines) <= 998
    assert not any(b"\n" in line or b"\r" in line for line in lines)


@settings(max_examples=30, deadline=None, phases=QUICK)
@given(letters, message_id)
def test_setting_one_header_leaves_the_rest(letter, another):
    raw = letter.raw(NOON)
    before, after = head(raw), head(with_headers(raw, message_id=another))
    assert after.message_id == another
    assert (after.subject, after.to, after.references, after.stamp) == (
        before.subject,
        before.to,
        before.references,
        "0123",
    )


@pytest.mark.parametrize("subject", ["Plan", "Re: Plan", "RE: re:  plan", "Fwd: Plan", "AW: WG: Plan "])
def test_subjects_are_compared_without_their_prefixes(subject):
    assert bare_subject(subject) == "plan"
