"""A compose address holds recipient, subject and as much of the text as fits, and says what it left out."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.content.links import ComposeLink, compose_link

KEYS = {"gmail": ("su", "body"), "outlook": ("subject", "body")}


def link(client: str, **changes) -> ComposeLink:
    values = {"rep_email": "ana+x@acme.example", "to": "bob@globex.example", "subject": "Hi & bye", "text": "One\ntwo"}
    return compose_link(client, **{**values, **changes})


def read(client: str, made: ComposeLink) -> dict[str, str]:
    query = parse_qs(urlsplit(made.address).query, keep_blank_values=True, strict_parsing=True)
    subject, body = KEYS[client]
    return {"to": query["to"][0], "subject": query[subject][0], "text": query[body][0], "all": query}


def test_gmail_opens_the_account_of_the_rep():
    made = link("gmail")
    assert made.address == (
        "https://mail.google.com/mail/?authuser=ana%2Bx@acme.example&view=cm&fs=1&tf=cm&to=bob@globex.example"
        "&su=Hi%20%26%20bye&body=One%0D%0Atwo"
    )
    assert made.left_out == ""


def test_outlook_has_its_own_keys():
    assert link("outlook").address == (
        "https://outlook.office.com/mail/deeplink/compose?to=bob@globex.example&subject=Hi%20%26%20bye&body=One%0D%0Atwo"
    )


@pytest.mark.parametrize("client", KEYS)
def test_a_long_text_is_cut_between_words_and_the_rest_is_told(client):
    words = [f"word{n}" for n in range(600)]
    made = link(client, text=" ".join(words))
    shown = read(client, made)["text"].split()
    assert 1900 < len(made.address) <= 2000
    assert shown + made.left_out.split() == words


def test_a_word_longer_than_the_room_is_cut_all_the_same():
    made = link("gmail", text="x" * 5000)
    assert len(made.address) == 2000
    assert read("gmail", made)["text"] + made.left_out == "x" * 5000


def test_a_limit_too_small_for_the_recipient_is_an_error():
    with pytest.raises(ValueError, match="do not hold"):
        link("gmail", limit=50)


text = st.text(st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=400)


@settings(max_examples=150, deadline=None)
@given(
    client=st.sampled_from(["gmail", "outlook"]),
    subject=text.map(lambda value: value.replace("\n", " ")),
    body=text,
    limit=st.integers(200, 2500),
)
def test_parsing_the_address_back_gives_the_beginning_of_what_went_in(client, subject, body, limit):
    made = link(client, subject=subject, text=body, limit=limit)
    back = read(client, made)
    assert len(made.address) <= limit
    assert back["to"] == "bob@globex.example"
    assert subject.startswith(back["subject"])
    assert body.strip().replace("\n", "\r\n").startswith(back["text"])
    lost = len("".join(made.left_out.split()))
    assert lost == len("".join((subject + body).split())) - len("".join((back["subject"] + back["text"]).split()))
