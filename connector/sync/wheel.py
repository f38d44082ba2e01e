"""One turn of the wheel: pull, record, decide, deliver.

Lives here: `turn`, the order of its parts and its report. Does not live here: any of the parts.
Source: spec delivery 1 and 2, interfaces 2 (`sync`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from connector.errors import AdapterError, BadInput, Reconnect, Retry
from connector.intents import IntentState
from connector.people import Rep
from connector.store import enrollments, intents, mails, tasks
from connector.store.cursors import read_cursor, save_cursor
from connector.store.intents import find_intents
from connector.sync.actions import resume_expired
from connector.sync.crm import push_tasks
from connector.sync.crm_lane import lane_waits, stop_lane, why_it_waits
from connector.sync.diagnostics import list_diagnostics
from connector.sync.drain import Drained, drain
from connector.sync.office import Office, Progress, no_progress
from connector.sync.prepare import prepare
from connector.sync.pull_crm import pull_crm
from connector.sync.pull_mailbox import pull_mailbox
from connector.sync.pulled import Pulled
from connector.sync.push_people import push_people
from connector.sync.record import CANNOT_GO_ON
from connector.sync.tick import tick
from connector.sync.webhooks import deliver_all

#: Rounds of decide and deliver in one pass: a mail that goes out can make the next step due at once.
_ROUNDS = 20

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one pass came to."""

    pulled: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    needs_attention: list[str] = field(default_factory=list)
    api_calls: Counter[str] = field(default_factory=Counter)
    reconnect: list[Reconnect] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report as interfaces 2 says it."""
        return {
            "pulled": dict(sorted(self.pulled.items())),
            "intents": {"send": self.made["send"], "task": self.made["task"]},
            "delivered": dict(sorted(self.delivered.items())),
            "needs_attention": list(self.needs_attention),
            "api_calls": {name: self.api_calls[name] for name in ("salesforce", "gmail", "outlook")},
        }

    @property
    def exit_status(self) -> int:
        """0 done, 1 something needs attention, 4 an account must be reconnected."""
        if self.reconnect:
            return Reconnect.exit_status
        return 1 if self.needs_attention else 0


def turn(office: Office, *, only: str | None = None, progress: Progress = no_progress) -> Turn:
    """Turn the wheel once; raise `Busy` if another pass is running on this database.

    `only` is the name of the CRM or of a kind of mailbox. What one account cannot do never stops another.
    """
    report = Turn()
    with office.database.only_one("sync"):
        before = _calls(office)
        resume_expired(office)
        _pull(office, only, report, progress)
        for _ in range(_ROUNDS):
            now = office.now()
            made = tick(office, now)
            prepared = prepare(office, now, crm_error=_crm_reconnect(office, report))
            report.made.update(prepared.seen)
            _add_error(office, report, prepared.crm_error)
            stopped = frozenset(error.account for error in report.reconnect)
            drained = _drain(office, only, stopped, progress)
            _add_drained(report, drained)
            if not made and not prepared.seen and not any(one.sent or one.drafts for one in drained):
                break
        _push(office, only, report, progress)
        report.needs_attention += deliver_all(office)
        _note_attention(office, report)
        _note_budget(office)
        for name, calls in _calls(office).items():
            report.api_calls[name] += calls - before[name]
    return report


def plan_turn(office: Office) -> Turn:
    """Return what a pass would make and deliver now, without calling or changing anything."""
    now = office.now()
    report = Turn()
    with office.database.read() as tx:
        due, _ = enrollments.count_due(tx, now)
        for stored in intents.read_unprepared(tx, now, most=1_000_000):
            report.made[stored.intent.mode.value] += 1
        for (lane, action), (count, _oldest) in mails.count_waiting(tx, now).items():
            report.delivered[f"{action} by {lane}"] += count
        waiting, _ = tasks.count_dirty(tx, now)
    if waiting:
        report.delivered["CRM tasks"] = waiting
    for mode, count in _modes_due(office, due).items():
        report.made[mode] += count
    return report


def _modes_due(office: Office, due: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    with office.database.read() as tx:
        for enrollment in enrollments.read_due(tx, office.now(), due):
            campaign = office.book.pinned(tx, enrollment.campaign, enrollment.version).campaign
            counts[campaign.steps[enrollment.position].mode.value] += 1
    return counts


def _pull(office: Office, only: str | None, report: Turn, progress: Progress) -> None:
    pulled: list[Pulled] = []
    if office.crm is not None and only in (None, office.crm.capabilities.name):
        progress("reading the CRM", 0, 1)
        waits = why_it_waits(office)
        pulled.append(pull_crm(office) if waits is None else Pulled(attention=[waits]))
        progress("reading the CRM", 1, 1)
    reps = [rep for rep in _reps(office, only) if office.mailboxes[rep.email].capabilities.incoming]
    pulled += _each(
        office,
        "reading mailboxes",
        reps,
        lambda rep: pull_mailbox(office, rep),
        lambda rep, trouble: Pulled(attention=[f"{office.lane_of(rep)}: {trouble}"]),
        progress,
    )
    for one in pulled:
        report.pulled.update(one.counts)
        report.needs_attention += one.attention
        _add_reconnect(report, one.reconnect)


def _add_reconnect(report: Turn, error: AdapterError | None) -> None:
    """Note an account that must be signed in again, once."""
    if isinstance(error, Reconnect) and all(known.account != error.account for known in report.reconnect):
        report.reconnect.append(error)


def _crm_reconnect(office: Office, report: Turn) -> Reconnect | None:
    """Return why the CRM is not asked again in this pass: somebody must sign in to it first."""
    name = None if office.crm is None else office.crm.capabilities.name
    return next((error for error in report.reconnect if error.account == name), None)


def _drain(office: Office, only: str | None, stopped: frozenset[str], progress: Progress) -> list[Drained]:
    """Work the lanes that have work; one whose account must be reconnected is asked once a pass, not each round."""
    with office.database.read() as tx:
        waiting = set(mails.lanes_waiting(tx, office.now()))
    reps = [rep for rep in _reps(office, only) if office.lane_of(rep) in waiting - stopped]
    return _each(
        office,
        "delivering to mailboxes",
        reps,
        lambda rep: drain(office, rep),
        lambda rep, trouble: Drained(lane=office.lane_of(rep), attention=[f"{office.lane_of(rep)}: {trouble}"]),
        progress,
    )


def _add_drained(report: Turn, drained: Iterable[Drained]) -> None:
    for one in drained:
        report.delivered.update({"sent": one.sent, "drafts": one.drafts, "drafts_deleted": one.deleted})
        report.needs_attention += [sentence for sentence in one.attention if sentence not in report.needs_attention]
        _add_reconnect(report, one.reconnect)


def _add_error(office: Office, report: Turn, error: AdapterError | None) -> None:
    if error is None or office.crm is None:
        return
    if isinstance(error, Retry) and error.after is not None and not lane_waits(office):
        stop_lane(office, error)
    sentence = f"{office.crm.capabilities.name}: {error.sentence}"
    if sentence not in report.needs_attention:
        report.needs_attention.append(sentence)
    _add_reconnect(report, error)


def _push(office: Office, only: str | None, report: Turn, progress: Progress) -> None:
    if office.crm is None or only not in (None, office.crm.capabilities.name) or _crm_reconnect(office, report):
        return
    progress("writing to the CRM", 0, None)
    # An opt-out or a bounce is told before anything else is written.
    told = push_people(office, office.now())
    pushed = push_tasks(office)
    report.pulled.update(pushed.pulled.counts)
    report.delivered.update({"people": told.written, "tasks": pushed.written, "tasks_deleted": pushed.deleted})
    for one in (told, pushed):
        report.needs_attention += [sentence for sentence in one.attention if sentence not in report.needs_attention]
        for error in one.reconnect:
            _add_reconnect(report, error)


def _note_attention(office: Office, report: Turn) -> None:
    """List what waits for a person, whether it began in this pass or before."""
    stuck = (IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED, IntentState.UNKNOWN)
    with office.database.read() as tx:
        for stored in find_intents(tx, states=stuck):
            intent = stored.intent
            if stored.problem == "the campaign is paused":
                continue
            place = f"{intent.person} ('{intent.campaign}', day {intent.day}, step {intent.step})"
            sentence = f"{place} is {stored.state}: {stored.problem or 'no reason was noted'}"
            report.needs_attention.append(sentence)
        report.needs_attention += [
            f"{one.person} ('{one.campaign}', rep {one.rep}) is paused: {reason}"
            for one, reason in enrollments.read_paused_for(tx, CANNOT_GO_ON)
        ]
        worked = {office.lane_of(rep) for rep in office.reps.values()}
        report.needs_attention += [
            f"mails wait in {lane}, which no rep of connector.yaml has: add the rep again, or remove their people"
            for lane in mails.lanes_waiting(tx, office.now())
            if lane not in worked
        ]
    said = set(report.needs_attention)
    report.needs_attention += [
        one.summary
        for one in list_diagnostics(office)
        # What was refused as a whole was said once of the lane; 'diagnostics' lists each record.
        if not {one.summary, f"{office.crm_rules.name}: {one.sentence}"} & said
    ]


def _note_budget(office: Office) -> None:
    """Keep what the CRM last said of its daily budget, for `status`; written only when it changed."""
    if office.crm is None or office.crm.budget is None:
        return
    said = "{}/{}".format(*office.crm.budget)
    with office.database.write() as tx:
        if read_cursor(tx, "budget") != said:
            save_cursor(tx, "budget", said, office.now())


def _each(
    office: Office,
    what: str,
    reps: Sequence[Rep],
    work: Callable[[Rep], T],
    failed: Callable[[Rep, str], T],
    progress: Progress,
) -> list[T]:
    """Run work for each rep, mailboxes side by side; what fails unforeseen in one of them stops no other."""
    if not reps:
        return []

    def guarded(rep: Rep) -> T:
        try:
            return work(rep)
        except BadInput:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours in one mailbox must not stop the others
            _LOG.exception("unforeseen trouble with the mailbox of %s", rep.email)
            return failed(rep, f"unforeseen trouble ({type(error).__name__}); run with -v and report it, please")

    results: list[T] = []
    at_a_time = min(office.mailboxes_at_a_time, len(reps))
    with ThreadPoolExecutor(max_workers=at_a_time, thread_name_prefix="mailbox") as pool:
        for result in pool.map(guarded, reps):
            results.append(result)
            progress(what, len(results), len(reps))
    return results


def _reps(office: Office, only: str | None) -> list[Rep]:
    return [rep for email, rep in office.reps.items() if email in office.mailboxes and only in (None, rep.mailbox)]


def _calls(office: Office) -> Counter[str]:
    calls: Counter[str] = Counter()
    for mailbox in office.mailboxes.values():
        calls[mailbox.capabilities.name] += mailbox.calls
    if office.crm is not None:
        calls[office.crm.capabilities.name] += office.crm.calls
    return calls
