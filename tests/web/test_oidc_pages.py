"""Signing in with a provider, page by page: who comes in, what they may then, and who does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from connector.unsubscribe import Tokens
from connector.vault import StoredVault
from connector.web.app import create_app
from connector.web.sign_in import LINK_LASTS, SESSION_LASTS, Sessions, SignInLink
from connector.web.site import Site
from tests.web.issuer import CLIENT, SECRET, Issuer, serve_issuer
from tests.world import ANA, BOB, World

URL = "https://connector.acme.example"
WITH, BACK = "/sign-in/with/oidc", "/sign-in/with/oidc/callback"
OPEN = "/open/0123456789abcdef0123456789abcdef?in=gmail"
FIRST, ROOT, MAY = "ana@acme.example", "root@acme.example", "may@acme.example"


@dataclass(kw_only=True)
class Door:
    """The web app of a small world with a sign-in, as others reach it, and one browser."""

    world: World
    issuer: Issuer
    site: Site
    browser: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.new_browser()

    def new_browser(self) -> None:
        self.browser = TestClient(create_app(self.site), base_url=URL, follow_redirects=False)

    def get(self, path: str, **options: Any) -> Any:
        return self.browser.get(path, **options)

    def leave(self) -> dict[str, str]:
        """Go to the provider; return what it is asked."""
        answer = self.get(WITH)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith(f"{self.issuer.url}/authorize?")
        return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    def come_back(self, asked: dict[str, str], email: str = FIRST, **claims: Any) -> Any:
        """Come from the provider as somebody."""
        said = {"email": email, "email_verified": True} | claims
        self.issuer.usual(self.world.now, asked["nonce"], **said)
        return self.get(BACK, params={"state": asked["state"], "code": "a-code"})

    def session(self) -> str | None:
        return next((one.value for one in self.browser.cookies.jar if "session" in one.name), None)


@pytest.fixture(scope="module")
def door_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    issuer, server = serve_issuer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_SECRET", SECRET)
        provider = {"name": "Acme ID", "issuer": issuer.url, "client_id": CLIENT, "client_secret": "${env:OIDC_SECRET}"}
        web = {"url": URL, "sign_in": {"oidc": provider}, "admins": [ROOT], "managers": {MAY: [ANA["email"]]}}
        reps = ({**ANA, "aliases": ["ana.diaz@acme.example"]}, BOB)
        world = World.make(tmp_path_factory.mktemp("door") / "world", patch, reps=reps, web=web)
        clock = world.office.clock
        vault = StoredVault(world.database, clock, world.folder)
        site = Site(
            office=world.office,
            project=world.project,
            vault=vault,
            sessions=Sessions.kept_in(vault, clock),
            link=SignInLink(clock),
            tokens=Tokens.kept_in(vault),
        )
        yield Door(world=world, issuer=issuer, site=site)
        world.close()
    server.stop()


@pytest.fixture
def door(door_of_all: Door) -> Door:
    door_of_all.new_browser()
    return door_of_all


def test_a_rep_signs_in_where_they_wanted_to_go_and_signs_out(door: Door) -> None:
    first = door.get(OPEN)
    assert (first.status_code, "Sign in with Acme ID" in first.text) == (401, True)
    asked = door.leave()
    assert asked["redirect_uri"] == URL + BACK
    back = door.come_back(asked)
    assert (back.status_code, back.headers["location"]) == (303, OPEN)
    assert door.get("/").headers["location"] == "/tasks"
    assert (door.get("/sign-in").status_code, door.get("/sign-in").headers["location"]) == (303, "/")
    page = door.get("/open/0123456789abcdef0123456789abcdef")
    csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
    assert door.browser.post("/sign-out", data={"csrf": "x"}).status_code == 403
    assert door.get("/").status_code == 303
    out = door.browser.post("/sign-out", data={"csrf": csrf})
    assert (out.status_code, out.headers["location"], door.session()) == (303, "/sign-in", None)
    assert door.get("/").status_code == 401


#: Address that the provider vouches for -> user of the session, or None.
PEOPLE = {
    FIRST: FIRST,
    "ANA@ACME.example": FIRST,
    "ana.diaz@acme.example": FIRST,
    ROOT: ROOT,
    MAY: MAY,
    "somebody@acme.example": None,
    "ana@acme.example.evil.example": None,
    "": None,
}


def test_only_who_is_in_the_settings_comes_in(door: Door) -> None:
    for address, user in PEOPLE.items():
        door.new_browser()
        answer = door.come_back(door.leave(), address)
        if user is None:
            assert (answer.status_code, door.session()) == (403, None), address
            assert "You are not let in" in answer.text
        else:
            assert answer.status_code == 303, address
            assert json.loads(door.site.sessions._cipher.decrypt(door.session() or ""))["user"] == user


def test_an_address_that_nobody_vouches_for_lets_nobody_in(door: Door) -> None:
    for verified in (False, None, "true"):
        answer = door.come_back(door.leave(), email_verified=verified)
        assert (answer.status_code, door.session()) == (403, None)
        assert "does not vouch that your address is yours" in answer.text


def test_what_the_provider_says_stays_text(door: Door) -> None:
    answer = door.come_back(door.leave(), "<b>x</b>@acme.example")
    assert (answer.status_code, "<b>" in answer.text) == (403, False)
    declined = door.get(BACK, params={"state": door.leave()["state"], "error": "<script>alert(1)</script>"})
    assert (declined.status_code, "alert" in declined.text) == (401, False)


def test_a_sign_in_that_was_not_begun_here_goes_nowhere(door: Door) -> None:
    asked = door.leave()
    wrong: dict[str, dict[str, str]] = {
        "another state": {"state": "x", "code": "a-code"},
        "no state": {"code": "a-code"},
        "a state in another alphabet": {"state": "é", "code": "a-code"},
    }
    door.issuer.usual(door.world.now, asked["nonce"], email=FIRST, email_verified=True)
    for name, query in wrong.items():
        assert (door.get(BACK, params=query).status_code, door.session()) == (400, None), name
    other = door.get("/sign-in/with/google/callback", params={"state": asked["state"], "code": "a-code"})
    assert (other.status_code, door.session()) == (400, None)
    # Somebody else's browser, which was led here with the code and state of another.
    door.new_browser()
    assert (door.come_back(asked).status_code, door.session()) == (400, None)


def test_a_sign_in_is_good_for_one_time_and_ten_minutes(door: Door) -> None:
    asked = door.leave()
    assert door.come_back(asked).status_code == 303
    assert door.come_back(asked).status_code == 400
    door.new_browser()
    asked = door.leave()
    door.world.after(seconds=LINK_LASTS.total_seconds() + 1)
    assert (door.come_back(asked).status_code, door.session()) == (400, None)


def test_a_token_that_is_not_right_is_a_calm_page(door: Door) -> None:
    for claims in ({"nonce": "another"}, {"aud": "another"}, {"iss": "https://evil.example"}, {"exp": 1}):
        answer = door.come_back(door.leave(), **claims)
        assert (answer.status_code, door.session()) == (502, None), claims
        assert "Acme ID did not answer as it must" in answer.text


def test_an_answer_that_says_it_is_of_another_issuer_signs_nobody_in(door: Door) -> None:
    for issuer, status in (("https://evil.example", 502), (door.issuer.url, 303)):
        asked = door.leave()
        door.issuer.usual(door.world.now, asked["nonce"], email=FIRST, email_verified=True)
        answer = door.get(BACK, params={"state": asked["state"], "code": "a-code", "iss": issuer})
        assert (answer.status_code, door.session() is None) == (status, status != 303), issuer


def test_signing_in_anew_is_another_session_which_runs_out(door: Door) -> None:
    door.come_back(door.leave())
    first = door.session()
    door.come_back(door.leave(), ROOT)
    assert door.session() not in (first, None)
    door.world.after(seconds=SESSION_LASTS.total_seconds() + 1)
    assert door.get("/").status_code == 401


def test_cookies_go_over_tls_alone_and_to_this_very_name(door: Door) -> None:
    answer = door.get(WITH)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    said = answer.headers["set-cookie"]
    assert said.startswith("__Host-connector_")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(said.split("; "))
    # The proxy that ends TLS speaks plainly to us, and says so.
    plain = door.get("http://connector.acme.example" + WITH)
    assert "Secure" in plain.headers["set-cookie"]
    assert door.get(WITH, headers={"Host": "evil.example"}).status_code == 421
    # By this machine's own name one is led to where the way back leads.
    local = door.get(WITH, headers={"Host": "127.0.0.1:8000"})
    assert (local.headers["location"], local.headers.get("strict-transport-security")) == (URL + WITH, None)
