"""Webhooks: telling programs of others what happened, in order, each line at least once.

Lives here: making and ending webhooks, `deliver`, when one wants to be worked. Does not live here: how a POST is made
and where it may go (`webhook_post`), lines of the ledger (`events`). Source: issue 7; decision 43.

A webhook follows the ledger by its position, which moves after each delivery: what a process that died had told is told
again under the same delivery id, and nothing is left out. A line that is not taken holds those behind it. It is tried
again after ten seconds, then twice as long each time, up to an hour; after three days nothing more is tried until
somebody says so, and then it goes on where it stood.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from uuid import uuid4

from connector.errors import BadInput, Refused, Retry
from connector.events import Event, EventKind
from connector.store.database import Transaction
from connector.store.feed import read_newest, read_since
from connector.store.lanes import TURNS, FencedError, Lease, guard, release, take
from connector.store.webhooks import (
    Webhook,
    change_webhook,
    delete_webhook,
    insert_webhook,
    list_webhooks,
    read_webhook,
)
from connector.sync.feed import may_see
from connector.sync.office import Office
from connector.sync.views import event_json
from connector.sync.webhook_post import check_address, post, signature
from connector.vault import StoredVault

#: Beginning of the names of their lanes.
LANE = "webhook:"

#: Webhooks one user may have.
MOST = 20

#: Wait after the first try that failed, and the longest one.
_FIRST_WAIT = timedelta(seconds=10)
_LONGEST_WAIT = timedelta(hours=1)

#: Tries until nothing more is tried: nine in the first hour and a half, then one an hour, for three days.
GIVEN_UP_AFTER = 80

#: Lines read at a time, and seconds after which a lane lets another one have its thread.
_LINES = 200
_TURN_SECONDS = 20.0

_SECRET_BYTES = 32


class UnknownWebhook(BadInput):
    """An id names no webhook, or somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """A webhook just made, with the secret that nobody is shown again."""

    webhook: Webhook
    secret: str

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"NewWebhook({self.webhook!r})"


# ---------------------------------------------------------------------------------------------- making and ending


def add_webhook(office: Office, *, user: str, url: str, kinds: Collection[EventKind]) -> NewWebhook:
    """Make a webhook that is told what happens from now on; raise `BadInput` for an address it may not have."""
    check_address(url, private=office.sees(user) is None)
    secret = f"whsec_{secrets.token_urlsafe(_SECRET_BYTES)}"
    now = office.now()
    with office.database.write() as tx:
        if len(list_webhooks(tx, user=user)) >= MOST:
            raise BadInput(f"there are {MOST} webhooks of yours already: remove one first")
        hook = Webhook(
            id=uuid4().hex,
            url=url,
            user=user,
            kinds=tuple(sorted(kind.value for kind in set(kinds))),
            created=now,
            position=read_newest(tx),
            due=now,
        )
    # Before the row: whoever finds the webhook finds its secret.
    _vault(office).save(_secret_name(hook.id), secret)
    with office.database.write() as tx:
        insert_webhook(tx, hook)
    return NewWebhook(webhook=hook, secret=secret)


def webhooks_of(office: Office, user: str) -> list[Webhook]:
    """Return a user's webhooks; all of them for an admin."""
    with office.database.read() as tx:
        return list_webhooks(tx, user=None if office.sees(user) is None else user)


def resume_webhook(office: Office, user: str, id_: str) -> Webhook:
    """Try a webhook again at once, from the line it did not take."""
    with office.database.write() as tx:
        hook = _own(tx, office, user, id_)
        change_webhook(tx, hook.id, due=office.now(), attempts=0, problem=None)
        office.wake(tx, [lane_of(hook)])
        return _own(tx, office, user, id_)


def remove_webhook(office: Office, user: str, id_: str) -> None:
    """Forget a webhook and its secret."""
    with office.database.write() as tx:
        hook = _own(tx, office, user, id_)
        delete_webhook(tx, hook.id)
    _vault(office).forget(_secret_name(hook.id))


def _own(tx: Transaction, office: Office, user: str, id_: str) -> Webhook:
    hook = read_webhook(tx, id_)
    if hook is None or (hook.user != user and office.sees(user) is not None):
        raise UnknownWebhook(f"there is no webhook '{id_}' of yours")
    return hook


# -------------------------------------------------------------------------------------------------- delivering


def lane_of(hook: Webhook) -> str:
    """Return the name of a webhook's lane."""
    return f"{LANE}{hook.id}"


