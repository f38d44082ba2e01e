"""Launching: people are put into a campaign by a rep, in bulk and in one transaction.

Lives here: `launch`, and who is left out and why. Does not live here: reading files (`campaigns`), when the first
step is due (`sequencing`). Source: spec sequencing 3.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import islice

from connector.campaigns.model import Campaign, SendOption
from connector.campaigns.versions import to_document, version_of
from connector.content.templates import Template
from connector.errors import AdapterError, BadInput, Fault, Refused
from connector.events import Event, EventKind
from connector.intents import Mode
from connector.people import Person, Rep
from connector.sequencing.due import Due
from connector.sequencing.enrollment import Enrollment
from connector.sequencing.sequencer import launch as launch_one
from connector.sequencing.sequencer import plan_first, zone_of
from connector.store.campaigns import save_version
from connector.store.database import Transaction
from connector.store.enrollments import insert_enrollments, read_inside
from connector.store.ledger import append
from connector.store.people import read_people, save_people
from connector.sync.attachments import loads_of
from connector.sync.office import DECIDE, Office, Progress, no_progress
from connector.sync.rollup import roll_up

#: People a bulk write.
BATCH = 5000

#: How far ahead a start may lie: at the end of the calendar there are no days for the steps.
_FARTHEST = timedelta(days=3660)

#: A start this little ago was "now" when it was said.
_A_MOMENT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Somebody who was not put into the campaign."""

    person: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Launched:
    """What a launch came to."""

    campaign: str
    version: str
    rep: str
    start: datetime
    enrolled: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


#: Told within the transaction of what was launched; what it raises takes the launch back.
Along = Callable[[Transaction, Launched, Sequence[Enrollment]], None]


def new_id(now: datetime) -> str:
    """Return a new enrollment id: 32 hex digits that grow with time, so that rows of one launch lie together."""
    return f"{int(now.timestamp() * 1000):012x}{os.urandom(10).hex()}"


def check_launch(
    campaign: Campaign, *, start: datetime | None, overrides: Mapping[str, time], now: datetime
) -> datetime:
    """Return the start S; raise `BadInput` with every fault of the start and the overrides."""
    where = f"campaign '{campaign.name}'"
    faults: list[Fault] = []
    if start is None and campaign.needs_start:
        sentence = "its first step is sent at a time chosen at launch: give --start, an instant or 'now'"
        faults.append(Fault(sentence=sentence, where=where))
    if start is not None and start < now:
        sentence = f"the start {start:%Y-%m-%d %H:%M} UTC is in the past: give a later one, or 'now'"
        faults.append(Fault(sentence=sentence, where=where))
    if start is not None and start > now + _FARTHEST:
        sentence = f"the start {start:%Y-%m-%d} is more than ten years ahead: give an earlier one"
        faults.append(Fault(sentence=sentence, where=where))
    fixed = {step.place for step in campaign.steps if step.send is SendOption.FIXED_TIME}
    for place in overrides:
        if place not in fixed:
            choice = ", ".join(sorted(fixed)) or "none: no step has a fixed time"
            sentence = f"--send-at {place} does not name a step with a fixed time (there are: {choice})"
            faults.append(Fault(sentence=sentence, where=where))
    if faults:
        raise BadInput(*faults)
    return start or now


def launch(
    office: Office,
    campaign: Campaign,
    templates: Mapping[str, Template],
    *,
    rep: Rep,
    people: Iterable[Person],
    start: datetime | None,
    overrides: Mapping[str, time],
    dry_run: bool = False,
    progress: Progress = no_progress,
    along: Along | None = None,
) -> Launched:
    """Put people into a campaign; those who may not be in it are left out and said. All or, on an error, nobody."""
    now = office.now()
    if start is not None and now - _A_MOMENT < start < now:
        start = now
    start = check_launch(campaign, start=start, overrides=overrides, now=now)
    document = to_document(campaign, templates)
    launched = Launched(campaign=campaign.name, version=version_of(document), rep=rep.email, start=start)
    launched.warnings += _check_attachments(office, campaign, templates, rep)
    launched.warnings += [*_warnings(office, campaign, rep), *_check_crm(office)]
    remaining = iter(people)
    seen: set[str] = set()
    new: list[Enrollment] = []
    with office.database.write() as tx:
        if not dry_run:
            save_version(tx, campaign.name, launched.version, document, now)
        while batch := list(islice(remaining, BATCH)):
            fresh = _sift(tx, office, campaign.name, batch, seen, launched)
            enrollments, lines = _enroll(campaign, launched, rep, fresh, now, overrides)
            if not dry_run:
                save_people(tx, fresh)
                insert_enrollments(tx, enrollments)
                append(tx, lines)
                roll_up(tx, office, now, moved=[enrollment.person for enrollment in enrollments])
            launched.enrolled += len(enrollments)
            if along is not None:
                new += enrollments
            progress("launching", launched.enrolled, None)
        if not dry_run:
            append(tx, [_left_out_line(launched, left, now) for left in launched.left_out])
            if along is not None:
                along(tx, launched, new)
            office.wake(tx, [DECIDE])
    return launched


