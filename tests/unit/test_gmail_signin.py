"""Single answers of Google's token service, and what each comes to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import requests
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.gmail.account import COMPOSE_SCOPE, SCOPES, GoogleAccount
from adapters.gmail.authorize import sign_out
from adapters.gmail.oauth import TokenService, refused_key, refused_person, trade_code
from adapters.gmail.signin import open_grant
from connector.errors import AdapterError, BadInput, Reconnect, Retry
from tests.doubles import MemoryVault

ANA = "ana@acme.example"
TOKEN_URL, REVOKE_URL = "https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/revoke"
GIVEN = {"access_token": "ya29.secret", "expires_in": 3599, "token_type": "Bearer"}


class StillClock:
    def now(self):
        return datetime(2026, 11, 23, 9, tzinfo=UTC)

    def sleep(self, seconds):
        pytest.fail(f"nothing here should have to wait {seconds} s")


@pytest.fixture(scope="module")
def private_key():
    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@pytest.fixture
def make(tmp_path, private_key):
    """Return an account of a kind, with the file it needs."""

    def one(auth="oauth", **change):
        key = {"type": "service_account", "client_email": "a@b.example", "client_id": "42", "private_key": private_key}
        client = {"installed": {"client_id": "id", "client_secret": "s3cret"}}
        name, content = ("key_file", key) if auth == "service_account" else ("client_file", client)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content | change.pop("content", {})))
        return GoogleAccount.model_validate({"auth": auth, name: str(path), **change})

    return one


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def grant(account, vault=None):
    vault = vault if vault is not None else MemoryVault(**{f"google:{ANA}": "1//refresh"})
    return open_grant(account, ANA, clock=StillClock(), vault=vault)


BOTH = pytest.mark.parametrize("auth", ["oauth", "service_account"])

PASSING = [
    {"status": 500},
    {"status": 503, "headers": {"Retry-After": "7"}},
    {"status": 429, "json": {"error": "rate_limited"}},
    {"body": requests.ConnectionError("broken")},
    {"body": requests.ReadTimeout("late")},
]


@BOTH
@pytest.mark.parametrize("answer", PASSING)
def test_passing_trouble_is_told_at_once_and_nothing_is_repeated_here(make, wire, auth, answer):
    wire.add("POST", TOKEN_URL, **answer)
    with pytest.raises(Retry) as told:
        grant(make(auth)).token()
    assert ANA in told.value.sentence
    assert told.value.after == (timedelta(seconds=7) if "headers" in answer else None)
    assert len(wire.calls) == 1


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "body": "<html>"},
        {"status": 200, "json": []},
        {"status": 200, "json": {"token_type": "Bearer"}},
        {"status": 302, "headers": {"Location": "https://evil.example/"}},
        {"status": 400, "body": "<html>"},
        {"status": 400, "body": b"\xff\xfe"},
        {"status": 400, "json": {"error": {"code": 400}, "error_description": []}},
        {"status": 400, "json": {"error": "invalid_grant"}},
        {"status": 400, "json": {"error": "invalid_grant", "error_subtype": "invalid_rapt"}},
        {"status": 403, "json": {"error": "access_denied"}},
    ],
)
def test_an_answer_without_a_token_stops_that_rep_alone(make, wire, auth, answer):
    wire.add("POST", TOKEN_URL, **answer)
    with pytest.raises(Reconnect) as told:
        grant(make(auth)).token()
    assert told.value.account == f"gmail:{ANA}"
    assert len(wire.calls) == 1


@BOTH
def test_an_address_that_is_none_needs_a_person(make, auth):
    with pytest.raises(Reconnect, match="token_url"):
        grant(make(auth, token_url="https://[::1]x/token")).token()


@pytest.mark.parametrize("expires_in", [3599, "3599", None, "soon", -5, 10**400])
def test_a_token_is_good_however_its_life_is_written(make, wire, expires_in):
    wire.add("POST", TOKEN_URL, json=GIVEN | {"expires_in": expires_in} if expires_in is not None else GIVEN)
    wire.add("POST", TOKEN_URL, json=GIVEN)
    assert grant(make()).token() == "ya29.secret"


@BOTH
def test_scopes_that_the_answer_does_not_name_are_those_asked_for(make, wire, auth):
    wire.add("POST", TOKEN_URL, json=GIVEN)
    assert grant(make(auth)).scopes() == frozenset(SCOPES)


def test_scopes_that_the_answer_names_count(make, wire):
    wire.add("POST", TOKEN_URL, json=GIVEN | {"scope": f"openid {COMPOSE_SCOPE}"})
    assert grant(make()).scopes() == {"openid", COMPOSE_SCOPE}


@pytest.mark.parametrize(
    ("addresses", "asked"),
    [
        ({}, True),
        ({"endpoint": "https://gmail.acme.example", "token_url": TOKEN_URL}, True),
        ({"endpoint": "https://gmail.acme.example"}, False),
    ],
)
def test_google_sees_a_ready_token_only_where_it_is_googles(monkeypatch, wire, addresses, asked):
    monkeypatch.setenv("GMAIL_TOKEN", "ya29.secret")
    wire.add("POST", "https://oauth2.googleapis.com/tokeninfo", json={"scope": COMPOSE_SCOPE})
    account = GoogleAccount.model_validate({"auth": "access_token", "token": "${env:GMAIL_TOKEN}", **addresses})
    assert grant(account).scopes() == ({COMPOSE_SCOPE} if asked else None)
    # In the body: an address ends up in the logs of whatever lies between.
    assert [(call.request.url, call.request.body) for call in wire.calls] == (
        [("https://oauth2.googleapis.com/tokeninfo", "access_token=ya29.secret")] if asked else []
    )


@pytest.mark.parametrize("answer", [*PASSING, {"status": 400, "json": {"error": "invalid_token"}}, {"body": "<html>"}])
def test_when_google_does_not_say_what_a_token_may_do_nobody_claims_to_know(monkeypatch, wire, answer):
    monkeypatch.setenv("GMAIL_TOKEN", "ya29.secret")
    wire.add("POST", "https://oauth2.googleapis.com/tokeninfo", **answer)
    account = GoogleAccount.model_validate({"auth": "access_token", "token": "${env:GMAIL_TOKEN}"})
    assert grant(account).scopes() is None


def test_a_key_that_was_changed_in_its_file_is_read_anew(make, wire, private_key):
    wire.add("POST", TOKEN_URL, json=GIVEN)
    account = make("service_account", content={"private_key": "hunter2"})
    with pytest.raises(Reconnect, match="the private_key in key_file") as told:
        grant(account).token()
    assert "hunter2" not in f"{told.value!r} {told.value.__cause__!r} {told.value.__cause__.__cause__!r}"
    make("service_account")
    assert grant(account).token() == "ya29.secret"


@pytest.mark.parametrize(("auth", "code"), [("service_account", "key_file"), ("oauth", "client_file")])
def test_a_file_that_went_stops_the_rep_with_its_name(make, auth, code):
    account = make(auth)
    getattr(account, code).unlink()
    with pytest.raises(Reconnect, match=f"{code}.*cannot be read") as told:
        grant(account).token()
    assert (told.value.code, told.value.account) == (code, f"gmail:{ANA}")


@pytest.mark.parametrize(
    ("code", "description", "told"),
    [
        ("unauthorized_client", "Client is unauthorized", "allow its client id 42 the scopes gmail.x,gmail.y"),
        ("access_denied", "Requested client not authorized.", "allow its client id 42"),
        ("invalid_grant", "Invalid email or User ID", "there is no such user in Google Workspace"),
        ("invalid_grant", "Invalid grant: account not found", "the service account is not there any more"),
        ("invalid_grant", "Invalid JWT Signature.", "make a new key and set key_file"),
        ("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)", "clock of this machine"),
        ("invalid_grant", "Invalid JWT: Failed audience check.", "check token_url"),
        ("refused", "", "check key_file"),
    ],
)
def test_a_refused_key_says_what_to_do(code, description, told):
    refused = refused_key(code, description, mailbox=ANA, client_id="42", scopes=("gmail.x", "gmail.y"))
    assert told in refused.sentence
    assert ("Manage domain-wide delegation" in refused.advice) == (code in ("unauthorized_client", "access_denied"))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("invalid_grant", "has ended"),
        ("unauthorized_client", "another client than that of client_file"),
        ("invalid_client", "download its JSON anew"),
        ("deleted_client", "make a new one"),
        ("disabled_client", "switch it on"),
        ("admin_policy_enforced", "Admin console"),
        ("<b>odd</b>", "Google answered boddb"),
    ],
)
def test_a_sign_in_that_gives_no_token_names_the_next_command(code, told):
    refused = refused_person(code, mailbox=ANA)
    assert told in refused.sentence
    assert refused.sentence.endswith(f"run 'connector auth google --rep {ANA}'")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": 400, "json": {"error": "invalid_grant"}}, "came too late"),
        ({"status": 401, "json": {"error": "invalid_client"}}, "download its JSON anew"),
        ({"status": 400, "json": {"error": "redirect_uri_mismatch"}}, "'Desktop app'"),
        ({"status": 400, "body": "<html>"}, "Google answered 400"),
        ({"status": 200, "json": GIVEN}, "Google gave no refresh token"),
        ({"status": 200, "json": {"refresh_token": "1//secret"}}, "failed"),
    ],
)
def test_a_code_that_gives_no_tokens_says_why(make, wire, answer, told):
    wire.add("POST", TOKEN_URL, **answer)
    with pytest.raises(Reconnect, match=told) as refused:
        trade_code(make(), TokenService(ANA), code="4/0A", verifier="v", redirect_uri="http://localhost:1/", rep=ANA)
    assert [secret for secret in ("ya29.", "1//secret", "s3cret") if secret in str(refused.value)] == []
    assert f"run 'connector auth google --rep {ANA}' again" in refused.value.sentence


def test_what_a_code_gave_never_shows(make, wire):
    wire.add("POST", TOKEN_URL, json=GIVEN | {"refresh_token": "1//secret", "scope": COMPOSE_SCOPE})
    granted = trade_code(
        make(), TokenService(ANA), code="4/0A", verifier="v", redirect_uri="http://localhost:1/", rep=ANA
    )
    assert (granted.token, granted.refresh_token, granted.scopes) == ("ya29.secret", "1//secret", {COMPOSE_SCOPE})
    assert "secret" not in repr(granted)


# ---------------------------------------------------------------------------------------------- the vault


class Sealed(MemoryVault):
    """A vault whose key is another one."""

    def read(self, name):
        raise BadInput("sealed with another key")


def test_a_secret_that_cannot_be_read_is_forgotten_when_the_sign_in_is_revoked(make):
    vault = Sealed(**{f"google:{ANA}": "sealed"})
    assert "remove the app at myaccount.google.com/connections too" in sign_out(make(), rep=ANA, vault=vault)
    assert vault.secrets == {}


@pytest.mark.parametrize("answer", PASSING)
def test_nothing_is_forgotten_when_revoking_failed(make, wire, answer):
    wire.add("POST", REVOKE_URL, **answer)
    vault = MemoryVault(**{f"google:{ANA}": "1//refresh"})
    with pytest.raises(Retry):
        sign_out(make(), rep=ANA, vault=vault)
    assert vault.secrets


def test_a_failed_renewal_leaves_the_refresh_token_where_it_is(make, wire):
    wire.add("POST", TOKEN_URL, status=500)
    vault = MemoryVault(**{f"google:{ANA}": "1//refresh"})
    with pytest.raises(AdapterError):
        grant(make(), vault).token()
    assert vault.secrets == {f"google:{ANA}": "1//refresh"}


@pytest.mark.parametrize(
    ("auth", "change", "told"),
    [
        ("oauth", {}, f"run 'connector auth google --rep {ANA}'"),
        ("service_account", {}, "have an administrator look at the service account of key_file"),
        ("access_token", {"token": "${env:GMAIL_TOKEN}"}, f"put a new token of {ANA} under accounts.google"),
    ],
)
def test_each_way_to_sign_in_says_how_the_mailbox_is_signed_in_anew(make, monkeypatch, auth, change, told):
    monkeypatch.setenv("GMAIL_TOKEN", "ya29.secret")
    grant = open_grant(make(auth, **change), ANA, clock=StillClock(), vault=MemoryVault())
    assert grant.renewal.startswith(told)
