"""Reps sign in to Outlook one by one, and applications by certificate: msal against the simulated Microsoft."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests

from adapters.outlook import MicrosoftAccount, OutlookAdapter
from adapters.outlook.account import DRAFTS, PERMISSIONS, SENDS, read_certificate
from adapters.outlook.signin import KeptSignIn
from connector.errors import AdapterError, BadInput, Reconnect, Refused
from connector.ports import MailIdentity, Verdict
from tests.certificates import made_certificate
from tests.doubles import MemoryVault

ANA, BEN = "ana@acme.example", "ben@acme.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOTH_WAYS = pytest.mark.parametrize("auth", ["auth_code", "device_code"])


class Browser:
    """A `ports.Conversation` whose person opens every address at once."""

    def __init__(self):
        self.shown = []
        self.addresses = []

    def show(self, sentence):
        self.shown.append(sentence)

    def open(self, address):
        self.addresses.append(address)
        answer = requests.get(address, timeout=10, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        requests.get(answer.headers["Location"], timeout=10)


class Office:
    """The sandbox with two Outlook reps, and one vault."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.vault = MemoryVault()
        self.browser = Browser()
        sandbox.graph.register_client("acme", "app", "right", ["Mail.ReadWrite", "Mail.Send"])
        for email in (ANA, BEN):
            sandbox.world.add_mailbox("outlook", email, email[:3].title())

    def account(self, auth="auth_code", **change):
        section = {
            "auth": auth,
            "tenant": "acme",
            "client_id": "app",
            "authority": self.sandbox.url,
            "endpoint": f"{self.sandbox.url}/v1.0",
        }
        return MicrosoftAccount.model_validate(section | change)

    def sign_in(self, account, rep=ANA, *aliases):
        return OutlookAdapter().sign_in(
            account, self.browser, rep=rep, aliases=aliases, clock=self.sandbox.clock, vault=self.vault
        )

    def open(self, account, email=ANA):
        """Open a mailbox as a process of its own would."""
        identity = MailIdentity(email=email, name=email[:3].title())
        return OutlookAdapter().open_mailbox(account, identity, clock=self.sandbox.clock, vault=self.vault)

    @property
    def token_calls(self):
        return self.sandbox.log.calls["graph:token"]


@pytest.fixture
def office(front):
    return Office(front.fresh(NOON))


# ------------------------------------------------------------------------------------- who signs in


def test_the_browser_signs_a_rep_in_to_their_own_mailbox(office):
    account = office.account()
    assert office.sign_in(account) == f"signed in to Outlook as {ANA}."
    assert list(office.vault.secrets) == [f"microsoft:{ANA}"]
    (address,) = office.browser.addresses
    assert "code_challenge_method=S256" in address
    assert f"login_hint={ANA.replace('@', '%40')}" in address
    calls = office.token_calls
    box = office.open(account)
    box.pull_mail(None)
    assert office.token_calls == calls  # the token is kept, too
    assert all(one["path"].startswith(("/v1.0/me", "/v1.0/$batch")) for one in office.sandbox.log.requests[-1:])
    box.close()


def test_a_code_entered_anywhere_signs_a_rep_in(office):
    office.sandbox.act("outlook_consents", account=ANA)
    begun = office.sandbox.clock.now()
    assert office.sign_in(office.account("device_code")) == f"signed in to Outlook as {ANA}."
    (shown,) = office.browser.shown
    assert "/devicelogin and enter the code" in shown
    assert office.sandbox.clock.now() - begun == timedelta(seconds=5)  # one look was too soon
    office.open(office.account("device_code")).pull_mail(None)


def test_nobody_waits_longer_for_a_code_than_it_is_good(office):
    with pytest.raises(AdapterError, match="code was not entered in time"):
        office.sign_in(office.account("device_code"))
    assert office.vault.secrets == {}


@BOTH_WAYS
def test_somebody_else_is_refused_and_nothing_is_kept(office, auth):
    office.sandbox.act("outlook_consents", account=BEN)
    with pytest.raises(Refused, match=f"{BEN} signed in, not {ANA}: nothing was kept"):
        office.sign_in(office.account(auth))
    assert office.vault.secrets == {}


def test_an_alias_and_another_name_of_the_same_mailbox_are_the_rep(office):
    office.sandbox.act("outlook_consents", account=BEN)
    assert office.sign_in(office.account(), ANA, BEN) == f"signed in to Outlook as {BEN} for rep {ANA}."
    office.sandbox.act("outlook_consents", signs_in_as="a.diaz@acme.onmicrosoft.example")
    assert f"a.diaz@acme.onmicrosoft.example for rep {ANA}" in office.sign_in(office.account())


