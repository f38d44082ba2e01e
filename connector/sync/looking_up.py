"""A mail that may be out is looked up before anything is done with it again.

Lives here: `look_up`, and from when its answer is proof. Does not live here: how a mailbox finds it (adapters), what
follows (`drain`). Source: spec delivery 1; decision 16.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connector.errors import OutcomeUnknown, Refused
from connector.ports import Found, Mailbox, SentMail, Whereabouts
from connector.store.mails import MailAction, MailState, StoredMail, read_sent_about
from connector.sync.office import Office
from connector.sync.outcomes import SHOWN, UNDO, may_be_undone

#: How late the copy of a mail whose draft has left may come to lie in Sent, before a person is asked to look.
_COPIED = timedelta(minutes=10)


def look_up(office: Office, mailbox: Mailbox, mail: StoredMail) -> Found:
    """Return where a mail is, and delete further drafts of it.

    Raises `OutcomeUnknown` when the look is refused: that says nothing of what became of it.
    """
    try:
        found = mailbox.find(mail.trace)
        for extra in found.extra:
            mailbox.delete_draft(extra)
    except Refused as error:
        raise OutcomeUnknown(error.sentence, key=mail.key, code=error.code) from error
    if found.sent is None or not _is_anothers(office, mail, found.sent):
        return found
    # A follow-up has its recipient and subject from the email before, which may have gone out just now.
    return Found(where=Whereabouts.ABSENT if mail.draft is None else Whereabouts.DISCARDED)


def _is_anothers(office: Office, mail: StoredMail, sent: SentMail) -> bool:
    """Tell whether what lies in Sent is known to be another mail of ours."""
    ids = [sent.internet_message_id] if sent.internet_message_id else []
    with office.database.read() as tx:
        known = read_sent_about(tx, message_ids=ids, thread_ids=[], persons=[])
    return any(one.key != mail.key and one.state is MailState.SENT for one in known)


def believed_from(mail: StoredMail, found: Found, now: datetime) -> datetime:
    """Return from when an answer counts: a send may be undone, and what was taken in shows only after a while."""
    match found.where:
        case Whereabouts.SENT if found.sent is not None:
            return found.sent.at + UNDO if may_be_undone(mail, found.sent, now) else now
        case Whereabouts.UNCLEAR if mail.action is MailAction.SEND and mail.draft_id is not None:
            return (mail.claimed or now) + _COPIED
        case Whereabouts.ABSENT | Whereabouts.DISCARDED | Whereabouts.UNCLEAR:
            return (mail.claimed or now) + SHOWN
        case _:
            return now