def _sift(
    tx: Transaction, office: Office, campaign: str, batch: list[Person], seen: set[str], launched: Launched
) -> list[Person]:
    """Return those of a batch who may be in the campaign; note the others."""
    emails = [person.email for person in batch]
    known = read_people(tx, emails)
    inside = read_inside(tx, campaign, emails)
    fresh = []
    for person in batch:
        stored = known.get(person.email)
        reason = None
        if person.email in seen:
            reason = "is named twice"
        elif person.email in inside:
            reason = f"is in '{campaign}' already"
        elif stored is not None and stored.opted_out is not None:
            reason = f"opted out on {stored.opted_out:%Y-%m-%d}"
        elif stored is not None and stored.bounced is not None:
            reason = f"their address bounced on {stored.bounced:%Y-%m-%d}"
        elif person.domain in office.blocked_domains:
            reason = f"the domain {person.domain} is blocked in connector.yaml"
        seen.add(person.email)
        if reason is None:
            fresh.append(person)
        else:
            launched.left_out.append(LeftOut(person=person.email, reason=reason))
    return fresh


def _enroll(
    campaign: Campaign,
    launched: Launched,
    rep: Rep,
    people: list[Person],
    now: datetime,
    overrides: Mapping[str, time],
) -> tuple[list[Enrollment], list[Event]]:
    enrollments: list[Enrollment] = []
    lines: list[Event] = []
    first_by_zone: dict[str, Due] = {}
    for person in people:
        zone = zone_of(campaign.settings, sender=rep.time_zone, recipient=person.time_zone)
        if zone not in first_by_zone:
            first_by_zone[zone] = plan_first(campaign, zone=zone, start=launched.start, overrides=overrides)
        outcome = launch_one(
            campaign,
            id=new_id(now),
            version=launched.version,
            person=person.email,
            rep=rep.email,
            zone=zone,
            launched=now,
            start=launched.start,
            overrides=overrides,
            first=first_by_zone[zone],
        )
        enrollments.append(outcome.enrollment)
        lines += outcome.decisions
    return enrollments, lines


def _warnings(office: Office, campaign: Campaign, rep: Rep) -> list[str]:
    mailbox = office.mailboxes.get(rep.email)
    automatic = sum(1 for step in campaign.steps if step.mode is Mode.SEND)
    if automatic and (mailbox is None or not mailbox.capabilities.sends):
        sentence = f"the mailbox of {rep.name} ('{rep.mailbox}') cannot send by itself: {automatic} automatic email"
        return [sentence + ("s become tasks" if automatic > 1 else " becomes a task")]
    return []


def _check_attachments(office: Office, campaign: Campaign, templates: Mapping[str, Template], rep: Rep) -> list[str]:
    """Raise `BadInput` when the rep's mailbox does not take what an email carries; return a note if it takes none."""
    loads = loads_of(office.folder, campaign, templates, signature=rep.signature)
    mailbox = office.mailboxes.get(rep.email)
    if mailbox is None or not mailbox.capabilities.drafts:
        names = ", ".join(dict.fromkeys(name for load in loads for name, _ in load.sizes))
        return [f"the mailbox of {rep.name} ('{rep.mailbox}') takes no files: {rep.name} adds {names}"] if names else []
    limit = mailbox.capabilities.attachment_bytes
    where = f"campaign '{campaign.name}'"
    faults = [Fault(sentence=load.too_large_for(rep, limit), where=where) for load in loads if load.bytes > limit]
    if faults:
        raise BadInput(*faults)
    return []


def _check_crm(office: Office) -> list[str]:
    """Raise `BadInput` when the CRM could not keep each task once; return a note when it cannot be asked now."""
    if office.crm is None or not office.mirrors_tasks:
        return []
    title = office.crm.capabilities.title
    try:
        office.crm.check_ready()
    except Refused as error:
        raise BadInput(f"tasks cannot go to {title}, so nobody was enrolled: {error.sentence}") from error
    except AdapterError as error:
        return [f"{title} could not be asked whether it is ready for tasks; they wait here: {error.sentence}"]
    return []


def _left_out_line(launched: Launched, left: LeftOut, now: datetime) -> Event:
    return Event(
        at=now,
        kind=EventKind.LEFT_OUT,
        person=left.person,
        rep=launched.rep,
        campaign=launched.campaign,
        reason=left.reason,
    )
