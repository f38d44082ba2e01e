"""The composition root: the one place where core, adapters, clock, files and database meet.

Lives here: finding the project folder, loading adapters from entry points, the clocks, `Project` (files only) and
`open_app` (with database and services). Does not live here: any rule.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from connector.accounts import AccountModel, Secret, is_loopback
from connector.audience import reps_seen_by
from connector.campaigns.model import Campaign
from connector.campaigns.reading import LoadedCampaigns, load_campaigns
from connector.content.templates import Template, load_templates
from connector.documents import Place, read_document
from connector.engine.opening import wake_workers
from connector.errors import BadInput, Fault, Severity
from connector.people import Rep
from connector.ports import (
    ENTRY_POINT_GROUP,
    AccountSignIn,
    Adapter,
    Clock,
    Crm,
    CrmAdapter,
    Mailbox,
    MailboxAdapter,
    MailIdentity,
    Vault,
)
from connector.settings import Settings, load_settings
from connector.settings_now import SettingsNow
from connector.store.cache import StoredCache
from connector.store.database import Database
from connector.sync.attachments import attachment_faults
from connector.sync.office import CrmRules, Office, OnEnd, PacingRule, TaskSync
from connector.tasks.merge import ConflictPolicy, Policy
from connector.tasks.subject import FIELD_NAMES, unknown_fields
from connector.unsubscribe import Tokens, Unsubscribe
from connector.vault import StoredVault

if TYPE_CHECKING:
    from adapters.sandbox import Sandbox

#: File that makes a folder a project.
SETTINGS_FILE = "connector.yaml"

#: Beginnings of names of files that may lie in a checkout's example and are of that place alone.
_OF_ONE_PLACE = (".", "connector.db", "connector.key", "google-service-account")

#: Loopback address of a sandbox clock to run by, so that its time can be moved (see `connector sandbox`).
CLOCK_VARIABLE = "CONNECTOR_CLOCK"


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the present instant, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class RemoteClock:
    """The time of a running sandbox, asked over HTTP."""

    def __init__(self, address: str) -> None:
        """Take the clock's address; raise `BadInput` when it is not on this machine."""
        if not address.startswith("http://") or not is_loopback(address):
            raise BadInput(f"{CLOCK_VARIABLE} must be the address of a sandbox on this machine, not '{address}'")
        self._address = address

    def now(self) -> datetime:
        """Return the sandbox's instant, aware, UTC."""
        return self._ask(None)

    def sleep(self, seconds: float) -> None:
        """Move the sandbox's time forward."""
        self._ask(json.dumps({"advance": f"{seconds}s"}).encode())

    def _ask(self, body: bytes | None) -> datetime:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._address, data=body, headers=headers)  # noqa: S310 - loopback http, checked
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return datetime.fromisoformat(json.load(answer)["now"])
        except OSError as error:
            raise BadInput(f"the sandbox clock at {self._address} does not answer: is the sandbox running?") from error


def clock_from_environment() -> Clock:
    """Return the sandbox's clock when $CONNECTOR_CLOCK names one, else the machine's."""
    address = os.environ.get(CLOCK_VARIABLE)
    return RemoteClock(address) if address else SystemClock()


@cache
def load_adapters() -> Mapping[str, Adapter]:
    """Return every installed adapter by its entry point's name, looked for once a process."""
    return {point.name: point.load() for point in entry_points(group=ENTRY_POINT_GROUP)}


def is_mailbox_adapter(adapter: Adapter) -> TypeGuard[MailboxAdapter]:
    """Tell whether an adapter opens mailboxes."""
    return hasattr(adapter, "open_mailbox")


def is_crm_adapter(adapter: Adapter) -> TypeGuard[CrmAdapter]:
    """Tell whether an adapter opens a CRM."""
    return hasattr(adapter, "open_crm")


def is_sign_in_adapter(adapter: Adapter) -> TypeGuard[AccountSignIn]:
    """Tell whether a person can sign in to an adapter's account."""
    return hasattr(adapter, "sign_in")


def find_folder(given: Path | None) -> Path:
    """Return the folder that holds connector.yaml: the given one, else ./config, else the present one."""
    candidates = [given] if given is not None else [Path("config"), Path()]
    for folder in candidates:
        if (folder / SETTINGS_FILE).is_file():
            return folder
    shown = " and none in ".join(f"'{folder}'" for folder in candidates)
    raise BadInput(
        f"there is no {SETTINGS_FILE} in {shown}: name the folder with -C, or make one with 'connector init'"
    )


