"""CRM tasks following our intents: which row is wanted there when an intent opens, closes, moves or is withdrawn.

Lives here: the `wanted` side of `store.tasks`. Does not live here: writing it to the CRM (`crm`), reading the CRM
(`pull`). Source: spec delivery 3 and 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time
from typing import Any

from connector.campaigns.model import Step
from connector.intents import Intent, IntentEvent, Priority, StepType
from connector.people import Rep
from connector.store.database import Transaction
from connector.store.intents import StoredIntent
from connector.store.tasks import DELETED, Dirty, StoredTask, read_tasks, save_tasks
from connector.sync import activity
from connector.sync.activity import CallResult
from connector.sync.office import Office, OnEnd
from connector.tasks.subject import ActivityNames, reply_subject, says_call_result, task_subject

_MIDNIGHT = time(0, 0)


def opened_task(office: Office, intent: Intent, step: Step, rep: Rep, *, subject: str, description: str) -> StoredTask:
    """Return the CRM task of an intent that the rep has before them."""
    local = intent.due.astimezone(rep.zone)
    # The due date is a date in the rep's zone; a clock time that matters travels as a reminder (spec delivery 3).
    clock_matters = local.time() != _MIDNIGHT
    wanted = {
        "subject": _subject(office, intent, subject),
        "closed": False,
        "priority": step.priority.value,
        "due_date": local.date().isoformat() if clock_matters else intent.due_date.isoformat(),
        "reminder_at": intent.due.isoformat() if clock_matters else None,
        "description": description,
        "subtype": intent.type.value,
        **activity.opened(office, intent, subject=subject, template=step.template),
    }
    return StoredTask(
        key=intent.key, intent=intent.key, person=intent.person, rep=rep.email, wanted=wanted, due=intent.due
    )


def logged_mail(
    office: Office, intent: Intent, rep: Rep, *, subject: str, text: str, template: str | None, sent: datetime
) -> StoredTask:
    """Return the completed CRM task that logs a mail the connector sent (spec delivery 6)."""
    wanted = {
        "subject": _subject(office, intent, subject),
        "closed": True,
        "priority": Priority.NORMAL.value,
        "due_date": sent.astimezone(rep.zone).date().isoformat(),
        "description": text,
        "subtype": StepType.EMAIL.value,
        **activity.opened(office, intent, subject=subject, template=template),
        **activity.sent(office),
    }
    return StoredTask(key=intent.key, intent=intent.key, person=intent.person, rep=rep.email, wanted=wanted, due=sent)


def logged_reply(
    office: Office, intent: Intent, rep: Rep, *, message: str, subject: str, text: str, at: datetime
) -> StoredTask:
    """Return the completed CRM task that logs a reply to the mail of `intent`; `message` is what identifies it."""
    wanted = {
        "subject": reply_subject(subject),
        "closed": True,
        "priority": Priority.NORMAL.value,
        "due_date": at.astimezone(rep.zone).date().isoformat(),
        "description": text,
        "subtype": StepType.EMAIL.value,
        **activity.reply(office, intent),
    }
    key = hashlib.blake2b(f"reply\n{message}".encode(), digest_size=16).hexdigest()
    return StoredTask(key=key, person=intent.person, rep=rep.email, wanted=wanted, due=at)


def closed_task(office: Office, stored: StoredIntent, event: IntentEvent, call: CallResult | None) -> dict[str, Any]:
    """Return what a task's end changes besides that it is closed; what came of a call may stand in its subject."""
    facts = activity.ended(office, stored.intent, event, call)
    if call is not None and says_call_result(office.crm_rules.subject):
        facts["subject"] = _subject(office, stored.intent, stored.subject or "", call)
    return facts


def sent_otherwise(
    tx: Transaction, office: Office, stored: StoredIntent, now: datetime, *, subject: str, note: str = ""
) -> None:
    """Let a task say under which subject its mail really went out, and, with `note`, what else is not as it was."""
    task = read_tasks(tx, [stored.intent.key]).get(stored.intent.key)
    if task is None:
        return
    fields = {"subject": _subject(office, stored.intent, subject)}
    if note:
        fields["description"] = f"{note}\n\n{task.wanted.get('description') or ''}".rstrip()
    want(tx, stored.intent.key, now, changed=now, **fields)


def want(tx: Transaction, key: str, now: datetime, *, changed: datetime | None = None, **fields: Any) -> None:
    """Change what is wanted of a task, if there is one; `changed` is when a person here did so."""
    task = read_tasks(tx, [key]).get(key)
    if task is None or task.dirty is Dirty.DELETE:
        return
    wanted: Mapping[str, Any] = {**task.wanted, **fields}
    if wanted != task.wanted:
        # One that lies in the CRM's recycle bin is not written; should it come back, both sides are merged then.
        dirty = Dirty.CLEAN if task.status == DELETED else Dirty.WRITE
        save_tasks(tx, [replace(task, wanted=wanted, dirty=dirty, due=now, changed=changed or task.changed)])


def withdraw(tx: Transaction, office: Office, key: str, now: datetime) -> None:
    """Close, delete or leave the open task of an ended campaign; one the CRM never saw is not made any more."""
    task = read_tasks(tx, [key]).get(key)
    if task is None or task.wanted.get("closed") or task.status == DELETED:
        return
    if task.synced is None and task.remote_id is None:
        # Should its creation be on its way this instant, `mark_written` finds that it must be closed.
        closed = {} if office.crm_rules.on_end is OnEnd.LEAVE else {"closed": True}
        save_tasks(tx, [replace(task, wanted={**task.wanted, **closed}, dirty=Dirty.CLEAN)])
    elif office.crm_rules.on_end is OnEnd.COMPLETE:
        want(tx, key, now, closed=True)
    elif office.crm_rules.on_end is OnEnd.DELETE:
        save_tasks(tx, [replace(task, dirty=Dirty.DELETE, due=now)])


def _subject(office: Office, intent: Intent, subject: str, call: CallResult | None = None) -> str:
    names = ActivityNames(
        activity_type=intent.type,
        activity_subject=subject,
        sales_campaign_name=intent.campaign,
        sales_campaign_day=intent.day,
        sales_campaign_step=intent.step,
        call_outcome=call.outcome if call is not None else "",
        call_reason=call.reason if call is not None else "",
    )
    return task_subject(office.crm_rules.subject, names)
