"""Signing in to the simulated Salesforce: every documented way, and what each refuses."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin

from adapters.sandbox import Sandbox
from tests.contracts.harness_salesforce import START

ANA = "ana@acme.example"
CALLBACK = "http://localhost:1717/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
LIMITS = "/services/data/v66.0/limits"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = (
        built.serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    )
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def sandbox(key: rsa.RSAPrivateKey) -> Iterator[Sandbox]:
    with Sandbox(START) as running:
        service = running.salesforce
        service.add_user(Username=ANA, FirstName="Ana", LastName="Diaz", Email=ANA)
        service.add_user(Username="bob@acme.example", LastName="Ray", Email="bob@acme.example")
        service.register_app("web", secret="s3cret", redirect_uris=[CALLBACK], rotate=True)
        service.register_app("public", redirect_uris=[CALLBACK])
        service.register_app("jwt", certificate=certificate(key), users=[ANA])
        service.set_password(ANA, "pw", "TOKEN")
        yield running


def token(sandbox: Sandbox, **form: str) -> requests.Response:
    return requests.post(f"{sandbox.url}/services/oauth2/token", data=form, timeout=10)


def works(sandbox: Sandbox, access_token: str) -> bool:
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(sandbox.url + LIMITS, headers=headers, timeout=10).status_code == 200


def visit(sandbox: Sandbox, **asked: str) -> requests.Response:
    asked = {
        "response_type": "code",
        "client_id": "web",
        "redirect_uri": CALLBACK,
        "state": "st&te",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "login_hint": ANA,
        **asked,
    }
    asked = {name: value for name, value in asked.items() if value}
    address = f"{sandbox.url}/services/oauth2/authorize"
    return requests.get(address, params=asked, allow_redirects=False, timeout=10)


def returned(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302
    address = urlsplit(answer.headers["Location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == CALLBACK
    return dict(parse_qsl(address.query))


def exchange(sandbox: Sandbox, code: str, **changed: str) -> requests.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": "web",
        "client_secret": "s3cret",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **changed,
    }
    return token(sandbox, **form)


def refused(answer: requests.Response) -> tuple[str, str]:
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "error_description"}
    return answer.json()["error"], answer.json()["error_description"]


# ------------------------------------------------------------------------------------------- in the browser


def test_the_browser_signs_in_and_the_refresh_token_rotates(sandbox: Sandbox) -> None:
    back = returned(visit(sandbox))
    assert back["state"] == "st&te"
    first = exchange(sandbox, back["code"])
    assert first.headers["Cache-Control"] == "no-store"
    answer = first.json()
    assert set(answer) == {
        "access_token", "refresh_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at",
    }  # fmt: skip
    assert works(sandbox, answer["access_token"])
    assert refused(exchange(sandbox, back["code"])) == ("invalid_grant", "expired authorization code")

    again = {"grant_type": "refresh_token", "client_id": "web", "client_secret": "s3cret"}
    second = token(sandbox, **again, refresh_token=answer["refresh_token"]).json()
    assert second["refresh_token"] != answer["refresh_token"]
    assert refused(token(sandbox, **again, refresh_token=answer["refresh_token"])) == (
        "invalid_grant",
        "expired access/refresh token",
    )
    assert works(sandbox, token(sandbox, **again, refresh_token=second["refresh_token"]).json()["access_token"])


def test_an_app_that_does_not_rotate_keeps_its_refresh_token(sandbox: Sandbox) -> None:
    code = returned(visit(sandbox, client_id="public"))["code"]
    answer = exchange(sandbox, code, client_id="public", client_secret="").json()
    form = {"grant_type": "refresh_token", "client_id": "public", "refresh_token": answer["refresh_token"]}
    for _ in range(2):
        renewed = token(sandbox, **form).json()
        assert "refresh_token" not in renewed
        assert works(sandbox, renewed["access_token"])
    assert refused(token(sandbox, **form | {"client_id": "web", "client_secret": "s3cret"}))[0] == "invalid_grant"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"client_id": "public", "code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_a_wrong_request_is_told_to_the_app(sandbox: Sandbox, asked: dict[str, str], error: str) -> None:
    back = returned(visit(sandbox, **asked))
    assert (back["error"], back["state"], "code" in back) == (error, "st&te", False)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"client_id": "nobody"}, "invalid_client_id"),
        ({"redirect_uri": CALLBACK + "/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://localhost:1718/callback"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "https://evil.example/callback"}, "redirect_uri_mismatch"),
    ],
)
def test_nothing_is_sent_to_an_address_nobody_registered(sandbox: Sandbox, asked: dict[str, str], error: str) -> None:
    answer = visit(sandbox, **asked)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert f"error={error}" in answer.text


def test_denying_and_not_being_approved(sandbox: Sandbox) -> None:
    sandbox.salesforce.login.denies = True
    assert returned(visit(sandbox))["error"] == "access_denied"
    sandbox.salesforce.login.denies = False
    sandbox.salesforce.register_app("web", secret="s3cret", redirect_uris=[CALLBACK], users=["bob@acme.example"])
    assert returned(visit(sandbox))["error"] == "OAUTH_APP_ACCESS_DENIED"
    assert "code" in returned(visit(sandbox, login_hint=""))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_verifier": "w" * 64}, ("invalid_grant", "invalid code verifier")),
        ({"code_verifier": ""}, ("invalid_grant", "invalid code verifier")),
        ({"redirect_uri": "http://localhost:1/x"}, ("redirect_uri_mismatch", "redirect_uri must match configuration")),
        ({"client_secret": "wrong"}, ("invalid_client", "invalid client credentials")),
        ({"client_id": "public", "client_secret": ""}, ("invalid_grant", "expired authorization code")),
        ({"code": "aPrxNever"}, ("invalid_grant", "expired authorization code")),
    ],
)
def test_a_code_is_exchanged_only_by_who_asked_for_it(
    sandbox: Sandbox, changed: dict[str, str], error: tuple[str, str]
) -> None:
    code = returned(visit(sandbox))["code"]
    assert refused(exchange(sandbox, **{"code": code} | changed)) == error


def test_a_code_is_good_for_fifteen_minutes(sandbox: Sandbox) -> None:
    code = returned(visit(sandbox))["code"]
    sandbox.clock.advance(timedelta(minutes=15))
    assert refused(exchange(sandbox, code))[1] == "expired authorization code"


# ------------------------------------------------------------------------------------------------ assertions


def assertion(sandbox: Sandbox, key: rsa.RSAPrivateKey, algorithm: str = "RS256", **changed: Any) -> str:
    now = sandbox.clock.now().timestamp()
    claims = {"iss": "jwt", "sub": ANA, "aud": "https://login.salesforce.com", "exp": int(now) + 180, **changed}
    return jwt.encode(claims, key, algorithm=algorithm)


def bear(sandbox: Sandbox, text: str) -> requests.Response:
    return token(sandbox, grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=text)


def test_a_signed_assertion_of_an_approved_user_signs_in(sandbox: Sandbox, key: rsa.RSAPrivateKey) -> None:
    for audience in ("https://login.salesforce.com", sandbox.url):
        answer = bear(sandbox, assertion(sandbox, key, aud=audience)).json()
        assert set(answer) == {"access_token", "scope", "instance_url", "id", "token_type"}
        assert works(sandbox, answer["access_token"])


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"iss": "nobody"}, ("invalid_client_id", "client identifier invalid")),
        ({"iss": "web"}, ("invalid_grant", "invalid assertion")),
        ({"sub": "bob@acme.example"}, ("invalid_grant", "user hasn't approved this consumer")),
        ({"sub": "no@acme.example"}, ("invalid_grant", "user hasn't approved this consumer")),
        ({"aud": "https://test.salesforce.com"}, ("invalid_grant", "audience is invalid")),
        ({"exp": int(START.timestamp())}, ("invalid_grant", "expired authorization code")),
        ({"exp": int(START.timestamp()) + 301}, ("invalid_grant", "invalid assertion")),
    ],
)
def test_wrong_assertions(
    sandbox: Sandbox, key: rsa.RSAPrivateKey, changed: dict[str, Any], error: tuple[str, str]
) -> None:
    assert refused(bear(sandbox, assertion(sandbox, key, **changed))) == error


def test_an_assertion_signed_by_another_key_or_not_at_all(sandbox: Sandbox, key: rsa.RSAPrivateKey) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    unsigned = assertion(sandbox, key).rpartition(".")[0] + "."
    for text in (assertion(sandbox, other), assertion(sandbox, key, "RS384"), unsigned, "nonsense", ""):
        assert refused(bear(sandbox, text)) == ("invalid_grant", "invalid assertion")


def test_who_signed_in_once_in_the_browser_has_approved(sandbox: Sandbox, key: rsa.RSAPrivateKey) -> None:
    sandbox.salesforce.register_app("jwt", certificate=certificate(key), redirect_uris=[CALLBACK])
    text = assertion(sandbox, key)
    assert refused(bear(sandbox, text))[1] == "user hasn't approved this consumer"
    returned(visit(sandbox, client_id="jwt"))
    assert bear(sandbox, text).status_code == 200


# --------------------------------------------------------------------------------- passwords, SOAP, sessions


def test_a_password_needs_its_security_token(sandbox: Sandbox) -> None:
    form = {"grant_type": "password", "client_id": "web", "client_secret": "s3cret", "username": ANA}
    assert refused(token(sandbox, **form, password="pw")) == ("invalid_grant", "authentication failure")
    assert works(sandbox, token(sandbox, **form, password="pwTOKEN").json()["access_token"])


def soap(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, version: str = "59.0", **given: str) -> tuple[str, str]:
    """Sign in with simple-salesforce, whose address is put in the place of the sandbox's."""
    with requests.Session() as session:
        plain = session.post
        monkeypatch.setattr(
            session, "post", lambda url, data, **more: plain(sandbox.url + urlsplit(url).path, data, **more)
        )
        return SalesforceLogin(
            session=session,
            sf_version=version,
            **{"username": ANA, "password": "pw", "security_token": "TOKEN"} | given,
        )