def wishes(tx: Transaction) -> dict[str, datetime]:
    """Return lane -> when it wants to be worked, of the webhooks that have something to tell."""
    newest = read_newest(tx)
    return {lane_of(hook): hook.due for hook in list_webhooks(tx) if hook.due is not None and hook.position < newest}


def deliver_all(office: Office) -> list[str]:
    """Tell every webhook what is ahead of it; return a sentence for each that did not take it."""
    with office.database.read() as tx:
        due = [lane for lane, at in wishes(tx).items() if at <= office.now()]
    return [said for lane in due for said in deliver(office, lane, worker=uuid4().hex)]


def deliver(office: Office, lane: str, *, worker: str) -> list[str]:
    """Tell a webhook what is ahead of it, for a while; return a sentence for what it did not take."""
    with office.database.write_in_lane() as tx:
        lease = take(tx, f"{TURNS}{lane}", worker)
    if lease is None:
        return []
    try:
        said = _deliver(office, lane.removeprefix(LANE), lease)
        return [] if said is None else [said]
    except FencedError:
        return []
    finally:
        with office.database.write_in_lane() as tx:
            release(tx, lease)


def _deliver(office: Office, id_: str, lease: Lease) -> str | None:
    until = monotonic() + _TURN_SECONDS
    while monotonic() < until:
        with office.database.read() as tx:
            hook = read_webhook(tx, id_)
            if hook is None or hook.due is None or hook.due > office.now():
                return None
            ahead = read_since(tx, hook.position, _LINES)
        if not ahead:
            return None
        reps = office.sees(hook.user)
        wanted = [(number, event) for number, event in ahead if _is_for(hook, reps, event)]
        for number, event in wanted:
            problem = _tell(office, hook, number, event, private=reps is None)
            if problem is not None:
                return _note_failure(office, hook, lease, problem)
            _note(office, hook, lease, position=number)
            if monotonic() >= until:
                return None
        _note(office, hook, lease, position=ahead[-1][0])
    return None


def _is_for(hook: Webhook, reps: Collection[str] | None, event: Event) -> bool:
    """Tell whether a webhook is told of a line: of a kind it wants, and of a rep whose work its user sees."""
    return (not hook.kinds or event.kind.value in hook.kinds) and may_see(event, reps)


def _tell(office: Office, hook: Webhook, number: int, event: Event, *, private: bool) -> str | None:
    """Post a line; return why it was not taken."""
    delivery = f"{hook.id}-{number}"
    body = json.dumps(delivered(delivery, number, event), ensure_ascii=False).encode()
    try:
        secret = _vault(office).read(_secret_name(hook.id))
        if secret is None:
            return "its secret is not in the vault any more: remove it, and make a new one"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "sales-campaign-connector",
            "Connector-Delivery": delivery,
            "Connector-Event": event.kind.value,
            "Connector-Signature": signature(secret, body, at=int(office.now().timestamp())),
        }
        status = post(hook.url, body, headers, private=private)
    except (Refused, Retry) as error:
        return error.sentence
    except BadInput as error:  # the vault has no key
        return str(error)
    return None if 200 <= status < 300 else f"it answered {status}"


def delivered(delivery: str, number: int, event: Event) -> Mapping[str, object]:
    """Return what a webhook is told of a line: the line as the feed says it, its number and the id of the delivery."""
    return {"delivery": delivery, "event": {"position": number, **event_json(event)}}


def _note(office: Office, hook: Webhook, lease: Lease, *, position: int) -> None:
    with office.database.write_in_lane() as tx:
        guard(tx, lease)
        change_webhook(tx, hook.id, position=position, attempts=0, problem=None)


def _note_failure(office: Office, hook: Webhook, lease: Lease, problem: str) -> str:
    attempts = hook.attempts + 1
    wait = min(_FIRST_WAIT * 2 ** min(attempts - 1, 20), _LONGEST_WAIT)
    due = None if attempts >= GIVEN_UP_AFTER else office.now() + wait
    with office.database.write_in_lane() as tx:
        guard(tx, lease)
        change_webhook(tx, hook.id, due=due, attempts=attempts, problem=problem)
    whose = hook.user or "this machine's user"
    return f"the webhook {hook.url} of {whose} did not take what it was told: {problem}"


def _vault(office: Office) -> StoredVault:
    return StoredVault(office.database, office.clock, office.folder)


def _secret_name(id_: str) -> str:
    return f"webhook-{id_}"
