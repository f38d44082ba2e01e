"""Our sign-in to Microsoft against a token server that others wrote: the npm program `oidc-provider`.

What it is no judge of stands in `tests/judges/oidc_provider`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters.outlook import MicrosoftAccount, OutlookAdapter
from adapters.outlook.signin import Application, KeptSignIn, secret_name
from connector.errors import Reconnect, Refused
from tests.certificates import made_certificate
from tests.doubles import MemoryVault
from tests.judges.oidc_provider import (
    OF_PEOPLE,
    SECRET,
    TENANT,
    WITH_CERTIFICATE,
    WITH_SECRET,
    Administrator,
    Browser,
    providing,
)

ANA, BEN = "ana@acme.example", "ben@acme.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOTH_WAYS = pytest.mark.parametrize("auth", ["auth_code", "device_code"])
GRANTED = [f"https://graph.microsoft.com/{name}" for name in ("Mail.ReadWrite", "Mail.Send", "User.Read")]


@dataclass(kw_only=True)
class Clock:
    """Time passes by waiting alone, and somebody may act meanwhile."""

    meanwhile: Callable[[], None]
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return NOON

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.meanwhile()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("certificates")
    certificate = made_certificate(folder / "right.pem", NOON)
    made_certificate(folder / "other.pem", NOON)
    with providing(certificate) as url:
        yield SimpleNamespace(url=url, folder=folder)


@dataclass(kw_only=True)
class Organisation:
    """The token server, and a connector's vault."""

    url: str
    folder: Path
    vault: MemoryVault = field(default_factory=MemoryVault)
    waits: list[float] = field(default_factory=list)

    @property
    def administrator(self) -> Administrator:
        return Administrator(self.url)

    def account(self, auth: str, client_id: str = OF_PEOPLE, **more: str) -> MicrosoftAccount:
        section = {"auth": auth, "tenant": TENANT, "client_id": client_id, "authority": self.url}
        return MicrosoftAccount.model_validate(section | more)

    def sign_in(self, auth: str, rep: str = ANA, *, person: str | None = None) -> str:
        browser = Browser(url=self.url, person=rep if person is None else person)
        clock = Clock(meanwhile=browser.enter_code, waits=self.waits)
        return OutlookAdapter().sign_in(self.account(auth), browser, rep=rep, clock=clock, vault=self.vault)

    def kept(self, rep: str = ANA) -> KeptSignIn:
        """Return what a process of its own would find."""
        return KeptSignIn(self.account("auth_code"), rep, self.vault)

    def refresh_token(self, rep: str = ANA) -> str:
        (one,) = json.loads(self.vault.secrets[secret_name(rep)])["RefreshToken"].values()
        return str(one["secret"])


@pytest.fixture
def organisation(served: SimpleNamespace) -> Organisation:
    return Organisation(url=served.url, folder=served.folder)


# ------------------------------------------------------------------------------------- an application


def test_an_application_is_known_by_its_secret_and_asks_once(organisation, monkeypatch):
    monkeypatch.setenv("SECRET", SECRET)
    signed = Application(organisation.account("client_credentials", WITH_SECRET, client_secret="${env:SECRET}"))
    token = signed.token("outlook:ana")
    assert organisation.administrator.look(token) == {
        "active": True,
        "client_id": WITH_SECRET,
        "scope": "https://graph.microsoft.com/.default",
        "sub": None,
    }
    assert signed.token("outlook:ben") == token
    signed.renew()
    assert signed.token("outlook:ben") != token


def test_an_application_is_known_by_its_certificate(organisation):
    account = organisation.account(
        "client_credentials", WITH_CERTIFICATE, certificate_file=str(organisation.folder / "right.pem")
    )
    told = organisation.administrator.look(Application(account).token("outlook:ana"))
    assert (told["active"], told["client_id"]) == (True, WITH_CERTIFICATE)


