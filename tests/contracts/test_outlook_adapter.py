"""How Outlook mailboxes are opened and signed in to: whose token, which address, what is renewed."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest
import requests
from graph_line import GRAPH, FrozenClock
from outlook_world import BOX, CREDENTIALS, a_mail, graph_refusal, keys, message, open_outlook, outlook_sandbox

from adapters.outlook import MicrosoftAccount, OutlookAdapter
from connector.errors import Reconnect, Retry
from connector.ports import DraftRef, MailIdentity
from tests.doubles import MemoryVault

LOGIN = "https://login.microsoftonline.com/acme-tenant"


@pytest.fixture(autouse=True)
def secrets(microsoft_secrets):
    """Every mailbox here is opened with tokens of the environment."""


@pytest.fixture(scope="module")
def sandbox():
    with outlook_sandbox() as running:
        yield running


@pytest.mark.parametrize(
    "section",
    [
        {"auth": "access_token", "token": "${env:GRAPH_TOKEN}"},
        {"auth": "access_token", "tokens": {"Max@acme.example": "${env:GRAPH_TOKEN}"}},
    ],
)
def test_a_ready_token_opens_the_mailbox_of_the_rep_by_its_address_and_no_other(wire, section):
    wire.post(f"{GRAPH}/users/max@acme.example/messages", json=message(), status=201)
    box = open_outlook(section)
    box.create_draft(a_mail())
    box.close()


def test_a_rep_without_a_token_must_be_connected():
    box = open_outlook({"auth": "access_token", "tokens": {"eva@acme.example": "${env:GRAPH_TOKEN}"}})
    with pytest.raises(Reconnect) as raised:
        box.pull_mail(None)
    assert raised.value.account == "outlook:max@acme.example"
    assert box.calls == 0


def test_a_refused_given_token_is_not_tried_twice(wire, outlook):
    wire.get(f"{BOX}/messages/AAk%3D", status=401, json=graph_refusal("InvalidAuthenticationToken"))
    with pytest.raises(Reconnect):
        outlook.draft_address(DraftRef(draft_id="AAk="))
    assert len(wire.calls) == 1


def discovered(wire, base=LOGIN, served=None):
    served = served or base
    wire.get(
        f"{served}/v2.0/.well-known/openid-configuration",
        json={
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
        },
    )


def token(wire, **answer):
    wire.post(f"{LOGIN}/oauth2/v2.0/token", **answer)


def test_an_application_signs_in_once_for_all_its_mailboxes(wire):
    discovered(wire)
    token(wire, json={"access_token": "app-token", "expires_in": 3600, "token_type": "Bearer"})
    for rep in ("max", "eva"):
        wire.get(f"{GRAPH}/users/{rep}@acme.example/messages/AAk%3D", json={"id": "AAk=", "isDraft": False})
    adapter = OutlookAdapter()
    account = MicrosoftAccount.model_validate(CREDENTIALS)
    for rep in ("max", "eva"):
        identity = MailIdentity(email=f"{rep}@acme.example", name=rep)
        box = adapter.open_mailbox(account, identity, clock=FrozenClock(), vault=MemoryVault())
        box.delete_draft(DraftRef(draft_id="AAk="))
        assert box.calls == 1
        box.close()
    asked = [call.request for call in wire.calls if call.request.url.endswith("/token")]
    assert len(asked) == 1
    assert parse_qs(asked[0].body)["scope"] == ["https://graph.microsoft.com/.default"]
    assert wire.calls[-1].request.headers["Authorization"] == "Bearer app-token"


def test_a_token_that_stopped_working_is_renewed_once(wire):
    discovered(wire)
    for number in (1, 2):
        token(wire, json={"access_token": f"token-{number}", "expires_in": 3600, "token_type": "Bearer"})
    url = f"{GRAPH}/users/max@acme.example/messages"
    wire.post(url, status=401, json=graph_refusal("InvalidAuthenticationToken"))
    wire.post(url, status=201, json=message())
    box = open_outlook(CREDENTIALS)
    assert box.create_draft(a_mail()).draft_id == "AAk="
    box.close()
    assert [call.request.headers["Authorization"] for call in wire.calls if call.request.url == url] == [
        "Bearer token-1",
        "Bearer token-2",
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": 401, "json": {"error": "invalid_client", "error_description": "AADSTS7000215: bad"}}, Reconnect),
        ({"status": 400, "json": {"error": "unauthorized_client"}}, Reconnect),
        ({"status": 400, "json": {"error": "interaction_required"}}, Reconnect),
        ({"status": 400, "json": {"error": "temporarily_unavailable"}}, Retry),
        ({"status": 503, "body": "busy"}, Retry),
        ({"body": requests.ConnectionError("reset")}, Retry),
    ],
)
def test_what_sign_in_says(wire, answer, kind):
    discovered(wire)
    token(wire, **answer)
    box = open_outlook(CREDENTIALS)
    with pytest.raises(kind) as raised:
        box.create_draft(a_mail())
    assert type(raised.value) is kind
    assert "secret-of-app" not in str(raised.value)
    if kind is Reconnect:
        assert raised.value.account == "outlook:max@acme.example"
    assert box.calls == 0


def test_an_unknown_tenant_is_said(wire):
    wire.get(f"{LOGIN}/v2.0/.well-known/openid-configuration", status=400, json={"error": "invalid_tenant"})
    with pytest.raises(Reconnect, match="does not know the tenant"):
        open_outlook(CREDENTIALS).create_draft(a_mail())


def test_a_loopback_authority_is_spoken_to_in_plain(wire):
    here = "127.0.0.1:4321"
    discovered(wire, base=f"https://{here}/acme-tenant", served=f"http://{here}/acme-tenant")
    wire.post(f"http://{here}/acme-tenant/oauth2/v2.0/token", json={"access_token": "t", "expires_in": 3600})
    wire.post(f"http://{here}/v1.0/users/max@acme.example/messages", json=message(), status=201)
    box = open_outlook(CREDENTIALS | {"authority": f"http://{here}", "endpoint": f"http://{here}/v1.0"})
    box.create_draft(a_mail())
    box.close()


def test_reps_of_an_application_share_one_real_token_across_threads(sandbox, office):
    before = sandbox.log.calls["graph:token"]
    boxes = [office(f"rep{number}@acme.example") for number in range(4)]
    with ThreadPoolExecutor(len(boxes)) as threads:
        drafts = list(threads.map(lambda box: box.create_draft(a_mail(key=next(keys))), boxes))
    assert len({draft.draft_id for draft in drafts}) == 4
    assert [box.calls for box in boxes] == [1] * 4
    assert sandbox.log.calls["graph:token"] == before + 2  # discovery, token


def test_a_revoked_token_is_renewed_and_a_revoked_application_must_be_reconnected(sandbox, office):
    box = office()
    cursor_ = box.pull_mail(None).cursor
    sandbox.tokens.revoke_all("graph")
    cursor_ = box.pull_mail(cursor_).cursor
    sandbox.act("outlook_revokes_access")
    with pytest.raises(Reconnect) as raised:
        box.pull_mail(cursor_)
    assert raised.value.account == "outlook:max@acme.example"
    sandbox.graph.register_client("acme-tenant", "app", "secret-of-app")


def test_a_licence_taken_away_asks_for_a_person(sandbox, office):
    box = office("gone@acme.example")
    sandbox.act("rep_loses_mailbox", rep="gone@acme.example")
    with pytest.raises(Reconnect, match="licence"):
        box.pull_mail(None)
