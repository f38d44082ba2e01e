"""How things stand: health, status, what every account says, and what the CRM did not take."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from connector.ports import Verdict
from connector.sync import diagnostics
from connector.sync.diagnostics import Diagnosis, list_diagnostics
from connector.sync.doctor import Finding
from connector.sync.standing import MailboxStanding, list_mailboxes
from connector.sync.views import Status, status
from connector.sync.webhooks import webhooks_of
from connector.web.access import NotAllowedError
from connector.web.account_check import findings_of
from connector.web.api.callers import Administering, Reading
from connector.web.api.lists import Listed
from connector.web.api.models import Given
from connector.web.site import Site
from connector.web.users import User


class Account(BaseModel):
    """A mailbox or the CRM, and its pacing."""

    problem: str | None
    blocked_until: datetime | None
    sends_blocked_until: datetime | None
    sent_today: int
    last_read: datetime | None


class Queue(BaseModel):
    """What waits for a mailbox."""

    lane: str
    action: str
    waiting: int
    oldest: datetime | None


class Budget(BaseModel):
    """Calls of the CRM that were used today."""

    used: int
    allowed: int
    percent: int | None
    only_due: bool = Field(description="Whether so many are used that only what is due goes there.")


class Standing(BaseModel):
    """How things stand; numbers of all reps for an admin alone."""

    campaigns: dict[str, dict[str, int]] = Field(description="Campaign -> state -> people.")
    intents: dict[str, int]
    accounts: dict[str, Account]
    queues: list[Queue]
    tasks_waiting: int
    oldest_undelivered: datetime | None
    due_now: int
    next_due: datetime | None
    api_budget: Budget | None


class Mailbox(BaseModel):
    """How one rep's mailbox stands, and its pacing."""

    rep: str
    kind: str = Field(description="`gmail`, `outlook` or `links`.")
    reached: bool = Field(description="Whether it can be reached at all; one of `links` cannot.")
    problem: str | None
    blocked_until: datetime | None
    sent_today: int
    per_day: int | None = Field(description="How many mails it may send a day; null for any number.")
    used_up: bool = Field(description="Whether today's limit is used up.")
    last_read: datetime | None
    drafts_waiting: int
    sends_waiting: int

    @classmethod
    def of(cls, found: MailboxStanding) -> Mailbox:
        """Return a mailbox as it stands."""
        return cls(
            rep=found.rep.email,
            kind=found.rep.mailbox,
            reached=found.reached,
            problem=found.pacing.problem,
            blocked_until=found.pacing.blocked_until,
            sent_today=found.pacing.day_count,
            per_day=found.per_day,
            used_up=found.used_up,
            last_read=found.looked,
            drafts_waiting=found.drafts.count,
            sends_waiting=found.sends.count,
        )


class Health(BaseModel):
    """Whether anything of one's own needs attention."""

    well: bool
    problems: list[str]


class Diagnostic(BaseModel):
    """A record that the CRM did not take."""

    id: str
    what: str
    person: str
    rep: str | None
    code: str
    category: str
    sentence: str
    advice: str
    since: datetime
    next_try: datetime

    @classmethod
    def of(cls, found: Diagnosis) -> Diagnostic:
        """Return a record as it is listed."""
        fields = {name: getattr(found, name) for name in cls.model_fields}
        return cls(**fields | {"rep": found.rep or None})


class AccountCheck(BaseModel):
    """One thing that was looked at in an account."""

    account: str = Field(description="The CRM's name, or a mailbox such as `gmail:ana@acme.example`.")
    area: str = Field(description="`sign-in`, `setup`, `users` or `limits`.")
    verdict: Verdict
    sentence: str
    mend: str = Field(description="How to mend it; empty when there is nothing to mend.")
    reconnect: bool = Field(description="A person must sign in again before anything else is of use.")

    @classmethod
    def of(cls, found: Finding) -> AccountCheck:
        """Return what was found."""
        check = found.check
        return cls(
            account=found.account,
            area=check.area,
            verdict=check.verdict,
            sentence=check.sentence,
            mend=check.mend,
            reconnect=check.reconnect,
        )


class Again(Given):
    """What is to be tried again."""

    ids: list[str] | None = Field(default=None, max_length=1000, description="Everything when it is left out.")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    _add_looking(routes, site)
    _add_diagnostics(routes, site)


def _own(site: Site, user: User) -> list[Diagnosis]:
    return [one for one in list_diagnostics(site.office) if user.reps is None or one.rep in user.reps]


def _add_looking(routes: APIRouter, site: Site) -> None:
    """Add what says how all stands."""
    office = site.office

    @routes.get("/health")
    def health(user: Reading) -> Health:
        """Return what needs attention: accounts, what the CRM did not take, webhooks that do not listen."""
        mine = {office.lane_of(rep) for rep in office.reps.values() if user.may_see(rep.email)}
        lanes = status(office).lanes.items()
        problems = [
            f"{name}: {lane.problem}" for name, lane in lanes if lane.problem and (user.is_admin or name in mine)
        ]
        problems += [one.summary for one in _own(site, user)]
        hooks = webhooks_of(office, user.email)
        problems += [f"the webhook {hook.url} was given up: {hook.problem}" for hook in hooks if hook.due is None]
        return Health(well=not problems, problems=problems)

    @routes.get("/mailboxes")
    def list_own_mailboxes(user: Reading) -> Listed[Mailbox]:
        """Return how the mailboxes of your reps stand, without calling any service."""
        return Listed(items=[Mailbox.of(one) for one in list_mailboxes(office, reps=user.reps)])

    @routes.get("/status")
    def read_status(user: Reading) -> Standing:
        """Return how things stand, without calling any service; for admins."""
        if not user.is_admin:
            raise NotAllowedError
        return _standing(status(office))

    @routes.get("/doctor")
    def look_at_accounts(user: Administering) -> Listed[AccountCheck]:
        """Ask every account whether all is as it should be, as `connector doctor` does; for admins."""
        if not user.is_admin:
            raise NotAllowedError
        return Listed(items=[AccountCheck.of(one) for one in findings_of(site)])


def _add_diagnostics(routes: APIRouter, site: Site) -> None:
    """Add what the CRM did not take, and trying it again."""

    @routes.get("/diagnostics")
    def list_troubles(user: Reading) -> Listed[Diagnostic]:
        """Return every record that the CRM did not take, oldest trouble first; facts about people for admins."""
        return Listed(items=[Diagnostic.of(one) for one in _own(site, user)])

    @routes.post("/diagnostics/retry")
    def retry(user: Administering, again: Again) -> Listed[Diagnostic]:
        """Have records tried again by the next pass; all that are yours, and for an admin the CRM's lane itself."""
        mine = {one.id for one in _own(site, user)}
        ids = again.ids
        if not user.is_admin:
            # What is somebody else's is as if it were not there.
            ids = sorted(mine) if ids is None else [one if one.lower() in mine else "" for one in ids]
        return Listed(items=[Diagnostic.of(one) for one in diagnostics.retry(site.office, ids)])


def _standing(found: Status) -> Standing:
    return Standing.model_validate(found.as_json())
