"""Rows of an org by the columns its user may see, and the record that stands for a lead or contact now.

Lives here: `Records`, the objects we read, and following conversions and merges. Does not live here: what a row means
(`people`, `pull`), how queries travel (`queries`).

- A field that an object lacks or hides loses the field, never the answer. Own fields are known from `describe`; one
  that is reached over a relation is tried once and then remembered in the cache.
- An object that the user may not see at all has no rows.
- A converted lead is read-only for good, and its contact stands for it; a merged record is deleted and names its
  master, which may have been merged in its turn.
Source: spec delivery 3, reference apis 1.8 to 1.10.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simple_salesforce.format import format_soql

from adapters.salesforce.describe import EXPIRY, Shape, Shapes
from adapters.salesforce.errors import MissingField
from adapters.salesforce.queries import Query, Row, in_lists, rows_of, run_together
from adapters.salesforce.session import Org
from adapters.salesforce.values import long_id
from connector.errors import Refused
from connector.ports import Cache

OPT_OUT = "HasOptedOutOfEmail"
BOUNCED_AT = "EmailBouncedDate"
BOUNCED_REASON = "EmailBouncedReason"

#: What an org says of an object that it has not, or hides from the user.
_NO_OBJECT = frozenset({"NOT_FOUND", "INVALID_TYPE"})

#: Conversions and merges that are followed one after the other.
_HOPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An object we read."""

    name: str
    prefix: str
    #: Always selected; without these a row says nothing.
    needed: tuple[str, ...]
    #: Selected as long as the org has them and shows them.
    wanted: tuple[str, ...] = ()


