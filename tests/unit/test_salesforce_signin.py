"""Signing in to Salesforce, wire case by wire case: what is asked, what refusals mean, where a token may go."""

import json
import logging
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import jwt
import pytest
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.salesforce.account import SalesforceAccount
from adapters.salesforce.authorize import sign_in, sign_out
from adapters.salesforce.oauth import Granted, api_address
from adapters.salesforce.session import Org, Orgs
from adapters.salesforce.signin import Kept
from connector.errors import AdapterError, BadInput, Reconnect, Retry
from tests.doubles import MemoryVault, StillClock

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
LOGIN = "https://acme.my.salesforce.com"
TOKEN = f"{LOGIN}/services/oauth2/token"
LIMITS = re.compile(r"https://[a-z0-9.]+\.salesforce\.com/services/data/v66\.0/limits")
SECRETS = {
    "SF_SECRET": "s3cret-of-the-app",
    "SF_PASSWORD": 'pass<&>"word',
    "SF_SECURITY_TOKEN": "tokEN123",
    "SF_TOKEN": "00D-given-token",
    "SF_REFRESH": "5Aep861-given-seed",
}

WAYS = {
    "jwt": {"client_id": "3MVG9.app", "username": "sync@acme.example"},
    "client_credentials": {"client_id": "3MVG9.app", "client_secret": "${env:SF_SECRET}"},
    "refresh_token": {"client_id": "3MVG9.app", "client_secret": "${env:SF_SECRET}"},
    "password": {
        "client_id": "3MVG9.app",
        "client_secret": "${env:SF_SECRET}",
        "username": "sync@acme.example",
        "password": "${env:SF_PASSWORD}",
        "security_token": "${env:SF_SECURITY_TOKEN}",
    },
    "access_token": {"token": "${env:SF_TOKEN}", "instance_url": "https://acme.my.salesforce.com"},
}


@pytest.fixture(scope="module")
def private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def key_file(private_key, tmp_path):
    path = tmp_path / "salesforce.key"
    path.write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def make(key_file):
    def account(auth, **change):
        section = {"auth": auth, "domain": "acme.my", **WAYS[auth]}
        if auth == "jwt":
            section["key_file"] = str(key_file)
        section.update(change)
        return SalesforceAccount.model_validate({key: value for key, value in section.items() if value is not None})

    return account


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def granted(number=1, **change):
    return {
        "access_token": f"00D-access-{number}",
        "instance_url": LOGIN,
        "id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA",
        "token_type": "Bearer",
        **change,
    }


def form_of(call):
    return dict(parse_qsl(call.request.body))


def token_calls(wire):
    return [call for call in wire.calls if "/services/oauth2/token" in call.request.url]


def api_calls(wire):
    return [call for call in wire.calls if "/services/data/" in call.request.url]


def kept(number=1, **change):
    return Kept(
        **{"refresh_token": "5Aep861-r1", "access_token": f"00D-access-{number}", "instance_url": LOGIN, **change}
    ).text


def expired(message="Session expired or invalid"):
    return {"json": [{"message": message, "errorCode": "INVALID_SESSION_ID"}], "status": 401}


# ------------------------------------------------------------------------------ what each way asks


