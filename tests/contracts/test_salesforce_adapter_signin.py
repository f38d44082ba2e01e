"""Signing in to Salesforce over real HTTP: every way, a browser played by a client, and processes that share a token."""

import json
import socket
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from adapters.salesforce import adapter
from adapters.sandbox import Sandbox
from connector.errors import Reconnect, Refused
from connector.store.database import Database
from connector.vault import StoredVault
from tests.doubles import MemoryCache, MemoryVault

#: An instant the machine's clock has passed: signatures and codes are told by the sandbox's.
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SECRET = "the-secret-of-the-app"
ANA, BEN = "ana@acme.example", "ben@acme.example"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Browser:
    """A person at the keyboard: follows the printed address, and what it redirects to."""

    def __init__(self, change=lambda address: address):
        self.change = change
        self.shown = []
        self.addresses = []
        self.page = ""

    def show(self, sentence):
        self.shown.append(sentence)

    def open(self, address):
        self.addresses.append(address)
        answer = requests.get(self.change(address), timeout=10, allow_redirects=False)
        assert answer.status_code == 302, answer.text  # else nobody would come back
        self.page = requests.get(answer.headers["Location"], timeout=10).text


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class World:
    def __init__(self, sandbox, folder, monkeypatch, key):
        self.sandbox = sandbox
        self.org = sandbox.salesforce
        self.port = free_port()
        self.vault = MemoryVault()
        self.set_variable = monkeypatch.setenv
        self.set_variable("SF_SECRET", SECRET)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        made = made.serial_number(1).not_valid_before(START).not_valid_after(START + timedelta(days=365))
        certificate = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        self.key_file = folder / "salesforce.key"
        self.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        for username in (ANA, BEN):
            self.org.add_user(Username=username, LastName=username[:3].title(), Email=username)
        self.org.login.at_the_browser = ANA
        self.register = lambda **change: self.org.register_app(
            "3MVG9.app",
            **{
                "secret": SECRET,
                "redirect_uris": [f"http://localhost:{self.port}/callback"],
                "certificate": certificate,
                "users": [ANA, BEN],
                "rotate": True,
                **change,
            },
        )
        self.register()

    def account(self, auth, **change):
        section = {
            "auth": auth,
            "client_id": "3MVG9.app",
            "client_secret": "${env:SF_SECRET}",
            "login_url": self.sandbox.url,
            "redirect_port": self.port,
            **change,
        }
        kept = {name: value for name, value in section.items() if value is not None}
        return adapter.account_model.model_validate(kept)

    def open(self, account):
        clock = self.sandbox.clock
        return adapter.open_crm(
            account, adapter.options_model(), clock=clock, vault=self.vault, cache=MemoryCache(clock)
        )

    def sign_in(self, account, *, rep=None, browser=None):
        return adapter.sign_in(account, browser or Browser(), rep=rep, clock=self.sandbox.clock, vault=self.vault)


@pytest.fixture
def world(tmp_path, monkeypatch, key):
    with Sandbox(start=START) as sandbox:
        yield World(sandbox, tmp_path, monkeypatch, key)


def signs_in(world, account):
    crm = world.open(account)
    try:
        return crm.find_users([ANA])
    finally:
        crm.close()


# ------------------------------------------------------------------------------- ways without a person


def test_jwt_signs_in(world):
    account = world.account("jwt", username=ANA, key_file=str(world.key_file), client_secret=None)
    assert set(signs_in(world, account)) == {ANA}


def test_jwt_for_a_user_who_is_not_pre_authorised_says_so(world):
    world.org.add_user(Username="cy@acme.example", LastName="Cy", Email="cy@acme.example")
    account = world.account("jwt", username="cy@acme.example", key_file=str(world.key_file), client_secret=None)
    with pytest.raises(Reconnect, match="assign the app's permission set or profile"):
        signs_in(world, account)


