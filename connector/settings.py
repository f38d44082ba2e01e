"""`connector.yaml`: reps, accounts, rules of the CRM, pacing.

Lives here: the keys that belong to no service, and the checks between sections (spec interfaces 1). Does not live here:
what an account section may say (each adapter's `account_model`), the rules of a CRM's own section (its
`options_model`), pydantic's complaints as sentences (`complaints`), $DATABASE_URL (`app`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeGuard
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from connector.accounts import AccountModel
from connector.complaints import section_of, translated
from connector.documents import Document, Place, did_you_mean, read_document
from connector.errors import BadInput, Fault, Severity
from connector.people import Rep, is_address, time_zones
from connector.ports import Adapter, CrmAdapter, MailboxAdapter
from connector.unsubscribe import EMAIL, TOKEN
from connector.web_settings import WebRules

DEFAULT_DATABASE = "sqlite:///connector.db"

_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
_DURATION = re.compile(r"^([1-9][0-9]*)(s|m|h)$")
_AGE = re.compile(r"^([1-9][0-9]{0,4})(h|d)$|^never$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
#: Sixty days or more: a mailbox whose cursor has expired is looked through for a month, and must know what it brings.
_KEPT = re.compile(r"^([6-9][0-9]|[1-9][0-9]{2,4})d$|^never$")
_DOMAIN = re.compile(r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")


def _database(url: str) -> str:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        raise ValueError("this is not a database address: write sqlite:///connector.db") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(
            "this is not a database address: write sqlite:///connector.db or postgresql+psycopg://host/name"
        )
    if password:
        raise ValueError("a password is never written in this file: set the whole address as DATABASE_URL instead")
    return url


def _address(text: str) -> str:
    address = text.strip().lower()
    if not is_address(address):
        raise ValueError(f"'{text}' is not a mail address: write one such as ana@acme.example")
    return address


def _zone(name: str) -> str:
    if name not in time_zones():
        hint = did_you_mean(name, sorted(time_zones()))
        raise ValueError(f"there is no time zone '{name}': write a name such as Europe/Madrid{hint}")
    return name


def _duration(value: Any) -> Any:
    found = _DURATION.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("this is not a duration: write it as 60s, 5m or 1h")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _age(value: Any) -> Any:
    found = _AGE.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("this is no age: write it as 36h or 3d, or never")
    return None if found[1] is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


def _kept(value: Any) -> Any:
    found = _KEPT.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("replies and bounces come for a while yet: write 60d or more, such as 400d, or never")
    return None if found[1] is None else timedelta(days=int(found[1]))


def _domain(text: str) -> str:
    domain = text.strip().lower()
    if not _DOMAIN.match(domain):
        raise ValueError(f"'{text}' is not a domain: write one such as rival.example, without an @")
    return domain


def _unsubscribe_address(text: str) -> str:
    sentence = "write an https address with {token} in it, such as https://go.acme.example/u/{token}, or {email}"
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(sentence) from None
    plain = text.replace(TOKEN, "").replace(EMAIL, "")
    one = text.count(TOKEN) + text.count(EMAIL) == 1 and not set(plain) & set('{}<>"\\')
    whole = text.isascii() and text.isprintable() and " " not in text and not parts.fragment
    if (
        parts.scheme != "https"
        or not parts.hostname
        or "{" in parts.netloc
        or "@" in parts.netloc
        or not (one and whole)
    ):
        raise ValueError(sentence)
    return text


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("this is empty: fill it in")
    return text.strip()


class _Section(BaseModel):
    """A part of the file: unknown keys are errors, nothing is coerced, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Email = Annotated[str, AfterValidator(_address)]
_Age = Annotated[timedelta | None, BeforeValidator(_age), WithJsonSchema({"type": "string", "pattern": _AGE.pattern})]


class RepEntry(_Section):
    """A sales rep."""

    email: _Email = Field(description="The rep's own address; names the rep everywhere.")
    name: Annotated[str, AfterValidator(_said)] = Field(description="As recipients see it.")
    title: str = Field(default="", description="Job title, for {{my.title}}.")
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(description="IANA name, such as Europe/Madrid.")
    mailbox: str = Field(default="links", description="Kind of mailbox; links needs no account.")
    salesforce_user: str = Field(default="", description="User name or id in Salesforce; owner of this rep's tasks.")
    signature: str = Field(default="", description="HTML, for {{my.signature}}.")
    aliases: list[_Email] = Field(default=[], description="Other addresses the rep sends from.")


