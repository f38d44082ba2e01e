"""Pulling: what happened in the CRM and in mailboxes becomes facts, stored together with the cursor.

Lives here: `pull_crm`, `pull_mailbox`: from a service's changes to facts. Does not live here: classifying and
matching mail (`inbox`), merging tasks (`tasks`), what follows from a fact (`record`). Source: spec delivery 3 to 5.

A cursor moves in the transaction that stores everything before it; a crash reads the same changes again, and each of
them is recognised by what it already did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from connector.campaigns.model import SameAccount
from connector.errors import AdapterError, Reconnect
from connector.events import Event, EventKind
from connector.inbox.classify import Classified, MailKind, classify
from connector.inbox.match import KnownMail, Match, OpenDraft, match_received, match_sent
from connector.intents import IntentEvent, IntentState, Priority
from connector.people import Rep
from connector.ports import DraftGone, DraftSaved, Found, Mailbox, MailReceived, MailSent, RemoteTask, Whereabouts
from connector.sequencing.enrollment import Enrollment
from connector.store.cursors import read_cursor, save_cursor
from connector.store.database import Transaction
from connector.store.enrollments import find_enrollments, read_enrollments
from connector.store.intents import StoredIntent, move_intent, read_intents, reassign_intent
from connector.store.lanes import read_pacing, save_pacing
from connector.store.ledger import append
from connector.store.mails import (
    MailAction,
    MailState,
    StoredMail,
    change_mail,
    note_received,
    read_mails,
    read_open,
    read_sent_about,
)
from connector.store.people import list_people, mark_person, read_people, save_crm_facts
from connector.store.tasks import Dirty, StoredTask, read_tasks, save_tasks
from connector.sync.actions import move_task
from connector.sync.crm import note_task_deleted
from connector.sync.drain import trace_of
from connector.sync.mirror import logged_reply
from connector.sync.office import Office, TaskSync
from connector.sync.record import end_task, enrollment_fact, intent_fact, record
from connector.tasks.merge import MergeResult, TaskValues, merge

#: A draft that was nowhere for so long was discarded.
_GIVEN_UP = timedelta(hours=24)

#: Characters of a reply that go into its log in the CRM.
_LOGGED = 4000


@dataclass(slots=True, kw_only=True)
class Pulled:
    """What one pull came to."""

    counts: Counter[str] = field(default_factory=Counter)
    attention: list[str] = field(default_factory=list)
    reconnect: Reconnect | None = None


# ----------------------------------------------------------------------------------------------- CRM


def pull_crm(office: Office) -> Pulled:
    """Read changed tasks and take over what people did to them."""
    pulled = Pulled()
    if office.crm is None or office.crm_rules.tasks is not TaskSync.BOTH:
        return pulled
    name = office.crm.capabilities.name
    with office.database.read() as tx:
        cursor = read_cursor(tx, name)
    try:
        pull = office.crm.pull_tasks(cursor)
    except AdapterError as error:
        return _stopped(pulled, name, error)
    now = office.now()
    with office.database.write() as tx:
        known = read_tasks(tx, [task.key for task in pull.tasks])
        for remote in pull.tasks:
            task = known.get(remote.key)
            if task is not None:
                _take_task(tx, office, task, remote, now, pulled)
        if pull.cursor != cursor:
            save_cursor(tx, name, pull.cursor, now)
    return pulled


def _take_task(
    tx: Transaction, office: Office, task: StoredTask, remote: RemoteTask, now: datetime, pulled: Pulled
) -> None:
    if remote.deleted:
        if task.dirty is not Dirty.DELETE:
            pulled.counts["tasks_deleted"] += 1
            save_tasks(tx, [replace(task, remote_id=remote.remote_id, dirty=Dirty.CLEAN, status="deleted")])
            note_task_deleted(tx, task, now)
        return
    if task.dirty is Dirty.DELETE:
        return  # It goes away in this pass; what the CRM still shows of it must not keep it.
    merged = merge(_values(task.synced), _wanted_values(task), remote, office.crm_rules.conflict, ours_at=None)
    taken = _taken(task, remote, merged)
    save_tasks(tx, [taken])
    if taken.wanted.get("who") != task.wanted.get("who"):
        _repoint(tx, task, remote.who or "", now, pulled)
    stored = read_intents(tx, [task.intent or ""]).get(task.intent or "")
    if stored is None:
        return
    for conflict in merged.conflicts:
        pulled.counts["conflicts"] += 1
        data = {"field": conflict.field, "winner": conflict.winner.value, "ours": _plain(conflict.ours)}
        append(tx, [intent_fact(stored, EventKind.CONFLICT, now, theirs=_plain(conflict.theirs), **data)])
    if taken.wanted.get("owner") != task.wanted.get("owner"):
        stored = _reassign(tx, office, stored, remote.owner or "", now, pulled)
    _follow(tx, office, stored, task, remote, merged.take, now, pulled)


def _taken(task: StoredTask, remote: RemoteTask, merged: MergeResult) -> StoredTask:
    """Return the task once both sides are merged: what is wanted now, and what both hold."""
    wanted, synced = dict(task.wanted), dict(task.synced or {})
    for name in ("closed", "due_date", "priority", "description"):
        value = _plain(merged.take[name]) if name in merged.take else wanted.get(name)
        wanted[name] = value
        if name not in merged.push:
            synced[name] = value
    # A converted lead's tasks hang on its contact, a merged record's on the one that stayed; an owner may have changed.
    for name, theirs in (("who", remote.who), ("owner", remote.owner)):
        if theirs is not None and name in synced and theirs != synced[name]:
            wanted[name] = synced[name] = theirs
    base = synced if task.synced is not None else None
    dirty = task.dirty if wanted != base else Dirty.CLEAN
    return replace(task, wanted=wanted, synced=base, remote_id=remote.remote_id, status=remote.status, dirty=dirty)


def _follow(
    tx: Transaction,
    office: Office,
    stored: StoredIntent,
    task: StoredTask,
    remote: RemoteTask,
    take: Any,
    now: datetime,
    pulled: Pulled,
) -> None:
    """Do what a change in the CRM means for the intent."""
    is_open = stored.state is IntentState.OPEN
    if take.get("closed") is True and is_open:
        pulled.counts["tasks_completed"] += 1
        at = min(remote.completed_at or remote.modified_at, now)
        at = max(at, stored.intent.due)
        end_task(tx, office, stored, IntentEvent.COMPLETE, now, at=at, by="in the CRM")
        return
    if take.get("closed") is False and not is_open:
        # The campaign has moved on: the reopened task is shown, its step is not done a second time.
        append(tx, [intent_fact(stored, EventKind.TASK_REOPENED, now, reason="the campaign has moved on already")])
    if "due_date" in take and is_open and isinstance(take["due_date"], date):
        pulled.counts["tasks_moved"] += 1
        move_task(tx, stored, take["due_date"])
        until = take["due_date"].isoformat()
        append(
            tx, [intent_fact(stored, EventKind.SNOOZED, now, until=until, reason="its due date was moved in the CRM")]
        )
    changed = [(name, take[name]) for name in ("priority", "description") if name in take]
    if remote.status != task.status and not remote.closed and task.status is not None:
        changed.append(("status", remote.status))
    for name, value in changed:
        pulled.counts["tasks_changed"] += 1
        append(tx, [intent_fact(stored, EventKind.TASK_CHANGED, now, field=name, value=str(_plain(value))[:200])])


def _repoint(tx: Transaction, task: StoredTask, record: str, now: datetime, pulled: Pulled) -> None:
    """Follow a person to the CRM record that stands for them now."""
    person = read_people(tx, [task.person]).get(task.person)
    if person is None or person.person.salesforce_id == record:
        return
    pulled.counts["people_repointed"] += 1
    save_crm_facts(tx, [{"email": task.person, "salesforce_id": record, "crm_asked": None}])
    reason = "their lead was converted or merged in the CRM"
    told = Event(at=now, kind=EventKind.PERSON_REPOINTED, person=task.person, reason=reason, data={"record": record})
    append(tx, [told])


def _reassign(
    tx: Transaction, office: Office, stored: StoredIntent, owner: str, now: datetime, pulled: Pulled
) -> StoredIntent:
    """Move a task to the rep that owns it now, if they are known."""
    users = {rep.salesforce_user: rep for rep in office.reps.values() if rep.salesforce_user}
    ids = office.crm.find_users(sorted(users)) if office.crm is not None else {}
    rep = next((users[name] for name, id_ in ids.items() if id_ == owner and name in users), None)
    pulled.counts["tasks_reassigned"] += 1
    if rep is None or rep.email == stored.intent.rep:
        append(
            tx, [intent_fact(stored, EventKind.TASK_REASSIGNED, now, owner=owner, reason="no rep here has that user")]
        )
        return stored
    append(tx, [intent_fact(stored, EventKind.TASK_REASSIGNED, now, owner=rep.email)])
    reassign_intent(tx, stored.intent.key, rep.email)
    return replace(stored, intent=replace(stored.intent, rep=rep.email))


def _values(fields: Any) -> TaskValues | None:
    if fields is None:
        return None
    due, priority = fields.get("due_date"), fields.get("priority")
    return TaskValues(
        closed=bool(fields.get("closed")),
        due_date=date.fromisoformat(due) if due else None,
        priority=Priority(priority) if priority else None,
        description=fields.get("description") or "",
    )


def _wanted_values(task: StoredTask) -> TaskValues:
    values = _values(task.wanted)
    if values is None:
        raise ValueError(f"task {task.key} wants nothing")
    return values


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


# -------------------------------------------------------------------------------------------- mailboxes


def pull_mailbox(office: Office, rep: Rep) -> Pulled:
    """Read what changed in a rep's mailbox: drafts sent, edited or discarded; replies, bounces, out-of-office."""
    pulled = Pulled()
    lane, mailbox = office.lane_of(rep), office.mailboxes[rep.email]
    with office.database.read() as tx:
        cursor = read_cursor(tx, lane)
    try:
        pull = mailbox.pull_mail(cursor)
        with office.database.read() as tx:
            drafts = _OpenDrafts(read_open(tx, lane))
        for change in pull.changes:
            if isinstance(change, DraftSaved):
                drafts.saved(change)
        for change in pull.changes:
            if isinstance(change, MailSent):
                drafts.was_sent(change)
        gone = [change for change in pull.changes if isinstance(change, DraftGone)]
        drafts.look_up(gone, mailbox, everything=pull.resynced)
    except AdapterError as error:
        _note_lane_problem(office, lane, error.sentence)
        return _stopped(pulled, lane, error)
    now = office.now()
    with office.database.write() as tx:
        drafts.store(tx, office, now, pulled)
        for change in pull.changes:
            if isinstance(change, MailReceived):
                _take_mail(tx, office, rep, change, now, pulled)
        if pull.cursor != cursor:
            save_cursor(tx, lane, pull.cursor, now)
    _note_lane_problem(office, lane, None)
    return pulled