def test_jwt_with_another_key_says_so(world):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    world.key_file.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    account = world.account("jwt", username=ANA, key_file=str(world.key_file), client_secret=None)
    with pytest.raises(Reconnect, match="the certificate of the app does not belong to key_file"):
        signs_in(world, account)


def test_client_credentials_sign_in(world):
    assert set(signs_in(world, world.account("client_credentials"))) == {ANA}


@pytest.mark.parametrize("soap", [False, True])
def test_a_password_signs_in_by_oauth_or_by_soap(world, soap):
    world.set_variable("SF_PASSWORD", 'p<&>"ss')
    world.set_variable("SF_SECURITY_TOKEN", "tokEN")
    world.org.set_password(ANA, 'p<&>"ss', "tokEN")
    change = {"client_id": None, "client_secret": None} if soap else {}
    said = {"username": ANA, "password": "${env:SF_PASSWORD}", "security_token": "${env:SF_SECURITY_TOKEN}"}
    account = world.account("password", **said, **change)
    if soap:
        world.org.allow_soap_login(allowed=True)
    assert set(signs_in(world, account)) == {ANA}
    if soap:
        world.org.allow_soap_login(allowed=False)
        with pytest.raises(Reconnect, match="off in this org: use auth: jwt or client_credentials"):
            signs_in(world, account)
    without = world.account("password", **{**said, "security_token": None}, **change)
    world.org.allow_soap_login(allowed=True)
    with pytest.raises(Reconnect, match=r"set security_token|see the user's login history"):
        signs_in(world, without)


def test_a_session_that_ends_during_a_pass_is_renewed(world):
    crm = world.open(world.account("client_credentials"))
    crm.find_users([ANA])
    world.org.expire_sessions()
    assert set(crm.find_users([BEN])) == {BEN}
    crm.close()


# ---------------------------------------------------------------------------------- by the browser


def test_a_person_signs_in_by_the_browser_and_is_named(world):
    browser = Browser()
    told = world.sign_in(world.account("refresh_token"), browser=browser)
    assert told == f"signed in to Salesforce at {urlsplit(world.sandbox.url).netloc} as {ANA}"
    assert "has answered" in browser.page
    asked = {name: values[0] for name, values in parse_qs(urlsplit(browser.addresses[0]).query).items()}
    assert (asked["scope"], asked["code_challenge_method"]) == ("api refresh_token", "S256")
    assert set(signs_in(world, world.account("refresh_token"))) == {ANA}


def test_without_a_secret_pkce_is_what_proves_who_asks(world):
    world.register(secret=None)
    account = world.account("refresh_token", client_secret=None)
    world.sign_in(account)
    assert set(signs_in(world, account)) == {ANA}


def test_a_person_who_declines_signs_nobody_in(world):
    world.org.login.denies = True
    browser = Browser()
    with pytest.raises(Refused, match="it was declined in the browser"):
        world.sign_in(world.account("refresh_token"), browser=browser)
    assert "did not sign you in" in browser.page
    assert world.vault.secrets == {}


def test_a_user_whom_the_app_does_not_admit_is_told(world):
    world.register(users=[BEN])
    with pytest.raises(Refused, match="not pre-authorised for the app"):
        world.sign_in(world.account("refresh_token", username=ANA))
    assert world.vault.secrets == {}


def test_a_code_that_was_made_for_another_verifier_is_refused(world):
    def swapped(address):
        return address.replace("code_challenge=", "code_challenge=x")

    with pytest.raises(Reconnect, match="the answer was not made for this sign-in"):
        world.sign_in(world.account("refresh_token"), browser=Browser(swapped))
    assert world.vault.secrets == {}


def test_a_rep_signs_in_and_writes_in_their_own_name(world):
    account = world.account("refresh_token", per_rep=True)
    world.sign_in(account)
    told = world.sign_in(account, rep=BEN)
    assert told.endswith(f"as {BEN} for rep {BEN}")
    assert set(world.vault.secrets) == {"salesforce", f"salesforce:{BEN}"}
    users = {json.loads(text)["user"] for text in world.vault.secrets.values()}
    assert len(users) == 2