class Pacing(_Section):
    """How fast mail leaves one mailbox of a kind; null means no limit."""

    per_second: PositiveInt | None = Field(default=None, description="Most mails in a second.")
    per_minute: PositiveInt | None = Field(default=None, description="Most mails in a minute.")
    per_day: PositiveInt | None = Field(default=None, description="Most mails in a day.")


class SyncRules(_Section):
    """How the wheel turns by itself."""

    every: Annotated[
        timedelta, BeforeValidator(_duration), WithJsonSchema({"type": "string", "pattern": _DURATION.pattern})
    ] = Field(default=timedelta(seconds=60), description="Time between two passes of `run`: 60s, 5m, 1h.")
    #: As many as one processor serves while their calls take 100 ms, before they wait for it rather than for the
    #: services (`make bench`); a third of it is left for the pages of the same process. At most as many as leave
    #: connections to the database free (`store.database`).
    mailboxes_at_a_time: Annotated[int, Field(ge=1, le=32)] = Field(
        default=10, description="Mailboxes read and written side by side, each by one worker."
    )

    hold_after: _Age = Field(
        default=timedelta(hours=24),
        description="An email that is later than this, other than by pacing, is held until somebody decides: 24h, 3d; "
        "never holds none.",
    )


class Retention(_Section):
    """How long the past is kept."""

    ended: Annotated[
        timedelta | None, BeforeValidator(_kept), WithJsonSchema({"type": "string", "pattern": _KEPT.pattern})
    ] = Field(
        default=None,
        description="How long what was done in an ended campaign is kept: 400d, at least 60d; never forgets nothing.",
    )


class UnsubscribeRules(_Section):
    """How a recipient says that they want no more mail."""

    address: Annotated[str, AfterValidator(_unsubscribe_address)] = Field(
        description="https address with {token} in it, or {email} for a page of your own; it must take a POST."
    )
    text: Annotated[str, AfterValidator(_said)] = Field(
        default="Unsubscribe", description="Stands in the mail; the words in [brackets] are the link, or all of it."
    )


