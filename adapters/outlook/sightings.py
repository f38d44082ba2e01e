"""Which of the messages found by several keys is the mail that is looked for. Pure.

Lives here: `Sighting`, `judged`, `left_over`, `resembles`. Does not live here: asking Graph for them (`finding`).
Source: apis 3.2. A forward copies the stamp, a reply shares the conversation, and reps write by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.outlook.messages import draft_ref, is_begun, recipients, saved_at, sent_mail, stamp_of, was_edited
from connector.ports import DraftRef, Found, Trace, Whereabouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A message that may be the one looked for."""

    where: Whereabouts
    message: Mapping[str, Any]
    matched_by: str


def judged(seen: Sequence[Sighting], trace: Trace) -> Found | None:
    """Choose among sightings: sent, draft, waiting to go, sent to somebody else, discarded; each in the order of keys.

    A sent mail to somebody else may be a forward, so it counts only if there is no draft; and only a draft with this
    recipient and subject that its rep has not touched, or one that was never made whole, is left over from a lost
    answer. Returns None when there is no sighting of a whole one.
    """
    left = left_over(seen, trace)
    seen = [one for one in seen if not _is_unfinished(one, trace)]
    sent = [s for s in seen if s.where is Whereabouts.SENT]
    sent_here = [s for s in sent if s.matched_by == "stored id" or _is_to(s.message, trace)]
    drafts = [s for s in seen if s.where is Whereabouts.DRAFT]
    waiting = [s for s in seen if s.where is Whereabouts.SCHEDULED]
    # What lay in the bin before the mail was begun is an earlier draft of it, which was discarded and made anew.
    discarded = [s for s in seen if s.where is Whereabouts.DISCARDED and saved_at(s.message) >= trace.since]
    chosen = next(iter((*sent_here, *drafts, *waiting, *sent, *discarded)), None)
    if chosen is None:
        return None
    others = {s.message["id"]: s.message for s in drafts if s.message["id"] != chosen.message["id"]}
    extra = tuple(
        draft_ref(message)
        for message in others.values()
        if _is_to(message, trace) and _same_subject(message, trace) and not was_edited(message)
    )
    return Found(
        where=chosen.where,
        draft=draft_ref(chosen.message) if chosen.where is Whereabouts.DRAFT else None,
        sent=sent_mail(chosen.message) if chosen.where is Whereabouts.SENT else None,
        matched_by=chosen.matched_by,
        edited=chosen.where is Whereabouts.DRAFT and was_edited(chosen.message),
        extra=(*extra, *left),
    )


def left_over(seen: Sequence[Sighting], trace: Trace) -> tuple[DraftRef, ...]:
    """Return the drafts that were begun and never made whole: nobody was told of them, and nobody should send them."""
    begun = [draft_ref(s.message) for s in seen if s.where is Whereabouts.DRAFT and _is_unfinished(s, trace)]
    return tuple(dict.fromkeys(begun))


def _is_unfinished(sighting: Sighting, trace: Trace) -> bool:
    message = sighting.message
    if sighting.where is Whereabouts.SENT or not is_begun(message) or _is_to(message, trace):
        return False  # The last request addresses it; an old program of the rep's may bring the mark back.
    return trace.draft is None or message["id"] != trace.draft.draft_id


def resembles(message: Mapping[str, Any], trace: Trace) -> str:
    """Return the weak key by which a sent mail may be the one looked for, or "" if it is not."""
    if stamp_of(message) not in (None, trace.key) or not _is_to(message, trace):
        return ""
    if trace.draft and trace.draft.thread_id and message.get("conversationId") == trace.draft.thread_id:
        return "conversation, recipient and time"
    return "recipient, subject and time" if _same_subject(message, trace) else ""


def _is_to(message: Mapping[str, Any], trace: Trace) -> bool:
    return trace.to.lower() in recipients(message)


def _same_subject(message: Mapping[str, Any], trace: Trace) -> bool:
    return " ".join((message.get("subject") or "").split()).casefold() == " ".join(trace.subject.split()).casefold()
