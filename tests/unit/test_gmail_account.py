"""The `accounts.google` section: what is taken, what is refused, and what never shows."""

from __future__ import annotations

import json

import pytest
from google.auth.exceptions import RefreshError, TransportError
from pydantic import ValidationError

from adapters.gmail import adapter
from adapters.gmail.account import SCOPES, GoogleAccount, open_grant, token_refused
from connector.errors import BadInput, Reconnect, Retry
from connector.ports import MailIdentity
from tests.doubles import MemoryVault

REP = MailIdentity(email="ana@acme.example", name="Ana")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"auth": "oauth", "client_file": "client.json"}, "comes with a later release"),
        ({"auth": "service_account"}, "needs key_file"),
        ({"auth": "access_token"}, "needs token"),
        ({"auth": "access_token", "token": "ya29.literal"}, r"\$\{env:NAME\}"),
        ({"auth": "access_token", "tokens": {"ana@acme.example": "ya29.literal"}}, r"\$\{env:NAME\}"),
        ({"auth": "password"}, "service_account"),
        ({"auth": "access_token", "token": "${env:T}", "endpoint": "http://gmail.example"}, "loopback only"),
        ({"auth": "access_token", "token": "${env:T}", "tokens_url": "https://x.example"}, "tokens_url"),
    ],
)
def test_a_section_that_cannot_work_is_refused_with_a_sentence(section, sentence):
    with pytest.raises(ValidationError, match=sentence):
        GoogleAccount.model_validate(section)


def account(**section: object) -> GoogleAccount:
    return GoogleAccount.model_validate({"auth": "access_token", **section})


def test_each_rep_has_their_own_token_before_the_common_one(monkeypatch):
    monkeypatch.setenv("COMMON", "common-token")
    monkeypatch.setenv("ANAS", "anas-token")
    both = account(token="${env:COMMON}", tokens={"Ana@Acme.example": "${env:ANAS}"})
    assert open_grant(both, "ana@acme.example").token() == "anas-token"
    assert open_grant(both, "bo@acme.example").token() == "common-token"
    assert "anas-token" not in repr(both)


def test_a_rep_without_a_token_is_named(monkeypatch):
    monkeypatch.setenv("ANAS", "anas-token")
    with pytest.raises(BadInput, match=r"no token for bo@acme\.example"):
        open_grant(account(tokens={"ana@acme.example": "${env:ANAS}"}), "bo@acme.example")


def test_an_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("ANAS", raising=False)
    with pytest.raises(BadInput, match="ANAS is not set"):
        open_grant(account(token="${env:ANAS}"), "ana@acme.example")


@pytest.mark.parametrize("token", ["ab cd", "abc\ndef", "abcdéf"])
def test_a_token_that_is_none_is_refused_and_never_quoted(monkeypatch, token):
    monkeypatch.setenv("ANAS", token)
    with pytest.raises(BadInput, match="ANAS") as raised:
        open_grant(account(token="${env:ANAS}"), "ana@acme.example")
    assert token not in str(raised.value)


def test_a_line_break_after_a_token_does_no_harm(monkeypatch):
    monkeypatch.setenv("ANAS", "anas-token\n")
    assert open_grant(account(token="${env:ANAS}"), "ana@acme.example").token() == "anas-token"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("not json", "not the JSON key"),
        ("[]", "not the JSON key"),
        (json.dumps({"type": "authorized_user"}), "not the JSON key"),
        (json.dumps({"client_email": "a@b", "token_uri": "https://x", "private_key": "hunter2"}), "not the JSON key"),
    ],
)
def test_a_key_file_that_is_none_is_named_and_never_quoted(tmp_path, content, sentence):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    section = GoogleAccount.model_validate({"auth": "service_account", "key_file": str(path)})
    with pytest.raises(BadInput, match=sentence) as raised:
        open_grant(section, "ana@acme.example")
    assert "key.json" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_gmail_rep_without_the_section_is_told_what_to_add():
    with pytest.raises(BadInput, match=r"accounts\.google"):
        adapter.open_mailbox(None, REP, sole=True, clock=None, vault=MemoryVault())


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (TransportError("no line"), Retry, "did not answer"),
        (RefreshError("x", {"error": "server_error"}, retryable=True), Retry, "did not answer"),
        (RefreshError("x", {"error": "invalid_grant"}), Reconnect, "act for it"),
        (RefreshError("x", {"error": "unauthorized_client"}), Reconnect, SCOPES[1]),
        (RefreshError("<html>"), Reconnect, "key_file"),
    ],
)
def test_a_failed_token_call_says_whether_waiting_helps(error, kind, word):
    refused = token_refused(error, "ana@acme.example")
    assert isinstance(refused, kind)
    assert word in str(refused)
    if isinstance(refused, Reconnect):
        assert refused.account == "gmail:ana@acme.example"
