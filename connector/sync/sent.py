"""What follows once a mail that the connector sent lies in Sent.

Lives here: `confirm_sent`. Does not live here: a draft that its rep sent (`outcomes`), how it is found out (`drain`,
`pull_mailbox`).
"""

from __future__ import annotations

from datetime import datetime

from connector.errors import BadInput
from connector.events import EventKind
from connector.intents import Intent, IntentEvent
from connector.people import Rep
from connector.ports import SentMail
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, move_intent
from connector.store.mails import StoredMail
from connector.store.tasks import save_tasks
from connector.sync.giving_back import is_tasks
from connector.sync.letters import Letter, Letters
from connector.sync.mirror import logged_mail, sent_otherwise
from connector.sync.office import Office
from connector.sync.record import end_task, intent_fact, record


def confirm_sent(
    tx: Transaction,
    office: Office,
    rep: Rep,
    mail: StoredMail,
    stored: StoredIntent,
    sent: SentMail,
    now: datetime,
    *,
    letter: Letter | None = None,
) -> None:
    """Do what follows once a mail of ours is known to lie in Sent: the campaign moves on, and the CRM gets its log.

    A task's is completed by it, and its CRM task is the log.

    `stored` is its intent as it stands, `letter` what it said, when that is known; else it is composed again.
    """
    at = min(sent.at, now)
    if is_tasks(stored):
        stored = move_intent(tx, mail.key, IntentEvent.OPEN, present=stored)
        end_task(tx, office, stored, IntentEvent.COMPLETE, now, at=at, by="as its rep had it sent", sent=True)
        sent_otherwise(tx, office, stored, now, subject=mail.subject)
        return
    stored = move_intent(tx, mail.key, IntentEvent.SEND, present=stored)
    record(tx, office, [intent_fact(stored, EventKind.SENT, at)], now)
    if office.mirrors_tasks and office.crm_rules.log_email:
        text, template = (letter.text, letter.step.template) if letter else _said(tx, office, stored.intent)
        log = logged_mail(office, stored.intent, rep, subject=mail.subject, text=text, template=template, sent=at)
        save_tasks(tx, [log])


def _said(tx: Transaction, office: Office, intent: Intent) -> tuple[str, str | None]:
    """Return what a sent mail said, and the name of its template."""
    try:
        letter = Letters(tx, office, [intent]).compose(intent)
    except BadInput:
        return "", None  # It went out; what it said can no longer be told from the template.
    return letter.text, letter.step.template
