"""Whom a launch on a page is about: people who are known, pasted, in a table, or in the CRM.

Lives here: reading them, with a sentence about each that cannot be taken. Does not live here: who may be in the
campaign (`launch`), the plan they go into (`launch_plans`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from connector.campaigns.people_file import COLUMNS, read_people_text
from connector.errors import BadInput, Fault
from connector.people import Person, is_address
from connector.ports import PeopleSource
from connector.store.people import read_people
from connector.sync.launch import LeftOut
from connector.sync.office import Office
from connector.sync.roster import pull_people

#: People one launch on a page may have, each of whom is shown; the command takes any number.
MOST = 1000

#: Bytes of a table of people.
LARGEST_TABLE = 2_000_000

_NAMED = re.compile(r"^(?P<name>[^<>]*)<(?P<address>[^<>]+)>$")
_CELL = re.compile(r"[,;\t]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Somebody to be launched."""

    email: str
    #: What a table said of them; None for whoever is to be taken as they are known.
    given: Person | None = None


@dataclass(slots=True, kw_only=True)
class Gathered:
    """Everybody who was named, each once, and who could not be taken."""

    candidates: dict[str, Candidate] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def add(self, candidate: Candidate) -> None:
        """Take somebody, unless they were named before; what a table says of somebody wins over the bare address."""
        known = self.candidates.get(candidate.email)
        if known is None or known.given is None:
            self.candidates[candidate.email] = candidate

    def add_address(self, said: str) -> None:
        """Take whoever has an address, or say that it is none: a ticked one comes from a form, as a pasted one does."""
        if is_address(said):
            self.add(Candidate(email=said.lower()))
        else:
            self.left_out.append(LeftOut(person=said[:100], reason="is not a mail address"))


def gather(
    office: Office,
    *,
    known: Sequence[str] = (),
    pasted: str = "",
    table: bytes = b"",
    table_name: str = "",
    source: PeopleSource | None = None,
) -> Gathered:
    """Return everybody who was named, in whatever way; people of the CRM are stored, as a pull stores them.

    Raises `BadInput` for nobody, too many, a table that cannot be read, and a source that the CRM refuses.
    """
    gathered = Gathered()
    for email in known:
        gathered.add_address(email.strip())
    _read_text(office, gathered, pasted, "what was pasted")
    if table:
        _read_table(gathered, table, table_name or "the table")
    if source is not None:
        pulled = pull_people(office, source)
        for person in pulled.people:
            gathered.add(Candidate(email=person.email))
        gathered.left_out += [LeftOut(person=who, reason=reason) for who, reason in pulled.left_out]
    if not gathered.candidates and not gathered.left_out:
        raise BadInput("nobody was named: pick people, paste addresses, choose a table, or name a source in the CRM")
    if len(gathered.candidates) > MOST:
        raise BadInput(
            f"{len(gathered.candidates):,} people were named, and a launch here takes {MOST:,}: launch them in parts, "
            "or use 'connector launch', which takes any number"
        )
    return gathered


def _read_table(gathered: Gathered, raw: bytes, name: str) -> None:
    if len(raw) > LARGEST_TABLE:
        raise BadInput(Fault(sentence=f"the table is larger than {LARGEST_TABLE // 1_000_000} MB", file=name))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadInput(Fault(sentence="this is not UTF-8: save the table as UTF-8", file=name, line=line)) from error
    _add_table(gathered, text, name)


def _read_text(office: Office, gathered: Gathered, text: str, name: str) -> None:
    """Read pasted text: a table when its first line names a column `email`, else addresses.

    The name before an address, `Ann Lee <ann@client.example>`, counts for somebody who is not known.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "email" in {cell.strip().strip('"').lower() for cell in _CELL.split(first)}:
        _add_table(gathered, text, name)
        return
    names: dict[str, str] = {}
    for said, who in _addresses(text):
        gathered.add_address(said)
        if who and is_address(said):
            names[said.lower()] = who
    with office.database.read() as tx:
        known = read_people(tx, list(names))
    for email, who in names.items():
        if email not in known:
            first, _, last = who.partition(" ")
            gathered.add(Candidate(email=email, given=Person(email=email, first_name=first, last_name=last.strip())))


def _addresses(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands for an address, and the name before it or ""."""
    for part in re.split(r"[,;\n]", text):
        said = part.strip()
        if named := _NAMED.match(said):
            yield named["address"].strip(), named["name"].strip(" \t\"'")
        elif said:
            yield from ((one, "") for one in (said.split() if "@" in said else [said]))


def _add_table(gathered: Gathered, text: str, name: str) -> None:
    people, faults = read_people_text(text, name)
    bare = _names_only_addresses(text)
    for person in people:
        gathered.add(Candidate(email=person.email, given=None if bare else person))
    gathered.left_out += [
        LeftOut(person=f"{name}, line {fault.line}" if fault.line else name, reason=fault.sentence) for fault in faults
    ]


def _names_only_addresses(text: str) -> bool:
    """Tell whether a table has no column but `email`: it says nothing of anybody, so what is known stays."""
    header = next(line for line in text.splitlines() if line.strip())
    return [cell for cell in _CELL.split(header) if cell.strip()] == [header.strip()]


def to_json(candidates: Iterable[Candidate]) -> list[dict[str, object]]:
    """Return candidates as JSON keeps them."""
    return [
        {"email": one.email}
        if one.given is None
        else {"email": one.email, "custom": dict(one.given.custom), **_own(one.given)}
        for one in candidates
    ]


def from_json(rows: Iterable[dict[str, object]]) -> list[Candidate]:
    """Return candidates that JSON kept."""
    return [
        Candidate(email=str(row["email"]), given=Person(**row) if len(row) > 1 else None)  # type: ignore[arg-type]
        for row in rows
    ]


def _own(person: Person) -> dict[str, object]:
    return {name: getattr(person, name) for name in COLUMNS if name != "email" and getattr(person, name)}
