"""What the values of options mean: instants, clock times, addresses, sources of people.

Lives here: reading them, with a sentence for each way they can be wrong. Does not live here: whether a campaign
accepts them (`sync.launch`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from connector.app import Project
from connector.errors import BadInput, Fault
from connector.people import Rep, is_address
from connector.ports import PeopleSource
from connector.sequencing.calendar import instant_of

#: The word for the present instant.
NOW = "now"

_SEND_AT = re.compile(r"^(?P<place>[1-9]\d*\.[1-9]\d*)=(?P<clock>(?:[01]\d|2[0-3]):[0-5]\d)$")

#: Words of `--salesforce KIND=VALUE` that take one value; `ids` takes several.
_SOURCES = {"soql": "soql", "list-view": "list_view", "report": "report", "campaign": "campaign"}


def read_instant(text: str, rep: Rep, *, option: str) -> datetime:
    """Read an ISO 8601 instant; without an offset it is on the rep's wall clock."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{option} '{text}' is not an instant: write 2026-11-24T09:00 (the rep's own time), "
            "2026-11-24T09:00:00Z, or now"
        ) from None
    if instant.tzinfo is None:
        return instant_of(rep.zone, instant.date(), instant.time())
    return instant.astimezone(UTC)


def read_send_at(values: Sequence[str]) -> dict[str, time]:
    """Read `DAY.STEP=HH:MM` pairs; raise `BadInput` for one that is not, and for a place named twice."""
    overrides: dict[str, time] = {}
    faults = []
    for value in values:
        found = _SEND_AT.match(value)
        if found is None:
            faults.append(Fault(sentence=f"--send-at '{value}' is not DAY.STEP=HH:MM, such as 3.1=09:30"))
        elif found["place"] in overrides:
            faults.append(Fault(sentence=f"--send-at names {found['place']} twice: keep one of them"))
        else:
            overrides[found["place"]] = time.fromisoformat(found["clock"])
    if faults:
        raise BadInput.of(faults)
    return overrides


def read_date(text: str, *, option: str) -> date:
    """Read an ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{option} '{text}' is not a date: write it as 2026-11-30") from None


def read_address(text: str) -> str:
    """Return a mail address in lower case; raise `BadInput` when it is not one."""
    address = text.strip().lower()
    if not is_address(address):
        raise BadInput(f"'{text}' is not a mail address: write one such as ann@acme.example")
    return address


def read_source(text: str) -> PeopleSource:
    """Read `KIND=VALUE`, a source of people in Salesforce."""
    kind, _, value = text.partition("=")
    ids = tuple(one.strip() for one in value.split(",") if one.strip()) if kind == "ids" else ()
    if ids:
        return PeopleSource(ids=ids)
    if kind not in _SOURCES or not value.strip():
        raise BadInput(
            f"--salesforce '{text}' names no source: write soql=SELECT…, list-view=ID, report=ID, campaign=ID or "
            "ids=ID,ID"
        )
    return PeopleSource(**{_SOURCES[kind]: value.strip()})  # type: ignore[arg-type]


def rep_or_first(project: Project, email: str | None) -> Rep:
    """Return the named rep, or the first of connector.yaml."""
    return project.rep(email) if email is not None else project.settings.reps[0]
