"""How accounts stand: mailboxes, the CRM, and what the CRM did not take, for whoever may know.

Lives here: putting it together from what the last passes noted; no service is asked. Does not live here: asking them
(`doctor`), pacing itself (`pacing`), whether anything works at all (`engine`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.errors import BadInput
from connector.people import Rep
from connector.store import cursors, lanes, mails, tasks
from connector.store.database import Transaction
from connector.store.enrollments import find_enrollments
from connector.store.lanes import Pacing
from connector.sync.crm_lane import runs_short
from connector.sync.diagnostics import Diagnosis, list_diagnostics
from connector.sync.diagnostics import retry as retry_records
from connector.sync.office import Office, PacingRule
from connector.sync.pacing import seconds_to_wait
from connector.sync.views import as_of, budget_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits in a lane: how much, and since when."""

    count: int = 0
    #: Aware, UTC; None while nothing waits.
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxStanding:
    """How one rep's mailbox stands; instants aware, UTC."""

    rep: Rep
    #: Whether the connector can reach it at all: a mailbox of kind `links` it cannot.
    reached: bool
    pacing: Pacing
    #: None where sending is not limited.
    rule: PacingRule | None
    looked: datetime | None
    drafts: Waiting
    sends: Waiting
    #: Whether today's limit is used up.
    used_up: bool

    @property
    def per_day(self) -> int | None:
        """How many mails it may send a day; None for any number."""
        return None if self.rule is None else self.rule.per_day


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmStanding:
    """How the CRM stands; instants aware, UTC."""

    name: str
    pacing: Pacing
    looked: datetime | None
    waiting: Waiting
    #: Calls used and allowed a day as it last said; None before it has said.
    budget: tuple[int, int] | None

    @property
    def left(self) -> int | None:
        """Calls that are left of the day's."""
        return None if self.budget is None else max(0, self.budget[1] - self.budget[0])

    @property
    def only_due(self) -> bool:
        """Whether so few are left that only what is due now goes out."""
        return runs_short(self.budget)


def list_mailboxes(office: Office, *, reps: Collection[str] | None) -> list[MailboxStanding]:
    """Return how the mailboxes of these reps stand; of all, if that is None."""
    now = office.now()
    with office.database.read() as tx:
        known = lanes.list_lanes(tx)
        looked = _last_read(tx)
        waiting = mails.count_waiting(tx, now)
    found = []
    for rep in office.reps.values():
        if reps is not None and rep.email not in reps:
            continue
        lane, rule = office.lane_of(rep), office.pacing.get(rep.mailbox)
        pacing = as_of(known.get(lane, Pacing()), now)
        counted = {
            action: Waiting(count=count, oldest=oldest)
            for (of, action), (count, oldest) in waiting.items()
            if of == lane
        }
        found.append(
            MailboxStanding(
                rep=rep,
                reached=rep.email in office.mailboxes and rep.mailbox != "links",
                pacing=pacing,
                rule=rule,
                looked=looked.get(lane),
                drafts=counted.get("draft", Waiting()),
                sends=counted.get("send", Waiting()),
                used_up=rule is not None and seconds_to_wait(pacing, rule, now) is None,
            )
        )
    return found


def look_at_crm(office: Office) -> CrmStanding | None:
    """Return how the CRM stands; None without one."""
    name, now = office.crm_rules.name, office.now()
    if not name:
        return None
    with office.database.read() as tx:
        count, oldest = tasks.count_dirty(tx, now)
        return CrmStanding(
            name=name,
            pacing=as_of(lanes.read_pacing(tx, name), now),
            looked=_last_read(tx).get(name),
            waiting=Waiting(count=count, oldest=oldest),
            budget=budget_of(cursors.read_cursor(tx, "budget")),
        )


def _last_read(tx: Transaction) -> dict[str, datetime]:
    """Return lane -> when it was read last, whether there was anything new or not."""
    moved, looked = cursors.last_moved(tx), lanes.read_looked(tx)
    return {lane: max(at for at in (moved.get(lane), looked.get(lane)) if at) for lane in {*moved, *looked}}


def list_own_diagnostics(office: Office, *, reps: Collection[str] | None) -> list[Diagnosis]:
    """Return what the CRM did not take of these reps' tasks and people, oldest trouble first."""
    found = list_diagnostics(office)
    if reps is None or not found:
        return found
    with office.database.read() as tx:
        persons = sorted({one.person for one in found if not one.rep})
        own = {one.person for one in find_enrollments(tx, persons=persons, live=False) if one.rep in reps}
    return [one for one in found if (one.rep in reps if one.rep else one.person in own)]


def retry_own(office: Office, ids: Sequence[str] | None, *, reps: Collection[str] | None) -> int:
    """Have records tried by the next pass, or all that are theirs; return how many.

    Raises `BadInput` for one that is not theirs, or was taken in the meantime.
    """
    if reps is None and ids is None:
        return len(retry_records(office))
    own = {one.id for one in list_own_diagnostics(office, reps=reps)}
    chosen = sorted(own) if ids is None else list(ids)
    if not own.issuperset(chosen):
        raise BadInput("there is nothing to try again: the CRM has taken it in the meantime, or it is not yours")
    return len(retry_records(office, chosen)) if chosen else 0