def copy_example(folder: Path) -> list[str]:
    """Copy the example project into a new or empty folder; return the files written, relative to it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"'{folder}' is there already and not empty: name a new folder, nothing was written")
    package = Path(__file__).parent
    # In an installed package the example lies inside it; in a checkout it is the folder `config` beside it.
    example = next(place for place in (package / "example", package.parent / "config") if place.is_dir())
    names = [
        path.relative_to(example)
        for path in sorted(example.rglob("*"))
        if path.is_file() and not path.name.startswith(_OF_ONE_PLACE)
    ]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((example / name).read_bytes())
    return [str(name) for name in names]


@dataclass(frozen=True)
class Project:
    """A project's files, read when they are asked for; no database, no service."""

    folder: Path
    adapters: Mapping[str, Adapter] = field(default_factory=load_adapters)

    @cached_property
    def settings(self) -> Settings:
        """What connector.yaml says; raises `BadInput` with every fault."""
        return load_settings(self.folder / SETTINGS_FILE, self.adapters)

    @cached_property
    def settings_now(self) -> SettingsNow:
        """What connector.yaml says now, for a process that goes on while the file is changed."""
        return SettingsNow(self.settings, self.adapters)

    @cached_property
    def _templates(self) -> tuple[dict[str, Template], list[Fault]]:
        return load_templates(self.folder / "templates")

    @cached_property
    def loaded(self) -> LoadedCampaigns:
        """The campaigns without a fault, the files they come from, and the faults of the others."""
        templates, faults = self._templates
        broken = {Path(fault.file).stem for fault in faults if fault.file} - set(templates)
        return load_campaigns(self.folder / "campaigns", templates, broken=broken)

    @property
    def templates(self) -> Mapping[str, Template]:
        """The templates that could be read, by name."""
        return self._templates[0]

    @property
    def faults(self) -> list[Fault]:
        """Every fault and warning of templates and campaigns."""
        return [*self._templates[1], *self.loaded.faults, *self.loaded.warnings]

    @property
    def subject_warnings(self) -> list[Fault]:
        """Names in the pattern of the tasks' subjects that are no fields, and stay empty in every task."""
        unknown = unknown_fields(str(getattr(self.settings.crm_options, "subject", "")))
        if not unknown or self.settings.crm is None:
            return []
        names = ", ".join(f"{{{{{name}}}}}" for name in FIELD_NAMES)
        sentence = f"'{unknown[0]}' is no field of a task's subject, and stays empty: use {names}"
        document = read_document(self.settings.file)
        fault = document.fault((self.settings.crm, "subject"), sentence, where=self.settings.crm)
        return [replace(fault, severity=Severity.WARNING)]

    @property
    def attachment_faults(self) -> list[Fault]:
        """What templates and signatures carry that the reps' mailboxes do not take."""
        kinds = [adapter.capabilities for adapter in self.adapters.values() if is_mailbox_adapter(adapter)]
        limits = {kind.name: kind.attachment_bytes for kind in kinds if kind.drafts}
        return attachment_faults(self.folder / SETTINGS_FILE, self.templates.values(), self.settings.reps, limits)

    def campaign(self, name: str) -> Campaign:
        """Return a campaign by its name or file stem; raise `BadInput` with its faults, or naming those there are."""
        loaded = self.loaded
        for known, campaign in loaded.campaigns.items():
            if name.casefold() in (known.casefold(), loaded.files[known].stem.casefold()):
                return campaign
        own = [fault for fault in self.faults if fault.severity is Severity.ERROR and _concerns(fault, name)]
        if own:
            raise BadInput.of(own)
        there = ", ".join(f"'{known}'" for known in sorted(loaded.campaigns)) or "none"
        raise BadInput(f"there is no campaign '{name}' in {self.folder / 'campaigns'} (there are: {there})")

    def sign_in_of(self, name: str) -> tuple[AccountSignIn, AccountModel]:
        """Return what signs a person in to an account, and its section; raise `BadInput` when nobody signs in to it."""
        known = {adapter.account_name: adapter for adapter in self.adapters.values() if adapter.account_name}
        if name not in known:
            raise BadInput(f"there is no account '{name}' to sign in to (there are: {', '.join(sorted(known))})")
        adapter = known[name]
        if not is_sign_in_adapter(adapter):
            raise BadInput(
                f"the adapter of {name} has no sign-in by a person yet: put ready credentials under accounts.{name} in "
                f"{self.folder / SETTINGS_FILE}"
            )
        account = self.settings.accounts.get(name)
        if account is None:
            raise BadInput(f"there is no section accounts.{name} in {self.folder / SETTINGS_FILE}: add it first")
        return adapter, account

    def rep_signing_in(self, name: str, email: str | None) -> Rep | None:
        """Return the rep who signs in to an account; None when nobody is named and the choice is not plain.

        A mailbox is signed in to rep by rep: the only rep with that kind of mailbox need not be named. Raises
        `BadInput` for a rep whose mailbox is of another kind.
        """
        kinds = {
            adapter.capabilities.name
            for adapter in self.adapters.values()
            if is_mailbox_adapter(adapter) and adapter.account_name == name
        }
        reps = [rep for rep in self.settings.reps if rep.mailbox in kinds]
        if email is None:
            return reps[0] if len(reps) == 1 else None
        rep = self.rep(email)
        if kinds and rep not in reps:
            raise BadInput(
                f"{rep.email} does not use {name}, but 'mailbox: {rep.mailbox}': there is nothing to sign in to"
            )
        return rep

    def rep(self, email: str) -> Rep:
        """Return a rep by address or alias; raise `BadInput` naming those there are."""
        rep = self.settings.rep(email)
        if rep is None:
            known = ", ".join(rep.email for rep in self.settings.reps)
            raise BadInput(f"there is no rep '{email}' in {self.folder / SETTINGS_FILE} (there are: {known})")
        return rep


