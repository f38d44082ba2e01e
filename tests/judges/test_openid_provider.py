"""Signing in to the web app with a provider that others wrote: the npm program `oidc-provider`.

What it is no judge of stands in `tests/judges/openid_provider`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from connector.unsubscribe import Tokens
from connector.vault import StoredVault
from connector.web.app import create_app
from connector.web.id_tokens import BadTokenError
from connector.web.oidc import Begun, OpenId, ProviderError, providers_of
from connector.web.serving import listen, serving
from connector.web.sign_in import Sessions, SignInLink
from connector.web.site import Site
from connector.web_settings import SignInRules
from tests.judges.openid_provider import SECRET, Person, changed, providing, said_in
from tests.web.site import CALL
from tests.world import ANA, BOB, World, people

WITH, BACK = "/sign-in/with/oidc", "/sign-in/with/oidc/callback"
QUEUE = "/tasks?type=call"

#: Login at the provider -> what it knows of them.
PEOPLE: dict[str, dict[str, Any]] = {
    "ana": {"email": ANA["email"], "email_verified": True},
    "alias": {"email": "Ana.Diaz@acme.example", "email_verified": True},
    "root": {"email": "root@acme.example", "email_verified": True},
    "stranger": {"email": "somebody@acme.example", "email_verified": True},
    "unverified": {"email": ANA["email"], "email_verified": False},
    "silent": {"email": ANA["email"]},
    "nameless": {},
}

#: Client of the provider -> how it proves itself, how its tokens are signed, and whether such tokens are any good.
CLIENTS: dict[str, tuple[dict[str, Any], bool]] = {
    "as one is registered without a word": ({}, True),
    "by a secret in a form": ({"token_endpoint_auth_method": "client_secret_post"}, True),
    "tokens signed by PS256": ({"id_token_signed_response_alg": "PS256"}, True),
    "tokens signed by ES256": ({"id_token_signed_response_alg": "ES256"}, True),
    "tokens signed by the client's own secret": ({"id_token_signed_response_alg": "HS256"}, False),
}


@dataclass(frozen=True, kw_only=True)
class Served:
    """The web app of a small world, and the provider."""

    url: str
    issuer: str
    world: World
    ending: Event = field(default_factory=Event)

    def person(self) -> Person:
        return Person(site=self.url)

    def signing(self, client: str) -> OpenId:
        """Return the sign-in of the settings, as another client."""
        section = {"name": "Acme ID", "issuer": self.issuer, "client_id": client, "client_secret": "${env:OIDC_SECRET}"}
        (provider,) = providers_of(SignInRules.model_validate({"oidc": section})).values()
        return OpenId(provider, self.world.office.clock)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with listen("127.0.0.1", 0) as listening, pytest.MonkeyPatch.context() as patch:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        clients = [{"client_id": name, "redirect_uris": [url + BACK], **said} for name, (said, _) in CLIENTS.items()]
        with providing(clients, PEOPLE) as issuer:
            patch.setenv("OIDC_SECRET", SECRET)
            first = {"client_id": clients[0]["client_id"], "client_secret": "${env:OIDC_SECRET}"}
            web = {
                "url": url,
                "sign_in": {"oidc": {"name": "Acme ID", "issuer": issuer, **first}},
                "admins": ["root@acme.example"],
            }
            reps = ({**ANA, "aliases": ["ana.diaz@acme.example"]}, BOB)
            # The provider's tokens carry the time of this machine.
            folder = tmp_path_factory.mktemp("provider") / "world"
            world = World.make(folder, patch, campaign=CALL, reps=reps, web=web, start=None)
            hers, his = people(2)
            world.launch([hers], rep=ANA["email"])
            world.launch([his], rep=BOB["email"])
            assert world.sync().exit_status == 0
            found = Served(url=url, issuer=issuer, world=world)
            with serving(create_app(_site(world, found.ending)), listening, ending=found.ending):
                yield found
            world.close()


def _site(world: World, ending: Event) -> Site:
    clock = world.office.clock
    vault = StoredVault(world.database, clock, world.folder)
    return Site(
        office=world.office,
        project=world.project,
        vault=vault,
        sessions=Sessions.kept_in(vault, clock),
        link=SignInLink(clock),
        tokens=Tokens.kept_in(vault),
        ending=ending,
    )


@pytest.fixture
def person(served: Served) -> Person:
    return served.person()


def leave(person: Person) -> str:
    """Click on the way to the provider, and return where it leads."""
    answer = person.get(WITH)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def come_in(person: Person, login: str | None) -> Any:
    """Go to the provider and back."""
    return person.get(person.agree(leave(person), login))


# ---------------------------------------------------------------------------------------------------- the whole way


def test_a_rep_signs_in_sees_the_own_queue_and_signs_out(served: Served, person: Person) -> None:
    asked = person.get(QUEUE)
    assert (asked.status_code, f'href="{WITH}"' in asked.text) == (401, True)
    back = come_in(person, "ana")
    assert (back.status_code, back.headers["location"]) == (303, QUEUE)
    queue = person.get(back.headers["location"])
    assert queue.status_code == 200
    assert ("Call Pat0" in queue.text, "Call Pat1" in queue.text) == (True, False)
    csrf = queue.text.partition('name="csrf" value="')[2].partition('"')[0]
    assert person.post("/sign-out", csrf=csrf).headers["location"] == "/sign-in"
    assert (person.get(QUEUE).status_code, person.cookie("session")) == (401, None)


#: Login -> status, and what is said to whoever is not let in.
WHO = {
    "alias": (303, ""),
    "root": (303, ""),
    "stranger": (403, "somebody@acme.example, an address that nobody here is known by"),
    "unverified": (403, "Acme ID does not vouch that your address is yours"),
    "silent": (403, "Acme ID does not vouch that your address is yours"),
    "nameless": (403, "Acme ID does not vouch that your address is yours"),
    None: (401, "Acme ID did not sign you in"),
}


@pytest.mark.parametrize("login", WHO)
def test_only_who_is_known_by_an_address_that_the_provider_verified_comes_in(person: Person, login: str | None) -> None:
    status, sentence = WHO[login]
    answer = come_in(person, login)
    assert (answer.status_code, sentence in answer.text) == (status, True), answer.text
    assert (person.cookie("session") is not None) == (status == 303)


# ------------------------------------------------------------------------------------------------------ on the way

_OTHER = "A" * 43

#: What is changed on the way to the provider -> status of what comes of it.
THERE: dict[str, tuple[dict[str, str | None], int]] = {
    "another nonce": ({"nonce": _OTHER}, 502),
    "no nonce": ({"nonce": None}, 502),
    "another state": ({"state": _OTHER}, 400),
    "no state": ({"state": None}, 400),
    "another challenge": ({"code_challenge": _OTHER}, 502),
    "no challenge": ({"code_challenge": None, "code_challenge_method": None}, 502),
    "nothing asked of who it is": ({"scope": "email"}, 401),
}

#: What is changed on the way back -> status.
BACKWARDS: dict[str, tuple[dict[str, str | None], int]] = {
    "another state": ({"state": _OTHER}, 400),
    "no state": ({"state": None}, 400),
    "another code": ({"code": _OTHER}, 502),
    "no code": ({"code": None}, 401),
    "from another issuer": ({"iss": "https://evil.example"}, 502),
    "from nobody": ({"iss": None}, 502),
}


@pytest.mark.parametrize(("change", "status"), THERE.values(), ids=THERE)
def test_a_request_that_was_changed_on_its_way_signs_nobody_in(person: Person, change: Any, status: int) -> None:
    answer = person.get(person.agree(changed(leave(person), **change), "ana"))
    assert (answer.status_code, person.cookie("session")) == (status, None), answer.text


@pytest.mark.parametrize(("change", "status"), BACKWARDS.values(), ids=BACKWARDS)
def test_an_answer_that_was_changed_on_its_way_signs_nobody_in(person: Person, change: Any, status: int) -> None:
    answer = person.get(changed(person.agree(leave(person), "ana"), **change))
    assert (answer.status_code, person.cookie("session")) == (status, None), answer.text


def test_an_answer_is_good_once_even_with_the_cookies_of_then(served: Served, person: Person) -> None:
    back = person.agree(leave(person), "ana")
    kept = person.window.cookies.copy()
    assert person.get(back).status_code == 303
    assert person.get(back).status_code == 400
    thief = served.person()
    thief.window.cookies = kept
    assert (thief.get(back).status_code, thief.cookie("session")) == (502, None)


def test_the_code_of_somebody_else_signs_nobody_in(served: Served, person: Person) -> None:
    other = served.person()
    theirs = said_in(other.agree(leave(other), "root"))
    mine = leave(person)
    # Led to our address in the browser of another, and with another's state.
    assert (person.get(f"{BACK}?code={theirs['code']}&state={theirs['state']}").status_code) == 400
    answer = person.get(f"{BACK}?code={theirs['code']}&state={said_in(mine)['state']}&iss={served.issuer}")
    assert (answer.status_code, person.cookie("session")) == (502, None)


# --------------------------------------------------------------------------------------------------------- clients


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_is_taken_as_the_provider_registered_it(served: Served, person: Person, client: str) -> None:
    signing, begun, back = served.signing(client), Begun.at("oidc"), served.url + BACK
    said = said_in(person.agree(signing.address(begun, back=back), "ana"))
    if CLIENTS[client][1]:
        assert signing.finish(begun, said["code"], back=back, issuer=said["iss"]) == ANA["email"]
    else:
        with pytest.raises(BadTokenError):
            signing.finish(begun, said["code"], back=back, issuer=said["iss"])


def test_a_wrong_secret_is_refused_and_not_told(
    served: Served, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OIDC_SECRET", "wrong-and-not-to-be-seen")
    signing, begun, back = served.signing(next(iter(CLIENTS))), Begun.at("oidc"), served.url + BACK
    said = said_in(person.agree(signing.address(begun, back=back), "ana"))
    with pytest.raises(ProviderError, match="invalid_client") as raised:
        signing.finish(begun, said["code"], back=back, issuer=said["iss"])
    assert "wrong-and-not" not in str(raised.value)