@BOTH_WAYS
def test_who_declines_is_told_how_to_begin_again(office, auth):
    office.sandbox.act("outlook_consents", account=ANA, denies=True)
    with pytest.raises(AdapterError) as raised:
        office.sign_in(office.account(auth))
    assert "AADSTS65004" in str(raised.value)
    assert f"run 'connector auth microsoft --rep {ANA}'" in str(raised.value)
    assert "Trace ID" not in str(raised.value)
    assert office.vault.secrets == {}


def test_what_was_not_granted_is_told_or_refused(office):
    office.sandbox.act("outlook_consents", grants_only=[DRAFTS, "User.Read"])
    said = office.sign_in(office.account())
    assert "Mail.Send was not granted: nothing can be sent" in said
    assert said.endswith(f"Have it granted, and run 'connector auth microsoft --rep {ANA}' again.")
    (fault,) = [one for one in office.open(office.account()).check() if one.verdict is Verdict.FAULT]
    assert f"the token of {ANA} lacks Mail.Send" in fault.sentence
    assert f"connector auth microsoft --rep {ANA}" in fault.mend
    office.vault.secrets.clear()
    office.sandbox.act("outlook_consents", grants_only=[SENDS, "User.Read"])
    with pytest.raises(Refused, match=r"Mail\.ReadWrite was not granted"):
        office.sign_in(office.account())
    assert office.vault.secrets == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [({"client_id": "nobody"}, "AADSTS700016"), ({"tenant": "nowhere"}, "unknown_tenant")],
)
def test_an_app_or_tenant_that_is_not_there_is_said(office, change, code):
    with pytest.raises(Reconnect) as raised:
        office.sign_in(office.account("device_code", **change))
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("auth", "rep", "sentence"),
    [
        ("auth_code", None, "run 'connector auth microsoft --rep EMAIL'"),
        ("client_credentials", ANA, "auth: client_credentials of accounts.microsoft needs no person"),
    ],
)
def test_a_sign_in_that_makes_no_sense_is_bad_input(office, monkeypatch, auth, rep, sentence):
    monkeypatch.setenv("S", "right")
    change = {"client_secret": "${env:S}"} if auth == "client_credentials" else {}
    with pytest.raises(BadInput, match=sentence):
        office.sign_in(office.account(auth, **change), rep)


# ----------------------------------------------------------------------------------- going on with it


def test_one_process_renews_for_all_and_the_refresh_token_is_used_once(office):
    account = office.account()
    office.sign_in(account)
    boxes = [office.open(account) for _ in range(3)]
    for box in boxes:
        box.pull_mail(None)
    office.sandbox.tokens.revoke_all("graph")
    calls, kept = office.token_calls, dict(office.vault.secrets)
    for box in boxes:
        box.pull_mail(None)
    assert office.token_calls == calls + 2  # discovery and one refresh
    assert office.vault.secrets != kept
    office.sandbox.tokens.revoke_all("graph")
    boxes[0].pull_mail(None)  # by the new refresh token: the old one is spent


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (50173, "The password was changed"),
        (700082, "not used for 90 days"),
        (50076, "Multi-factor authentication is asked for"),
        (53003, "Conditional Access forbids"),
    ],
)
def test_an_ended_sign_in_stops_that_rep_alone(office, number, advice):
    account = office.account()
    for rep in (ANA, BEN):
        office.sign_in(account, rep)
    box, other = office.open(account), office.open(account, BEN)
    office.sandbox.act("outlook_ends_sign_in", rep=ANA, number=number)
    with pytest.raises(Reconnect) as raised:
        box.pull_mail(None)
    error = raised.value
    assert (error.account, error.code) == (f"outlook:{ANA}", f"AADSTS{number}")
    assert advice in error.sentence
    assert error.sentence.endswith(f"Then run 'connector auth microsoft --rep {ANA}'")
    assert not [word for word in ("Trace ID", "Correlation ID", "Timestamp") if word in error.sentence]
    other.pull_mail(None)
    office.sign_in(account)
    box.pull_mail(None)


def test_who_never_signed_in_or_did_with_another_app_is_asked_to(office):
    with pytest.raises(Reconnect, match=f"{ANA} is not signed in to Outlook: run"):
        office.open(office.account()).pull_mail(None)
    office.sign_in(office.account())
    office.sandbox.graph.register_client("acme", "other-app", "right")
    with pytest.raises(Reconnect, match=f"{ANA} is not signed in to Outlook: run"):
        office.open(office.account(client_id="other-app")).pull_mail(None)


def test_a_sign_in_that_is_revoked_is_forgotten(office):
    adapter, account = OutlookAdapter(), office.account()
    office.sign_in(account)
    assert "is forgotten. Microsoft lets no app end it" in adapter.sign_out(account, rep=ANA, vault=office.vault)
    assert office.vault.secrets == {}
    assert "there is no sign-in" in adapter.sign_out(account, rep=ANA, vault=office.vault)


