"""Giving a task to another rep: its draft and its CRM task go along.

Lives here: `assign_stored`, `move_draft`. Does not live here: a task that was given away in the CRM (`task_changes`),
deleting the draft and making it anew (`taking_back`, `drain`). Source: spec delivery 3.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import IntentState
from connector.people import Rep
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, reassign_intent
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, change_mail, read_mails
from connector.store.tasks import DELETED, Dirty, read_tasks, save_tasks
from connector.sync.giving_back import give_back
from connector.sync.office import Office
from connector.sync.record import intent_fact

#: Mails that lie in the first rep's mailbox, or will in a moment.
_WITH_FIRST_REP = (MailState.PRESENT, MailState.SCHEDULED, MailState.IN_FLIGHT)


def assign_stored(tx: Transaction, office: Office, stored: StoredIntent, rep: Rep, now: datetime) -> None:
    """Give a task that this transaction has read to another rep; raise `BadInput` before anything is written."""
    key = stored.intent.key
    if stored.state is not IntentState.OPEN:
        raise BadInput(f"the task '{key[:8]}' is {stored.state}, so it cannot be given to somebody else")
    if stored.intent.rep == rep.email:
        raise BadInput(f"the task '{key[:8]}' belongs to {rep.name} already")
    reason = move_draft(tx, office, stored, rep, now)
    append(tx, [intent_fact(stored, EventKind.TASK_REASSIGNED, now, owner=rep.email, reason=reason)])
    reassign_intent(tx, key, rep.email)
    task = read_tasks(tx, [key]).get(key)
    if task is None:
        return
    # Without an owner, the one that the new rep's user is in the CRM is filled in before it is written.
    wanted = {name: value for name, value in task.wanted.items() if name != "owner"}
    waits = task.dirty is not Dirty.CLEAN or task.status == DELETED
    save_tasks(tx, [replace(task, rep=rep.email, wanted=wanted, dirty=task.dirty if waits else Dirty.WRITE, due=now)])
    office.wake(tx, [office.crm_rules.name] if office.mirrors_tasks else [])


def move_draft(tx: Transaction, office: Office, stored: StoredIntent, rep: Rep, now: datetime) -> str:
    """Let an untouched draft move to another rep's mailbox, if it holds drafts; return what becomes of it."""
    mail = read_mails(tx, [stored.intent.key]).get(stored.intent.key)
    if mail is None or stored.state is not IntentState.OPEN:
        return ""
    mailbox = office.mailboxes.get(rep.email)
    stays = f"the draft stays in the mailbox of {stored.intent.rep}, and the task is done when it is sent from there"
    if mailbox is None or not mailbox.capabilities.drafts:
        return f"their mailbox holds no drafts: {stays}"
    if mail.state is MailState.WANTED:
        if mail.action is MailAction.SEND:
            give_back(tx, stored, now, "its task went to another rep")
        change_mail(tx, mail.key, lane=office.lane_of(rep))
    elif mail.state is MailState.PRESENT and not mail.edited:
        # Deleted first, then made anew by `drain`: there are never two.
        change_mail(tx, mail.key, state=MailState.UNWANTED, due=now)
    else:
        return f"it was edited or is on its way: {stays}" if mail.state in _WITH_FIRST_REP else ""
    return "the untouched draft moves to their mailbox"
