"""What rolls up onto a person's record in the CRM: the campaign they are in, the last activity, the last reply.

Lives here: `roll_up`. Does not live here: telling the CRM (`push_people`). Source: reference marketo 4.
Facts are gathered in bulk, in the transaction in which things happen, and only those that `salesforce.rollup` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from connector.events import Event, EventKind
from connector.ports import RollupFact
from connector.store.crm_people import read_crm_people, want_people
from connector.store.database import Transaction
from connector.store.enrollments import read_current_campaigns
from connector.sync.office import Office

_ACTIVITIES = frozenset({EventKind.SENT, EventKind.COMPLETED})


def roll_up(
    tx: Transaction,
    office: Office,
    now: datetime,
    *,
    facts: Iterable[Event] = (),
    moved: Iterable[str] = (),
    replied: Mapping[str, datetime] | None = None,
) -> None:
    """Want what changes on people's records: by facts, by who was `moved` into or out of a campaign, by who replied.

    Somebody in several campaigns is in the one launched last; somebody in none has none.
    """
    named = office.crm_rules.rollup_facts
    if not named:
        return
    instants: dict[tuple[str, RollupFact], datetime] = {
        (person, RollupFact.LAST_REPLIED): at for person, at in (replied or {}).items()
    }
    for fact in facts:
        if fact.kind in _ACTIVITIES and fact.person is not None:
            place = (fact.person, RollupFact.LAST_ACTIVITY)
            instants[place] = max(fact.at, instants.get(place, fact.at))
    wanted: dict[str, dict[str, Any]] = {}
    for (person, name), at in instants.items():
        if name.value in named:
            wanted.setdefault(person, {})[name.value] = at.astimezone(UTC).isoformat(timespec="seconds")
    _drop_older(tx, wanted)
    persons = sorted(set(moved)) if RollupFact.CURRENT_CAMPAIGN.value in named else []
    current = read_current_campaigns(tx, persons)
    for person in persons:
        wanted.setdefault(person, {})[RollupFact.CURRENT_CAMPAIGN.value] = current.get(person)
    want_people(tx, wanted, now)


def _drop_older(tx: Transaction, wanted: dict[str, dict[str, Any]]) -> None:
    """Leave out instants that are not later than what is known: mails are seen in any order."""
    for email, row in read_crm_people(tx, list(wanted)).items():
        wanted[email] = {name: at for name, at in wanted[email].items() if at > row.wanted.get(name, "")}
