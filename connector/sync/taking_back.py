"""Taking a draft away that is not wanted any more, or not in this mailbox, or not as it is.

Only if its rep has not touched it. Lives here: `take_back`. Does not live here: when a draft is not wanted any more
(`record`, `actions`, `task_changes`), or another in its place (`composing`). Source: spec delivery 4, decision 39.

A draft that another takes the place of, or a send, may be on its way to Sent: a send that can be undone waits outside
of Drafts and Sent. So one that is nowhere is believed gone only after a while; else its person would get two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from connector.events import EventKind
from connector.intents import IntentState
from connector.people import Rep
from connector.ports import Found, Mailbox, Whereabouts
from connector.store.compositions import Composition, change_wish, read_compositions, withdraw_composition
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, StoredMail, change_mail
from connector.sync.office import Office
from connector.sync.outcomes import draft_left, draft_scheduled, draft_sent, is_discarded, say
from connector.sync.record import intent_fact

#: How soon a draft that is nowhere is looked for again.
_LOOK_AGAIN = timedelta(minutes=1)


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
    with office.database.read() as tx:
        composition = read_compositions(tx, [mail.key]).get(mail.key)
    settled = composition is not None and composition.over_edits
    changed = draft is not None and (
        (found.edited and not settled) or mail.provider_id not in (None, draft.provider_id)
    )
    touched = changed or found.where in (Whereabouts.SENT, Whereabouts.SCHEDULED)
    if draft is not None and not touched:
        for one in (draft, *found.extra):
            mailbox.delete_draft(one)
    with step(mail.person) as tx:
        stored, now = read_intents(tx, [mail.key])[mail.key], office.now()
        if touched:
            _leave(tx, office, rep, mail, stored, found, now)
            return False
        anew = _made_anew(office, stored, mail, composition, now)
        if anew is not None and draft is None and not is_discarded(found, mail.missing, now):
            change_mail(tx, mail.key, missing=mail.missing or now, due=now + _LOOK_AGAIN)
            return False
        change_mail(tx, mail.key, **(anew or {"state": MailState.DELETED}))
        sends = anew is not None and anew["action"] is MailAction.SEND
        if composition is not None:
            change_wish(tx, mail.key, send_at=composition.send_at if sends else None)
        if draft is not None:
            append(tx, [intent_fact(stored, EventKind.DRAFT_DELETED, now, reason=stored.problem or "")])
    return draft is not None


def _leave(
    tx: Transaction, office: Office, rep: Rep, mail: StoredMail, stored: StoredIntent, found: Found, now: datetime
) -> None:
    """Leave a draft to the rep who has touched it in the meantime."""
    change_mail(tx, mail.key, action=MailAction.DRAFT)
    change_wish(tx, mail.key, send_at=None)
    if found.sent is not None:
        draft_sent(tx, office, mail, stored, found.sent, now)
    elif stored.state is not IntentState.OPEN:
        scheduled = found.where is Whereabouts.SCHEDULED
        why = "it is scheduled in the mail program and goes out by itself" if scheduled else "they have edited it"
        draft_left(tx, mail, stored, now, why)
    elif found.draft is None:
        draft_scheduled(tx, mail, stored, now)
    else:
        change_mail(tx, mail.key, **mail.with_draft(found.draft), state=MailState.PRESENT, edited=True)
        if stored.intent.rep == rep.email:
            withdraw_composition(tx, mail.key)
            why = "it was edited in the mail program, so what was written here did not take its place: choose one"
            say(tx, stored, why)
        else:
            # Its task went to another rep: it is done when the draft is sent from where it lies.
            why = f"it was edited, and stays in the mailbox of {rep.email}: the task is done when it is sent"
        append(tx, [intent_fact(stored, EventKind.DRAFT_EDITED, now, reason=why)])


def _made_anew(
    office: Office, stored: StoredIntent, mail: StoredMail, composition: Composition | None, now: datetime
) -> dict[str, Any] | None:
    """Return what makes a draft anew: its task went to another mailbox, is open again, or is to say something else."""
    rep = office.reps.get(stored.intent.rep)
    if stored.state is not IntentState.OPEN or rep is None:
        return None
    lane = office.lane_of(rep)
    sends = lane == mail.lane and mail.action is MailAction.SEND and composition is not None
    due = composition.send_at if sends and composition is not None else None
    ids = dict.fromkeys(("draft_id", "provider_id", "thread_id", "internet_message_id", "claimed", "token"))
    blank = {"attempts": 0, "edited": False, "missing": None, "sent": None, "draft_subject": None}
    action = MailAction.DRAFT if due is None else MailAction.SEND
    return {"state": MailState.WANTED, "action": action, "lane": lane, "due": due or now, **ids, **blank}
