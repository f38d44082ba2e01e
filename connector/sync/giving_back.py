"""Mails of tasks that the connector sends because their rep has asked it to: whose they are, and giving them back.

Lives here: `is_tasks`, `give_back`. Does not live here: asking for it (`composing`), sending (`drain`), what must not
go out (`withholding`). Source: decision 39.

A task stays its rep's while its mail waits to be sent: the intent is `open`, as with a draft in the mailbox. Whatever
keeps the mail from going out gives it back, as a draft, and says why; nothing of it is sent later by itself.
"""

from __future__ import annotations

from datetime import datetime

from connector.events import EventKind
from connector.intents import IntentEvent, IntentState, Mode
from connector.store.compositions import change_wish
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, move_intent
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, change_mail
from connector.sync.outcomes import say
from connector.sync.record import intent_fact


def is_tasks(stored: StoredIntent) -> bool:
    """Tell whether a mail is a task's: if the connector sends it, then because its rep has asked it to."""
    return stored.intent.mode is Mode.TASK


def give_back(
    tx: Transaction, stored: StoredIntent, now: datetime, problem: str, *, state: MailState = MailState.WANTED
) -> StoredIntent:
    """Let the connector not send a task's mail; it is its rep's again, as a draft that is still to be placed.

    `state` says otherwise what becomes of the draft. Return the intent, which is open.
    """
    key = stored.intent.key
    if stored.state in (IntentState.DELIVERING, IntentState.UNKNOWN):
        stored = move_intent(tx, key, IntentEvent.OPEN, present=stored)
    ids = dict.fromkeys(("draft_id", "provider_id", "thread_id", "internet_message_id", "claimed"))
    change_mail(tx, key, action=MailAction.DRAFT, state=state, due=now, attempts=0, **ids)
    change_wish(tx, key, send_at=None)
    append(tx, [intent_fact(stored, EventKind.SEND_CALLED_OFF, now, reason=problem)])
    say(tx, stored, problem)
    return stored
