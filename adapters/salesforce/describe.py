"""What the org says of itself: the shape of its objects' fields, and which task statuses are closed.

Lives here: `Shapes`, which asks once and remembers. Does not live here: what is written where (`tasks`, `people`).

Every org differs: an administrator renames picklist values, shortens fields, hides them from a user. `describe` shows
a user only what that user may see, so a missing field and a hidden one look the same. What was said is kept a day in
the cache, under the org's address and the user who asked; whoever is told by Salesforce that it changed calls `forget`.
Source: reference apis 1.3 and 1.4, spec delivery 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from adapters.salesforce.codes import rule_for
from adapters.salesforce.session import Org
from connector.errors import Refused, Retry
from connector.ports import Cache

T = TypeVar("T")

#: How long an answer counts: fields and picklists change seldom, and a change that stops a write is noticed at once.
EXPIRY = timedelta(days=1)

#: What `describe` says of an object as a whole.
_ALLOWED = ("createable", "updateable", "deletable")

#: How long a process goes by its own memory, before it looks into the cache again: some run for weeks.
_REMEMBERED = timedelta(hours=1)

_STATUSES = "SELECT ApiName, IsClosed, IsDefault, SortOrder FROM TaskStatus"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    """One field of an object, as the signed-in user may use it."""

    #: Its API name, in the org's own letters.
    name: str
    #: The type as `describe` says it: `string`, `boolean`, `picklist`, `reference`, ...
    kind: str
    #: Longest text, in UTF-16 units; 0 for what is no text.
    length: int
    createable: bool
    updateable: bool
    unique: bool
    external_id: bool
    case_sensitive: bool
    nillable: bool
    #: The values in use now; empty for what is no picklist.
    picklist: tuple[str, ...]
    #: No value outside the picklist is taken.
    restricted: bool

    def writable(self, *, create: bool) -> bool:
        """Tell whether the user may give it a value on creation, or later."""
        return self.createable if create else self.updateable


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An object and the fields of it that the user sees, by lower-case name."""

    name: str
    fields: Mapping[str, FieldShape]
    #: What the user may do with its records, as far as the object goes.
    createable: bool = True
    updateable: bool = True
    deletable: bool = True

    def get(self, name: str) -> FieldShape | None:
        """Return a field; None when the org has not, or hides it. Names do not tell upper from lower case."""
        return self.fields.get(name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """The values of `Task.Status` we write: one open, one closed."""

    open: str
    closed: str


class Shapes:
    """The shapes of one org's objects: asked for once a day, remembered across processes."""

    def __init__(self, org: Org, cache: Cache) -> None:
        """Take the org as one user sees it, and where its answers are kept."""
        self._org = org
        self._cache = cache
        self._remembered: dict[str, tuple[datetime, Any]] = {}

    def of(self, name: str) -> Shape:
        """Return the shape of an object by its API name."""
        return self._kept(name, lambda: self._describe(name), _write_shape, _read_shape)

    def statuses(self) -> Statuses:
        """Return the task statuses to write; raise `Refused` where the org has no open or no closed one."""
        return self._kept("TaskStatus", self._ask_statuses, _write_statuses, _read_statuses)

    def forget(self, name: str) -> None:
        """Forget what was said of an object, the statuses with Task: the org has said that it is no longer so."""
        for one in (name, "TaskStatus") if name == "Task" else (name,):
            self._remembered.pop(one, None)
            self._cache.forget(self._entry(one))

    def _kept(self, name: str, ask: Callable[[], T], write: Callable[[T], str], read: Callable[[str], T]) -> T:
        now = self._org.now()
        if name not in self._remembered or self._remembered[name][0] <= now - _REMEMBERED:
            said = self._from_cache(name, read)
            if said is None:
                said = ask()
                self._cache.save(self._entry(name), write(said))
            self._remembered[name] = (now, said)
        known: T = self._remembered[name][1]
        return known

    def _from_cache(self, name: str, read: Callable[[str], T]) -> T | None:
        kept = self._cache.read(self._entry(name), younger_than=EXPIRY)
        try:
            return None if kept is None else read(kept)
        except (ValueError, TypeError, KeyError, AttributeError):
            # Written by another release, or damaged: the org says it anew.
            self._cache.forget(self._entry(name))
            return None

    def _entry(self, name: str) -> str:
        # Two orgs, or two users of one, never share an answer.
        return f"salesforce {self._org.scope} {name}"

    def _describe(self, name: str) -> Shape:
        said = self._org.call("GET", f"sobjects/{name}/describe")
        try:
            fields = [_field(field) for field in said["fields"]]
            may = {what: bool(said[what]) for what in _ALLOWED}
        except (KeyError, TypeError) as error:
            sentence = f"Salesforce did not describe {name} in full; it will be tried again"
            raise Retry(sentence, code="answer", advice=rule_for("answer").advice) from error
        return Shape(name=name, fields={field.name.lower(): field for field in fields}, **may)

    def _ask_statuses(self) -> Statuses:
        return choose_statuses(self._org.query(_STATUSES))


def choose_statuses(rows: Iterable[Mapping[str, Any]]) -> Statuses:
    """Choose among the org's values: the customary names where they mean what they say, else the org's first."""
    rows = sorted(rows, key=lambda row: row.get("SortOrder") or 0)
    closed = [str(row["ApiName"]) for row in rows if row["IsClosed"]]
    still_open = [str(row["ApiName"]) for row in rows if not row["IsClosed"]]
    default = [str(row["ApiName"]) for row in rows if row.get("IsDefault") and not row["IsClosed"]]
    if not closed or not still_open:
        raise Refused(
            "the Salesforce org has no open or no closed task status; ask the administrator",
            code="status",
            advice="in Setup, Object Manager, Task, Status: keep at least one closed value, and one that is not",
        )
    return Statuses(
        open="Not Started" if "Not Started" in still_open else (default or still_open)[0],
        closed="Completed" if "Completed" in closed else closed[0],
    )


def _field(said: Mapping[str, Any]) -> FieldShape:
    return FieldShape(
        name=str(said["name"]),
        kind=str(said["type"]),
        length=int(said["length"]),
        createable=bool(said["createable"]),
        updateable=bool(said["updateable"]),
        unique=bool(said["unique"]),
        external_id=bool(said["externalId"]),
        case_sensitive=bool(said["caseSensitive"]),
        nillable=bool(said["nillable"]),
        picklist=tuple(str(value["value"]) for value in said["picklistValues"] if value["active"]),
        restricted=bool(said["restrictedPicklist"]),
    )


def _write_shape(shape: Shape) -> str:
    return json.dumps(asdict(shape))


def _read_shape(text: str) -> Shape:
    kept = json.loads(text)
    fields = [FieldShape(**{**field, "picklist": tuple(field["picklist"])}) for field in kept["fields"].values()]
    may = {what: bool(kept[what]) for what in _ALLOWED}
    return Shape(name=kept["name"], fields={field.name.lower(): field for field in fields}, **may)


def _write_statuses(statuses: Statuses) -> str:
    return json.dumps(asdict(statuses))


def _read_statuses(text: str) -> Statuses:
    return Statuses(**json.loads(text))
