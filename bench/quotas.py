"""How long the services' quotas let a day's mails take: formulas, and the simulation they are held against.

Lives here: what mails cost in each kind of mailbox, `Kind.seconds`, `project_seconds`, and simulations of one mailbox
and of many that share a Google project. Does not live here: the rest of the model (`capacity`).

The simulation runs the product's own pacing (`connector.sync.pacing`) and the adapters' own counting of quotas on a
clock that only they move, call by call; what was asked is then counted anew, by other code, against the services'
limits.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from adapters.gmail import quota as gmail_quota
from adapters.gmail.quota import UNITS
from adapters.outlook import quota as outlook_quota
from connector.errors import Retry
from connector.settings import DEFAULT_PACING
from connector.store.lanes import Pacing
from connector.sync.office import PacingRule
from connector.sync.pacing import after_send, seconds_to_wait

MORNING = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

#: Seconds between two looks into a mailbox, and those that a lane waits when a service says "later" and not when.
LOOK_SECONDS, LATER = 60.0, 30.0


class Quota(Protocol):
    """What both adapters count a mailbox's quota with."""

    def take(self, amount: int, /) -> None:
        """Take some of it; wait a little, or raise `Retry`."""
        ...


class SimulatedClock:
    """Moves when somebody waits."""

    def __init__(self, at: datetime = MORNING) -> None:
        """Begin at an instant."""
        self.at = at

    def now(self) -> datetime:
        """Return the instant."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What mails cost in one kind of mailbox, and what its service allows."""

    name: str
    title: str
    #: What each call of a send costs, of a draft, of a look in which nothing is new, and of each mail seen by one.
    send_calls: tuple[int, ...]
    draft: int
    look: int
    seen: int
    #: Finding a draft again before it is sent a second time.
    find: int
    #: Of that the service allows so much in a span.
    limit: int
    span: timedelta
    span_name: str
    #: Sends it takes in a minute, and in 24 hours.
    a_minute: int
    a_day: int
    quota: Callable[[SimulatedClock], Quota]

    @property
    def send(self) -> int:
        """What a send costs, with seeing it in Sent afterwards."""
        return sum(self.send_calls) + self.seen

    @property
    def rule(self) -> PacingRule:
        """Its pace when nothing is set."""
        pacing = DEFAULT_PACING[self.name]
        return PacingRule(per_second=pacing.per_second, per_minute=pacing.per_minute, per_day=pacing.per_day)

    def seconds(self, sends: int, drafts: int, incoming: int, answer: float) -> float:
        """Return how long a mailbox takes for drafts and sends that are all due at once, calls taking `answer` seconds.

        Two things happen at the same time, and the slower counts: the calls one after the other, sends at their pace;
        and the quota. That comes back as it was taken, so each span is worked like the first: what fits, then a wait.
        `incoming` is seen by the first look.
        """
        reads = 1 if self.seen else 0
        each = max(self.rule.spacing, (len(self.send_calls) + reads) * answer)
        by_calls = (incoming * reads + drafts) * answer + sends * each
        amount = sends * self.send + drafts * self.draft + incoming * self.seen
        return max(by_calls, self._by_quota(amount, each))

    def _by_quota(self, amount: int, each: float) -> float:
        """Return how long the quota makes an amount take, the last span ending with sends of so many seconds."""
        span = self.span.total_seconds()
        in_a_span = self.limit - self.look * span / LOOK_SECONDS
        whole = math.ceil(amount / in_a_span) - 1
        return whole * span + (amount - whole * in_a_span) / self.send * each if whole > 0 else 0.0


KINDS: Mapping[str, Kind] = {
    "gmail": Kind(
        name="gmail",
        title="Gmail",
        send_calls=(
            UNITS["gmail.users.drafts.create"],
            UNITS["gmail.users.drafts.send"],
            UNITS["gmail.users.messages.get"],
        ),
        draft=UNITS["gmail.users.drafts.create"],
        look=UNITS["gmail.users.history.list"],
        seen=UNITS["gmail.users.messages.get"],
        find=UNITS["gmail.users.drafts.get"],
        limit=gmail_quota.UNITS_PER_MINUTE,
        span=timedelta(minutes=1),
        span_name="a minute",
        # Google says no number of mails a minute: the units bound them.
        a_minute=gmail_quota.UNITS_PER_MINUTE // UNITS["gmail.users.drafts.send"],
        a_day=2_000,
        quota=lambda clock: gmail_quota.Quota(clock, mailbox="rep@acme.example"),
    ),
    "outlook": Kind(
        name="outlook",
        title="Outlook",
        # Made; sent; its copy looked for in two ways in one call.
        send_calls=(1, 1, 2),
        draft=1,
        # Three folders and the whole mailbox in one call; what is new is told there.
        look=4,
        seen=0,
        find=2,
        limit=outlook_quota.REQUESTS,
        span=outlook_quota.SPAN,
        span_name="10 minutes",
        a_minute=30,
        a_day=10_000,
        quota=lambda clock: outlook_quota.Quota(clock, mailbox="rep@acme.example"),
    ),
}


def project_seconds(mailboxes: int, sends: int, incoming: int, a_minute: int) -> float:
    """Return how long the units of a Google project make the sends of its mailboxes take; the first minute is there."""
    gmail = KINDS["gmail"]
    units = mailboxes * (sends * gmail.send + incoming * gmail.seen)
    return max(gmail.seconds(sends, 0, incoming, 0.0), (units / (a_minute - mailboxes * gmail.look) - 1) * 60)


