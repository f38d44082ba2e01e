"""Looking at campaigns: all of them in numbers, one as a calendar of days and steps, and the people in it. Reads only.

Lives here: what a campaign's pages show and what each number means. Does not live here: counting (`store`), pages
(`web`), changing anything (`enrollment_actions`, `actions`).

What a number of a step means:
- waiting: people whose current step it is, and whose time has not come (or who are paused before it);
- due: it has come: with the rep, on its way, or in need of somebody;
- done: sent or completed; skipped: skipped or cancelled while its campaign went on or ended;
- replied, bounced: people whose campaign a reply or a bounce ended, at the last email before where they stood.
Steps of several versions are counted together where day, step and type are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path

from connector.campaigns.model import Campaign, Step
from connector.campaigns.versions import to_document, version_of
from connector.content.templates import Template
from connector.errors import BadInput
from connector.intents import IntentState, StepType
from connector.sequencing.enrollment import Enrollment, EnrollmentState
from connector.store.campaign_numbers import (
    LIVE,
    Members,
    Place,
    Position,
    Reps,
    StandingCount,
    StepCount,
    count_standings,
    count_states,
    count_steps,
    count_versions,
    read_members,
)
from connector.store.campaigns import read_versions
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.people import StoredPerson, read_people
from connector.sync.office import Office

#: People of a campaign shown at a time.
PAGE = 50

_DONE = frozenset({IntentState.SENT, IntentState.COMPLETED})
_SKIPPED = frozenset({IntentState.SKIPPED, IntentState.CANCELLED})
_REPLIED = frozenset({EnrollmentState.REPLIED, EnrollmentState.SUCCEEDED})


class UnknownCampaign(BadInput):
    """A name is of no campaign, neither of a file nor of people who are or were in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFiles:
    """The campaigns as their files are now."""

    campaigns: Mapping[str, Campaign]
    templates: Mapping[str, Template]
    #: Name -> the file it stands in.
    files: Mapping[str, Path]

    def version_of(self, name: str) -> str | None:
        """Return the version a campaign would be launched in; None without a file."""
        campaign = self.campaigns.get(name)
        return None if campaign is None else version_of(to_document(campaign, self.templates))


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignLine:
    """One campaign in the list."""

    name: str
    #: Name of its file; None when people are in it still and the file is gone, or has faults.
    file: str | None
    category: str
    days: int
    steps: int
    counts: Mapping[EnrollmentState, int]
    #: Version -> people in it who have not ended.
    versions: Mapping[str, int]
    #: Version of the file.
    present: str | None

    @property
    def live(self) -> int:
        """How many have not ended."""
        return sum(self.counts.get(state, 0) for state in LIVE)

    @property
    def drifted(self) -> int:
        """How many are in another version than the file's."""
        return 0 if self.present is None else sum(self.versions.values()) - self.versions.get(self.present, 0)


@dataclass(slots=True, kw_only=True)
class StepNumbers:
    """How one step stands; see the top of this module."""

    waiting: int = 0
    due: int = 0
    done: int = 0
    skipped: int = 0
    replied: int = 0
    bounced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step of the calendar."""

    step: Step
    numbers: StepNumbers


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionUse:
    """One version of a campaign."""

    version: str
    #: When it was first launched; None for a file that nobody was launched with yet.
    since: datetime | None
    live: int
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignView:
    """One campaign as a calendar."""

    line: CampaignLine
    campaign: Campaign
    #: The one version that is shown and counted; None for the file, or the newest, with all versions counted.
    version: str | None
    days: Sequence[tuple[int, Sequence[StepView]]]
    #: People who stand at a step that the calendar does not have.
    elsewhere: int
    versions: Sequence[VersionUse]


def list_campaigns(office: Office, files: CampaignFiles, reps: Reps) -> list[CampaignLine]:
    """Return every campaign of a file or with people of these reps, by name."""
    with office.database.read() as tx:
        counts = count_states(tx, reps)
        versions = count_versions(tx, reps)
        names = {*files.campaigns, *(name for name, _ in counts)}
        return [_line(tx, office, files, name, counts, versions) for name in sorted(names, key=str.casefold)]


def view_campaign(
    office: Office, files: CampaignFiles, name: str, reps: Reps, *, version: str | None = None
) -> CampaignView:
    """Return one campaign with the numbers of these reps' people; raise `UnknownCampaign` for one nobody may see."""
    with office.database.read() as tx:
        standings = count_standings(tx, name, reps)
        if name not in files.campaigns and not standings:
            raise UnknownCampaign(f"there is no campaign '{name}': look in the list of campaigns")
        launched = read_versions(tx, name)
        line = _line(tx, office, files, name, _by_state(name, standings), _by_version(name, standings))
        shown = _definition(tx, office, files, name, version, [one for one, _ in launched])
        pinned = _pinned(tx, office, name, {one.version for one in standings})
        steps = count_steps(tx, name, reps)
    if version is not None:
        standings = [one for one in standings if one.version == version]
        steps = [one for one in steps if one.version == version]
    counting = _Counting(calendar=shown, pinned=pinned)
    counting.count(standings, steps)
    views = [StepView(step=step, numbers=counting.numbers[step.place]) for step in shown.steps]
    return CampaignView(
        line=line,
        campaign=shown,
        version=version,
        days=[(day, list(group)) for day, group in groupby(views, key=lambda view: view.step.day)],
        elsewhere=counting.elsewhere,
        versions=_uses(launched, line),
    )


