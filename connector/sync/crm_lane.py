"""The CRM's one lane: how long it stands still after trouble, and what waits while its calls of the day run short.

Lives here: `stop_lane`, `lane_waits`, `why_it_waits`, `wait_after`, `is_short`, `may_wait`. Does not live here: the
lease (`store.lanes`), the calls (`crm`, `push_people`, `pull_crm`). Source: spec delivery 2.

At 90 % of the day's calls only what is due now goes out: tasks a rep must have before them, their ends, opt-outs and
bounces. What the CRM merely keeps for the record waits: logged mails and replies, what a task says of its campaign,
roll-ups, and asking again about people whose answer is only old. Reading changes goes on: it is one call.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connector.errors import AdapterError, Reconnect, Retry
from connector.ports import ActivityFact
from connector.store.database import Transaction
from connector.store.lanes import read_pacing, save_pacing
from connector.store.tasks import Dirty, StoredTask
from connector.sync.office import Office

#: Wait after a refusal that an administrator must mend, and when the CRM says "later" without saying when or somebody
#: must sign in.
REFUSED_WAIT = timedelta(hours=1)
LATER = timedelta(minutes=1)

#: When what is held back is looked at again.
HELD_BACK = timedelta(minutes=15)

#: What a task says for the record only; a rep works as well without it.
_FOR_THE_RECORD = frozenset({*(fact.value for fact in ActivityFact), "kind"})


def lane_waits(office: Office) -> bool:
    """Tell whether the CRM asked to be left alone for now."""
    return why_it_waits(office) is not None


def why_it_waits(office: Office) -> str | None:
    """Return the sentence that says why nothing is asked of the CRM now and until when; None when it may be asked."""
    if office.crm is None:
        return None
    lane = office.crm.capabilities.name
    with office.database.read() as tx:
        pacing = read_pacing(tx, lane)
    if pacing.blocked_until is None or pacing.blocked_until <= office.now():
        return None
    why = pacing.problem or "it asked to be left alone"
    return f"{lane}: nothing is read or written there before {pacing.blocked_until:%Y-%m-%d %H:%M:%S} (UTC): {why}"


def wait_after(error: AdapterError) -> timedelta:
    """Return how long one record waits that the CRM did not take."""
    if isinstance(error, Retry):
        return error.after or LATER
    # Whoever has signed in expects it to go on; asking again before is one call, or none.
    return LATER if isinstance(error, Reconnect) else REFUSED_WAIT


def stop_lane(office: Office, error: AdapterError) -> None:
    """Let everything for the CRM wait after trouble that concerns more than one record, and say why in `status`."""
    if office.crm is None:
        return
    lane = office.crm.capabilities.name
    until = office.now() + (error.after or LATER) if isinstance(error, Retry) else None
    with office.database.write() as tx:
        save_pacing(tx, lane, replace(read_pacing(tx, lane), problem=error.sentence, blocked_until=until))


def free_lane(tx: Transaction, office: Office) -> None:
    """Let the lane go on at once: somebody says that what it waits for is mended."""
    lane = office.crm_rules.name
    pacing = read_pacing(tx, lane)
    if pacing.blocked_until is not None:
        save_pacing(tx, lane, replace(pacing, blocked_until=None))


def is_short(office: Office) -> bool:
    """Tell whether the calls that the CRM allows a day run short now; no answer yet means no."""
    return runs_short(office.crm.budget if office.crm is not None else None)


def runs_short(budget: tuple[int, int] | None) -> bool:
    """Tell whether nine tenths of the calls of a day (used, allowed) are used."""
    return budget is not None and budget[1] > 0 and budget[0] * 10 >= budget[1] * 9


def may_wait(task: StoredTask) -> bool:
    """Tell whether a task's write is for the record only, so that it waits while calls are short."""
    if task.dirty is Dirty.DELETE:
        return False
    if task.synced is None:
        return bool(task.wanted.get("closed"))
    changed = {name for name, value in task.wanted.items() if task.synced.get(name, ...) != value}
    return changed <= _FOR_THE_RECORD
