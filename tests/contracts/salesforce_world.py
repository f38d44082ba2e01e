"""A sandbox org for the contract tests of the Salesforce adapter, and the writes they begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from adapters.salesforce import SalesforceCrm, adapter
from adapters.sandbox import Sandbox
from connector.intents import Priority, StepType
from connector.ports import TaskWrite
from tests.doubles import MemoryCache, MemoryVault

#: Before any machine's own clock, which the sandbox's web server writes into its answers.
START = datetime(2023, 11, 27, 9, 0, tzinfo=UTC)


class World:
    """A sandbox, the org in it, and ways to open it."""

    def __init__(self, sandbox: Sandbox, accounts: dict, set_variable: Callable[[str, str], None]) -> None:
        self.sandbox = sandbox
        self.set_variable = set_variable
        self.org = sandbox.salesforce
        self.section = accounts["salesforce"]
        self.cache = MemoryCache(sandbox.clock)
        self.opened: list[SalesforceCrm] = []
        self.ana = self.org.add_user(Username="ana@acme.example", LastName="Diaz", Email="ana@acme.example")
        self.account = self.org.add_account(Name="Birch Ltd")
        self.contact = self.org.add_contact(
            LastName="Lee", FirstName="Ann", Email="ann@birch.example", AccountId=self.account
        )
        self.other = self.org.add_contact(LastName="Ash", Email="eva@ash.example")
        self.lead = self.org.add_lead(LastName="Oak", FirstName="Bob", Email="bob@oak.example", Company="Oak Inc")

    def open(self, options: dict | None = None, **change) -> SalesforceCrm:
        account = adapter.account_model.model_validate({**self.section, **change})
        crm = adapter.open_crm(
            account,
            adapter.options_model.model_validate(options or {}),
            clock=self.sandbox.clock,
            vault=MemoryVault(),
            cache=self.cache,
        )
        assert isinstance(crm, SalesforceCrm)
        self.opened.append(crm)
        return crm

    def token(self) -> dict:
        self.set_variable("SF_TOKEN", self.sandbox.token("salesforce"))
        return {"auth": "access_token", "token": "${env:SF_TOKEN}", "client_id": None, "client_secret": None}

    def record(self, record_id: str) -> dict:
        records = self.sandbox.state()["salesforce"]["records"]
        return next(row for rows in records.values() for row in rows if row["Id"] == record_id)

    def tasks(self) -> list[dict]:
        return self.sandbox.state()["salesforce"]["records"]["Task"]


@contextmanager
def open_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Start a sandbox; all that was opened in it is closed with it."""
    with Sandbox(start=START) as sandbox:
        told = sandbox.accounts(tmp_path)
        for name, value in told["environment"].items():
            monkeypatch.setenv(name, value)
        world = World(sandbox, told["accounts"], monkeypatch.setenv)
        yield world
        for crm in world.opened:
            crm.close()


def key(number: int) -> str:
    return f"{number:032x}"


def creation(world: World, number: int = 1, **change) -> TaskWrite:
    fields = {
        "subject": "Call: Ann",
        "closed": False,
        "priority": Priority.HIGH,
        "due_date": date(2026, 11, 24),
        "reminder_at": datetime(2026, 11, 24, 14, 30, tzinfo=UTC),
        "description": "Ask about the plan.\nBe kind.",
        "who": world.contact,
        "owner": world.ana,
        "subtype": StepType.CALL,
    }
    return TaskWrite(key=key(number), create=True, fields={**fields, **change}, account=world.account)


def update(number: int = 1, **fields) -> TaskWrite:
    return TaskWrite(key=key(number), create=False, fields=fields)