@dataclass(slots=True, kw_only=True)
class _Counting:
    """Puts counts where the steps of a calendar stand."""

    calendar: Campaign
    pinned: Mapping[str, Campaign]
    numbers: dict[str, StepNumbers] = field(init=False)
    elsewhere: int = 0

    def __post_init__(self) -> None:
        self.numbers = {step.place: StepNumbers() for step in self.calendar.steps}

    def count(self, standings: Iterable[StandingCount], steps: Iterable[StepCount]) -> None:
        for intents in steps:
            if (numbers := self._of_place(intents.version, intents.day, intents.step)) is not None:
                if intents.state in _DONE:
                    numbers.done += intents.count
                elif intents.state in _SKIPPED:
                    numbers.skipped += intents.count
                else:
                    numbers.due += intents.count
        for standing in standings:
            self._count_standing(standing)
        for numbers in self.numbers.values():
            # Who has the step before them already was counted twice.
            numbers.waiting = max(0, numbers.waiting - numbers.due)

    def _count_standing(self, standing: StandingCount) -> None:
        campaign = self.pinned.get(standing.version)
        steps = () if campaign is None else campaign.steps
        if standing.state in LIVE:
            here = steps[standing.position] if standing.position < len(steps) else None
            numbers = None if here is None else self._of_place(standing.version, here.day, here.step)
            if numbers is None:
                self.elsewhere += standing.count
            else:
                numbers.waiting += standing.count
        elif standing.state in _REPLIED or standing.state is EnrollmentState.BOUNCED:
            email = next((step for step in reversed(steps[: standing.position]) if step.type is StepType.EMAIL), None)
            email = email or (steps[0] if steps else None)
            numbers = None if email is None else self._of_place(standing.version, email.day, email.step)
            if numbers is not None and standing.state in _REPLIED:
                numbers.replied += standing.count
            elif numbers is not None:
                numbers.bounced += standing.count

    def _of_place(self, version: str, day: int, step: int) -> StepNumbers | None:
        """Return the numbers of the calendar's step that stands there and is of the same type."""
        own, at = self.calendar.index_of(day, step), self.pinned.get(version)
        there = None if at is None else at.index_of(day, step)
        if own is None or (
            at is not None and there is not None and at.steps[there].type is not self.calendar.steps[own].type
        ):
            return None
        return self.numbers[self.calendar.steps[own].place]


