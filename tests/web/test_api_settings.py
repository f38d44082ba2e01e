"""The pages of keys and webhooks: what is shown once, to whom, and what is refused in place."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from connector.sync.api_keys import keys_of
from connector.sync.webhooks import webhooks_of
from tests.web.programs import Programs, programs_of
from tests.web.visitors import ANA, BOB, ROOT


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which nothing happened yet."""
    with programs_of(tmp_path_factory.mktemp("settings")) as programs:
        yield programs


def test_a_key_is_made_shown_once_and_revoked(api: Programs) -> None:
    browser = api.visitors.browser(ANA)
    made = browser.post("/settings/keys", name="Nightly <b>export</b>", scope=["read", "tasks"])
    secret = re.search(r"sck_[\w-]{43}", made.text)
    assert secret is not None
    assert api.send("GET", "/api/v1/tasks", {"Authorization": f"Bearer {secret[0]}"}).status_code == 200
    listed = browser.get("/settings/keys").text
    assert "Nightly &lt;b&gt;export" in listed
    assert "sck_" not in listed
    assert "Nightly" not in api.visitors.browser(BOB).get("/settings/keys").text
    assert "Nightly" in api.visitors.browser(ROOT).get("/settings/keys").text
    [key] = keys_of(api.world.office, ANA)
    assert api.visitors.browser(BOB).post("/settings/keys/revoke", key=key.id).status_code == 404
    assert browser.post("/settings/keys/revoke", key=key.id).status_code == 303
    assert api.send("GET", "/api/v1/tasks", {"Authorization": f"Bearer {secret[0]}"}).status_code == 401


def test_a_webhook_is_made_shown_and_removed(api: Programs) -> None:
    browser = api.visitors.browser(ANA)
    made = browser.post("/settings/webhooks", url="https://hooks.example/x", topic=["replied"])
    assert re.search(r"whsec_[\w-]{43}", made.text)
    [hook] = webhooks_of(api.world.office, ANA)
    assert set(hook.kinds) == {"replied", "out_of_office"}
    assert "whsec_" not in browser.get("/settings/webhooks").text
    assert api.visitors.browser(BOB).post("/settings/webhooks/remove", webhook=hook.id).status_code == 404
    assert browser.post("/settings/webhooks/remove", webhook=hook.id).status_code == 303
    assert webhooks_of(api.world.office, ANA) == []


def test_what_is_refused_is_said_beside_the_form_and_kept_in_it(api: Programs) -> None:
    browser = api.visitors.browser(ANA)
    bare = browser.post("/settings/keys", name="No scope")
    assert (bare.status_code, 'role="alert"' in bare.text, 'value="No scope"' in bare.text) == (422, True, True)
    private = browser.post("/settings/webhooks", url="https://10.0.0.1/x")
    assert (private.status_code, "private network" in private.text) == (422, True)
    assert 'value="https://10.0.0.1/x"' in private.text
