"""Signing in to the simulated Microsoft: codes with PKCE, device codes, refresh with rotation, and their refusals."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import requests

ANA = "ana@acme.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
REDIRECT = "http://localhost:1717/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
SCOPES = (
    "https://graph.microsoft.com/Mail.ReadWrite https://graph.microsoft.com/User.Read openid profile offline_access"
)
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def sandbox(front):
    fresh = front.fresh(NOON)
    fresh.world.add_mailbox("outlook", ANA, "Ana Diaz")
    fresh.graph.register_client("acme", "app", "right")
    return fresh


def visit(sandbox, **change):
    """Open the page and return where it sends the browser, as words; or its text when it sends nowhere."""
    asked = {
        "response_type": "code", "client_id": "app", "redirect_uri": REDIRECT, "scope": SCOPES, "state": "st&te",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256", "login_hint": ANA, "nonce": "n", **change,
    }  # fmt: skip
    address = f"{sandbox.url}/acme/oauth2/v2.0/authorize"
    answer = requests.get(address, params=asked, allow_redirects=False, timeout=10)
    if answer.status_code != 302:
        return answer.text
    assert answer.headers["Location"].startswith(f"{asked['redirect_uri']}?")
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def token(sandbox, grant, *, tenant="acme", **form):
    form = {"grant_type": grant, "client_id": "app", **form}
    return requests.post(f"{sandbox.url}/{tenant}/oauth2/v2.0/token", data=form, timeout=10)


def trade(sandbox, **change):
    code = change.pop("code", None) or visit(sandbox)["code"]
    form = {"code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER, **change}
    return token(sandbox, "authorization_code", **form)


def refusal(answer):
    body = answer.json()
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    return answer.status_code, body["error"], body["error_codes"][0]


def test_a_code_gives_what_a_person_agreed_to(sandbox):
    came = visit(sandbox)
    assert came["state"] == "st&te"
    given = trade(sandbox, code=came["code"]).json()
    identity = jwt.decode(given["id_token"], options={"verify_signature": False})
    assert (identity["preferred_username"], identity["nonce"], identity["aud"]) == (ANA, "n", "app")
    claims = jwt.decode(given["access_token"], options={"verify_signature": False})
    assert claims["scp"] == "Mail.ReadWrite User.Read"
    me = requests.get(
        f"{sandbox.url}/v1.0/me", headers={"Authorization": f"Bearer {given['access_token']}"}, timeout=10
    )
    assert me.json()["mail"] == ANA


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"redirect_uri": "https://evil.example/callback"}, "AADSTS50011"),
        ({"redirect_uri": "http://localhost:1717/other"}, "AADSTS50011"),
        ({"client_id": "nobody"}, "AADSTS700016"),
        ({"code_challenge": ""}, "AADSTS9002325"),
        ({"code_challenge_method": "plain"}, "AADSTS9002325"),
    ],
)
def test_what_cannot_be_trusted_is_shown_and_sent_back_to_nobody(sandbox, change, said):
    assert visit(sandbox, **change).startswith(said)


def test_who_declines_or_is_nobody_goes_back_without_a_code(sandbox):
    assert visit(sandbox, login_hint="nobody@acme.example")["error"] == "access_denied"
    sandbox.act("outlook_consents", denies=True)
    assert "AADSTS65004" in visit(sandbox)["error_description"]


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"code": "made-up"}, 54005),
        ({"redirect_uri": "http://localhost:1/callback"}, 50011),
        ({"code_verifier": "w" * 64}, 501481),
        ({"code_verifier": ""}, 501481),
        ({"client_secret": "wrong"}, 7000215),
        ({"client_id": "nobody"}, 700016),
        ({"tenant": "nowhere"}, 90002),
    ],
)
def test_a_code_is_not_traded_by_whom_it_was_not_made_for(sandbox, change, number):
    assert refusal(trade(sandbox, **change))[2] == number


def test_a_code_is_good_once_and_for_ten_minutes(sandbox):
    code = visit(sandbox)["code"]
    assert trade(sandbox, code=code).status_code == 200
    assert refusal(trade(sandbox, code=code)) == (400, "invalid_grant", 54005)
    late = visit(sandbox)["code"]
    sandbox.clock.advance(timedelta(minutes=11))
    assert refusal(trade(sandbox, code=late)) == (400, "invalid_grant", 70008)


def test_each_refresh_gives_a_new_token_and_ends_the_old_one(sandbox):
    first = trade(sandbox).json()["refresh_token"]
    second = token(sandbox, "refresh_token", refresh_token=first).json()["refresh_token"]
    assert second != first
    assert refusal(token(sandbox, "refresh_token", refresh_token=first)) == (400, "invalid_grant", 70000)
    assert token(sandbox, "refresh_token", refresh_token=second).status_code == 200


@pytest.mark.parametrize(("number", "error"), [(50173, "invalid_grant"), (50076, "interaction_required")])
def test_an_ended_sign_in_is_refused_with_its_number(sandbox, number, error):
    given = trade(sandbox).json()
    assert sandbox.act("outlook_ends_sign_in", rep=ANA, number=number) == {"refresh_tokens": 1}
    assert refusal(token(sandbox, "refresh_token", refresh_token=given["refresh_token"])) == (400, error, number)
    me = requests.get(
        f"{sandbox.url}/v1.0/me", headers={"Authorization": f"Bearer {given['access_token']}"}, timeout=10
    )
    assert me.status_code == 401


def test_a_device_code_waits_for_the_person_and_ends(sandbox):
    def begin():
        address = f"{sandbox.url}/acme/oauth2/v2.0/devicecode"
        return requests.post(address, data={"client_id": "app", "scope": SCOPES}, timeout=10).json()["device_code"]

    code = begin()
    assert refusal(token(sandbox, DEVICE, device_code=code)) == (400, "authorization_pending", 70016)
    assert refusal(token(sandbox, DEVICE, device_code=code)) == (400, "authorization_pending", 70016)
    sandbox.act("outlook_consents", account=ANA)
    assert "refresh_token" in token(sandbox, DEVICE, device_code=code).json()
    assert refusal(token(sandbox, DEVICE, device_code=code)) == (400, "invalid_grant", 70000)
    late = begin()
    sandbox.clock.advance(timedelta(minutes=15))
    assert refusal(token(sandbox, DEVICE, device_code=late)) == (400, "expired_token", 70020)


def test_without_offline_access_nothing_lasts(sandbox):
    code = visit(sandbox, scope="https://graph.microsoft.com/User.Read openid")["code"]
    assert "refresh_token" not in trade(sandbox, code=code).json()


@pytest.mark.parametrize("assertion", ["nonsense", "a.b.c"])
def test_an_assertion_without_a_certificate_is_refused(sandbox, assertion):
    refused = token(
        sandbox, "client_credentials", client_assertion=assertion, scope="https://graph.microsoft.com/.default"
    )
    assert refusal(refused) == (401, "invalid_client", 700027)