# --------------------------------------------------------------------------------------------- people in it


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One person in a campaign."""

    enrollment: Enrollment
    person: StoredPerson | None
    #: The step before them; None at the end, or when their version is gone.
    step: Step | None
    #: What waits for somebody at that step.
    intent: StoredIntent | None

    @property
    def name(self) -> str:
        """First and last name, or ""."""
        who = None if self.person is None else self.person.person
        return "" if who is None else f"{who.first_name} {who.last_name}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPage:
    """Some people in a campaign, and where to read on; None at the end."""

    members: Sequence[MemberView]
    after: Place | None


def meant(
    office: Office, name: str, reps: Reps, states: Sequence[EnrollmentState], place: tuple[int, int] | None
) -> Members:
    """Return the enrollments of a campaign in these states, at this day and step in whatever version they are."""
    if place is None:
        return Members(campaign=name, reps=reps, states=states)
    with office.database.read() as tx:
        pinned = _pinned(tx, office, name, {version for version, _ in read_versions(tx, name)})
    at: list[Position] = [
        (version, index) for version, one in pinned.items() if (index := one.index_of(*place)) is not None
    ]
    return Members(campaign=name, reps=reps, states=states, at=at)


def page_of_members(office: Office, members: Members, *, after: Place | None = None) -> MemberPage:
    """Return one page of the people who are meant."""
    with office.database.read() as tx:
        found = read_members(tx, members, most=PAGE + 1, after=after)
        shown = found[:PAGE]
        people = read_people(tx, [one.person for one in shown])
        waiting = read_intents(tx, [one.intent for one in shown if one.intent is not None])
        pinned = _pinned(tx, office, members.campaign, {one.version for one in shown})
    views = [
        MemberView(
            enrollment=one,
            person=people.get(one.person),
            step=_step_at(pinned.get(one.version), one.position),
            intent=waiting.get(one.intent or ""),
        )
        for one in shown
    ]
    last = shown[-1] if len(found) > PAGE else None
    return MemberPage(
        members=views, after=None if last is None else Place(rep=last.rep, position=last.position, id=last.id)
    )


def _step_at(campaign: Campaign | None, position: int) -> Step | None:
    return campaign.steps[position] if campaign is not None and position < len(campaign.steps) else None


# ------------------------------------------------------------------------------------------------ versions


def _line(
    tx: Transaction,
    office: Office,
    files: CampaignFiles,
    name: str,
    counts: Mapping[tuple[str, EnrollmentState], int],
    versions: Mapping[tuple[str, str], int],
) -> CampaignLine:
    campaign = files.campaigns.get(name)
    if campaign is None:
        campaign = _newest(tx, office, name)
    return CampaignLine(
        name=name,
        file=files.files[name].name if name in files.files else None,
        category="" if campaign is None else campaign.category,
        days=0 if campaign is None else campaign.steps[-1].day,
        steps=0 if campaign is None else len(campaign.steps),
        counts={state: count for (one, state), count in counts.items() if one == name},
        versions={version: count for (one, version), count in versions.items() if one == name},
        present=files.version_of(name),
    )


def _by_state(name: str, standings: Iterable[StandingCount]) -> Mapping[tuple[str, EnrollmentState], int]:
    counts: dict[tuple[str, EnrollmentState], int] = {}
    for one in standings:
        counts[name, one.state] = counts.get((name, one.state), 0) + one.count
    return counts


def _by_version(name: str, standings: Iterable[StandingCount]) -> Mapping[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for one in standings:
        if one.state in LIVE:
            counts[name, one.version] = counts.get((name, one.version), 0) + one.count
    return counts


def _definition(
    tx: Transaction, office: Office, files: CampaignFiles, name: str, version: str | None, launched: Collection[str]
) -> Campaign:
    """Return the campaign whose calendar is shown: a version, the file, or the newest version."""
    if version is None and name in files.campaigns:
        return files.campaigns[name]
    found = _newest(tx, office, name) if version is None else _pinned(tx, office, name, {version}).get(version)
    if found is None or (version is not None and version not in launched):
        raise UnknownCampaign(f"version {version} of campaign '{name}' is not in the database")
    return found


def _newest(tx: Transaction, office: Office, name: str) -> Campaign | None:
    versions = [version for version, _ in read_versions(tx, name)]
    return _pinned(tx, office, name, versions[-1:]).get(versions[-1]) if versions else None


def _pinned(tx: Transaction, office: Office, name: str, versions: Iterable[str]) -> dict[str, Campaign]:
    """Return the versions of a campaign that are kept."""
    found = {}
    for version in versions:
        try:
            found[version] = office.book.pinned(tx, name, version).campaign
        except LookupError:
            continue
    return found


def _uses(launched: Sequence[tuple[str, datetime]], line: CampaignLine) -> list[VersionUse]:
    uses = [
        VersionUse(version=version, since=since, live=line.versions.get(version, 0), present=version == line.present)
        for version, since in launched
    ]
    if line.present is not None and line.present not in {version for version, _ in launched}:
        uses.append(VersionUse(version=line.present, since=None, live=0, present=True))
    # Versions that nobody is in any more are history.
    return [use for use in reversed(uses) if use.live or use.present]