class _OpenDrafts:
    """The drafts a rep may still send, followed through one pull's changes."""

    def __init__(self, mails: Iterable[StoredMail]) -> None:
        self._mails = {mail.key: mail for mail in mails}
        self._edited: set[str] = set()
        self._sent: dict[str, MailSent] = {}
        self._found: dict[str, Found] = {}

    def saved(self, change: DraftSaved) -> None:
        """Follow a draft to its new ids; a save that is not our own is an edit."""
        for key, mail in self._mails.items():
            ids = {mail.draft_id, mail.provider_id} - {None}
            same_message = change.draft.internet_message_id and (
                change.draft.internet_message_id == mail.internet_message_id
            )
            if change.key == key or change.draft.draft_id in ids or same_message:
                known = mail.provider_id == change.draft.provider_id
                if mail.state is MailState.PRESENT and (change.edited or not known):
                    self._edited.add(key)
                self._mails[key] = replace(mail, **mail.with_draft(replace(change.draft, draft_id=mail.draft_id or "")))

    def was_sent(self, change: MailSent) -> None:
        """Match a mail in Sent to the draft it was."""
        waiting = [mail for key, mail in self._mails.items() if key not in self._sent]
        match = match_sent(change.mail, [_open_draft(mail) for mail in waiting])
        if match is not None:
            self._sent[match.key] = change

    def look_up(self, gone: Sequence[DraftGone], mailbox: Mailbox, *, everything: bool) -> None:
        """Ask where a draft went that left Drafts without a mail in Sent that told; all of them after a resync."""
        ids = {change.provider_id for change in gone}
        for key, mail in self._mails.items():
            lost = everything or mail.missing is not None or mail.provider_id in ids
            if mail.state is MailState.PRESENT and key not in self._sent and lost:
                self._found[key] = mailbox.find(trace_of(mail))

    def store(self, tx: Transaction, office: Office, now: datetime, pulled: Pulled) -> None:
        """Write down what became of each draft."""
        current = read_mails(tx, sorted(self._mails))
        stored = read_intents(tx, sorted(self._mails))
        for key, mail in self._mails.items():
            found = self._found.get(key)
            if current[key].state is not mail.state:
                continue  # A drain was faster.
            if key in self._sent:
                _draft_sent(tx, office, mail, stored[key], self._sent[key].mail, now, pulled)
            elif found is not None and found.where is Whereabouts.SENT and found.sent is not None:
                _draft_sent(tx, office, mail, stored[key], found.sent, now, pulled)
            elif found is not None and _is_discarded(found, mail, now):
                pulled.counts["drafts_discarded"] += 1
                change_mail(tx, key, state=MailState.DISCARDED, missing=None)
                append(tx, [intent_fact(stored[key], EventKind.DRAFT_DISCARDED, now)])
            elif found is not None and found.where is not Whereabouts.DRAFT:
                # Scheduled in the client, undone, or on its way to Sent: neither sent nor discarded yet.
                change_mail(tx, key, missing=mail.missing or now)
            elif found is not None and found.draft is not None:
                edited = mail.edited or found.draft.provider_id != mail.provider_id
                change_mail(tx, key, missing=None, edited=int(edited), **mail.with_draft(found.draft))
            elif key in self._edited:
                change_mail(tx, key, edited=1, provider_id=mail.provider_id, thread_id=mail.thread_id)
                if not current[key].edited:
                    pulled.counts["drafts_edited"] += 1
                    append(tx, [intent_fact(stored[key], EventKind.DRAFT_EDITED, now)])