#: What a lead or contact says of mail, and what of conversions and merges.
_STATE = ("Email", OPT_OUT, BOUNCED_AT, BOUNCED_REASON, "MasterRecordId")
_PERSON = ("FirstName", "LastName", "Title", "Phone", "OwnerId")
CONTACT = Kind(name="Contact", prefix="003", needed=("Id", "IsDeleted"), wanted=(*_STATE, "AccountId", "Account.Name"))
LEAD = Kind(
    name="Lead",
    prefix="00Q",
    needed=("Id", "IsDeleted", "IsConverted"),
    wanted=(*_STATE, "ConvertedContactId", "Company"),
)
#: The two objects that a prospect can be, by the first characters of their ids; contacts come first.
PEOPLE: Mapping[str, Kind] = {kind.prefix: kind for kind in (CONTACT, LEAD)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question for rows of one object."""

    kind: Kind
    #: Columns beside those of the kind.
    fields: tuple[str, ...] = ()
    #: A condition in SOQL, its values filled in by `format_soql`; there is at least this or one of `one_of`.
    where: str = ""
    #: More conditions, each of which begins with the name of its field and falls away where that is not shown.
    unless_hidden: tuple[str, ...] = ()
    #: Of these, each beginning with the name of its field, one must hold; where none is shown there are no rows.
    one_of: tuple[str, ...] = ()
    order: str = ""
    deleted_too: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The record that stands for another now."""

    id: str
    #: Its row; None when the user may not see it.
    row: Row | None


class Records:
    """Rows of one org."""

    def __init__(self, org: Org, shapes: Shapes, cache: Cache) -> None:
        """Take the org; nothing is called."""
        self._org = org
        self._shapes = shapes
        self._cache = cache
        #: Object -> fields that queries were refused for, in lower case.
        self._lost: dict[str, set[str]] = {}
        self._hidden: dict[str, Refused] = {}

    def shape(self, kind: Kind) -> Shape | None:
        """Return the shape of an object; None when the user may not see it."""
        if kind.name in self._hidden:
            return None
        try:
            return self._shapes.of(kind.name)
        except Refused as refusal:
            if refusal.code not in _NO_OBJECT:
                raise
            self._hidden[kind.name] = refusal
            return None

    def shows(self, kind: Kind, field: str) -> bool:
        """Tell whether a field can be selected, as far as is known."""
        shape = self.shape(kind)
        if shape is None or field.lower() in self._lost_of(kind):
            return False
        return "." in field or shape.get(field) is not None

    def need(self, *kinds: Kind) -> None:
        """Raise `Refused` when the user may see none of some objects."""
        if all(self.shape(kind) is None for kind in kinds):
            raise self._hidden[kinds[0].name]

    def need_addresses(self) -> None:
        """Raise `Refused` when the user may see neither leads nor contacts, or not their addresses."""
        self.need(*PEOPLE.values())
        if not any(self.shows(kind, "Email") for kind in PEOPLE.values()):
            raise MissingField("Email")

    # ------------------------------------------------------------------------------------------ select

    def select(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each question, asked together, leaving out what the org does not show."""
        found: list[list[Row]] = [[] for _ in asks]
        left = dict(enumerate(asks))
        while left:
            queries = {place: query for place, ask in left.items() if (query := self._query(ask)) is not None}
            answers = dict(zip(queries, run_together(self._org, list(queries.values())), strict=True))
            left = {}
            known = {ask.kind.name: len(self._lost_of(ask.kind)) for ask in asks}
            for place, answer in answers.items():
                kind = asks[place].kind
                if isinstance(answer, MissingField):
                    self._lose(asks[place], answer.field)
                # Another question of the same call may have lost it already.
                if isinstance(answer, MissingField) and len(self._lost_of(kind)) > known[kind.name]:
                    left[place] = asks[place]
                else:
                    found[place] = rows_of(answer)
        return found

    def _query(self, ask: Ask) -> Query | None:
        """Return the question in SOQL; None when the org shows nothing that could answer it."""
        if self.shape(ask.kind) is None:
            return None
        fits = [condition for condition in ask.one_of if self.shows(ask.kind, condition.split()[0])]
        if ask.one_of and not fits:
            return None
        conditions = [
            *filter(None, [ask.where]),
            *(one for one in ask.unless_hidden if self.shows(ask.kind, one.split()[0])),
        ]
        if fits:
            conditions.append(f"({' OR '.join(fits)})")
        # Salesforce does not tell upper from lower case, and refuses a column named twice.
        optional = [name for name in (*ask.fields, *ask.kind.wanted) if self.shows(ask.kind, name)]
        columns = {**{name.lower(): name for name in optional}, **{name.lower(): name for name in ask.kind.needed}}
        head = format_soql(
            "SELECT {columns:literal} FROM {object:literal} WHERE ",
            columns=", ".join(columns.values()),
            object=ask.kind.name,
        )
        tail = f" ORDER BY {ask.order}" if ask.order else ""
        return Query(head + " AND ".join(conditions) + tail, ask.deleted_too)

    def _lose(self, ask: Ask, field: str) -> None:
        """Note a field that a query was refused for, unless the question cannot do without it."""
        one = field.lower()
        names = {name.lower() for name in (*ask.fields, *ask.kind.wanted)}
        conditions = {condition.split()[0].lower() for condition in (*ask.one_of, *ask.unless_hidden)}
        known = self._lost_of(ask.kind)
        paths = {name for name in names if "." in name and one in name.split(".")} - known
        own = ({one} & (names | conditions)) - known - {name.lower() for name in ask.kind.needed}
        if paths:
            known |= paths
            kept = json.dumps(sorted(name for name in known if "." in name))
            self._cache.save(self._entry(ask.kind), kept)
        elif own:
            known |= own
            # The description is older than the org.
            self._shapes.forget(ask.kind.name)

    def _lost_of(self, kind: Kind) -> set[str]:
        if kind.name not in self._lost:
            kept = self._cache.read(self._entry(kind), younger_than=EXPIRY)
            self._lost[kind.name] = set(json.loads(kept)) if kept else set()
        return self._lost[kind.name]

    def _entry(self, kind: Kind) -> str:
        return f"salesforce {self._org.scope} {kind.name} paths"

    # ---------------------------------------------------------------------------------------- standing

    def standing(
        self, ids: Iterable[str], fields: Sequence[str] = (), *, also: Sequence[Ask] = ()
    ) -> tuple[dict[str, Standing], list[list[Row]]]:
        """Return long id -> the record that stands for it now, and the rows of `also`, asked in the same call.

        A record that is gone without a successor is left out, and so is one that was never there.
        """
        leads_to = {one: one for one in ids if one[:3] in PEOPLE}
        rows: dict[str, Row] = {}
        asked: set[str] = set()
        rest: list[list[Row]] = []
        extra = list(also)
        for _ in range(_HOPS):
            wanted = sorted(set(leads_to.values()) - asked)
            asks = [ask for kind in PEOPLE.values() for ask in self._by_id(kind, wanted, fields)]
            if not asks and not extra:
                break
            answers = self.select([*asks, *extra])
            if extra:
                rest, extra = answers[len(asks) :], []
            rows |= {long_id(row["Id"]): row for answer in answers[: len(asks)] for row in answer}
            asked |= set(wanted)
            leads_to = {one: _last(at, rows) for one, at in leads_to.items()}
        return {one: stands for one, at in leads_to.items() if (stands := _stands(one, at, rows))}, rest

    def _by_id(self, kind: Kind, ids: Sequence[str], fields: Sequence[str]) -> list[Ask]:
        mine = [one for one in ids if one.startswith(kind.prefix)]
        return [
            Ask(kind=kind, fields=(*fields, *_PERSON), where=where, deleted_too=True)
            for where in in_lists("Id IN {values}", mine)
        ]


def _stands(one: str, at: str, rows: Mapping[str, Row]) -> Standing | None:
    row = rows.get(at)
    if row is None:
        # Only what another record named is there without being seen.
        return Standing(id=at, row=None) if at != one else None
    return None if row["IsDeleted"] else Standing(id=at, row=row)


def by_email(kind: Kind, emails: Sequence[str], fields: Sequence[str]) -> list[Ask]:
    """Return the questions for people by their exact address; leads that were converted are none."""
    conditions = ("IsConverted = false",) if kind is LEAD else ()
    return [
        Ask(kind=kind, fields=(*fields, *_PERSON), one_of=(where,), unless_hidden=conditions)
        for where in in_lists("Email IN {values}", emails)
    ]


def successor(row: Row) -> str | None:
    """Return the id of the record that stands for a converted or merged one; None for any other."""
    master, contact = row.get("MasterRecordId"), row.get("ConvertedContactId")
    if row["IsDeleted"]:
        return long_id(master) if master else None
    return long_id(contact) if row.get("IsConverted") and contact else None


def _last(at: str, rows: Mapping[str, Row]) -> str:
    """Return where conversions and merges lead from a record, as far as is known."""
    for _ in range(_HOPS):
        following = successor(rows[at]) if at in rows else None
        if following is None:
            break
        at = following
    return at