def test_a_sign_in_that_cannot_be_reached_is_tried_again_and_keeps_what_there_is(office):
    account = office.account()
    office.sign_in(account)
    office.sandbox.tokens.revoke_all("graph")
    kept = dict(office.vault.secrets)
    away = office.account(authority="http://127.0.0.1:9")
    with pytest.raises(AdapterError) as raised:
        office.open(away).pull_mail(None)
    assert raised.value.code == "token_service"
    assert "try it again later" in raised.value.sentence
    assert office.vault.secrets == kept


# --------------------------------------------------------------------------------------- ready tokens


def test_a_ready_token_of_somebody_else_opens_nothing_and_is_named(office, monkeypatch):
    kept = office.account()
    office.sign_in(kept, BEN)
    monkeypatch.setenv("READY", KeptSignIn(kept, BEN, office.vault).token("outlook:ben"))
    ready = office.account("access_token", token="${env:READY}")
    office.open(ready, BEN).pull_mail(None)
    box = office.open(ready, ANA)
    told = f"the token given for {ANA} belongs to another mailbox, {BEN}: put a new token of {ANA} under accounts.microsoft"
    with pytest.raises(Reconnect) as raised:
        box.pull_mail(None)
    assert raised.value.sentence == told
    (line,) = box.check()  # and nothing of what that token holds
    assert (line.verdict, line.sentence, "RBAC" in line.mend) == (Verdict.FAULT, told, False)


def test_an_address_that_nobody_signs_in_by_is_told_with_the_one_to_write(office, monkeypatch):
    monkeypatch.setenv("READY", office.sandbox.token("graph", ANA, scopes=PERMISSIONS))
    fault = office.open(office.account("access_token", token="${env:READY}"), "a.diaz@acme.example").check()[0]
    assert "knows no mailbox a.diaz@acme.example" in fault.sentence
    assert "must be the name the user signs in by" in fault.mend


# ------------------------------------------------------------------------------------ by certificate


def test_an_application_signs_in_by_its_certificate_and_by_no_other(office, tmp_path):
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    office.sandbox.graph.login.register_certificate("acme", "app", made_certificate(good, NOON))
    made_certificate(bad, NOON)
    box = office.open(office.account("client_credentials", certificate_file=str(good)))
    told = {one.sentence: one.verdict for one in box.check()}
    assert told[f"the mailbox of {ANA} can be read"] is Verdict.OK
    assert told["the certificate of certificate_file ends on 2026-12-04"] is Verdict.WARNING
    assert any("every mailbox of the organisation" in sentence for sentence in told)
    office.sandbox.clock.sleep(timedelta(days=11).total_seconds())
    told = {one.sentence: one.verdict for one in box.check()}
    assert told["the certificate of certificate_file ended on 2026-12-04"] is Verdict.FAULT
    refused = office.open(office.account("client_credentials", certificate_file=str(bad)))
    assert [one.sentence for one in refused.check()][1:] == ["the certificate of certificate_file ended on 2026-12-04"]
    with pytest.raises(Reconnect) as raised:
        refused.pull_mail(None)
    assert raised.value.code == "AADSTS700027"
    assert "PRIVATE KEY" not in str(raised.value)


def test_a_key_beside_anothers_certificate_is_refused(tmp_path):
    one, other, mixed = tmp_path / "one.pem", tmp_path / "other.pem", tmp_path / "mixed.pem"
    mine = made_certificate(one, NOON)
    made_certificate(other, NOON)
    assert read_certificate(one).public == mine
    key, begin, _ = other.read_text().partition("-----BEGIN CERTIFICATE")
    mixed.write_text(key + begin + one.read_text().partition(begin)[2])
    with pytest.raises(BadInput, match="is not the RSA key of the certificate"):
        read_certificate(mixed)


# ------------------------------------------------------------------------------------ what doctor says


def test_a_mailbox_that_is_well_says_so_without_a_token_in_sight(office):
    account = office.account()
    office.sign_in(account)
    told = office.open(account).check()
    assert [one.verdict for one in told] == [Verdict.OK, Verdict.OK]
    assert told[1].sentence == "the token holds what is needed: Mail.ReadWrite and Mail.Send"
    assert "eyJ" not in repr((told, account, office.vault, PERMISSIONS))


def test_a_mailbox_without_a_licence_is_named_with_its_mend(office):
    account = office.account()
    office.sign_in(account)
    office.sandbox.act("rep_loses_mailbox", rep=ANA)
    fault = office.open(account).check()[0]
    assert (fault.area, fault.verdict, fault.reconnect) == ("users", Verdict.FAULT, True)
    assert "licence with Exchange Online" in fault.mend