def _is_discarded(found: Found, mail: StoredMail, now: datetime) -> bool:
    if found.where is Whereabouts.UNCLEAR:
        return mail.missing is not None and now - mail.missing > _GIVEN_UP
    return found.where in (Whereabouts.DISCARDED, Whereabouts.ABSENT)


def _open_draft(mail: StoredMail) -> OpenDraft:
    return OpenDraft(
        key=mail.key,
        to=mail.recipient,
        subject=mail.subject,
        since=mail.claimed or mail.due,
        draft_id=mail.draft_id,
        provider_id=mail.provider_id,
        thread_id=mail.thread_id,
        internet_message_id=mail.internet_message_id,
    )


def _draft_sent(
    tx: Transaction,
    office: Office,
    mail: StoredMail,
    stored: StoredIntent,
    sent: Any,
    now: datetime,
    pulled: Pulled,
) -> None:
    """The mail is in Sent: a task is completed, a send whose answer was lost is confirmed."""
    if mail.state is MailState.IN_FLIGHT and mail.action is MailAction.SEND:
        return  # The drain looks it up and writes it down, with its log.
    at = max(min(sent.at, now), mail.claimed or sent.at)
    change_mail(tx, mail.key, **mail.with_sent(sent))
    pulled.counts["drafts_sent"] += 1
    if stored.state is IntentState.OPEN:
        end_task(tx, office, stored, IntentEvent.COMPLETE, now, at=min(at, now), by="by sending the draft")
    elif stored.state is IntentState.UNKNOWN:
        pulled.counts["sends_confirmed"] += 1
        _confirm_unknown(tx, office, stored, min(at, now), now)


