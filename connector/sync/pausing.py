"""What a pause does to a task that nobody has received yet, and what its end does.

Lives here: `keep_back`, `bring_forward`. Does not live here: sends (`record.hold_intent`), what was given to the rep or
to the CRM already: that stays with them. Source: spec sequencing 5, issue 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from connector.intents import IntentState
from connector.store.database import Transaction
from connector.store.intents import read_intents
from connector.store.mails import MailAction, MailState, change_mail, read_mails
from connector.store.tasks import DELETED, Dirty, StoredTask, read_tasks, save_tasks


def keep_back(tx: Transaction, key: str) -> None:
    """Let the draft of an open task not be made, and the task not go to the CRM, where that is still ahead."""
    mail, task = read_mails(tx, [key]).get(key), read_tasks(tx, [key]).get(key)
    if mail is not None and mail.action is MailAction.DRAFT and mail.state is MailState.WANTED:
        change_mail(tx, key, state=MailState.CANCELLED)
    if task is not None and _is_new(task):
        save_tasks(tx, [replace(task, dirty=Dirty.CLEAN)])


def bring_forward(tx: Transaction, keys: Sequence[str], now: datetime) -> None:
    """Let go on what a pause kept back of tasks that are still open."""
    still_open = [key for key, stored in read_intents(tx, keys).items() if stored.state is IntentState.OPEN]
    for key, mail in read_mails(tx, still_open).items():
        if mail.action is MailAction.DRAFT and mail.state is MailState.CANCELLED and mail.draft_id is None:
            change_mail(tx, key, state=MailState.WANTED)
    new = [task for task in read_tasks(tx, still_open).values() if _is_new(task)]
    save_tasks(tx, [replace(task, dirty=Dirty.WRITE, due=now) for task in new])


def _is_new(task: StoredTask) -> bool:
    """Tell whether the CRM never heard of a task: should it be writing it this instant, `mark_written` notes it."""
    return task.synced is None and task.remote_id is None and task.status != DELETED
