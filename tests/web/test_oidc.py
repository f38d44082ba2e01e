"""Signing in with OpenID Connect, against an issuer that says whatever a row of a table wants it to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from connector.web.id_tokens import (
    BadTokenError,
    UnverifiedError,
    google_address,
    microsoft_address,
    verified_address,
)
from connector.web.oidc import BELIEVED, Begun, OpenId, Provider, ProviderError, providers_of
from connector.web_settings import SignInRules
from tests.web.issuer import CLIENT, SECRET, Issuer, new_key, serve_issuer

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BACK = "https://connector.acme.example/sign-in/with/oidc/callback"
ANA = "ana@acme.example"
GOOD = {"email": ANA, "email_verified": True}


@dataclass
class Clock:
    """A clock that is moved by hand."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


@pytest.fixture(scope="module")
def served() -> Iterator[Issuer]:
    issuer, server = serve_issuer()
    yield issuer
    server.stop()


@pytest.fixture
def issuer(served: Issuer, monkeypatch: pytest.MonkeyPatch) -> Issuer:
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    served.shown, served.header, served.metadata, served.refuses = None, {}, {}, None
    served.asked, served.discovered, served.takes, served.user_info = [], 0, None, {}
    return served


def provider_of(issuer: Issuer) -> Provider:
    section = {"name": "Acme", "issuer": issuer.url, "client_id": CLIENT, "client_secret": "${env:OIDC_SECRET}"}
    (provider,) = providers_of(SignInRules.model_validate({"oidc": section})).values()
    return provider


def finish(issuer: Issuer, clock: Clock | None = None, **claims: Any) -> str:
    clock, begun = clock or Clock(), Begun.at("oidc")
    issuer.usual(clock.at, begun.nonce, **(GOOD | claims))
    return OpenId(provider_of(issuer), clock).finish(begun, "a-code", back=BACK)


def test_one_is_led_to_the_issuer_with_state_nonce_and_a_challenge_and_comes_back_as_oneself(issuer: Issuer) -> None:
    clock, begun = Clock(), Begun.at("oidc")
    signing = OpenId(provider_of(issuer), clock)
    address = urlsplit(signing.address(begun, back=BACK))
    asked = {name: value for name, (value,) in parse_qs(address.query).items()}
    digest = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{issuer.url}/authorize"
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "openid email profile",
        "state": begun.state,
        "nonce": begun.nonce,
        "code_challenge": digest,
        "code_challenge_method": "S256",
    }
    assert len({begun.state, begun.nonce, begun.verifier, *vars_of(Begun.at("oidc"))}) == 6
    issuer.usual(clock.at, begun.nonce, **GOOD)
    assert signing.finish(begun, "a-code", back=BACK) == ANA
    assert issuer.asked == [
        {
            "grant_type": "authorization_code",
            "code": "a-code",
            "redirect_uri": BACK,
            "code_verifier": begun.verifier,
            "client_id": CLIENT,
            "client_secret": SECRET,
        }
    ]


def vars_of(begun: Begun) -> tuple[str, str, str]:
    return begun.state, begun.nonce, begun.verifier


# -------------------------------------------------------------------------------------------------------- tokens

_PAST, _AHEAD = (int((NOON + span).timestamp()) for span in (-timedelta(seconds=61), timedelta(seconds=61)))

#: What is wrong -> claims of the token.
BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "somebody-else"},
    "another audience, asked for by us": {"aud": "somebody-else", "azp": CLIENT},
    "among audiences without saying for whom": {"aud": [CLIENT, "somebody-else"]},
    "for somebody else among audiences": {"aud": [CLIENT, "somebody-else"], "azp": "somebody-else"},
    "no audience": {"aud": None},
    "another nonce": {"nonce": "of another sign-in"},
    "no nonce": {"nonce": None},
    "expired": {"exp": _PAST},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "tomorrow"},
    "of the future": {"iat": _AHEAD},
    "not yet": {"nbf": _AHEAD},
    "no subject": {"sub": None},
    "for another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_a_token_that_is_not_for_this_sign_in_lets_nobody_in(issuer: Issuer, claims: dict[str, Any]) -> None:
    with pytest.raises(BadTokenError):
        finish(issuer, **claims)


def test_clocks_may_differ_by_a_minute(issuer: Issuer) -> None:
    assert finish(issuer, exp=_PAST + 2, iat=_AHEAD - 2) == ANA


def _unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts) + "."


def _by_the_public_key(issuer: Issuer, claims: dict[str, Any]) -> str:
    """The old trick: the public key, which everybody has, as a shared secret."""
    parts = ({"alg": "HS256", "kid": issuer.key.kid}, claims)
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in parts)
    digest = hmac.new(issuer.key.as_pem(private=False), signed, "sha256").digest()
    return f"{signed.decode()}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


