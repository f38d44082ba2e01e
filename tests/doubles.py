"""Stand-ins that keep what they are given in memory, for tests of adapters without a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

from connector.capabilities import CrmCapabilities
from connector.errors import AdapterError
from connector.ports import (
    Check,
    CrmPerson,
    CrmPull,
    PeopleSource,
    PersonWrite,
    RemotePerson,
    TaskWrite,
    Written,
)


class _Clock(Protocol):
    def now(self) -> datetime: ...


class StillClock:
    """A clock that moves only when something waits."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += timedelta(seconds=seconds)


class MemoryVault:
    """A `ports.Vault` of one process."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = dict(secrets)

    def read(self, name: str) -> str | None:
        return self.secrets.get(name)

    def save(self, name: str, secret: str) -> None:
        self.secrets[name] = secret

    def forget(self, name: str) -> None:
        self.secrets.pop(name, None)

    def renew(self, name: str, seen: str | None, renewed: Callable[[str | None], str]) -> str:
        if self.secrets.get(name) == seen:
            self.secrets[name] = renewed(seen)
        return self.secrets[name]


class MemoryCache:
    """A `ports.Cache` of one process, whose ages are told by a clock."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self.texts: dict[str, tuple[datetime, str]] = {}

    def read(self, name: str, *, younger_than: timedelta) -> str | None:
        at, text = self.texts.get(name, (None, None))
        return text if at is not None and at > self._clock.now() - younger_than else None

    def save(self, name: str, text: str) -> None:
        self.texts[name] = (self._clock.now(), text)

    def forget(self, name: str) -> None:
        self.texts.pop(name, None)


#: Users of the reps of `tests.world`.
USERS = {"ana@acme.example": "005000000000001AAA", "bob@acme.example": "005000000000002AAA"}


class MemoryCrm:
    """A `ports.Crm` that holds people and tasks in memory, and notes what it was asked and told."""

    capabilities: ClassVar[CrmCapabilities] = CrmCapabilities(
        name="salesforce",
        title="CRM",
        tasks_per_call=200,
        subject_length=255,
        description_length=31_000,
        idempotent_writes=True,
        opt_out=True,
    )

    def __init__(self, *people: CrmPerson, users: Mapping[str, str] | None = None) -> None:
        self.people = list(people)
        self.users = dict(USERS if users is None else users)
        self.calls = 0
        self.budget: tuple[int, int] | None = None
        #: What each look-up asked for; what was written, call by call.
        self.asked: list[tuple[str, ...]] = []
        self.asked_users: list[tuple[str, ...]] = []
        self.told: list[tuple[PersonWrite, ...]] = []
        self.written: list[tuple[TaskWrite, ...]] = []
        self.deleted: list[str] = []
        #: What the next pull brings; error by key of a task or id of a person.
        self.news: list[RemotePerson] = []
        self.errors: dict[str, AdapterError] = {}

    def close(self) -> None:
        pass

    def check_ready(self) -> None:
        pass

    def check(self, *, owners: Sequence[str] = ()) -> Sequence[Check]:
        return ()

    def pull(self, cursor: str | None, *, tasks: bool) -> CrmPull:
        self.calls += 1
        news, self.news = tuple(self.news), []
        return CrmPull(tasks=(), people=news, cursor=str(self.calls))

    def find_people(
        self, *, ids: Sequence[str] = (), emails: Sequence[str] = (), fields: Sequence[str] = ()
    ) -> dict[str, tuple[CrmPerson, ...]]:
        self.calls += 1
        self.asked.append((*ids, *emails))
        by_key: dict[str, list[CrmPerson]] = {key: [] for key in (*ids, *emails)}
        for person in self.people:
            for key in {person.id, person.email} & by_key.keys():
                by_key[key].append(replace(person, fields={name: person.fields.get(name) for name in fields}))
        return {key: tuple(found) for key, found in by_key.items()}

    def list_people(self, source: PeopleSource) -> Sequence[CrmPerson]:
        return self.people

    def find_users(self, names: Sequence[str]) -> Mapping[str, str]:
        self.calls += 1
        self.asked_users.append(tuple(names))
        return {name: self.users[name] for name in names if name in self.users}

    def push_people(self, writes: Sequence[PersonWrite]) -> Sequence[Written]:
        self.calls += 1
        self.told.append(tuple(writes))
        return [Written(key=write.id, remote_id=write.id, error=self.errors.get(write.id)) for write in writes]

    def push_tasks(self, writes: Sequence[TaskWrite]) -> Sequence[Written]:
        self.calls += 1
        self.written.append(tuple(writes))
        return [Written(key=write.key, remote_id=write.key, error=self.errors.get(write.key)) for write in writes]

    def delete_tasks(self, remote_ids: Sequence[str]) -> Sequence[Written]:
        self.calls += 1
        self.deleted += remote_ids
        return [Written(key=one, remote_id=one) for one in remote_ids]
