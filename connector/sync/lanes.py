"""What an engine turns: each lane by itself, by whichever worker comes first.

Lives here: `Lanes`: what each lane does, which lanes have something to do, and when a lane wants to be worked again.
Does not live here: who turns it (`engine`), the parts (`tick`, `prepare`, `pull_mailbox`, `drain`, `crm`), the pass
that does all of it in order (`wheel`). Source: spec delivery 1.

There is one lane a mailbox (it is read, then what is due is placed and sent), one for the CRM, one a webhook, and one
in which is decided what is due. Each is worked under a lease, so that none is worked twice at once; a lane that is slow
or broken delays itself alone. Wakes come from the transactions that make work (`Office.wake`); what no wake tells,
`due` finds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import uuid4

from connector.errors import Retry
from connector.people import Rep
from connector.store.crm_people import read_dirty_people
from connector.store.database import Transaction
from connector.store.enrollments import count_due
from connector.store.intents import read_unprepared
from connector.store.lanes import TURNS, Pacing, list_lanes, note_looked, read_looked, read_pacing, release, take
from connector.store.mails import read_lane_work
from connector.store.tasks import count_dirty
from connector.sync import webhooks
from connector.sync.actions import resume_expired
from connector.sync.crm import push_tasks
from connector.sync.crm_lane import lane_waits, stop_lane, why_it_waits
from connector.sync.drain import drain
from connector.sync.office import DECIDE, Office, PacingRule
from connector.sync.pacing import seconds_to_wait
from connector.sync.prepare import prepare
from connector.sync.pull_crm import pull_crm
from connector.sync.pull_mailbox import pull_mailbox
from connector.sync.push_people import push_people
from connector.sync.tick import tick

_LOG = logging.getLogger(__name__)

#: How soon a lane that could not do all of its work is worked again.
_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """The lanes of an office."""

    office: Office
    #: How often each service is read.
    every: timedelta

    def work(self, lane: str) -> datetime | None:
        """Do what a lane has to do now; return when it wants to be worked again (aware, UTC)."""
        # A name of its own: another thread of this process is somebody else to the lease.
        worker = uuid4().hex
        if lane == DECIDE:
            self._decide(worker)
            # What could not be prepared waits for the CRM.
            return max(self._wishes(lane)[lane], self.office.now() + _MOMENT)
        if lane == self._crm:
            self._turn_crm(lane, worker)
        elif lane.startswith(webhooks.LANE):
            _log(webhooks.deliver(self.office, lane, worker=worker))
        elif (rep := self._rep(lane)) is not None:
            self._turn_mailbox(lane, rep, worker)
        else:
            _LOG.info("%s: no rep of connector.yaml has this mailbox any more", lane)
        return self._wishes(lane).get(lane)

    def due(self) -> Sequence[str]:
        """Return the lanes that have something to do now, and whose pace or service lets them."""
        # The clock is read after the wishes: one that says "now" has come by then.
        wishes, now = self._wishes(), self.office.now()
        return [lane for lane, at in wishes.items() if at <= now]

    # ------------------------------------------------------------------------------------- what a lane does

    def _decide(self, worker: str) -> None:
        office = self.office
        with self._turn(DECIDE, worker) as mine:
            if not mine:
                return
            resume_expired(office)
            now, waits = office.now(), why_it_waits(office)
            tick(office, now)
            # Nothing is asked of a CRM that wants to be left alone: what needs its fields waits.
            prepared = prepare(office, now, crm_error=None if waits is None else Retry(waits))
            if waits is None and isinstance(prepared.crm_error, Retry):
                stop_lane(office, prepared.crm_error)

    def _turn_crm(self, lane: str, worker: str) -> None:
        office = self.office
        with self._turn(lane, worker) as mine:
            if not mine or lane_waits(office):
                return
            pulled = pull_crm(office)
            _log(pulled.attention)
            if pulled.reconnect is None:
                _log(push_people(office, office.now()).attention)
                _log(push_tasks(office, owner=worker).attention)
            with office.database.write_in_lane() as tx:
                note_looked(tx, f"{TURNS}{lane}", office.now())

    def _turn_mailbox(self, lane: str, rep: Rep, worker: str) -> None:
        with self.office.database.read() as tx:
            looked = read_looked(tx, lane).get(lane)
        if self._reads(rep) and (looked is None or looked + self.every <= self.office.now()):
            pulled = pull_mailbox(self.office, rep, owner=worker)
            _log(pulled.attention)
            if pulled.reconnect is not None:
                return
        _log(drain(self.office, rep, owner=worker).attention)

    @contextmanager
    def _turn(self, lane: str, worker: str) -> Iterator[bool]:
        """Take a turn at what is no mailbox; False when another worker has it."""
        with self.office.database.write_in_lane() as tx:
            lease = take(tx, f"{TURNS}{lane}", worker)
        try:
            yield lease is not None
        finally:
            if lease is not None:
                with self.office.database.write_in_lane() as tx:
                    release(tx, lease)

    # ------------------------------------------------------------------------------------- when it has work

    @property
    def _crm(self) -> str | None:
        return None if self.office.crm is None else self.office.crm.capabilities.name

    def _rep(self, lane: str) -> Rep | None:
        return next((rep for rep in self._reps() if self.office.lane_of(rep) == lane), None)

    def _reps(self) -> Iterator[Rep]:
        return (rep for rep in self.office.reps.values() if rep.email in self.office.mailboxes)

    def _reads(self, rep: Rep) -> bool:
        return self.office.mailboxes[rep.email].capabilities.incoming

    def _wishes(self, only: str | None = None) -> dict[str, datetime]:
        """Return lane -> when it wants to be worked, of all or of `only` one; what has passed means now."""
        now, wishes = self.office.now(), dict[str, datetime]()
        with self.office.database.read() as tx:
            if only in (None, DECIDE):
                wishes[DECIDE] = self._wish_to_decide(tx, now)
            if self._crm is not None and only in (None, self._crm):
                wishes[self._crm] = self._wish_of_crm(tx, self._crm, now)
            if only is None or only.startswith(webhooks.LANE):
                told = webhooks.wishes(tx)
                wishes |= {lane: at for lane, at in told.items() if only in (None, lane)}
            looked, pacing, work = read_looked(tx, only), list_lanes(tx, only), read_lane_work(tx, only)
        for rep in self._reps():
            lane = self.office.lane_of(rep)
            if only not in (None, lane):
                continue
            times = [looked[lane] + self.every if lane in looked else now] if self._reads(rep) else []
            if lane in work:
                rule = self.office.pacing.get(rep.mailbox, PacingRule())
                times.append(_when(pacing.get(lane, Pacing()), rule, *work[lane], now))
            if times:
                wishes[lane] = min(times)
        return wishes

    def _wish_to_decide(self, tx: Transaction, now: datetime) -> datetime:
        due, ahead = count_due(tx, now)
        if due or read_unprepared(tx, now, 1):
            return now
        # Pauses end by themselves too.
        return min(ahead or now + self.every, now + self.every)

    def _wish_of_crm(self, tx: Transaction, lane: str, now: datetime) -> datetime:
        turn = f"{TURNS}{lane}"
        last = read_looked(tx, turn).get(turn)
        waits = count_dirty(tx, now)[0] or read_dirty_people(tx, now, 1)
        wish = now if last is None or waits else last + self.every
        blocked = read_pacing(tx, lane).blocked_until
        return wish if blocked is None else max(wish, blocked)


def _when(
    paced: Pacing, rule: PacingRule, earliest: datetime, earliest_unpaced: datetime | None, now: datetime
) -> datetime:
    """Return when the mailbox can take what waits: drafts when they are due, sends at their pace."""
    wait = seconds_to_wait(paced, rule, now)
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), tzinfo=UTC)
    sends = max(earliest, midnight if wait is None else now + timedelta(seconds=wait))
    if paced.sends_blocked_until is not None:
        sends = max(sends, paced.sends_blocked_until)
    when = sends if earliest_unpaced is None else min(sends, earliest_unpaced)
    return when if paced.blocked_until is None else max(when, paced.blocked_until)


def _log(*said: Iterable[str]) -> None:
    for sentences in said:
        for sentence in sentences:
            _LOG.warning("%s", sentence)
