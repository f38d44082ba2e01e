"""Keys of `accounts.microsoft`, its certificate file, Microsoft's refusals in words, and what doctor reads of a token."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from adapters.outlook.aadsts import ADVICE, described, number_of, refused, refused_person
from adapters.outlook.account import MicrosoftAccount, missing_permissions, read_certificate
from adapters.outlook.checkup import look
from adapters.outlook.claims import claims_of, person_of
from adapters.outlook.signin import GivenToken
from connector.errors import BadInput, Reconnect, Retry
from connector.ports import MailIdentity, Verdict

APP = {"tenant": "acme", "client_id": "app"}
#: A ready token; its sign-in is a machine of the test's, so that nobody's clock is asked for.
READY = {"auth": "access_token", "token": "${env:T}", "authority": "http://127.0.0.1:9"}
ANA = MailIdentity(email="ana@acme.example", name="Ana")
ANA_TOO = MailIdentity(email="ana@acme.example", name="Ana", aliases=("a.diaz@acme.example",))
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONSENT = (
    "AADSTS65001: The user or administrator has not consented to use the application with ID 'app'.\r\n"
    "Trace ID: 0c9b1e3a-1111 Correlation ID: 5f-2222 Timestamp: 2026-11-24 12:00:00Z"
)


@pytest.mark.parametrize(
    ("cloud", "login", "graph"),
    [
        ("global", "https://login.microsoftonline.com", "https://graph.microsoft.com"),
        ("us_gov", "https://login.microsoftonline.us", "https://graph.microsoft.us"),
        ("us_dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        ("china", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
    ],
)
def test_a_cloud_names_its_hosts_and_what_is_asked_for(cloud, login, graph):
    account = MicrosoftAccount.model_validate({"auth": "auth_code", "cloud": cloud, **APP})
    assert (account.login_address, account.graph_address) == (login, f"{graph}/v1.0")
    assert account.scopes == [f"{graph}/Mail.ReadWrite", f"{graph}/Mail.Send", f"{graph}/User.Read"]


def test_an_address_of_ones_own_wins_over_the_cloud():
    account = MicrosoftAccount.model_validate(
        {"auth": "auth_code", **APP, "endpoint": "http://127.0.0.1:1/v1.0", "authority": "https://login.example"}
    )
    assert (account.login_address, account.graph_address) == ("https://login.example", "http://127.0.0.1:1/v1.0")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"auth": "client_credentials", **APP}, "client_secret as well (or certificate_file in its place)"),
        (
            {"auth": "client_credentials", **APP, "client_secret": "${env:S}", "certificate_file": "a.pem"},
            "two ways to prove one thing",
        ),
        ({"auth": "auth_code", **APP, "cloud": "mars"}, "Input should be 'global'"),
        ({"auth": "auth_code", **APP, "authority": "http://login.example"}, "loopback only"),
    ],
)
def test_a_section_that_cannot_work_is_refused(section, sentence):
    with pytest.raises(ValidationError) as raised:
        MicrosoftAccount.model_validate(section)
    assert sentence in str(raised.value)


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        (b"nothing", "needs two parts in PEM"),
        (private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)), "needs two parts in PEM"),
        (private_pem(ec.generate_private_key(ec.SECP256R1())), "needs two parts in PEM"),
    ],
)
def test_a_file_that_is_no_certificate_is_named_and_not_quoted(tmp_path, content, sentence):
    path = tmp_path / "app.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        read_certificate(path)
    assert sentence in str(raised.value)
    assert str(path) in str(raised.value)
    assert "PRIVATE" not in str(raised.value)
    section = {"auth": "client_credentials", **APP, "certificate_file": str(path)}
    assert len(MicrosoftAccount.model_validate(section).warnings) == (content is not None)


# ------------------------------------------------------------------------------------------- refusals


def test_a_description_is_shortened_to_what_people_can_use():
    answer = {"error": "invalid_grant", "error_description": CONSENT, "error_codes": [65001]}
    assert described(answer) == (
        "AADSTS65001: The user or administrator has not consented to use the application with ID 'app'"
    )
    assert number_of(answer) == number_of({"error_description": CONSENT}) == 65001
    assert len(described({"error_description": "x" * 5000})) < 300
    assert (described({"error": "invalid_client"}), number_of({})) == ("invalid_client", None)


@pytest.mark.parametrize("number", sorted(ADVICE))
def test_every_number_people_meet_has_its_advice_and_the_command(number):
    error = refused_person({"error": "invalid_grant", "error_codes": [number]}, "ana@acme.example")
    assert isinstance(error, Reconnect)
    assert (error.code, error.advice) == (f"AADSTS{number}", "")  # said once: `doctor` prints both
    assert ADVICE[number][1:] in error.sentence
    assert error.sentence.endswith("run 'connector auth microsoft --rep ana@acme.example'")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in "
                "the request is the client secret value, not the client secret ID. Trace ID: 1",
            },
            "AADSTS7000215: Invalid client secret provided. "
            "The secret is not one of this app: set client_secret to the secret's value, not to its id",
        ),
        (
            {"error": "invalid_client", "error_description": "AADSTS1: Not heard of. Nor this."},
            "AADSTS1: Not heard of. Nor this. Check client_id",
        ),
    ],
)
def test_an_applications_refusal_says_what_to_do_once(answer, told):
    error = refused(answer, account="outlook:ana", what="a token", otherwise="check client_id")
    assert (error.sentence, error.advice) == (f"Microsoft refused a token: {told}", "")


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "temporarily_unavailable"},
        {"error": "server_error"},
        {"error": "invalid_request", "error_description": "AADSTS90033: A transient error has occurred."},
    ],
)
def test_what_passes_by_itself_is_tried_again(answer):
    assert isinstance(refused_person(answer, "ana@acme.example"), Retry)


# --------------------------------------------------------------------------------------------- doctor


def token_with(**claims):
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sig"


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.b.c", "a.!!!.c", "a.W10.c"])
def test_a_token_that_says_nothing_of_itself_is_no_fault(token):
    assert claims_of(token) == {}
    assert person_of(token) == ""


@pytest.mark.parametrize(
    ("claims", "stranger"),
    [
        ({"upn": "Ben@acme.example"}, "ben@acme.example"),
        ({"unique_name": "ben@acme.example"}, "ben@acme.example"),
        ({"preferred_username": "ben@acme.example"}, "ben@acme.example"),
        ({"upn": "Ana@acme.example"}, ""),
        ({"upn": "a.diaz@acme.example"}, ""),
        ({"appid": "app"}, ""),
    ],
)
def test_a_ready_token_of_somebody_else_is_named_as_theirs(monkeypatch, claims, stranger):
    monkeypatch.setenv("T", token_with(**claims))
    assert GivenToken(MicrosoftAccount.model_validate(READY).token, ANA_TOO).stranger == stranger


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        (["Mail.ReadWrite", "Mail.Send"], ()),
        (["https://graph.microsoft.com/mail.readwrite"], ("Mail.Send",)),
        (["Mail.Read", "Mail.Send"], ("Mail.ReadWrite",)),
        ([], ("Mail.ReadWrite", "Mail.Send")),
    ],
)
def test_missing_permissions_are_named(granted, missing):
    assert missing_permissions(granted) == missing


class Clock:
    def now(self):
        return NOON

    def sleep(self, seconds):
        raise AssertionError(seconds)


class Given:
    """A `SignIn` with one token."""

    widening = "grant it"

    def __init__(self, token):
        self._token = token

    def token(self, account):
        return self._token

    def renew(self):
        return False


@pytest.mark.parametrize(
    ("section", "tenant"),
    [({"auth": "auth_code", **APP}, "acme"), ({"auth": "access_token", "token": "${env:T}"}, "common")],
    ids=["of a tenant", "a ready token"],
)
@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("Tue, 24 Nov 2026 12:00:30 GMT", ""),
        ("Tue, 24 Nov 2026 11:50:00 GMT", "10 minutes ahead of Microsoft's"),
        ("Tue, 24 Nov 2026 12:07:00 GMT", "7 minutes behind Microsoft's"),
        ("nonsense", ""),
    ],
)
def test_a_clock_that_is_off_is_a_fault(section, tenant, date, said):
    account = MicrosoftAccount.model_validate(section)
    with responses.RequestsMock() as wire:
        wire.get(
            f"https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration",
            json={},
            headers={"Date": date},
        )
        told = look(account, Given(token_with(scp="Mail.ReadWrite Mail.Send")), ANA, Clock(), lambda: None)
    faults = [one.sentence for one in told if one.verdict is Verdict.FAULT]
    assert len(faults) == bool(said)
    assert said in "".join(faults)


def test_an_application_is_reminded_of_its_limits_and_told_what_it_lacks():
    account = MicrosoftAccount.model_validate(READY)
    told = look(account, Given(token_with(roles=["Mail.Send"])), ANA, Clock(), lambda: None)
    assert [one.verdict for one in told] == [Verdict.OK, Verdict.FAULT, Verdict.WARNING]
    assert "lacks Mail.ReadWrite: no draft can be placed" in told[1].sentence
    assert (told[1].mend, told[1].reconnect) == ("grant it", True)
    assert "every mailbox of the organisation" in told[2].sentence
    assert "RBAC for Applications" in told[2].mend


def test_an_application_that_exchange_limits_is_warned_of_nothing():
    account = MicrosoftAccount.model_validate(READY)
    (line,) = look(account, Given(token_with(roles=[])), ANA, Clock(), lambda: None)
    assert line.verdict is Verdict.OK


def test_an_application_whose_rights_exchange_keeps_is_not_called_short_of_them():
    account = MicrosoftAccount.model_validate(READY)
    told = look(account, Given(token_with(roles=["User.Read.All"])), ANA, Clock(), lambda: None)
    assert [one.sentence for one in told] == [f"the mailbox of {ANA.email} can be read"]