#: What is wrong -> issuer and right claims -> ID token.
BAD_SIGNATURES: dict[str, Callable[[Issuer, dict[str, Any]], object]] = {
    "not signed": lambda issuer, claims: _unsigned(claims),
    "signed by the public key": _by_the_public_key,
    "signed by the client's secret": lambda issuer, claims: jwt.encode(
        {"alg": "HS256"}, claims, OctKey.import_key(SECRET)
    ),
    "by another key of the same name": lambda issuer, claims: jwt.encode(
        {"alg": "RS256", "kid": issuer.key.kid}, claims, new_key(issuer.key.kid)
    ),
    "by a key that nobody knows": lambda issuer, claims: jwt.encode(
        {"alg": "RS256", "kid": "other"}, claims, new_key("other")
    ),
    "no token": lambda issuer, claims: None,
    "no text": lambda issuer, claims: {"email": ANA},
    "nonsense": lambda issuer, claims: "a.b.c",
}


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("forge", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_a_token_that_the_issuer_did_not_sign_lets_nobody_in(
    issuer: Issuer, forge: Callable[[Issuer, dict[str, Any]], object]
) -> None:
    begun = Begun.at("oidc")
    issuer.usual(NOON, begun.nonce, **GOOD)
    issuer.refuses = JSONResponse(
        {"access_token": "x", "token_type": "Bearer", "id_token": forge(issuer, issuer.claims)}
    )
    with pytest.raises(BadTokenError):
        OpenId(provider_of(issuer), Clock()).finish(begun, "a-code", back=BACK)


def test_a_key_that_is_new_is_asked_for(issuer: Issuer) -> None:
    signing, clock = OpenId(provider_of(issuer), Clock()), Clock()
    first = issuer.key
    for key in (first, new_key("second")):
        begun = Begun.at("oidc")
        issuer.key = key
        issuer.usual(clock.at, begun.nonce, **GOOD)
        assert signing.finish(begun, "a-code", back=BACK) == ANA
    issuer.key = first


# ------------------------------------------------------------------------------------------------------ the issuer

#: What is wrong -> what its discovery document says, what the token endpoint answers.
TROUBLE: dict[str, tuple[dict[str, Any], object]] = {
    "the document is of another": ({"issuer": "https://evil.example"}, None),
    "the code is refused": ({}, JSONResponse({"error": "invalid_grant"}, 400)),
    "it is down": ({}, PlainTextResponse("down", 503)),
    "it answers with a page": ({}, PlainTextResponse("<html>", 200)),
    "it leads elsewhere": ({}, RedirectResponse("https://evil.example/token", 307)),
    "tokens are given out in the clear": ({"token_endpoint": "http://issuer.acme.example/token"}, None),
    "its keys are shown in the clear": ({"jwks_uri": "http://issuer.acme.example/keys"}, None),
    "it has no keys": ({"jwks_uri": None}, None),
}


@pytest.mark.parametrize(("metadata", "answer"), TROUBLE.values(), ids=TROUBLE)
def test_an_issuer_that_does_not_do_its_part_lets_nobody_in(issuer: Issuer, metadata: Any, answer: Any) -> None:
    issuer.metadata, issuer.refuses = metadata, answer
    with pytest.raises(ProviderError) as raised:
        finish(issuer)
    assert SECRET not in str(raised.value)
    assert "a-code" not in str(raised.value)


def test_one_is_led_to_no_address_in_the_clear(issuer: Issuer) -> None:
    issuer.metadata = {"authorization_endpoint": "http://issuer.acme.example/authorize"}
    with pytest.raises(ProviderError):
        OpenId(provider_of(issuer), Clock()).address(Begun.at("oidc"), back=BACK)


def test_an_issuer_elsewhere_does_not_lead_to_this_machine_in_the_clear(issuer: Issuer) -> None:
    """One may lead us to its own addresses, and to no service of the machine that we run on."""
    elsewhere = replace(provider_of(issuer), discovery="https://id.acme.example/.well-known/openid-configuration")
    signing = OpenId(elsewhere, Clock())
    said = {"issuer": issuer.url, "authorization_endpoint": "http://127.0.0.1:8080/admin"}
    signing._known = (NOON, said)
    with pytest.raises(ProviderError):
        signing.address(Begun.at("oidc"), back=BACK)


@pytest.mark.parametrize("takes", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("says", [["client_secret_basic", "client_secret_post"], ["client_secret_basic"], None])
def test_we_prove_to_be_the_client_as_it_was_registered(issuer: Issuer, takes: str, says: list[str] | None) -> None:
    """A provider tells how any client may, and Hydra and others take one's own way alone."""
    issuer.takes = takes
    issuer.metadata = {"token_endpoint_auth_methods_supported": says} if says else {}
    if says == ["client_secret_basic"] != [takes]:
        with pytest.raises(ProviderError, match="invalid_client"):
            finish(issuer)
    else:
        assert finish(issuer) == ANA


#: Whom the answer says it is from -> whether the discovery document promises that it does -> whether it counts.
FROM = [("", False, True), ("", True, False), ("own", False, True), ("own", True, True), ("other", False, False)]


@pytest.mark.parametrize(("said", "promised", "good"), FROM)
def test_a_code_of_another_issuer_is_shown_to_nobody(issuer: Issuer, said: str, promised: bool, good: bool) -> None:
    begun = Begun.at("oidc")
    issuer.usual(NOON, begun.nonce, **GOOD)
    issuer.metadata = {"authorization_response_iss_parameter_supported": promised}
    named = {"": "", "own": issuer.url, "other": "https://evil.example"}[said]
    signing = OpenId(provider_of(issuer), Clock())
    if good:
        assert signing.finish(begun, "a-code", back=BACK, issuer=named) == ANA
    else:
        with pytest.raises(ProviderError):
            signing.finish(begun, "a-code", back=BACK, issuer=named)
    assert bool(issuer.asked) == good


#: What the token says, what UserInfo says -> the address, or what is raised.
USER_INFO: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
    ({}, GOOD | {"sub": "1"}, ANA),
    ({"email": "of@token.example"}, GOOD | {"sub": "1"}, ANA),
    # What the token says is not asked for again.
    (GOOD, {"email": "boss@acme.example", "email_verified": True, "sub": "1"}, ANA),
    (GOOD | {"email_verified": False}, GOOD | {"sub": "1"}, UnverifiedError),
    ({}, GOOD | {"sub": "1", "email_verified": False}, UnverifiedError),
    ({}, {"sub": "1", "email": ANA}, UnverifiedError),
    # Verified is the address it says, not that of the token.
    ({"email": ANA}, {"sub": "1", "email_verified": True}, UnverifiedError),
    # It was asked of another's token.
    ({}, GOOD | {"sub": "2"}, ProviderError),
    ({}, GOOD, ProviderError),
]


@pytest.mark.parametrize(("token", "user_info", "found"), USER_INFO)
def test_an_address_may_stand_in_userinfo_alone(issuer: Issuer, token: Any, user_info: Any, found: Any) -> None:
    issuer.metadata, issuer.user_info = {"userinfo_endpoint": f"{issuer.url}/userinfo"}, user_info
    claims = {"email": None, "email_verified": None} | token
    if found == ANA:
        assert finish(issuer, **claims) == ANA
    else:
        with pytest.raises(found):
            finish(issuer, **claims)


def test_what_an_issuer_says_of_itself_is_believed_for_an_hour(issuer: Issuer) -> None:
    clock = Clock()
    signing = OpenId(provider_of(issuer), clock)
    for span, asked in ((timedelta(0), 1), (BELIEVED, 1), (timedelta(seconds=1), 2)):
        clock.at += span
        signing.address(Begun.at("oidc"), back=BACK)
        assert issuer.discovered == asked


# ------------------------------------------------------------------------------------------------------- addresses

_TENANT = "https://login.microsoftonline.com/3f1c2a90-0000-4000-8000-0123456789ab/v2.0"
_MEMBER = {"iss": _TENANT, "preferred_username": ANA}

#: Rule -> claims -> the address that they prove, or None.
ADDRESSES = {
    verified_address: [
        (GOOD, ANA),
        ({"email": "Ana@Acme.example", "email_verified": True}, ANA),
        ({"email": ANA}, None),
        ({"email": ANA, "email_verified": False}, None),
        ({"email": ANA, "email_verified": "true"}, None),
        ({"email": ANA, "email_verified": 1}, None),
        ({"preferred_username": ANA, "email_verified": True}, None),
        ({"email": "ana", "email_verified": True}, None),
        ({"email": ["ana@acme.example"], "email_verified": True}, None),
        # The sign of Kelvin is a "k" in lower case.
        ({"email": "\u212aim@acme.example", "email_verified": True}, None),
    ],
    google_address: [
        (GOOD | {"hd": "acme.example"}, ANA),
        # The domain of the organisation need not be that of the address: it may have several.
        (GOOD | {"hd": "acme-group.example"}, ANA),
        ({"email": "ana@gmail.com", "email_verified": True}, "ana@gmail.com"),
        ({"email": "ana@googlemail.com", "email_verified": True}, "ana@googlemail.com"),
        ({"email": ANA, "email_verified": False, "hd": "acme.example"}, None),
        # An account that somebody made with an address of elsewhere.
        (GOOD, None),
        ({"email": "ana@notgmail.com", "email_verified": True}, None),
    ],
    microsoft_address: [
        (_MEMBER, ANA),
        (_MEMBER | {"upn": "ana.diaz@acme.example"}, "ana.diaz@acme.example"),
        (_MEMBER | {"idp": _TENANT, "acct": 0}, ANA),
        # A field of the directory proves nothing ...
        (_MEMBER | {"email": "boss@acme.example"}, ANA),
        (_MEMBER | {"email": "boss@acme.example", "email_verified": True}, ANA),
        (_MEMBER | {"email": "boss@acme.example", "xms_edov": False}, ANA),
        (_MEMBER | {"email": "boss@acme.example", "xms_edov": "0"}, ANA),
        # ... unless its domain is the tenant's.
        (_MEMBER | {"email": "ana@other.example", "xms_edov": True}, "ana@other.example"),
        (_MEMBER | {"email": "ana@other.example", "xms_edov": "1"}, "ana@other.example"),
        # Guests are of elsewhere, whatever their names are.
        (_MEMBER | {"idp": "https://sts.windows.net/another/"}, None),
        (_MEMBER | {"idp": "live.com", "email": ANA, "xms_edov": True}, None),
        (_MEMBER | {"acct": 1}, None),
        (_MEMBER | {"upn": "ana_acme.example#EXT#@evil.onmicrosoft.example"}, None),
        ({"iss": _TENANT, "email": ANA}, None),
        ({"iss": _TENANT, "preferred_username": "+46701234567"}, None),
    ],
}


@pytest.mark.parametrize(
    ("rule", "claims", "address"),
    [(rule, claims, address) for rule, rows in ADDRESSES.items() for claims, address in rows],
)
def test_an_address_counts_when_who_speaks_for_it_says_so(rule: Any, claims: dict[str, Any], address: Any) -> None:
    if address is None:
        with pytest.raises(UnverifiedError):
            rule(claims)
    else:
        assert rule(claims) == address


# ------------------------------------------------------------------------------------------------------- providers

_ENTRA = "https://login.microsoftonline.com"
_ID = "3f1c2a90-0000-4000-8000-0123456789ab"
_OTHER_ID = "00000000-0000-4000-8000-0123456789ab"


@pytest.mark.parametrize(
    ("section", "discovery", "issuers", "others"),
    [
        (
            {"google": {}},
            "https://accounts.google.com/.well-known/openid-configuration",
            ["https://accounts.google.com"],
            ["https://accounts.google.com.evil.example", "https://accountsxgoogle.com"],
        ),
        (
            {"microsoft": {"tenant": _ID.upper()}},
            f"{_ENTRA}/{_ID}/v2.0/.well-known/openid-configuration",
            [f"{_ENTRA}/{_ID}/v2.0"],
            [f"{_ENTRA}/{_OTHER_ID}/v2.0", f"https://sts.windows.net/{_ID}/"],
        ),
        (
            {"microsoft": {"tenant": "acme.example"}},
            f"{_ENTRA}/acme.example/v2.0/.well-known/openid-configuration",
            [f"{_ENTRA}/{_ID}/v2.0"],
            # What the document of no particular tenant says.
            [
                f"{_ENTRA}/{{tenantid}}/v2.0",
                f"https://evil.example/{_ID}/v2.0",
                # Anybody's private account, as where the domain is Microsoft's own.
                f"{_ENTRA}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
            ],
        ),
        (
            {"oidc": {"name": "Acme", "issuer": "https://id.acme.example/"}},
            "https://id.acme.example/.well-known/openid-configuration",
            ["https://id.acme.example", "https://id.acme.example/"],
            ["https://id.acme.example/other"],
        ),
    ],
    ids=["google", "a tenant by its id", "a tenant by its domain", "any other"],
)
def test_a_provider_is_who_the_settings_name(
    section: dict[str, dict[str, str]], discovery: str, issuers: list[str], others: list[str]
) -> None:
    ((name, said),) = section.items()
    client = {"client_id": "c", "client_secret": "${env:OIDC_SECRET}"}
    (provider,) = providers_of(SignInRules.model_validate({name: said | client})).values()
    assert (provider.name, provider.discovery) == (name, discovery)
    assert all(provider.issuer.fullmatch(one) for one in issuers)
    assert not any(provider.issuer.fullmatch(one) for one in others)


def test_people_with_several_accounts_choose_one(issuer: Issuer) -> None:
    choosing = replace(provider_of(issuer), chooses_account=True)
    assert "prompt=select_account" in OpenId(choosing, Clock()).address(Begun.at("google"), back=BACK)
