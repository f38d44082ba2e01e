"""Taking a draft away that is not wanted any more, or not in this mailbox: only if its rep has not touched it.

Lives here: `take_back`. Does not live here: when a draft is not wanted any more (`record`, `actions`, `task_changes`).
Source: spec delivery 4.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from connector.events import EventKind
from connector.intents import IntentState
from connector.people import Rep
from connector.ports import Found, Mailbox, Whereabouts
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.ledger import append
from connector.store.mails import MailState, StoredMail, change_mail
from connector.sync.office import Office
from connector.sync.outcomes import draft_left, draft_scheduled, draft_sent
from connector.sync.record import intent_fact


def take_back(
    office: Office,
    rep: Rep,
    mailbox: Mailbox,
    mail: StoredMail,
    step: Callable[[str], AbstractContextManager[Transaction]],
) -> bool:
    """Delete an untouched draft, and let it be made anew where its task went; tell whether there was one.

    No service deletes on condition, so it is looked at just before. `step` begins a transaction about a person, and
    raises when the lane is lost.
    """
    found = mailbox.find(mail.trace)
    draft = found.draft
    changed = draft is not None and (found.edited or mail.provider_id not in (None, draft.provider_id))
    touched = changed or found.where in (Whereabouts.SENT, Whereabouts.SCHEDULED)
    if draft is not None and not touched:
        for one in (draft, *found.extra):
            mailbox.delete_draft(one)
    with step(mail.person) as tx:
        stored, now = read_intents(tx, [mail.key])[mail.key], office.now()
        if touched:
            _leave(tx, office, rep, mail, stored, found, now)
            return False
        moved_to = _moved_to(office, stored, mail)
        change_mail(tx, mail.key, **(moved_to or {"state": MailState.DELETED}))
        if draft is not None:
            append(tx, [intent_fact(stored, EventKind.DRAFT_DELETED, now, reason=stored.problem or "")])
    return draft is not None


def _leave(
    tx: Transaction, office: Office, rep: Rep, mail: StoredMail, stored: StoredIntent, found: Found, now: datetime
) -> None:
    """Leave a draft to the rep who has touched it in the meantime."""
    if found.sent is not None:
        draft_sent(tx, office, mail, stored, found.sent, now)
    elif stored.state is not IntentState.OPEN:
        scheduled = found.where is Whereabouts.SCHEDULED
        why = "it is scheduled in the mail program and goes out by itself" if scheduled else "they have edited it"
        draft_left(tx, mail, stored, now, why)
    elif found.draft is None:
        draft_scheduled(tx, mail, stored, now)
    else:
        # Its task went to another rep: it is done when the draft is sent from where it lies.
        change_mail(tx, mail.key, **mail.with_draft(found.draft), state=MailState.PRESENT, edited=True)
        why = f"it was edited, and stays in the mailbox of {rep.email}: the task is done when it is sent"
        append(tx, [intent_fact(stored, EventKind.DRAFT_EDITED, now, reason=why)])


def _moved_to(office: Office, stored: StoredIntent, mail: StoredMail) -> dict[str, Any] | None:
    """Return what makes a draft anew in another mailbox, when its task moved to another rep."""
    rep = office.reps.get(stored.intent.rep)
    if stored.state is not IntentState.OPEN or rep is None or office.lane_of(rep) == mail.lane:
        return None
    ids = dict.fromkeys(("draft_id", "provider_id", "thread_id", "internet_message_id", "claimed", "token"))
    return {"state": MailState.WANTED, "lane": office.lane_of(rep), "attempts": 0, **ids}