def _confirm_unknown(tx: Transaction, office: Office, stored: StoredIntent, at: datetime, now: datetime) -> None:
    move_intent(tx, stored.intent.key, IntentEvent.SEND)
    record(tx, office, [intent_fact(stored, EventKind.SENT, at, reason="found in Sent later")], now)


def _take_mail(tx: Transaction, office: Office, rep: Rep, mail: MailReceived, now: datetime, pulled: Pulled) -> None:
    kind = classify(mail, own=frozenset({rep.email, *rep.aliases}))
    if kind.kind in (MailKind.OWN, MailKind.CALENDAR_OR_RECEIPT):
        return
    match = match_received(mail, kind, _candidates(tx, mail, kind))
    if match is None or (kind.kind is MailKind.AUTOMATIC and not kind.out_of_office):
        return
    if not note_received(tx, office.lane_of(rep), mail.internet_message_id or mail.provider_id, now):
        return
    enrollments = _about(tx, match, rep)
    told = {"subject": mail.subject, "matched_by": match.matched_by}
    at = min(mail.at, now)
    match kind.kind:
        case MailKind.BOUNCE:
            pulled.counts["bounces"] += 1
            _bounce(tx, office, match.person, kind, at, now)
        case MailKind.DELAYED:
            _tell(tx, enrollments, EventKind.DELAYED, at, kind.reason, told)
        case MailKind.AUTOMATIC:
            pulled.counts["out_of_office"] += 1
            facts = [
                enrollment_fact(one, EventKind.OUT_OF_OFFICE, at, reason=kind.reason, **told) for one in enrollments
            ]
            record(tx, office, facts, now)
        case MailKind.PERSONAL if match.from_person or not _is_colleague(mail, rep):
            pulled.counts["replies"] += 1
            _reply(tx, office, rep, mail, match, enrollments, at, now)
        case _:
            pulled.counts["unclassified"] += 1
            mark_person(tx, match.person, held=now)
            _tell(tx, enrollments, EventKind.UNCLASSIFIED, at, kind.reason, told)


