"""Diagnostics: what the CRM did not take, why, and trying it again.

Lives here: `Diagnosis`, `list_diagnostics`, `retry`. Does not live here: what a code means (the adapter's table),
trouble of the whole account, which `status` shows once. Source: reference marketo 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.errors import BadInput
from connector.store.troubles import Record, Trouble, make_due, read_troubles
from connector.sync.crm_lane import free_lane
from connector.sync.office import Office
from connector.sync.push_people import not_told

#: Fewest characters of an id that may name it.
_SHORTEST = 4

#: Fact about a person -> how it is called.
_FACTS = {
    "opted_out": "opt-out",
    "bounced_at": "bounce",
    "current_campaign": "current campaign",
    "last_activity": "last activity",
    "last_replied": "last reply",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One record that the CRM did not take."""

    #: Key of the task, or address of the person.
    id: str
    #: `task "Call: Call Ann"`, or `opt-out and bounce`.
    what: str
    person: str
    #: Address of the rep whose task it is; empty for facts about a person.
    rep: str
    #: The CRM's own code.
    code: str
    #: A value of `errors.ErrorClass`.
    category: str
    #: For the rep.
    sentence: str
    #: For the administrator; may be empty.
    advice: str
    #: Instants; aware, UTC.
    since: datetime
    next_try: datetime

    @property
    def summary(self) -> str:
        """One sentence that says what is wrong with it."""
        if self.rep:
            return f"the task for {self.person} is not in the CRM as it should be: {self.sentence}"
        return f"{not_told(self.person)}: {self.sentence}"

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {
            "id": self.id,
            "what": self.what,
            "person": self.person,
            "rep": self.rep or None,
            "code": self.code,
            "category": self.category,
            "sentence": self.sentence,
            "advice": self.advice,
            "since": f"{self.since:%Y-%m-%dT%H:%M:%SZ}",
            "next_try": f"{self.next_try:%Y-%m-%dT%H:%M:%SZ}",
        }


def list_diagnostics(office: Office) -> list[Diagnosis]:
    """Return every record that the CRM did not take and that is still wanted there, oldest trouble first."""
    with office.database.read() as tx:
        return [_diagnosis(trouble) for trouble in read_troubles(tx)]


def retry(office: Office, ids: Sequence[str] | None = None) -> list[Diagnosis]:
    """Let records be tried by the next pass; all of them, and the lane itself, when no id is given.

    An id may be its first characters. Raises `BadInput` for one that names none or several; nothing is changed then.
    """
    now = office.now()
    with office.database.write() as tx:
        known = read_troubles(tx)
        chosen = known if ids is None else [_named(one, known) for one in dict.fromkeys(ids)]
        make_due(tx, chosen, now)
        if ids is None:
            free_lane(tx, office)
        return [_diagnosis(trouble) for trouble in read_troubles(tx) if trouble.id in {one.id for one in chosen}]


def _named(id_: str, known: Sequence[Trouble]) -> Trouble:
    given = id_.strip().lower()
    hits = [one for one in known if one.id == given]
    if not hits and len(given) >= _SHORTEST:
        hits = [one for one in known if one.id.startswith(given)]
    if len(hits) == 1:
        return hits[0]
    problem = "names several records: give more of it" if hits else "names no record that the CRM did not take"
    raise BadInput(f"the id '{id_}' {problem}")


def _diagnosis(trouble: Trouble) -> Diagnosis:
    return Diagnosis(
        id=trouble.id,
        what=_what(trouble),
        person=trouble.person,
        rep=trouble.rep,
        code=trouble.code,
        category=trouble.category,
        sentence=trouble.problem,
        advice=trouble.advice,
        since=trouble.failed or trouble.due,
        next_try=trouble.due,
    )


def _what(trouble: Trouble) -> str:
    if trouble.record is Record.TASK:
        return f'task "{trouble.wanted.get("subject", "")}"'
    return " and ".join(name for fact, name in _FACTS.items() if fact in trouble.wanted)
