"""Whom a mail is about: the intent and person of an incoming mail, and the draft that became a sent mail.

Lives here: the order of the keys (spec delivery 1 and 5) and how subjects are compared. Does not live here: what
kind of mail it is (`classify`), where the candidates are kept (`store`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.inbox.classify import Classified
from connector.ports import MailReceived, SentMail

#: Clocks of a service and ours may differ by this much.
_CLOCK_DIFFERENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMail:
    """A mail of ours that lies in Sent: something an incoming mail may answer."""

    intent: str
    #: Address of the person it went to, lower case.
    person: str
    sent_at: datetime
    internet_message_id: str | None = None
    thread_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Whose mail it is, and the key that told."""

    intent: str
    person: str
    #: message_id, thread or address.
    matched_by: str
    #: False when somebody else wrote: an assistant, a colleague, another address of the same person.
    from_person: bool


def match_received(mail: MailReceived, classified: Classified, candidates: Sequence[KnownMail]) -> Match | None:
    """Return whom a mail is about: by Message-ID, then thread, then address; None when it is not about ours.

    Of several candidates under one key the one sent last counts. A delivery report is matched by the mail it is
    about and the address that failed, any other mail by what it answers and who wrote it.
    """
    sender = mail.sender.email.lower()
    answered = (classified.original_message_id, mail.in_reply_to, *reversed(mail.references))
    addresses = classified.failed_recipients or (sender,)
    earlier = sorted(
        (known for known in candidates if known.sent_at <= mail.at + _CLOCK_DIFFERENCE), key=lambda known: known.sent_at
    )

    def last(fits: Callable[[KnownMail], bool]) -> KnownMail | None:
        return next((known for known in reversed(earlier) if fits(known)), None)

    def matched(known: KnownMail, by: str) -> Match:
        return Match(intent=known.intent, person=known.person, matched_by=by, from_person=sender == known.person)

    for message_id in answered:
        if message_id and (known := last(lambda mail, wanted=message_id: mail.internet_message_id == wanted)):  # type: ignore[misc]
            return matched(known, "message_id")
    if mail.thread_id and (known := last(lambda known: known.thread_id == mail.thread_id)):
        return matched(known, "thread")
    if known := last(lambda known: known.person in addresses):
        return matched(known, "address")
    return None


def match_writer(mail: MailReceived, match: Match, candidates: Sequence[KnownMail]) -> Match | None:
    """Return what the writer of somebody else's mail was sent themselves: it is their answer, too."""
    sender = mail.sender.email.lower()
    theirs = [known for known in candidates if known.person == sender and known.sent_at <= mail.at + _CLOCK_DIFFERENCE]
    if match.from_person or not theirs:
        return None
    last = max(theirs, key=lambda known: known.sent_at)
    return Match(intent=last.intent, person=sender, matched_by="address", from_person=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDraft:
    """A draft of ours that the rep may send, with every id a service has told about it."""

    key: str
    to: str
    subject: str
    #: When it was made; a mail sent before cannot be it.
    since: datetime
    draft_id: str | None = None
    provider_id: str | None = None
    thread_id: str | None = None
    internet_message_id: str | None = None
    #: Nothing was sent in its thread before.
    own_thread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMatch:
    """The draft that was sent, and the key that told."""

    key: str
    #: id, stamp, message_id, thread, recipient_subject_time or own_thread.
    matched_by: str

    @property
    def is_certain(self) -> bool:
        """Whether the key is the mail's own; by the others it may be one that the rep wrote beside the draft."""
        return self.matched_by in ("id", "stamp", "message_id")


def match_sent(sent: SentMail, open_drafts: Sequence[OpenDraft]) -> SentMatch | None:
    """Return which draft a mail in Sent was: by id, stamp, Message-ID, thread, then recipient, subject and time.

    The last ones are only believed when exactly one draft fits: a rep may write by hand to the same person. Sent to
    somebody else it can still be told by its thread, if nothing but the draft was ever in it.
    """
    to = {address.lower() for address in (*sent.to, *sent.cc)}

    def recipient(draft: OpenDraft) -> bool:
        return draft.to.lower() in to and sent.at >= draft.since - _CLOCK_DIFFERENCE

    exact: tuple[tuple[str, Callable[[OpenDraft], bool]], ...] = (
        ("id", lambda draft: sent.provider_id in (draft.provider_id, draft.draft_id)),
        ("stamp", lambda draft: sent.key is not None and sent.key == draft.key),
        ("message_id", lambda draft: _same(sent.internet_message_id, draft.internet_message_id)),
    )
    for matched_by, fits in exact:
        if draft := next((draft for draft in open_drafts if fits(draft)), None):
            return SentMatch(key=draft.key, matched_by=matched_by)
    if sent.key is not None:
        return None  # It bears the stamp of another intent.
    likely: tuple[tuple[str, Callable[[OpenDraft], bool]], ...] = (
        ("thread", lambda draft: _same(sent.thread_id, draft.thread_id) and recipient(draft)),
        (
            "recipient_subject_time",
            lambda draft: recipient(draft) and normalised_subject(draft.subject) == normalised_subject(sent.subject),
        ),
        (
            "own_thread",
            lambda draft: (
                draft.own_thread
                and _same(sent.thread_id, draft.thread_id)
                and sent.at >= draft.since - _CLOCK_DIFFERENCE
            ),
        ),
    )
    for matched_by, fits in likely:
        found = [draft for draft in open_drafts if fits(draft)]
        if len(found) == 1:
            return SentMatch(key=found[0].key, matched_by=matched_by)
    return None


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


#: What mail programs put before a subject when they answer or pass on, in the languages they speak.
_MARKS = (
    "re|r|aw|antw|antwort|sv|vs|vb|odp|ynt|res|ref|rif|atb|bls|回复|回覆|答复|答覆|"
    "fw|fwd|wg|i|tr|rv|enc|ilt|doorst|vl|pd|továbbítás|转发|轉寄"
)
_MARK = re.compile(
    rf"^(?:(?:{_MARKS})\s*(?:\[\d+\]|\(\d+\))?\s*[:\uff1a]|\[(?:external|extern|externe)\])\s*", re.IGNORECASE
)


def normalised_subject(subject: str) -> str:
    """Return a subject without the marks of answers, in one case and with single spaces."""
    text = " ".join(subject.split())
    while (stripped := _MARK.sub("", text)) != text:
        text = stripped
    return text.casefold()