def test_jwt_asks_with_an_assertion_signed_for_the_org_and_soon_over(make, wire, private_key):
    wire.post(TOKEN, json=granted())
    wire.get(LIMITS, json={})
    Org(make("jwt"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    form = form_of(token_calls(wire)[0])
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        form["assertion"], private_key.public_key(), algorithms=["RS256"], audience=LOGIN, options={"verify_exp": False}
    )
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("3MVG9.app", "sync@acme.example", LOGIN)
    life = datetime.fromtimestamp(claims["exp"], UTC) - NOW
    assert timedelta(minutes=1) <= life <= timedelta(minutes=3)
    assert api_calls(wire)[0].request.headers["Authorization"] == "Bearer 00D-access-1"


@pytest.mark.parametrize(
    ("domain", "audience"),
    [
        (None, "https://login.salesforce.com"),
        ("test", "https://test.salesforce.com"),
        ("acme--box.sandbox.my", "https://acme--box.sandbox.my.salesforce.com"),
    ],
)
def test_the_audience_is_where_one_signs_in(make, wire, domain, audience):
    wire.post(f"{audience}/services/oauth2/token", json=granted())
    wire.get(LIMITS, json={})
    Org(make("jwt", domain=domain), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assertion = form_of(token_calls(wire)[0])["assertion"]
    assert jwt.decode(assertion, options={"verify_signature": False})["aud"] == audience


def test_client_credentials_go_into_the_header(make, wire):
    wire.post(TOKEN, json=granted())
    wire.get(LIMITS, json={})
    Org(make("client_credentials"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    (call,) = token_calls(wire)
    assert form_of(call) == {"grant_type": "client_credentials"}
    assert call.request.headers["Authorization"] == "Basic " + b64encode(b"3MVG9.app:s3cret-of-the-app").decode()


def test_the_password_is_followed_by_the_security_token(make, wire):
    wire.post(TOKEN, json=granted())
    wire.get(LIMITS, json={})
    Org(make("password"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assert form_of(token_calls(wire)[0]) == {
        "grant_type": "password",
        "client_id": "3MVG9.app",
        "client_secret": "s3cret-of-the-app",
        "username": "sync@acme.example",
        "password": 'pass<&>"wordtokEN123',
    }


@pytest.mark.parametrize(("secret", "more"), [("${env:SF_SECRET}", {"client_secret": "s3cret-of-the-app"}), (None, {})])
def test_a_refresh_token_is_traded_with_or_without_a_secret(make, wire, secret, more):
    wire.post(TOKEN, json=granted())
    wire.get(LIMITS, json={})
    vault = MemoryVault(salesforce=kept(access_token=""))
    Org(make("refresh_token", client_secret=secret), clock=StillClock(NOW), vault=vault).call("GET", "limits")
    expected = {"grant_type": "refresh_token", "refresh_token": "5Aep861-r1", "client_id": "3MVG9.app"}
    assert form_of(token_calls(wire)[0]) == expected | more


# ------------------------------------------------------------------------------------ SOAP login()

SOAP = f"{LOGIN}/services/Soap/u/64.0"
SOAP_ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com">
<soapenv:Body><loginResponse><result><passwordExpired>{expired}</passwordExpired>
<serverUrl>{server}/services/Soap/u/64.0/00D000000000001</serverUrl><sessionId>00D-soap-session</sessionId>
<userId>005000000000001AAA</userId></result></loginResponse></soapenv:Body></soapenv:Envelope>"""
SOAP_FAULT = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com">
<soapenv:Body><soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: no</faultstring></soapenv:Fault>
</soapenv:Body></soapenv:Envelope>"""


def soap_org(make):
    return Org(make("password", client_id=None, client_secret=None), clock=StillClock(NOW), vault=MemoryVault())


def test_soap_login_escapes_what_it_sends_and_uses_the_address_it_is_told(make, wire):
    wire.post(SOAP, body=SOAP_ANSWER.format(expired="false", server="https://na1.salesforce.com"))
    wire.get(LIMITS, json={})
    soap_org(make).call("GET", "limits")
    sent = wire.calls[0].request.body.decode()
    assert "<p:password>pass&lt;&amp;&gt;&quot;wordtokEN123</p:password>" in sent
    assert "<p:username>sync@acme.example</p:username>" in sent
    (call,) = api_calls(wire)
    assert call.request.url == "https://na1.salesforce.com/services/data/v66.0/limits"
    assert call.request.headers["Authorization"] == "Bearer 00D-soap-session"


@pytest.mark.parametrize(
    ("body", "status", "error", "sentence"),
    [
        (SOAP_FAULT.format(code="INVALID_LOGIN"), 500, Reconnect, "user name, password or security token are wrong"),
        (SOAP_FAULT.format(code="LOGIN_MUST_USE_SECURITY_TOKEN"), 500, Reconnect, "set security_token"),
        (SOAP_FAULT.format(code="INVALID_OPERATION"), 500, Reconnect, "off in this org: use auth: jwt"),
        (SOAP_FAULT.format(code="UNSUPPORTED_API_VERSION"), 500, Reconnect, "retired: use auth: jwt"),
        (SOAP_FAULT.format(code="SOMETHING_NEW"), 500, Reconnect, "it answered SOMETHING_NEW"),
        (SOAP_ANSWER.format(expired="true", server=LOGIN), 200, Reconnect, "the password has expired"),
        (
            SOAP_ANSWER.format(expired="false", server="https://evil.example"),
            200,
            Reconnect,
            "no address of Salesforce",
        ),
        ("<html>not found</html>", 404, Reconnect, "no SOAP login"),
        ("upstream is down", 503, Retry, "answered 503"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 200, Retry, "without saying more"),
        ("", 200, Retry, "without saying more"),
    ],
)
def test_an_answer_of_soap_login_is_told_apart(make, wire, body, status, error, sentence):
    wire.post(SOAP, body=body, status=status)
    with pytest.raises(error, match=re.escape(sentence)):
        soap_org(make).call("GET", "limits")


# --------------------------------------------------------------------------------- refused sign-ins

REFUSALS = [
    ("jwt", "invalid_grant", "user hasn't approved this consumer", "not pre-authorised for the app"),
    ("jwt", "invalid_app_access", "user is not admin approved to access this app", "not pre-authorised for the app"),
    ("jwt", "invalid_grant", "audience is invalid", "set domain to the org's My Domain"),
    ("jwt", "invalid_grant", "invalid assertion", "the certificate of the app does not belong to key_file"),
    ("jwt", "invalid_client_id", "client identifier invalid", "copy the consumer key"),
    ("jwt", "app_not_found", "External client app is not installed", "the org that holds it"),
    ("jwt", "inactive_user", "user is inactive", "the user is not active"),
    ("client_credentials", "invalid_client", "invalid client credentials", "do not belong together"),
    ("client_credentials", "invalid_grant", "no client credentials user enabled", "the user that the app runs as"),
    ("client_credentials", "invalid_grant", "request not supported on this domain", "set domain to the org's My"),
    ("client_credentials", "unsupported_grant_type", "grant type not supported", "enable its flow in the app"),
    ("client_credentials", "invalid_grant", "ip restricted", "relax the IP rule"),
    ("password", "invalid_grant", "authentication failure", "see the user's login history"),
    ("password", "invalid_grant", "user is locked", "locked out"),
    ("refresh_token", "invalid_grant", "expired access/refresh token", "run 'connector auth salesforce'"),
    ("refresh_token", "invalid_grant", "token validity expired", "run 'connector auth salesforce'"),
    ("refresh_token", "something_new", "who knows", "it answered something_new"),
]


@pytest.mark.parametrize(("auth", "word", "described", "sentence"), REFUSALS)
def test_a_refused_sign_in_says_what_to_do(make, wire, auth, word, described, sentence):
    wire.post(TOKEN, json={"error": word, "error_description": described}, status=400)
    vault = MemoryVault(salesforce=kept(access_token=""))
    with pytest.raises(Reconnect, match=re.escape(sentence)) as caught:
        Org(make(auth), clock=StillClock(NOW), vault=vault).call("GET", "limits")
    assert (caught.value.account, caught.value.code) == ("salesforce", word)
    assert len(wire.calls) == 1


@pytest.mark.parametrize(
    ("answer", "error", "calls"),
    [
        ({"status": 503, "body": "down"}, Retry, 3),
        ({"status": 429, "headers": {"Retry-After": "600"}, "body": "slow down"}, Retry, 1),
        ({"status": 400, "json": {"error": "rate_limit_exceeded"}}, Retry, 3),
        ({"status": 200, "body": "<html>"}, Reconnect, 1),
        ({"status": 200, "json": ["a", "list"]}, Reconnect, 1),
        ({"status": 302, "headers": {"Location": "https://evil.example/"}}, Reconnect, 1),
    ],
)
def test_an_odd_answer_of_the_token_endpoint_is_told_apart(make, wire, answer, error, calls):
    wire.post(TOKEN, **answer)
    with pytest.raises(error):
        Org(make("client_credentials"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assert len(wire.calls) == calls


@pytest.mark.parametrize(
    "content", [None, b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_file_that_is_none_is_told_without_showing_it(make, key_file, content):
    key_file.unlink() if content is None else key_file.write_bytes(content)
    with pytest.raises(Reconnect) as caught:
        Org(make("jwt"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assert f"key_file '{key_file}'" in str(caught.value)
    assert "AAAA" not in str(caught.value)
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)


# ------------------------------------------------------------------------- where a token may be sent


@pytest.mark.parametrize(
    ("told", "login", "address"),
    [
        ("https://acme.my.salesforce.com", None, "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/", None, "https://acme.my.salesforce.com"),
        ("https://na1.salesforce.com/services/Soap/u/64.0/00D", None, "https://na1.salesforce.com"),
        ("https://acme--box.sandbox.my.salesforce.com", None, "https://acme--box.sandbox.my.salesforce.com"),
        ("https://acme.my.salesforce.mil", None, "https://acme.my.salesforce.mil"),
        ("https://acme.my.sfcrmproducts.cn", None, "https://acme.my.sfcrmproducts.cn"),
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025", "http://127.0.0.1:8025"),
        ("http://acme.my.salesforce.com", None, None),
        ("https://salesforce.com.evil.example", None, None),
        ("https://evilsalesforce.com", None, None),
        ("https://evil.example/.salesforce.com", None, None),
        ("https://evil.example#.salesforce.com", None, None),
        ("https://user@acme.my.salesforce.com", None, None),
        ("https://acme.my.salesforce.com@evil.example", None, None),
        ("https://acme.lightning.force.com", None, None),
        ("https://acme.my.site.com", None, None),
        ("http://127.0.0.1:8025", None, None),
        ("ftp://127.0.0.1", "http://127.0.0.1:8025", None),
        ("", None, None),
        ("nonsense", None, None),
    ],
)
def test_a_token_goes_to_salesforce_only(make, told, login, address):
    account = make("client_credentials", login_url=login)
    if address is not None:
        assert api_address(account, told) == address
        return
    with pytest.raises(Reconnect, match="nothing was sent there"):
        api_address(account, told)


def test_a_configured_address_wins_over_the_one_told(make):
    account = make("client_credentials", instance_url="https://proxy.acme.example")
    assert api_address(account, "https://evil.example") == "https://proxy.acme.example"


def test_a_strange_address_gets_no_token(make, wire):
    wire.post(TOKEN, json=granted(instance_url="https://evil.example"))
    with pytest.raises(Reconnect, match=r"'evil\.example', which is no address of Salesforce; nothing was sent"):
        Org(make("client_credentials"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assert len(wire.calls) == 1


def test_no_redirect_is_followed_with_a_token(make, wire):
    wire.post(TOKEN, json=granted())
    wire.get(LIMITS, status=302, headers={"Location": "https://evil.example/"})
    with pytest.raises(AdapterError):
        Org(make("client_credentials"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assert [call.request.url.split("/")[2] for call in wire.calls] == ["acme.my.salesforce.com"] * 2


# ------------------------------------------------------------------------------- a session that ends


@pytest.mark.parametrize("auth", ["jwt", "client_credentials", "password", "refresh_token"])
def test_a_session_that_ends_is_renewed_once_and_the_call_is_made_again(make, wire, auth):
    wire.post(TOKEN, json=granted(1))
    wire.post(TOKEN, json=granted(2, instance_url="https://moved.my.salesforce.com"))
    wire.get(LIMITS, json={"calls": 1})
    wire.get(LIMITS, **expired())
    wire.get(LIMITS, json={"calls": 2})
    org = Org(make(auth), clock=StillClock(NOW), vault=MemoryVault(salesforce=kept(access_token="")))
    org.call("GET", "limits")
    assert org.call("GET", "limits") == {"calls": 2}
    assert len(token_calls(wire)) == 2
    # The org may have moved: the address of the new token counts.
    assert api_calls(wire)[-1].request.url.startswith("https://moved.my.salesforce.com/")
    assert api_calls(wire)[-1].request.headers["Authorization"] == "Bearer 00D-access-2"
    assert org.calls == 3


@pytest.mark.parametrize("auth", ["jwt", "client_credentials", "password", "refresh_token"])
def test_a_permanent_401_ends_after_one_new_sign_in(make, wire, auth):
    wire.post(TOKEN, json=granted(1))
    wire.post(TOKEN, json=granted(2))
    wire.get(LIMITS, json={})
    for _ in range(5):
        wire.get(LIMITS, **expired())
    org = Org(make(auth), clock=StillClock(NOW), vault=MemoryVault(salesforce=kept(access_token="")))
    org.call("GET", "limits")
    with pytest.raises(Reconnect) as caught:
        org.call("GET", "limits")
    assert (caught.value.account, caught.value.code) == ("salesforce", "INVALID_SESSION_ID")
    assert (len(token_calls(wire)), len(api_calls(wire))) == (2, 3)


def test_a_new_token_that_is_rejected_at_once_is_not_asked_for_again(make, wire):
    wire.post(TOKEN, json=granted())
    wire.get(LIMITS, **expired())
    with pytest.raises(Reconnect):
        Org(make("jwt"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assert len(wire.calls) == 2


def test_a_given_token_that_ends_is_not_renewed(make, wire):
    wire.get(LIMITS, **expired())
    with pytest.raises(Reconnect, match="set a token that is valid"):
        Org(make("access_token"), clock=StillClock(NOW), vault=MemoryVault()).call("GET", "limits")
    assert len(wire.calls) == 1


@pytest.mark.parametrize("auth", ["access_token", "refresh_token", "client_credentials"])
def test_a_session_that_may_not_use_the_rest_api_is_not_renewed(make, wire, auth):
    wire.post(TOKEN, json=granted())
    wire.get(LIMITS, **expired("This session is not valid for use with the REST API"))
    org = Org(make(auth), clock=StillClock(NOW), vault=MemoryVault(salesforce=kept()))
    with pytest.raises(Reconnect, match="does not let this user's sessions use the REST API"):
        org.call("GET", "limits")
    assert len(api_calls(wire)) == 1


# -------------------------------------------------------------------- tokens in the vault, and seeds


def test_the_token_in_the_vault_is_used_before_any_is_asked_for(make, wire):
    wire.get(LIMITS, json={})
    Org(make("refresh_token"), clock=StillClock(NOW), vault=MemoryVault(salesforce=kept(7))).call("GET", "limits")
    (call,) = wire.calls
    assert call.request.headers["Authorization"] == "Bearer 00D-access-7"


@pytest.mark.parametrize(("given", "left"), [({"refresh_token": "5Aep861-r2"}, "5Aep861-r2"), ({}, "5Aep861-r1")])
def test_a_new_refresh_token_is_saved_before_its_access_token_is_used(make, wire, given, left):
    vault = MemoryVault(salesforce=kept())
    found = []

    def used(request):
        if request.headers["Authorization"] == "Bearer 00D-access-1":
            return (401, {}, json.dumps(expired()["json"]))
        found.append(Kept.read(vault.read("salesforce")))
        return (200, {}, "{}")

    wire.post(TOKEN, json=granted(2, **given))
    wire.add_callback(responses.GET, LIMITS, used, content_type="application/json")
    Org(make("refresh_token"), clock=StillClock(NOW), vault=vault).call("GET", "limits")
    (one,) = found
    assert (one.refresh_token, one.access_token, one.instance_url) == (left, "00D-access-2", LOGIN)
    assert (one.user, one.issued_at) == ("005000000000001AAA", NOW.isoformat())


def test_a_token_that_another_process_renewed_is_used_and_none_is_spent(make, wire):
    vault = MemoryVault(salesforce=kept(1))
    wire.get(LIMITS, json={})
    wire.get(LIMITS, **expired())
    wire.get(LIMITS, json={})
    org = Org(make("refresh_token"), clock=StillClock(NOW), vault=vault)
    org.call("GET", "limits")
    vault.save("salesforce", kept(2, refresh_token="5Aep861-r2"))
    org.call("GET", "limits")
    assert token_calls(wire) == []
    assert api_calls(wire)[-1].request.headers["Authorization"] == "Bearer 00D-access-2"


@pytest.mark.parametrize("rep", ["", "ana@acme.example"])
def test_nobody_signed_in_is_told_with_the_command(make, rep):
    account = make("refresh_token", per_rep=True)
    with pytest.raises(Reconnect) as caught:
        Org(account, clock=StillClock(NOW), vault=MemoryVault(), rep=rep).call("GET", "limits")
    command = "connector auth salesforce --rep ana@acme.example" if rep else "connector auth salesforce"
    assert str(caught.value).endswith(f"run '{command}'")
    assert caught.value.account == ("salesforce:ana@acme.example" if rep else "salesforce")


def test_a_configured_refresh_token_is_used_until_the_vault_has_one(make, wire, monkeypatch):
    wire.post(TOKEN, json=granted(1, refresh_token="5Aep861-r2"))
    wire.get(LIMITS, json={})
    vault = MemoryVault()
    account = make("refresh_token", refresh_token="${env:SF_REFRESH}")
    Org(account, clock=StillClock(NOW), vault=vault).call("GET", "limits")
    assert form_of(token_calls(wire)[0])["refresh_token"] == "5Aep861-given-seed"
    monkeypatch.delenv("SF_REFRESH")
    Org(account, clock=StillClock(NOW), vault=vault).call("GET", "limits")
    assert len(token_calls(wire)) == 1
    assert Kept.read(vault.read("salesforce")).refresh_token == "5Aep861-r2"


def test_another_configured_refresh_token_replaces_what_came_of_the_first(make, wire, monkeypatch):
    wire.post(TOKEN, json=granted(1))
    wire.post(TOKEN, json=granted(2))
    wire.get(LIMITS, json={})
    vault = MemoryVault()
    account = make("refresh_token", refresh_token="${env:SF_REFRESH}")
    Org(account, clock=StillClock(NOW), vault=vault).call("GET", "limits")
    monkeypatch.setenv("SF_REFRESH", "5Aep861-another-seed")
    Org(account, clock=StillClock(NOW), vault=vault).call("GET", "limits")
    assert [form_of(call)["refresh_token"] for call in token_calls(wire)] == [
        "5Aep861-given-seed", "5Aep861-another-seed"
    ]  # fmt: skip


# ------------------------------------------------------------------------------------- rep by rep


def test_each_rep_has_a_session_of_their_own_and_all_are_counted(make, wire):
    wire.get(LIMITS, json={}, headers={"Sforce-Limit-Info": "api-usage=17/15000"})
    names = ["salesforce", "salesforce:ana@acme.example"]
    vault = MemoryVault(**{name: kept(number) for number, name in enumerate(names)})
    orgs = Orgs(make("refresh_token", per_rep=True), clock=StillClock(NOW), vault=vault)
    assert orgs.of("") is orgs.own
    assert orgs.of("ana@acme.example") is orgs.of("ana@acme.example") is not orgs.own
    for rep in ("", "ana@acme.example"):
        orgs.of(rep).call("GET", "limits")
    assert [call.request.headers["Authorization"] for call in wire.calls] == [
        "Bearer 00D-access-0", "Bearer 00D-access-1"
    ]  # fmt: skip
    with pytest.raises(Reconnect) as caught:
        orgs.of("ben@acme.example").call("GET", "limits")
    assert caught.value.account == "salesforce:ben@acme.example"
    assert (orgs.calls, orgs.budget) == (2, (17, 15000))
    orgs.close()
    assert orgs.calls == 2


def test_without_per_rep_one_session_serves_all(make):
    orgs = Orgs(make("refresh_token"), clock=StillClock(NOW), vault=MemoryVault())
    assert orgs.of("ana@acme.example") is orgs.own


@pytest.mark.parametrize("code", ["INVALID_SESSION_ID", "API_DISABLED_FOR_ORG"])
def test_what_stops_a_rep_names_the_rep(make, wire, code):
    wire.post(TOKEN, json=granted(2))
    status = 401 if code == "INVALID_SESSION_ID" else 403
    wire.get(LIMITS, json=[{"message": "no", "errorCode": code}], status=status)
    vault = MemoryVault(**{"salesforce:ana@acme.example": kept()})
    org = Orgs(make("refresh_token", per_rep=True), clock=StillClock(NOW), vault=vault).of("ana@acme.example")
    with pytest.raises(Reconnect) as caught:
        org.call("GET", "limits")
    assert caught.value.account == "salesforce:ana@acme.example"


# ------------------------------------------------------------------------------- by a person


class Person:
    """Nobody at the browser."""

    def show(self, sentence):
        pytest.fail("nobody should be asked")

    def open(self, address):
        pytest.fail("nothing should be opened")


@pytest.mark.parametrize("auth", [auth for auth in WAYS if auth != "refresh_token"])
def test_where_no_person_signs_in_the_command_says_so(make, auth):
    for act in (
        lambda: sign_in(make(auth), Person(), rep=None, clock=StillClock(NOW), vault=MemoryVault()),
        lambda: sign_out(make(auth), rep=None, vault=MemoryVault()),
    ):
        with pytest.raises(BadInput, match=f"auth: {auth} of accounts.salesforce needs no person"):
            act()


def test_a_rep_signs_in_only_where_reps_do(make):
    with pytest.raises(BadInput, match="leave --rep out, or write per_rep: true"):
        sign_in(make("refresh_token"), Person(), rep="ana@acme.example", clock=StillClock(NOW), vault=MemoryVault())


@pytest.mark.parametrize(
    ("answer", "sentence", "gone"),
    [
        ({"status": 200}, "is revoked and forgotten", True),
        ({"status": 400, "json": {"error": "invalid_token"}}, "is forgotten; it had ended already", True),
        ({"status": 503}, None, False),
    ],
)
def test_signing_out_revokes_and_forgets(make, wire, answer, sentence, gone):
    wire.post(f"{LOGIN}/services/oauth2/revoke", **answer)
    vault = MemoryVault(salesforce=kept())
    if sentence is None:
        with pytest.raises(Retry):
            sign_out(make("refresh_token"), rep=None, vault=vault)
    else:
        assert sentence in sign_out(make("refresh_token"), rep=None, vault=vault)
    assert form_of(wire.calls[0]) == {"token": "5Aep861-r1"}
    assert (vault.read("salesforce") is None) is gone


def test_signing_out_when_nobody_is_signed_in_calls_nobody(make, wire):
    told = sign_out(make("refresh_token", per_rep=True), rep="ana@acme.example", vault=MemoryVault())
    assert told == "there is no sign-in to Salesforce of ana@acme.example to revoke"
    assert len(wire.calls) == 0


# ----------------------------------------------------------------------------- secrets stay secret


@pytest.mark.parametrize("auth", WAYS)
@pytest.mark.parametrize("outcome", ["works", "refused", "expires"])
def test_no_secret_is_logged_shown_or_told(make, wire, caplog, auth, outcome):
    caplog.set_level(logging.DEBUG)
    if outcome == "refused":
        wire.post(TOKEN, json={"error": "invalid_grant", "error_description": "00D-access-9 5Aep861-r9"}, status=400)
    else:
        wire.post(TOKEN, json=granted(1, refresh_token="5Aep861-r2"))
    wire.get(LIMITS, **(expired() if outcome == "expires" else {"json": {}}))
    account = make(auth)
    vault = MemoryVault(salesforce=kept(access_token=""))
    org = Org(account, clock=StillClock(NOW), vault=vault)
    shown = [repr(account), str(account), repr(org), repr(org.__dict__.get("_session"))]
    try:
        org.call("GET", "limits")
    except AdapterError as error:
        shown += [str(error), repr(error), error.advice, repr(error.__cause__)]
    shown += [repr(vars(org)), repr(Kept.read(vault.read("salesforce"))), caplog.text]
    leaks = [*SECRETS.values(), "00D-access", "5Aep861-r", "PRIVATE KEY"]
    assert [leak for leak in leaks if any(leak in one for one in shown)] == []


def test_what_a_sign_in_gave_shows_no_token():
    shown = repr(Granted(access_token="00D-access-1", refresh_token="5Aep861-r1", instance_url=LOGIN))
    assert "00D-access" not in shown
    assert "5Aep861" not in shown
