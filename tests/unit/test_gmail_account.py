"""The `accounts.google` section: what is taken, what is refused, the files it names, and what never shows."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from adapters.gmail import adapter
from adapters.gmail.account import (
    COMPOSE_SCOPE,
    READ_SCOPE,
    SCOPES,
    GoogleAccount,
    missing_scopes,
    read_client,
    read_service_key,
    short_name,
)
from adapters.gmail.signin import open_grant
from connector.errors import BadInput
from connector.ports import MailIdentity
from tests.doubles import MemoryVault

REP = MailIdentity(email="ana@acme.example", name="Ana")
GMAIL = "https://www.googleapis.com/auth/gmail."


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"auth": "oauth"}, "needs client_file"),
        ({"auth": "service_account"}, "needs key_file"),
        ({"auth": "access_token"}, "needs token"),
        ({"auth": "access_token", "token": "ya29.literal"}, r"\$\{env:NAME\}"),
        ({"auth": "access_token", "tokens": {"ana@acme.example": "ya29.literal"}}, r"\$\{env:NAME\}"),
        ({"auth": "password"}, "service_account"),
        ({"auth": "oauth", "client_file": "client.json", "read_mail": "some"}, "read_mail"),
        ({"auth": "access_token", "token": "${env:T}", "endpoint": "http://gmail.example"}, "loopback only"),
        ({"auth": "access_token", "token": "${env:T}", "token_url": "http://gmail.example"}, "loopback only"),
        ({"auth": "access_token", "token": "${env:T}", "tokens_url": "https://x.example"}, "tokens_url"),
    ],
)
def test_a_section_that_cannot_work_is_refused_with_a_sentence(section, sentence):
    with pytest.raises(ValidationError, match=sentence):
        GoogleAccount.model_validate(section)


def account(**section: object) -> GoogleAccount:
    return GoogleAccount.model_validate({"auth": "access_token", **section})


def opened(section: GoogleAccount, email: str = REP.email):
    return open_grant(section, email, clock=None, vault=MemoryVault())


# ------------------------------------------------------------------------------------------ ready tokens


def test_each_rep_has_their_own_token_before_the_common_one(monkeypatch):
    monkeypatch.setenv("COMMON", "common-token")
    monkeypatch.setenv("ANAS", "anas-token")
    both = account(token="${env:COMMON}", tokens={"Ana@Acme.example": "${env:ANAS}"})
    assert opened(both).token() == "anas-token"
    assert opened(both, "bo@acme.example").token() == "common-token"
    assert "anas-token" not in repr(both)


def test_a_rep_without_a_token_is_named(monkeypatch):
    monkeypatch.setenv("ANAS", "anas-token")
    with pytest.raises(BadInput, match=r"no token for bo@acme\.example"):
        opened(account(tokens={"ana@acme.example": "${env:ANAS}"}), "bo@acme.example")


def test_an_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("ANAS", raising=False)
    with pytest.raises(BadInput, match="ANAS is not set"):
        opened(account(token="${env:ANAS}"))


@pytest.mark.parametrize("token", ["ab cd", "abc\ndef", "abcdéf"])
def test_a_token_that_is_none_is_refused_and_never_quoted(monkeypatch, token):
    monkeypatch.setenv("ANAS", token)
    with pytest.raises(BadInput, match="ANAS") as raised:
        opened(account(token="${env:ANAS}"))
    assert token not in str(raised.value)


def test_a_line_break_after_a_token_does_no_harm(monkeypatch):
    monkeypatch.setenv("ANAS", "anas-token\n")
    assert opened(account(token="${env:ANAS}")).token() == "anas-token"


def test_a_gmail_rep_without_the_section_is_told_what_to_add():
    with pytest.raises(BadInput, match=r"accounts\.google"):
        adapter.open_mailbox(None, REP, clock=None, vault=MemoryVault())


# ------------------------------------------------------------------------------------------------ files

KEY = {"type": "service_account", "client_email": "a@b.example", "private_key": "hunter2"}
CLIENT = {"client_id": "id.apps.googleusercontent.com", "client_secret": "hunter2"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read (no such file or directory): put it there, or correct its name"),
        ("not json", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("[]", "is not the JSON key of a service account"),
        (json.dumps({"type": "authorized_user"}), "is not the JSON key"),
        (json.dumps(KEY | {"private_key": ""}), "is not the JSON key"),
        (json.dumps(KEY | {"client_email": 1}), "is not the JSON key"),
        (json.dumps(KEY | {"type": "authorized_user"}), "is not the JSON key"),
        (json.dumps({"installed": CLIENT}), "is not the JSON key"),
    ],
)
def test_a_key_file_that_is_none_is_named_and_never_quoted(tmp_path, content, sentence):
    refused(tmp_path, content, sentence, read_service_key, auth="service_account", key="key_file")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read (no such file or directory): put it there, or correct its name"),
        ("hunter2", "is not JSON"),
        (json.dumps(KEY), "is the JSON of no OAuth client"),
        (json.dumps({"web": CLIENT}), "is the JSON of a web application"),
        (json.dumps({"installed": []}), "is the JSON of no OAuth client"),
        (json.dumps({"installed": {**CLIENT, "client_secret": ""}}), "make a client of the type 'Desktop app'"),
        (json.dumps({"installed": {**CLIENT, "auth_uri": "http://evil.example"}}), "is not an https address"),
        (json.dumps({"installed": {**CLIENT, "auth_uri": "file://localhost/etc/x"}}), "is not an https address"),
    ],
)
def test_a_client_file_that_is_none_is_named_and_never_quoted(tmp_path, content, sentence):
    refused(tmp_path, content, sentence, read_client, auth="oauth", key="client_file")


def refused(folder, content, sentence, read, *, auth, key):
    """Assert that a file is refused when it is used, and warned of when the section is only looked at."""
    path = folder / "file.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput) as raised:
        read(path)
    told = str(raised.value)
    assert sentence in told
    assert f"{key} '{path}'" in told
    # That a file is not there is told for every account alike.
    warned = GoogleAccount.model_validate({"auth": auth, key: str(path)}).warnings
    assert warned == ((told,) if content is not None else ())
    assert "hunter2" not in f"{raised.value!r} {raised.value.__cause__!r}"


def test_files_that_are_in_order_need_no_warning(tmp_path):
    for auth, key, content in (("service_account", "key_file", KEY), ("oauth", "client_file", {"installed": CLIENT})):
        path = tmp_path / f"{key}.json"
        path.write_text(json.dumps(content))
        assert GoogleAccount.model_validate({"auth": auth, key: str(path)}).warnings == ()
    assert "hunter2" not in repr(read_client(tmp_path / "client_file.json"))


def test_a_file_is_read_when_a_token_is_needed_and_not_before(tmp_path):
    for auth, key in (("service_account", "key_file"), ("oauth", "client_file")):
        section = GoogleAccount.model_validate({"auth": auth, key: str(tmp_path / "missing.json")})
        adapter.open_mailbox(section, REP, clock=None, vault=MemoryVault()).close()


# ----------------------------------------------------------------------------------------------- scopes


def test_no_more_is_asked_for_than_what_is_switched_on_needs():
    assert account(token="${env:T}").scopes == SCOPES == (READ_SCOPE, COMPOSE_SCOPE)
    assert account(token="${env:T}", read_mail=False).scopes == (COMPOSE_SCOPE,)


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ([], ["readonly", "compose"]),
        ([f"{GMAIL}readonly"], ["compose"]),
        ([f"{GMAIL}compose"], ["readonly"]),
        ([f"{GMAIL}compose", f"{GMAIL}readonly", "openid"], []),
        ([f"{GMAIL}modify"], []),
        (["https://mail.google.com/"], []),
        ([f"{GMAIL}send", f"{GMAIL}metadata"], ["readonly", "compose"]),
    ],
)
def test_a_wider_scope_holds_the_rights_of_a_narrower_one(granted, missing):
    assert list(missing_scopes(SCOPES, granted)) == [GMAIL + name for name in missing]


def test_scopes_are_called_as_people_call_them():
    assert [short_name(scope) for scope in (READ_SCOPE, "https://mail.google.com/")] == [
        "gmail.readonly",
        "https://mail.google.com/",
    ]


@pytest.mark.parametrize(
    ("token_url", "name", "address"),
    [
        (None, "", "https://oauth2.googleapis.com/token"),
        (None, "revoke", "https://oauth2.googleapis.com/revoke"),
        ("http://127.0.0.1:8025/google/token", "", "http://127.0.0.1:8025/google/token"),
        ("http://127.0.0.1:8025/google/token/", "tokeninfo", "http://127.0.0.1:8025/google/tokeninfo"),
    ],
)
def test_the_token_service_has_its_neighbours_at_the_same_place(token_url, name, address):
    assert account(token="${env:T}", token_url=token_url).token_address(name) == address