def _concerns(fault: Fault, name: str) -> bool:
    return f"campaign '{name}'" in (fault.where or "") or Path(fault.file or "").stem.casefold() == name.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A project with its database and services."""

    project: Project
    office: Office

    @property
    def database(self) -> Database:
        """The open database."""
        return self.office.database

    @property
    def vault(self) -> StoredVault:
        """The secrets of the accounts."""
        return StoredVault(self.database, self.office.clock, self.project.folder)


def _in_folder(url: str, folder: Path) -> str:
    """Return a database address whose relative SQLite path counts from the project's folder, wherever one stands."""
    scheme, found, path = url.partition("sqlite:///")
    if scheme or not found or not path or Path(path).is_absolute() or path == ":memory:":
        return url
    return f"sqlite:///{(folder / path).resolve()}"


def open_database(project: Project, url: str | None = None) -> Database:
    """Return a project's database, not reached yet: the given one, $DATABASE_URL, or that of connector.yaml."""
    return Database(url or os.environ.get("DATABASE_URL") or _in_folder(project.settings.database, project.folder))


@contextmanager
def open_app(
    project: Project,
    *,
    clock: Clock | None = None,
    database_url: str | None = None,
    services: bool = True,
    without: Collection[str] = (),
) -> Iterator[App]:
    """Open a project's database and services; nothing is called until it is used.

    Without `services` no account is opened, so that looking and deciding need no secrets; `without` names single
    accounts that are not opened.
    """
    clock = clock or clock_from_environment()
    database = open_database(project, database_url)
    try:
        database.upgrade()
        office = open_office(project, database, clock, services=services, without=without)
        try:
            yield App(project=project, office=office)
        finally:
            for mailbox in office.mailboxes.values():
                mailbox.close()
            if office.crm is not None:
                office.crm.close()
    finally:
        database.close()


def open_office(
    project: Project, database: Database, clock: Clock, *, services: bool = True, without: Collection[str] = ()
) -> Office:
    """Join settings, adapters, database and clock; without `services` there is no mailbox and no CRM."""
    settings = project.settings
    unset = [fault for name, faults in unset_secrets(settings).items() if name not in without for fault in faults]
    if services and unset:
        # Before any account is used: nothing is half done.
        raise BadInput.of(list(dict.fromkeys(unset)))
    vault = StoredVault(database, clock, project.folder)
    return Office(
        database=database,
        clock=clock,
        reps={rep.email: rep for rep in settings.reps},
        mailboxes=_open_mailboxes(project, clock, vault, without) if services else {},
        crm=_open_crm(project, database, clock, vault) if services and settings.crm not in without else None,
        crm_rules=_crm_rules(settings),
        pacing={
            kind: PacingRule(per_second=rule.per_second, per_minute=rule.per_minute, per_day=rule.per_day)
            for kind, rule in settings.pacing.items()
        },
        blocked_domains=settings.blocked_domains,
        folder=project.folder,
        unsubscribe=_unsubscribe(settings, vault) if services else None,
        pass_seconds=max(60.0, settings.sync.every.total_seconds()),
        mailboxes_at_a_time=settings.sync.mailboxes_at_a_time,
        hold_after=settings.sync.hold_after,
        keep_ended=settings.retention.ended,
        wake=wake_workers(database, clock),
        sees=lambda email: reps_seen_by(project.settings_now(), email),
    )