def test_a_rep_for_whom_somebody_else_signed_in_is_told(world):
    account = world.account("refresh_token", per_rep=True)
    browser = Browser(lambda address: address.replace(BEN.replace("@", "%40"), ANA.replace("@", "%40")))
    told = world.sign_in(account, rep=BEN, browser=browser)
    assert told.endswith(f"as {ANA} for rep {BEN}: make sure that this is the same person")


def test_signing_out_ends_what_the_sign_in_gave(world):
    account = world.account("refresh_token")
    world.sign_in(account)
    before = dict(world.vault.secrets)
    assert (
        adapter.sign_out(account, rep=None, vault=world.vault) == "the sign-in to Salesforce is revoked and forgotten"
    )
    assert world.vault.secrets == {}
    with pytest.raises(Reconnect, match="run 'connector auth salesforce'"):
        signs_in(world, account)
    world.vault.secrets = before  # even a copy is of no use
    with pytest.raises(Reconnect, match="the sign-in was revoked"):
        signs_in(world, account)


def test_a_revoked_sign_in_of_one_rep_leaves_the_others(world):
    account = world.account("refresh_token", per_rep=True)
    world.sign_in(account)
    world.sign_in(account, rep=BEN)
    adapter.sign_out(account, rep=BEN, vault=world.vault)
    assert set(signs_in(world, account)) == {ANA}


# ---------------------------------------------------------------------- processes that share a token

_PROCESS = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from adapters.salesforce import adapter
    from connector.app import RemoteClock
    from connector.store.cache import StoredCache
    from connector.store.database import Database
    from connector.vault import StoredVault

    url, folder, section = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    database, clock = Database(sys.argv[4]), RemoteClock(url + "/sandbox/clock")
    crm = adapter.open_crm(
        adapter.account_model.model_validate(section), adapter.options_model(), clock=clock,
        vault=StoredVault(database, clock, folder), cache=StoredCache(database, clock),
    )
    for line in sys.stdin:
        try:
            print(json.dumps(sorted(crm.find_users([line.strip()]))), flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", flush=True)
""")


def test_two_processes_that_renew_one_rotating_token_at_once_spend_it_once(world, database_url, tmp_path):
    account = world.account("refresh_token")
    section = json.dumps(
        {"auth": "refresh_token", "client_id": "3MVG9.app", "client_secret": "${env:SF_SECRET}"}
        | {"login_url": world.sandbox.url}
    )
    database = Database(database_url)
    database.upgrade()
    vault = StoredVault(database, world.sandbox.clock, tmp_path)
    world.vault = vault
    world.sign_in(account)
    first = json.loads(vault.read("salesforce"))["refresh_token"]
    command = [sys.executable, "-c", _PROCESS, world.sandbox.url, str(tmp_path), section, database_url]
    pair = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(2)
    ]

    def ask(one, name, into):
        one.stdin.write(name + "\n")
        one.stdin.flush()
        into.append(one.stdout.readline().strip())

    def ask_both(name):
        answers = []
        threads = [threading.Thread(target=ask, args=(one, name, answers)) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return answers

    try:
        assert ask_both(ANA) == [f'["{ANA}"]'] * 2
        for turn in range(4):
            before = spent(world)
            world.org.expire_sessions()
            world.sandbox.clock.advance(timedelta(days=2))  # so that nothing remembered is used
            assert ask_both(BEN if turn % 2 else ANA) == [f'["{BEN if turn % 2 else ANA}"]'] * 2
            assert spent(world) - before == 1
    finally:
        for one in pair:
            one.stdin.close()
            one.wait(30)
            one.stdout.close()
    assert json.loads(vault.read("salesforce"))["refresh_token"] != first
    database.close()


def spent(world):
    """Return how many calls the token endpoint has had."""
    return world.sandbox.log.calls.get("salesforce:token", 0)