def test_soap_login_as_simple_salesforce_does_it(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    session, host = soap(sandbox, monkeypatch, version="64.0")
    assert works(sandbox, session)
    assert host == urlsplit(sandbox.url).netloc


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"password": "no"}, "INVALID_LOGIN", "Invalid username, password, security token; or user locked out."),
        ({"username": "x"}, "INVALID_LOGIN", "Invalid username, password, security token; or user locked out."),
        ({"security_token": ""}, "LOGIN_MUST_USE_SECURITY_TOKEN", "you must add a security token to your password"),
    ],
)
def test_soap_faults(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], code: str, message: str
) -> None:
    with pytest.raises(SalesforceAuthenticationFailed) as raised:
        soap(sandbox, monkeypatch, **given)
    assert raised.value.code == code
    assert message in str(raised.value)


def test_soap_login_is_gone_from_version_65_and_can_be_switched_off(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><login/></e:Body></e:Envelope>"
    answer = requests.post(f"{sandbox.url}/services/Soap/u/65.0", data=body, timeout=10)
    assert answer.status_code == 500
    assert "No operation available for request" in answer.text
    assert requests.post(f"{sandbox.url}/services/Soap/u/59.0", data="<!DOCTYPE x>", timeout=10).status_code == 500
    sandbox.salesforce.allow_soap_login(allowed=False)
    with pytest.raises(SalesforceAuthenticationFailed) as raised:
        soap(sandbox, monkeypatch)
    assert raised.value.code == "INVALID_OPERATION"


def test_a_session_ends_after_two_hours_without_use(sandbox: Sandbox) -> None:
    form = {"grant_type": "client_credentials", "client_id": "web", "client_secret": "s3cret"}
    session = token(sandbox, **form).json()["access_token"]
    for minutes, good in ((90, True), (90, True), (121, False)):
        sandbox.clock.advance(timedelta(minutes=minutes))
        assert works(sandbox, session) is good
    session = token(sandbox, **form).json()["access_token"]
    sandbox.salesforce.expire_sessions()
    assert not works(sandbox, session)


def test_a_session_that_is_not_for_rest(sandbox: Sandbox) -> None:
    headers = {"Authorization": f"Bearer {sandbox.token('salesforce', scopes=['openid'])}"}
    answer = requests.get(sandbox.url + LIMITS, headers=headers, timeout=10)
    message = "This session is not valid for use with the REST API"
    assert (answer.status_code, answer.json()) == (401, [{"message": message, "errorCode": "INVALID_SESSION_ID"}])


def test_revoking_a_refresh_token_ends_its_sessions(sandbox: Sandbox) -> None:
    answer = exchange(sandbox, returned(visit(sandbox))["code"]).json()
    address = f"{sandbox.url}/services/oauth2/revoke"
    assert requests.post(address, data={"token": answer["refresh_token"]}, timeout=10).status_code == 200
    assert not works(sandbox, answer["access_token"])
    assert refused(requests.post(address, data={"token": answer["refresh_token"]}, timeout=10))[0] == "invalid_token"


def test_an_inactive_user_cannot_sign_in(sandbox: Sandbox, key: rsa.RSAPrivateKey) -> None:
    refresh = sandbox.salesforce.issue_refresh_token(ANA, "public")
    sandbox.act("user_is_deactivated", user=ANA)
    assert refused(bear(sandbox, assertion(sandbox, key))) == ("inactive_user", "user is inactive")
    form = {"grant_type": "refresh_token", "client_id": "public", "refresh_token": refresh}
    assert refused(token(sandbox, **form))[0] == "inactive_user"


def test_a_session_says_whose_it_is(sandbox: Sandbox) -> None:
    answer = exchange(sandbox, returned(visit(sandbox))["code"]).json()
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    me = requests.get(f"{sandbox.url}/services/oauth2/userinfo", headers=headers, timeout=10).json()
    assert (me["preferred_username"], me["name"]) == (ANA, "Ana Diaz")
    identity = requests.get(answer["id"], headers=headers, timeout=10).json()
    assert (identity["user_id"], identity["username"]) == (me["user_id"], ANA)
    other = requests.get(answer["id"][:-18] + "005000000000000AAA", headers=headers, timeout=10)
    assert (other.status_code, other.text) == (403, "Bad_Id")
    assert requests.get(answer["id"], timeout=10).text == "Bad_OAuth_Token"
