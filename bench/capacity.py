"""A paper model of 10,000 reps and 10 million enrollments: what limits first, checked by simulating the quotas.

    python bench/capacity.py             # the tables of docs/capacity.md
    python bench/capacity.py --write     # put them into docs/capacity.md

Plain arithmetic on four kinds of numbers: the load (assumed), the services' limits (the adapters' own tables where
they hold them, else the services' documentation, as said beside each), what this machine did in `make bench`
(`Measured`), and what a service takes to answer (assumed). `quotas.py` holds the formulas for mailboxes, and the
simulation that the formulas are held against.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import quotas

PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"
BEGIN = "<!-- made by `python bench/capacity.py --write` from here -->"
END = "<!-- to here -->"

#: Tasks that one call to Salesforce carries.
TASKS_A_CALL = 200
#: Calls that Salesforce allows an org in 24 hours: so many, and so many more for each licence (Enterprise edition;
#: Unlimited has 5,000 a licence). Source: Salesforce, "API Request Limits and Allocations".
CALLS_A_DAY, CALLS_A_LICENCE = 100_000, 1_000
#: Units that Google allows a project in a minute, and in a day before it asks for payment (reference apis 2.7).
PROJECT_UNITS_A_MINUTE, PROJECT_UNITS_A_DAY = 1_200_000, 80_000_000


#: Mailboxes simulated in place of all that share a project.
SAMPLE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the connector on a working day."""

    reps: int = 10_000
    enrollments: int = 10_000_000
    #: Working days that an enrollment lasts, and what it has in them.
    days: int = 40
    sends: int = 3
    drafts: int = 2
    calls: int = 3
    #: Part of the reps whose mailbox is Gmail; the others have Outlook.
    gmail: float = 0.5
    #: Answers, bounces and other mails that a mailbox gets on a day.
    incoming: int = 50
    #: Hours of a working day in which all of it must be done, and seconds between two looks into a mailbox.
    hours: float = 8.0
    look_seconds: float = 60.0

    def a_day(self, of_an_enrollment: float) -> float:
        """Return how many of something there are on one day, over all reps."""
        return self.enrollments * of_an_enrollment / self.days

    def of_a_rep(self, of_an_enrollment: float) -> int:
        """Return how many of something one rep has on one day."""
        return round(self.a_day(of_an_enrollment) / self.reps)

    @property
    def seconds(self) -> float:
        """Seconds of a working day."""
        return self.hours * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one machine did (`make bench`): two cores, loopback, PostgreSQL beside the workers, nothing tuned.

    It did much else while it decided: a lower bound. The rest was measured on a quiet one.
    """

    date: str
    #: Steps decided a second, by one process.
    ticks: float
    #: Sends a second of one worker process, one lane at a time, with a service that answers at once.
    sends: float
    #: The same durable transactions by the driver alone, two processes: what the database takes.
    bare_sends: float
    #: Mailboxes read a second by one worker, nothing new in any.
    looks: float


MEASURED = Measured(date="2026-11-22", ticks=1_567.0, sends=60.0, bare_sends=222.0, looks=197.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What no bench here can tell."""

    #: Seconds a mailbox's service takes to answer, and Salesforce to write 200 tasks.
    answer: float = 0.2
    salesforce_answer: float = 2.0
    #: Lanes that a worker process works side by side while their services answer.
    lanes_at_a_time: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit: how much of it a day takes."""

    group: str
    name: str
    needed: float
    allowed: float
    unit: str
    remedy: str

    @property
    def used(self) -> float:
        """Part of it that is used; more than 1 cannot be done."""
        return self.needed / self.allowed


def limits(load: Load, measured: Measured, assumed: Assumed) -> list[Limit]:
    """Return every limit, the one that is reached first at the top."""
    found = [*_mailboxes(load, assumed), *_google(load), *_salesforce(load, assumed), *_own(load, measured, assumed)]
    return sorted(found, key=lambda limit: -limit.used)


def _mailboxes(load: Load, assumed: Assumed) -> list[Limit]:
    sends, drafts = load.of_a_rep(load.sends), load.of_a_rep(load.drafts)
    told: list[Limit] = []
    for kind in quotas.KINDS.values():
        taken = kind.seconds(sends, drafts, load.incoming, assumed.answer)
        told += [
            Limit(
                group="service",
                name=f"{kind.title}: a day's mails of one mailbox, all due at once",
                needed=taken / 60,
                allowed=load.hours * 60,
                unit="minutes",
                remedy=f"spread send times over the day; raise pacing.{kind.name} up to what the service allows",
            ),
            Limit(
                group="service",
                name=f"{kind.title}: sends of one mailbox in 24 hours",
                needed=sends,
                allowed=kind.a_day,
                unit="mails",
                remedy="fewer enrollments a rep, or more reps; the service allows no more",
            ),
        ]
    return told


def _google(load: Load) -> list[Limit]:
    mailboxes = load.reps * load.gmail
    gmail = quotas.KINDS["gmail"]
    mails = load.a_day(load.sends) * gmail.send + load.a_day(load.drafts) * gmail.draft
    in_day = mails * load.gmail + mailboxes * load.incoming * gmail.seen
    looks = mailboxes * gmail.look / load.look_seconds
    return [
        Limit(
            group="service",
            name="Gmail: units of the Google project in a minute",
            needed=in_day / (load.hours * 60) + looks * 60,
            allowed=PROJECT_UNITS_A_MINUTE,
            unit="units",
            remedy="ask Google for more units, or give each part of the company a project of its own",
        ),
        Limit(
            group="service",
            name="Gmail: units of the Google project in a day, above which Google bills",
            needed=in_day + looks * 86_400,
            allowed=PROJECT_UNITS_A_DAY,
            unit="units",
            remedy="look into mailboxes less often (sync.every), several projects, or pay",
        ),
    ]


def _salesforce(load: Load, assumed: Assumed) -> list[Limit]:
    # A task is made and closed; a send is logged once; each pass asks once what has changed.
    written = load.a_day(load.drafts + load.calls) * 2 + load.a_day(load.sends)
    calls = written / TASKS_A_CALL + 86_400 / load.look_seconds
    return [
        Limit(
            group="service",
            name="Salesforce: calls in 24 hours (Enterprise, a licence a rep)",
            needed=calls,
            allowed=CALLS_A_DAY + CALLS_A_LICENCE * load.reps,
            unit="calls",
            remedy="none needed: 200 records go in a call",
        ),
        Limit(
            group="service",
            name="Salesforce: one org's lane, a call after the other",
            needed=calls * assumed.salesforce_answer / 3600,
            allowed=load.hours,
            unit="hours",
            remedy="let it run round the clock; turn off the org's slow triggers on Task; tasks for calls only",
        ),
    ]


def _own(load: Load, measured: Measured, assumed: Assumed) -> list[Limit]:
    sends, drafts = load.a_day(load.sends), load.a_day(load.drafts)
    steps = load.a_day(load.sends + load.drafts + load.calls)
    looks = load.reps / load.look_seconds
    waiting = (3 * assumed.answer * (sends + drafts) / load.seconds + looks * assumed.answer) / assumed.lanes_at_a_time
    return [
        Limit(
            group="database",
            name="database: durable transactions of sends and drafts, on two cores",
            needed=(sends + drafts) / load.seconds,
            allowed=measured.bare_sends,
            unit="mails/s",
            remedy="a machine of its own for PostgreSQL, with more cores and a disk that confirms writes fast",
        ),
        Limit(
            group="workers",
            name="one worker process: the processor's time of sends and drafts",
            needed=(sends + drafts) / load.seconds,
            allowed=measured.sends,
            unit="mails/s",
            remedy="more `connector worker` processes: lanes share nothing",
        ),
        Limit(
            group="workers",
            name="one worker process: the processor's time of looks into mailboxes",
            needed=looks,
            allowed=measured.looks,
            unit="mailboxes/s",
            remedy="more `connector worker` processes; look less often (sync.every)",
        ),
        Limit(
            group="workers",
            name="one worker process: lanes side by side while their services answer",
            needed=waiting * assumed.lanes_at_a_time,
            allowed=assumed.lanes_at_a_time,
            unit="lanes",
            remedy="more `connector worker` processes; raise their --concurrency",
        ),
        Limit(
            group="workers",
            name="deciding: one process, a transaction of 5,000 at a time",
            needed=steps / load.seconds,
            allowed=measured.ticks,
            unit="steps/s",
            remedy="none needed",
        ),
    ]


# ---------------------------------------------------------------------------------------------- the page


def table(load: Load, measured: Measured, assumed: Assumed) -> str:
    """Return the limits as a table."""
    rows = [
        f"| {limit.name} | {_number(limit.needed)} | {_number(limit.allowed)} {limit.unit} | {limit.used:.0%} | "
        f"{limit.remedy} |"
        for limit in limits(load, measured, assumed)
    ]
    return _lines(["| limit | needed | allowed | used | what to do at it |", "|---|---:|---:|---:|---|", *rows])


def simulated(load: Load, assumed: Assumed) -> str:
    """Return formula and simulation side by side."""
    rows = []
    for kind in quotas.KINDS.values():
        for times in (1, 4, 16):
            sends, drafts = load.of_a_rep(load.sends) * times, load.of_a_rep(load.drafts)
            if sends > kind.a_day:
                continue
            day = quotas.simulate(kind, sends=sends, drafts=drafts, incoming=load.incoming, answer=assumed.answer)
            formula = kind.seconds(sends, drafts, load.incoming, assumed.answer)
            rows.append(
                f"| {kind.title}: {sends:,} sends, {drafts} drafts | {formula / 60:.1f} min | "
                f"{day.seconds / 60:.1f} min | "
                f"{day.peak:,} of {kind.limit:,} in {kind.span_name} | {day.peak_sends} of {kind.a_minute} |"
            )
    head = "| one mailbox, all due at once | formula | simulated | most that was asked | most sends in a minute |"
    return _lines([head, "|---|---:|---:|---:|---:|", *rows])


def shared(load: Load, assumed: Assumed) -> str:
    """Return what becomes of a Google project that all mailboxes use at once."""
    mailboxes, sends, gmail = round(load.reps * load.gmail), load.of_a_rep(load.sends), quotas.KINDS["gmail"]
    taken = quotas.project_seconds(mailboxes, sends, load.incoming, PROJECT_UNITS_A_MINUTE)
    # A part of the mailboxes with as much of the quota.
    part = PROJECT_UNITS_A_MINUTE * SAMPLE // mailboxes
    day = quotas.simulate(
        gmail,
        sends=sends,
        drafts=0,
        incoming=load.incoming,
        answer=assumed.answer,
        mailboxes=SAMPLE,
        project=part,
    )
    return (
        f"All {mailboxes:,} Gmail mailboxes beginning at the same minute share the "
        f"{PROJECT_UNITS_A_MINUTE:,} units a minute of one Google project: by the formula their {sends} sends each are "
        f"done after {taken / 60:.0f} minutes, simulated ({SAMPLE} mailboxes, and as much of the quota) after "
        f"{day.seconds / 60:.0f}; at most {day.peak:,} of {part:,} units were taken in a minute, and Google refused "
        f"{day.refused / day.sends:.1f} calls a mail, which the lanes waited out."
    )


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def made(load: Load | None = None) -> str:
    """Return the part of docs/capacity.md that is made."""
    load, assumed = load or Load(), Assumed()
    parts: Sequence[Callable[[], str]] = (
        lambda: table(load, MEASURED, assumed),
        lambda: simulated(load, assumed),
        lambda: shared(load, assumed),
    )
    return "\n\n".join([BEGIN, *(part() for part in parts), END])


def main() -> None:
    """Print what is made, or put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put it into docs/capacity.md")
    given = parser.parse_args()
    if not given.write:
        print(made())
        return
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(before + made() + after, encoding="utf-8")


if __name__ == "__main__":
    main()