@pytest.mark.parametrize(
    ("client_id", "proof"),
    [(WITH_SECRET, {"client_secret": "${env:SECRET}"}), (WITH_CERTIFICATE, {"certificate_file": "{}/other.pem"})],
    ids=["secret", "certificate"],
)
def test_a_wrong_proof_is_refused_and_the_keys_to_look_at_are_named(organisation, monkeypatch, client_id, proof):
    monkeypatch.setenv("SECRET", "wrong-and-not-to-be-seen")
    proof = {name: value.replace("{}", str(organisation.folder)) for name, value in proof.items()}
    with pytest.raises(Reconnect) as raised:
        Application(organisation.account("client_credentials", client_id, **proof)).token("outlook:ana")
    assert (raised.value.account, raised.value.code) == ("outlook:ana", "invalid_client")
    assert "Check tenant, client_id and client_secret or certificate_file" in raised.value.sentence
    assert "wrong-and-not" not in raised.value.sentence
    assert "PRIVATE KEY" not in raised.value.sentence


# --------------------------------------------------------------------------------------- a person


@BOTH_WAYS
def test_a_rep_signs_in_and_the_next_process_has_the_token(organisation, auth):
    assert organisation.sign_in(auth) == f"signed in to Outlook as {ANA}."
    told = organisation.administrator.look(organisation.kept().token("outlook:ana"))
    assert (told["active"], told["client_id"], told["sub"]) == (True, OF_PEOPLE, ANA)
    assert set(GRANTED) <= set(told["scope"].split())
    # The code was entered after one look for it.
    assert organisation.waits == ([5] if auth == "device_code" else [])


@BOTH_WAYS
@pytest.mark.parametrize(
    ("person", "sentence"), [(BEN, f"{BEN} signed in, not {ANA}"), ("", "Microsoft refused the sign-in of")]
)
def test_somebody_else_and_who_declines_leave_nothing_behind(organisation, auth, person, sentence):
    with pytest.raises((Refused, Reconnect), match=sentence) as raised:
        organisation.sign_in(auth, person=person)
    assert f"run 'connector auth microsoft --rep {ANA}'" in raised.value.sentence.replace("Run", "run")
    assert organisation.vault.secrets == {}


# ------------------------------------------------------------------------------------ going on with it


def test_processes_renew_in_turn_by_refresh_tokens_that_are_good_for_one_use(organisation):
    organisation.sign_in("auth_code")
    processes = [organisation.kept() for _ in range(3)]
    first = {one.token("outlook:ana") for one in processes}
    used = [organisation.refresh_token()]
    for _ in range(2):
        for process in processes:
            process.renew()
        now = {one.token("outlook:ana") for one in processes}
        # One of them renewed, and the others found what it got.
        assert len(now) == 1
        assert not now & first
        assert organisation.administrator.look(*now)["active"]
        used.append(organisation.refresh_token())
        first |= now
    assert len(set(used)) == 3


def test_the_server_is_strict_a_refresh_token_used_twice_ends_the_sign_in(organisation):
    organisation.sign_in("auth_code")
    old = organisation.vault.secrets[secret_name(ANA)]
    process = organisation.kept()
    process.token("outlook:ana")
    process.renew()
    process.token("outlook:ana")
    organisation.vault.secrets[secret_name(ANA)] = old
    again = organisation.kept()
    again.token("outlook:ana")
    again.renew()
    with pytest.raises(Reconnect):
        again.token("outlook:ana")


def test_a_sign_in_that_was_ended_asks_for_that_rep_alone(organisation):
    for rep in (ANA, BEN):
        organisation.sign_in("auth_code", rep)
    ana, ben = organisation.kept(ANA), organisation.kept(BEN)
    for one in (ana, ben):
        one.token("outlook:x")
        one.renew()
    organisation.administrator.revoke(organisation.refresh_token(ANA))
    with pytest.raises(Reconnect) as raised:
        ana.token("outlook:ana")
    assert (raised.value.account, raised.value.code) == (f"outlook:{ANA}", "invalid_grant")
    assert raised.value.sentence.endswith(f"Then run 'connector auth microsoft --rep {ANA}'")
    assert organisation.administrator.look(ben.token("outlook:ben"))["active"]
    organisation.sign_in("auth_code", ANA)
    assert organisation.administrator.look(ana.token("outlook:ana"))["active"]
