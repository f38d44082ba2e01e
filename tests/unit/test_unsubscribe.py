"""A token stands for one person, says nothing of them, and cannot be made by anybody else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import BadInput
from connector.unsubscribe import VAULT_NAME, Tokens, Unsubscribe
from tests.doubles import MemoryVault

ANN = "ann@globex.example"
TOKENS = Tokens(bytes(range(64)))
TOKEN = TOKENS.token_of(ANN)


def unsubscribe(address: str = "https://go.acme.example/u/{token}", text: str = "Unsubscribe") -> Unsubscribe:
    return Unsubscribe(address=address, text=text, tokens=TOKENS)


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"[a-z0-9.'+_-]{1,60}@[a-z0-9]{1,60}(\.[a-z0-9]{1,60}){1,2}", fullmatch=True))
def test_a_token_reads_back_as_its_person_and_shows_nothing_of_them(email):
    email = email.replace("..", ".")
    token = TOKENS.token_of(email)
    assert TOKENS.read_token(token) == email
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()
    assert email.encode() not in base64.urlsafe_b64decode(token + "===")


def test_a_person_has_one_token_however_their_address_is_written():
    assert TOKENS.token_of("Ann@Globex.Example") == TOKEN
    assert TOKENS.token_of("bob@globex.example") != TOKEN


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        ANN,
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN + "\n",
        TOKEN.swapcase(),
        TOKEN[1:] + TOKEN[0],
        Tokens(bytes(64)).token_of(ANN),
        TOKENS.token_of("no address"),
        "A" * 10_000_000,
        "é" * 40,
    ],
    ids=lambda token: ascii(token)[:30],
)
def test_what_we_did_not_make_is_refused(token):
    with pytest.raises(BadInput, match="use the whole link from the mail"):
        TOKENS.read_token(token)


def test_each_character_of_a_token_counts():
    for at, character in enumerate(TOKEN):
        for other in {"A", "B", "_", "9"} - {character}:
            with pytest.raises(BadInput):
                TOKENS.read_token(TOKEN[:at] + other + TOKEN[at + 1 :])


def test_the_key_is_made_once_and_kept_in_the_vault():
    vault = MemoryVault()
    token = Tokens.kept_in(vault).token_of(ANN)
    assert Tokens.kept_in(vault).read_token(token) == ANN
    assert len(base64.b64decode(vault.read(VAULT_NAME) or "")) == 64
    with pytest.raises(BadInput):
        Tokens.kept_in(MemoryVault()).read_token(token)
    assert vault.read(VAULT_NAME) not in repr(unsubscribe())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://go.acme.example/u/{token}", f"https://go.acme.example/u/{TOKEN}"),
        ("https://acme.example/no?who={email}&x=1", "https://acme.example/no?who=a%2Bb%26c%40globex.example&x=1"),
    ],
)
def test_the_address_holds_the_token_or_the_address_of_the_person(address, expected):
    email = ANN if "{token}" in address else "a+b&c@globex.example"
    assert unsubscribe(address).address_of(email) == expected


@pytest.mark.parametrize(
    ("text", "before", "words", "after"),
    [
        ("Unsubscribe", "", "Unsubscribe", ""),
        ("Not for <you>? [Say & no]!", "Not for &lt;you&gt;? ", "Say &amp; no", "!"),
        ("Half [open", "", "Half [open", ""),
    ],
)
def test_the_words_in_brackets_are_the_link(text, before, words, after):
    made = unsubscribe("https://acme.example/no?x=1&who={email}", text).html_of(ANN)
    assert made == f'{before}<a href="https://acme.example/no?x=1&amp;who=ann%40globex.example">{words}</a>{after}'