def unset_secrets(settings: Settings) -> dict[str, list[Fault]]:
    """Return account -> every secret of it that is not set, with its line; accounts that lack none are left out."""
    unset: dict[str, list[Fault]] = {}
    for name, account in settings.accounts.items():
        for key, value in account:
            if key in account.spare_secrets:
                continue
            place: Place = ("accounts", name, key)
            named = {(*place, rep): one for rep, one in value.items()} if isinstance(value, Mapping) else {place: value}
            for at, secret in named.items():
                try:
                    if isinstance(secret, Secret):
                        secret.reveal()
                except BadInput as error:
                    sentence = f"'{at[-1]}' takes a secret from the environment: {error}"
                    document = read_document(settings.file)
                    unset.setdefault(name, []).append(
                        document.fault(at, sentence, where=".".join(str(part) for part in at[:-1]))
                    )
    return unset


def _open_mailboxes(project: Project, clock: Clock, vault: Vault, without: Collection[str]) -> dict[str, Mailbox]:
    settings = project.settings
    mailboxes: dict[str, Mailbox] = {}
    adapters = {
        adapter.capabilities.name: adapter for adapter in project.adapters.values() if is_mailbox_adapter(adapter)
    }
    for rep in settings.reps:
        adapter = adapters[rep.mailbox]
        if adapter.account_name in without:
            continue
        account = settings.accounts.get(adapter.account_name) if adapter.account_name else None
        identity = MailIdentity(email=rep.email, name=rep.name, aliases=rep.aliases)
        mailboxes[rep.email] = adapter.open_mailbox(account, identity, clock=clock, vault=vault)
    return mailboxes


def _open_crm(project: Project, database: Database, clock: Clock, vault: Vault) -> Crm | None:
    settings = project.settings
    if settings.crm is None or settings.crm_options is None:
        return None
    adapter = next(
        adapter
        for adapter in project.adapters.values()
        if is_crm_adapter(adapter) and adapter.account_name == settings.crm
    )
    return adapter.open_crm(
        settings.accounts[settings.crm],
        settings.crm_options,
        clock=clock,
        vault=vault,
        cache=StoredCache(database, clock),
    )


def _unsubscribe(settings: Settings, vault: Vault) -> Unsubscribe | None:
    rules = settings.unsubscribe
    if rules is None:
        return None
    return Unsubscribe(address=rules.address, text=rules.text, tokens=Tokens.kept_in(vault))


def _crm_rules(settings: Settings) -> CrmRules:
    options = settings.crm_options
    if settings.crm is None or options is None:
        return CrmRules()
    conflict = getattr(options, "conflict", None)
    return CrmRules(
        name=settings.crm,
        tasks=TaskSync(getattr(options, "tasks", TaskSync.BOTH)),
        log_email=bool(getattr(options, "log_email", True)),
        subject=str(getattr(options, "subject", CrmRules().subject)),
        activity_facts=frozenset(str(name) for name in getattr(options, "activity_fields", ())),
        rollup_facts=frozenset(str(name) for name in getattr(options, "rollup", ())),
        on_end=OnEnd(getattr(options, "on_end", OnEnd.COMPLETE)),
        conflict=ConflictPolicy(
            **{name: Policy(getattr(conflict, name)) for name in ("status", "due_date", "priority", "comments")}
        )
        if conflict is not None
        else ConflictPolicy(),
    )


def open_sandbox(start: datetime | None = None, *, hostile: int | None = None) -> Sandbox:
    """Return local servers for every service, not started yet.

    `start` freezes their clock there; `hostile` is a seed by which their calls go wrong.
    """
    from adapters.sandbox import Hostility, Sandbox  # noqa: PLC0415 - web servers are slow to import, and seldom needed

    return Sandbox(start, hostile=None if hostile is None else Hostility(seed=hostile))