#: Pacing of the kinds of mailbox that have limits of their own (spec interfaces 1).
DEFAULT_PACING: Mapping[str, Pacing] = {
    "gmail": Pacing(per_second=1, per_day=1500),
    "outlook": Pacing(per_minute=25, per_day=5000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `connector.yaml` says, checked."""

    file: Path
    #: The folder that holds the file, campaigns and templates.
    folder: Path
    #: Database URL as written; a relative SQLite path counts from `folder` (see `app`).
    database: str
    reps: tuple[Rep, ...]
    #: Name of the section under `accounts:` -> the adapter's own model.
    accounts: Mapping[str, AccountModel] = field(repr=False)
    #: Name of the account that is a CRM, or None: then tasks live in the connector alone.
    crm: str | None
    #: The CRM's own section (its defaults when it is not in the file); None without a CRM adapter.
    crm_options: AccountModel | None
    #: Kind of mailbox -> pacing.
    pacing: Mapping[str, Pacing]
    sync: SyncRules
    retention: Retention
    #: Lower case.
    blocked_domains: frozenset[str]
    #: None when mails say nothing about unsubscribing.
    unsubscribe: UnsubscribeRules | None = None
    #: Who may sign in to the web app, and how.
    web: WebRules = field(default_factory=WebRules)
    #: What works and will not for long, or is unwise.
    warnings: tuple[Fault, ...] = ()

    def rep(self, address: str) -> Rep | None:
        """Return the rep with this address or alias, or None."""
        wanted = address.strip().lower()
        return next((rep for rep in self.reps if wanted == rep.email or wanted in rep.aliases), None)


def load_settings(path: Path, adapters: Mapping[str, Adapter]) -> Settings:
    """Read and check `connector.yaml`; raise `BadInput` with every fault, each with its line."""
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise BadInput(document.fault((), "the file says nothing: list at least one rep under 'reps'"))
    model = _file_model(adapters)
    data = _prepared(document.data, path.parent)
    faults: list[Fault] = []
    parsed: Any = None
    try:
        parsed = model.model_validate(data)
    except ValidationError as error:
        faults.extend(translated(error, document, model))
    faults.extend(_faults_between_sections(document, adapters))
    if faults:
        raise BadInput.of(sorted(faults, key=lambda fault: fault.line or 0))
    settings = _settings(parsed, path, adapters)
    return replace(settings, warnings=tuple(_warnings(document, settings)))


def config_schema(adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """Return the JSON Schema of `connector.yaml` for these adapters."""
    schema = _file_model(adapters).model_json_schema()
    kinds = sorted(adapter.capabilities.name for adapter in adapters.values() if _is_mailbox(adapter))
    schema["$defs"]["RepEntry"]["properties"]["mailbox"]["enum"] = kinds
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "connector.yaml"}


def _is_crm(adapter: Adapter) -> TypeGuard[CrmAdapter]:
    return hasattr(adapter, "open_crm")


def _is_mailbox(adapter: Adapter) -> TypeGuard[MailboxAdapter]:
    return hasattr(adapter, "open_mailbox")


def _crms(adapters: Mapping[str, Adapter]) -> list[CrmAdapter]:
    return [adapter for adapter in adapters.values() if _is_crm(adapter)]


def _mailboxes(adapters: Mapping[str, Adapter]) -> dict[str, MailboxAdapter]:
    return {adapter.capabilities.name: adapter for adapter in adapters.values() if _is_mailbox(adapter)}


def _file_model(adapters: Mapping[str, Adapter]) -> type[BaseModel]:
    """Build the model of the whole file from what the adapters accept."""
    accounts: dict[str, Any] = {
        adapter.account_name: (adapter.account_model, None)
        for adapter in adapters.values()
        if adapter.account_name is not None and adapter.account_model is not None
    }
    options: dict[str, Any] = {
        crm.account_name: (crm.options_model, Field(default_factory=crm.options_model)) for crm in _crms(adapters)
    }
    pacing: dict[str, Any] = {name: (Pacing, _default_pacing(name)) for name in _mailboxes(adapters)}
    accounts_model = create_model(
        "Accounts", __base__=_Section, __doc__="How each service is signed in to.", **accounts
    )
    pacing_model = create_model("PacingByMailbox", __base__=_Section, __doc__="Pacing by kind of mailbox.", **pacing)
    return create_model(
        "ConnectorFile",
        __base__=_Section,
        __doc__="Settings of the sales campaign connector.",
        database=(
            Annotated[str, AfterValidator(_database)],
            Field(default=DEFAULT_DATABASE, description="Database address; $DATABASE_URL wins."),
        ),
        reps=(list[RepEntry], Field(min_length=1, description="Who campaigns are run for.")),
        accounts=(accounts_model, Field(default_factory=accounts_model)),
        pacing=(pacing_model, Field(default_factory=pacing_model)),
        sync=(SyncRules, Field(default_factory=SyncRules)),
        retention=(Retention, Field(default_factory=Retention)),
        unsubscribe=(
            UnsubscribeRules | None,
            Field(default=None, description="Where a recipient says that they want no more mail; off when empty."),
        ),
        web=(WebRules, Field(default_factory=WebRules, description="Who may sign in to the web app.")),
        blocked_domains=(
            list[Annotated[str, AfterValidator(_domain)]],
            Field(default=[], description="Nothing is ever sent to these domains."),
        ),
        **options,
    )


def _default_pacing(mailbox: str) -> Pacing:
    return DEFAULT_PACING.get(mailbox, Pacing())


def _prepared(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the file's data ready for the model: empty keys left out, files found, default pacing filled in."""
    prepared = {key: value for key, value in data.items() if value is not None}
    if isinstance(reps := prepared.get("reps"), list):
        prepared["reps"] = [_without_empty(rep) for rep in reps]
    if isinstance(accounts := prepared.get("accounts"), dict):
        prepared["accounts"] = {
            name: _with_files(section, folder) for name, section in _without_empty(accounts).items()
        }
    if isinstance(pacing := prepared.get("pacing"), dict):
        prepared["pacing"] = {
            name: {**_default_pacing(name).model_dump(), **section} if isinstance(section, dict) else section
            for name, section in _without_empty(pacing).items()
        }
    return prepared


def _without_empty(section: Any) -> Any:
    return {key: value for key, value in section.items() if value is not None} if isinstance(section, dict) else section


def _with_files(section: Any, folder: Path) -> Any:
    """Make the paths of an account section (its keys that end in `_file`) count from the folder of the file."""
    if not isinstance(section, dict):
        return section
    return {
        key: str(folder / Path(value).expanduser()) if key.endswith("_file") and isinstance(value, str) else value
        for key, value in section.items()
    }


def _faults_between_sections(document: Document, adapters: Mapping[str, Adapter]) -> list[Fault]:
    """Check what no single section can: reps against each other and against accounts."""
    data = document.data
    accounts = data.get("accounts") if isinstance(data.get("accounts"), dict) else {}
    mailboxes = _mailboxes(adapters)
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    for position, entry in enumerate(data["reps"] if isinstance(data.get("reps"), list) else ()):
        if not isinstance(entry, dict):
            continue
        place: Place = ("reps", position)
        where = section_of(place, data)
        for address, key in _addresses(entry):
            first = seen.setdefault(address, position)
            if first != position:
                other = section_of(("reps", first, ""), data) or "another rep"
                move = "an address belongs to one rep, take it out of one of the two"
                sentence = f"{address} is listed by {other} already: {move}"
                faults.append(document.fault((*place, key), sentence, where=where))
            elif key == "aliases" and address == str(entry.get("email")).strip().lower():
                sentence = f"{address} is the rep's own address: leave it out of the aliases"
                faults.append(document.fault((*place, key), sentence, where=where))
        kind = entry.get("mailbox")
        if not isinstance(kind, str):
            continue
        adapter = mailboxes.get(kind)
        if adapter is None:
            hint = did_you_mean(kind, mailboxes) or f"; there are {', '.join(sorted(mailboxes))}"
            faults.append(document.fault((*place, "mailbox"), f"there is no mailbox kind '{kind}'{hint}", where=where))
        elif adapter.account_name is not None and accounts.get(adapter.account_name) is None:
            sentence = (
                f"a {kind} mailbox needs the section accounts.{adapter.account_name}: "
                "add it, or write 'mailbox: links' for this rep"
            )
            faults.append(document.fault((*place, "mailbox"), sentence, where=where))
    crms = [crm.account_name for crm in _crms(adapters) if accounts.get(crm.account_name) is not None]
    faults.extend(
        document.fault(
            ("accounts", name),
            f"tasks go to one CRM, and {crms[0]} is set up already: remove one of the two",
            where="accounts",
        )
        for name in crms[1:]
    )
    return faults


def _warnings(document: Document, settings: Settings) -> Iterable[Fault]:
    """Yield what accounts say against themselves, at the line that says how one signs in, and files that are missing.

    A file may come later, from wherever keys are kept, so that its absence is no error yet.
    """
    for name, account in settings.accounts.items():
        for sentence in account.warnings:
            fault = document.fault(("accounts", name, "auth"), sentence, where=f"accounts.{name}")
            yield replace(fault, severity=Severity.WARNING)
        for key, path in account:
            if isinstance(path, Path) and not path.is_file():
                sentence = f"the file '{path}' that {key} names is not there: put it there, or correct the name"
                fault = document.fault(("accounts", name, key), sentence, where=f"accounts.{name}")
                yield replace(fault, severity=Severity.WARNING)


def _addresses(entry: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    aliases = entry.get("aliases")
    named = [
        ("email", entry.get("email")),
        *(("aliases", one) for one in (aliases if isinstance(aliases, list) else ())),
    ]
    yield from ((value.strip().lower(), key) for key, value in named if isinstance(value, str))


def _settings(parsed: Any, path: Path, adapters: Mapping[str, Adapter]) -> Settings:
    named = {
        adapter.account_name: getattr(parsed.accounts, adapter.account_name)
        for adapter in adapters.values()
        if adapter.account_name is not None and adapter.account_model is not None
    }
    accounts = {name: account for name, account in named.items() if account is not None}
    crms = [crm.account_name for crm in _crms(adapters)]
    crm = next((name for name in crms if name in accounts), None)
    options_of = crm or next(iter(crms), None)
    return Settings(
        file=path,
        folder=path.parent,
        database=parsed.database,
        reps=tuple(Rep(**{**entry.model_dump(), "aliases": tuple(entry.aliases)}) for entry in parsed.reps),
        accounts=accounts,
        crm=crm,
        crm_options=getattr(parsed, options_of) if options_of else None,
        pacing={name: getattr(parsed.pacing, name) for name in _mailboxes(adapters)},
        sync=parsed.sync,
        retention=parsed.retention,
        blocked_domains=frozenset(parsed.blocked_domains),
        unsubscribe=parsed.unsubscribe,
        web=parsed.web,
    )