# ---------------------------------------------------------------------------------------- the simulation

#: Something at work: gives the turn away each time its clock has moved, and returns whether a call was taken.
Work = Generator[None, None, bool]


@dataclass(slots=True, kw_only=True)
class Day:
    """What a simulated day came to."""

    seconds: float
    sends: int
    #: Most of a quota that was used in one span, and most sends in a minute.
    peak: int
    peak_sends: int
    #: Calls that the service refused, and how often an adapter said "later" itself.
    refused: int
    put_off: int


@dataclass(slots=True, kw_only=True)
class _Project:
    """A quota that many mailboxes share and only the service counts; None takes everything."""

    a_minute: int | None = None
    refused: int = 0
    _taken: deque[tuple[datetime, int]] = field(default_factory=deque)
    _sum: int = 0

    def takes(self, at: datetime, units: int) -> bool:
        """Take a call, or refuse it."""
        while self._taken and at - self._taken[0][0] >= timedelta(minutes=1):
            self._sum -= self._taken.popleft()[1]
        if self.a_minute is not None and self._sum + units > self.a_minute:
            self.refused += 1
            return False
        self._taken.append((at, units))
        self._sum += units
        return True


@dataclass(slots=True, kw_only=True)
class _Mailbox:
    """One mailbox at work: its clock, what it asked for and when."""

    kind: Kind
    answer: float
    project: _Project
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    pacing: Pacing = field(default_factory=Pacing)
    asked: list[tuple[datetime, int]] = field(default_factory=list)
    sent: list[datetime] = field(default_factory=list)
    put_off: int = 0
    quota: Quota = field(init=False)

    def __post_init__(self) -> None:
        self.quota = self.kind.quota(self.clock)

    def call(self, units: int) -> Work:
        """Make a call; when the adapter's quota or the service says later, the time is waited for and nothing made."""
        try:
            self.quota.take(units)
        except Retry as error:
            self.put_off += 1
            self.clock.sleep((error.after or timedelta(seconds=LATER)).total_seconds())
            yield
            return False
        yield
        if not self.project.takes(self.clock.at, units):
            self.clock.sleep(LATER)
            yield
            return False
        self.asked.append((self.clock.at, units))
        self.clock.sleep(self.answer)
        yield
        return True

    def surely(self, units: int) -> Work:
        """Make a call until it is made."""
        while not (yield from self.call(units)):
            pass
        return True

    def send(self) -> Work:
        """Send a mail at the mailbox's pace; one that was put off half way is looked for before it goes on."""
        wait = seconds_to_wait(self.pacing, self.kind.rule, self.clock.at)
        if wait is None:
            raise ValueError("more sends than the pace of a day allows: there is no such day")
        self.clock.sleep(wait)
        yield
        self.pacing = after_send(self.pacing, self.kind.rule, self.clock.at)
        for number, units in enumerate(self.kind.send_calls):
            while not (yield from self.call(units)):
                if number:
                    yield from self.surely(self.kind.find)
            if number == 1:
                self.sent.append(self.asked[-1][0])
        return True

    def day(self, sends: int, drafts: int, incoming: int) -> Work:
        """Place drafts, then send; look into the mailbox in between, and see there what came and what was sent."""
        next_look, unseen = self.clock.at, incoming
        for is_send in [False] * drafts + [True] * sends:
            if self.clock.at >= next_look:
                next_look = self.clock.at + timedelta(seconds=LOOK_SECONDS)
                yield from self.surely(self.kind.look)
                for _ in range(unseen if self.kind.seen else 0):
                    yield from self.surely(self.kind.seen)
                unseen = 0
            yield from self.send() if is_send else self.surely(self.kind.draft)
            unseen += is_send
        return True


def simulate(
    kind: Kind,
    *,
    sends: int,
    drafts: int,
    incoming: int,
    answer: float,
    mailboxes: int = 1,
    project: int | None = None,
) -> Day:
    """Work mailboxes until their drafts and sends, all due in the morning, are done; `project` is units a minute."""
    shared = _Project(a_minute=project)
    boxes = [_Mailbox(kind=kind, answer=answer, project=shared) for _ in range(mailboxes)]
    work = [box.day(sends, drafts, incoming) for box in boxes]
    turns = [(MORNING, number) for number in range(mailboxes)]
    while turns:
        _, number = heapq.heappop(turns)
        if next(work[number], _DONE) is not _DONE:
            heapq.heappush(turns, (boxes[number].clock.at, number))
    return Day(
        seconds=(max(box.clock.at for box in boxes) - MORNING).total_seconds(),
        sends=sum(len(box.sent) for box in boxes),
        peak=most_in([one for box in boxes for one in box.asked], kind.span),
        peak_sends=max(most_in([(at, 1) for at in box.sent], timedelta(minutes=1)) for box in boxes),
        refused=shared.refused,
        put_off=sum(box.put_off for box in boxes),
    )


_DONE = object()


def most_in(asked: Iterable[tuple[datetime, int]], span: timedelta) -> int:
    """Return the largest sum of amounts in any half-open span of time."""
    window: deque[tuple[datetime, int]] = deque()
    most = total = 0
    for at, amount in sorted(asked):
        window.append((at, amount))
        total += amount
        while at - window[0][0] >= span:
            total -= window.popleft()[1]
        most = max(most, total)
    return most
