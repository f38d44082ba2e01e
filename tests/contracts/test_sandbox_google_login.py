"""Signing in to the simulated Google: consent, codes with PKCE, refresh, delegation, revoking, and their refusals."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import google.auth.exceptions
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.transport.requests import Request
from google.oauth2 import credentials, service_account

ANA, CYN = "ana@acme.example", "cyn@acme.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
READ, COMPOSE = (f"https://www.googleapis.com/auth/gmail.{name}" for name in ("readonly", "compose"))
REDIRECT = "http://localhost:1717/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ROBOT = "robot@project.iam.gserviceaccount.com"


@pytest.fixture
def sandbox(front):
    fresh = front.fresh(NOON)
    fresh.world.add_mailbox("gmail", ANA, "Ana Diaz")
    fresh.world.add_mailbox("gmail", CYN, "Cyn")
    fresh.gmail.login.register_client("client", "secret")
    fresh.gmail.login.register_client("rotating", "secret", rotate=True)
    return fresh


def visit(sandbox, **change):
    """Open the consent page and return where it sends the browser, as words; or the answer when it sends nowhere."""
    asked = {
        "response_type": "code", "client_id": "client", "redirect_uri": REDIRECT, "scope": f"{READ} {COMPOSE}",
        "state": "st&te", "code_challenge": CHALLENGE, "code_challenge_method": "S256", "access_type": "offline",
        "login_hint": ANA, **change,
    }  # fmt: skip
    answer = requests.get(f"{sandbox.url}/google/auth", params=asked, allow_redirects=False, timeout=10)
    if answer.status_code != 302:
        return answer.json()
    assert answer.headers["Location"].startswith(f"{asked['redirect_uri']}?")
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def token(sandbox, **form):
    form = {"client_id": "client", "client_secret": "secret", **form}
    return requests.post(f"{sandbox.url}/google/token", data=form, timeout=10)


def trade(sandbox, given_code, **change):
    form = {"grant_type": "authorization_code", "code": given_code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    return token(sandbox, **{**form, **change})


def refresh(sandbox, refresh_token, **change):
    return token(sandbox, **{"grant_type": "refresh_token", "refresh_token": refresh_token, **change})


def profile(sandbox, access_token):
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(f"{sandbox.url}/gmail/v1/users/me/profile", headers=headers, timeout=10)


def test_a_person_consents_and_the_code_opens_their_mailbox(sandbox):
    back = visit(sandbox)
    assert back["state"] == "st&te"
    given = trade(sandbox, back["code"]).json()
    assert set(given["scope"].split()) == {READ, COMPOSE}
    assert profile(sandbox, given["access_token"]).json()["emailAddress"] == ANA
    assert refresh(sandbox, given["refresh_token"]).status_code == 200
    assert trade(sandbox, back["code"]).json()["error"] == "invalid_grant"  # a code is good for one use


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": "http://localhost:1718/callback"}, "redirect_uri_mismatch"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "rotating"}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"code": "4/0Awrong"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_traded_only_by_who_asked_for_it(sandbox, change, error):
    assert trade(sandbox, visit(sandbox)["code"], **change).json()["error"] == error


def test_a_code_is_good_for_ten_minutes(sandbox):
    code = visit(sandbox)["code"]
    sandbox.clock.sleep(600)
    assert trade(sandbox, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "nobody"}, "invalid_client"),
        ({"redirect_uri": "https://evil.example/callback"}, "redirect_uri_mismatch"),
        ({"response_type": "token"}, "invalid_request"),
        ({"scope": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"login_hint": "nobody@acme.example"}, "access_denied"),
    ],
)
def test_the_consent_page_refuses(sandbox, change, error):
    assert visit(sandbox, **change)["error"] == error


def test_without_offline_access_there_is_no_refresh_token(sandbox):
    assert "refresh_token" not in trade(sandbox, visit(sandbox, access_type="online")["code"]).json()


def test_the_person_at_the_browser_decides(sandbox):
    sandbox.act("gmail_consents", denies=True)
    assert visit(sandbox)["error"] == "access_denied"
    sandbox.act("gmail_consents", account=CYN, grants_only=[COMPOSE])
    given = trade(sandbox, visit(sandbox)["code"]).json()
    assert given["scope"] == COMPOSE
    assert profile(sandbox, given["access_token"]).json()["emailAddress"] == CYN


def test_a_token_lives_an_hour_and_says_what_it_may(sandbox):
    given = trade(sandbox, visit(sandbox)["code"]).json()
    told = requests.post(
        f"{sandbox.url}/google/tokeninfo", data={"access_token": given["access_token"]}, timeout=10
    ).json()
    assert set(told["scope"].split()) == {READ, COMPOSE}
    sandbox.clock.sleep(3600)
    assert profile(sandbox, given["access_token"]).status_code == 401
    gone = requests.get(f"{sandbox.url}/google/tokeninfo?access_token={given['access_token']}", timeout=10)
    assert (gone.status_code, gone.json()["error"]) == (400, "invalid_token")


def test_a_rotated_refresh_token_ends_the_one_before(sandbox):
    code = visit(sandbox, client_id="rotating")["code"]
    first = trade(sandbox, code, client_id="rotating").json()["refresh_token"]
    second = refresh(sandbox, first, client_id="rotating").json()["refresh_token"]
    assert refresh(sandbox, first, client_id="rotating").json()["error"] == "invalid_grant"
    assert refresh(sandbox, second, client_id="rotating").status_code == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [({"client_id": "rotating"}, "unauthorized_client"), ({"scope": "https://mail.google.com/"}, "invalid_scope")],
)
def test_a_refresh_token_gives_no_more_than_was_granted(sandbox, change, error):
    given = trade(sandbox, visit(sandbox)["code"]).json()["refresh_token"]
    assert refresh(sandbox, given, **change).json()["error"] == error


def test_revoking_one_token_ends_all_that_the_person_granted_to_the_client(sandbox):
    first, second = (trade(sandbox, visit(sandbox)["code"]).json() for _ in range(2))
    other = trade(sandbox, visit(sandbox, login_hint=CYN)["code"]).json()

    def revoke():
        return requests.post(f"{sandbox.url}/google/revoke", data={"token": first["refresh_token"]}, timeout=10)

    assert revoke().status_code == 200
    for given in (first, second):
        assert profile(sandbox, given["access_token"]).status_code == 401
        assert refresh(sandbox, given["refresh_token"]).json()["error"] == "invalid_grant"
    assert refresh(sandbox, other["refresh_token"]).status_code == 200
    assert (revoke().status_code, revoke().json()["error"]) == (400, "invalid_token")


def test_an_administrator_ends_one_reps_access_alone(sandbox):
    hers, his = (trade(sandbox, visit(sandbox, login_hint=rep)["code"]).json() for rep in (ANA, CYN))
    sandbox.act("gmail_revokes_access", rep=ANA)
    assert profile(sandbox, hers["access_token"]).status_code == 401
    assert refresh(sandbox, hers["refresh_token"]).json()["error"] == "invalid_grant"
    assert profile(sandbox, his["access_token"]).status_code == 200


@pytest.mark.parametrize(
    ("action", "reason"), [("gmail_disables_api", "accessNotConfigured"), ("gmail_forbids_apps", "domainPolicy")]
)
def test_an_administrator_can_switch_the_api_off(sandbox, action, reason):
    given = trade(sandbox, visit(sandbox)["code"]).json()["access_token"]
    sandbox.act(action)
    refused = profile(sandbox, given)
    assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (403, reason)


# ----------------------------------------------------------------------------------- by Google's own library


@pytest.fixture(scope="module")
def keys():
    """Two key pairs: (private PEM, public PEM)."""

    def pem(key):
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return private.decode(), public.decode()

    return [pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)) for _ in range(2)]


@pytest.mark.parametrize(
    ("account", "signer", "subject", "code", "wrong"),
    [
        (ROBOT, 0, ANA, None, None),
        (ROBOT, 1, ANA, "invalid_grant", "Invalid JWT Signature"),
        (ROBOT, 0, "nobody@acme.example", "invalid_grant", "Invalid email or User ID"),
        ("other@project.iam.gserviceaccount.com", 0, ANA, "invalid_grant", "account not found"),
        ("narrow@project.iam.gserviceaccount.com", 0, ANA, "unauthorized_client", "not authorized for any"),
    ],
)
def test_a_service_account_signs_for_a_mailbox(sandbox, keys, account, signer, subject, code, wrong):
    sandbox.gmail.login.register_service_account(ROBOT, keys[0][1])
    sandbox.gmail.login.register_service_account("narrow@project.iam.gserviceaccount.com", keys[0][1], scopes=[COMPOSE])
    info = {"client_email": account, "private_key": keys[signer][0], "token_uri": f"{sandbox.url}/google/token"}
    signed = service_account.Credentials.from_service_account_info(info, scopes=[READ, COMPOSE], subject=subject)
    with requests.Session() as session:
        if wrong:
            with pytest.raises(google.auth.exceptions.RefreshError, match=wrong) as refused:
                signed.refresh(Request(session))
            assert refused.value.args[1]["error"] == code
            return
        signed.refresh(Request(session))
    assert profile(sandbox, signed.token).json()["emailAddress"] == ANA
    sandbox.act("gmail_delegates", scopes=[])
    with requests.Session() as session, pytest.raises(google.auth.exceptions.RefreshError, match="unauthorized_client"):
        signed.refresh(Request(session))


def test_a_refresh_token_lives_until_it_is_revoked(sandbox):
    sandbox.gmail.login.register_refresh_token("1//refresh", client_id="client", subject=ANA, scopes=[COMPOSE])
    owner = credentials.Credentials(
        None,
        refresh_token="1//refresh",
        token_uri=f"{sandbox.url}/google/token",
        client_id="client",
        client_secret="secret",
    )
    with requests.Session() as session:
        owner.refresh(Request(session))
        assert profile(sandbox, owner.token).status_code == 200
        sandbox.act("gmail_revokes_access")
        assert profile(sandbox, owner.token).status_code == 401
        with pytest.raises(google.auth.exceptions.RefreshError, match="invalid_grant"):
            owner.refresh(Request(session))