def _candidates(tx: Transaction, mail: MailReceived, kind: Classified) -> list[KnownMail]:
    answered = [kind.original_message_id, mail.in_reply_to, *mail.references]
    sent = read_sent_about(
        tx,
        message_ids=[message_id for message_id in answered if message_id],
        thread_ids=[mail.thread_id] if mail.thread_id else [],
        persons=kind.failed_recipients or [mail.sender.email.lower()],
    )
    return [
        KnownMail(
            intent=one.key,
            person=one.person,
            sent_at=one.sent or one.due,
            internet_message_id=one.internet_message_id,
            thread_id=one.thread_id,
        )
        for one in sent
    ]


def _about(tx: Transaction, match: Match, rep: Rep) -> list[Enrollment]:
    """Return the enrollments a mail is about: the one it answers, or by address all the person has with this rep."""
    if match.matched_by == "address":
        return find_enrollments(tx, persons=[match.person], rep=rep.email)
    intent = read_intents(tx, [match.intent])[match.intent].intent
    return list(read_enrollments(tx, [intent.enrollment]).values())


def _is_colleague(mail: MailReceived, rep: Rep) -> bool:
    return mail.sender.email.lower().rpartition("@")[2] == rep.email.rpartition("@")[2]


def _tell(
    tx: Transaction, enrollments: Sequence[Enrollment], kind: EventKind, at: datetime, reason: str, told: Any
) -> None:
    append(tx, [enrollment_fact(enrollment, kind, at, reason=reason, **told) for enrollment in enrollments])


def _bounce(tx: Transaction, office: Office, person: str, kind: Classified, at: datetime, now: datetime) -> None:
    # A policy refusal (5.7.x) says nothing about the address: the campaign ends, the address stays good.
    if not kind.policy:
        mark_person(tx, person, bounced=at)
    live = find_enrollments(tx, persons=[person])
    status = kind.status or "no status"
    record(
        tx,
        office,
        [enrollment_fact(one, EventKind.BOUNCED, at, reason=kind.reason, status=status) for one in live],
        now,
    )


def _reply(
    tx: Transaction,
    office: Office,
    rep: Rep,
    mail: MailReceived,
    match: Match,
    enrollments: Sequence[Enrollment],
    at: datetime,
    now: datetime,
) -> None:
    told = {"subject": mail.subject, "matched_by": match.matched_by, "from": mail.sender.email}
    reason = "the prospect replied" if match.from_person else f"{mail.sender.email} replied for them"
    facts = [enrollment_fact(one, EventKind.REPLIED, at, reason=reason, **told) for one in enrollments]
    for enrollment in enrollments:
        campaign = office.book.pinned(tx, enrollment.campaign, enrollment.version).campaign
        if campaign.settings.same_account is SameAccount.END and not enrollment.has_ended:
            facts += _others_of_account(tx, enrollment, match.person, at, told)
    record(tx, office, facts, now)
    if office.mirrors_tasks and office.crm_rules.log_email:
        message = mail.internet_message_id or f"{office.lane_of(rep)} {mail.provider_id}"
        log = logged_reply(
            message=message, person=match.person, rep=rep, subject=mail.subject, text=mail.text[:_LOGGED], at=at
        )
        if log.key not in read_tasks(tx, [log.key]):
            save_tasks(tx, [log])


def _others_of_account(tx: Transaction, enrollment: Enrollment, person: str, at: datetime, told: Any) -> list[Event]:
    """Return the reply as a fact about the other people of the same account (setting `same_account: end`)."""
    account = read_people(tx, [person])[person].account
    if account is None:
        return []
    others = [stored.person.email for stored in list_people(tx, account=account) if stored.person.email != person]
    live = find_enrollments(tx, persons=others, campaign=enrollment.campaign)
    reason = f"{person}, of the same account, replied"
    return [enrollment_fact(one, EventKind.REPLIED, at, reason=reason, **told) for one in live]


def _stopped(pulled: Pulled, lane: str, error: AdapterError) -> Pulled:
    pulled.attention.append(f"{lane}: {error.sentence}")
    if isinstance(error, Reconnect):
        pulled.reconnect = error
    return pulled


def _note_lane_problem(office: Office, lane: str, problem: str | None) -> None:
    """Keep the problem of a mailbox for `status`; written only when it changes."""
    with office.database.read() as tx:
        pacing = read_pacing(tx, lane)
    if pacing.problem != problem and pacing.blocked_until is None:
        with office.database.write() as tx:
            save_pacing(tx, lane, replace(pacing, problem=problem))
