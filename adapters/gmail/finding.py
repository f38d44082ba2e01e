"""Looking a mail up: is it a draft, sent, scheduled, in the bin, nowhere, or can nobody tell.

Lives here: `Finding`: where is looked and in which order, and when nothing found means that it is not there. Does not
live here: which of several mails it is (`messages.matching`), what follows from the answer (`connector.sync`).

Gmail's search is an index that may not know the newest mails yet, and it knows no header of ours. So the newest drafts
and the newest of Sent are listed without a search and read; the search is for the older ones, by recipient. What a
draft became is told first by the labels of the message that was in it. Source: reference apis 2.3, 2.5, 2.10;
spec delivery 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapters.gmail.messages import (
    DRAFT_FIELDS,
    MESSAGE_FIELDS,
    SEEN_HEADERS,
    Message,
    draft_ref,
    labels_of,
    matching,
    sent_mail,
)
from adapters.gmail.session import GmailSession
from connector.ports import DraftRef, Found, Trace, Whereabouts

#: Newest drafts, and newest of Sent, that are read whatever a search says. Together with what a search finds they
#: fill one batch at most times.
_NEWEST = 20
#: Most mails read of one search; when it finds more, nobody can say that there is no other.
_CANDIDATES = 50


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was read."""

    #: Message id -> message.
    messages: dict[str, Message] = field(default_factory=dict)
    #: Message id -> id of the draft that holds it.
    drafts: dict[str, str] = field(default_factory=dict)
    #: Every search was read to its end.
    complete: bool = True
    #: The message that was in the draft lies in the bin.
    binned: bool = False


class Finding:
    """Looks mails up in one mailbox."""

    def __init__(self, session: GmailSession, *, reads: bool) -> None:
        """Take the session; `reads` tells whether messages may be read with its scopes, or drafts only."""
        self._session = session
        self._api = session.api
        self._user = session.user
        self._reads = reads

    def find(self, trace: Trace, *, scheduled: Collection[str] = ()) -> Found:
        """Look a mail up by draft id, message id, stamp, Message-ID, then recipient, subject and time.

        `scheduled`: ids of messages that were seen to be scheduled, which a search may not know yet.
        """
        seen = _Seen()
        if trace.draft is not None:
            known = self._known(trace, trace.draft, seen)
            if known is not None:
                return known
        self._read(trace, seen, scheduled)
        return self._told(trace, seen)

    # ----------------------------------------------------------------------------------------- by its id

    def _known(self, trace: Trace, draft: DraftRef, seen: _Seen) -> Found | None:
        """Look at the draft itself, then at the message that was in it; None when neither tells."""
        kept = self._session.read_if_there(self._draft(draft.draft_id))
        if kept is not None and "TRASH" not in labels_of(kept["message"]):
            where = Whereabouts.SCHEDULED if "SCHEDULED" in labels_of(kept["message"]) else Whereabouts.DRAFT
            return Found(where=where, draft=draft_ref(str(kept["id"]), kept["message"]), matched_by="draft_id")
        seen.binned = kept is not None
        if draft.provider_id is None or not self._reads:
            return None
        message = self._session.read_if_there(self._message(draft.provider_id))
        if message is None:
            return None
        labels = labels_of(message)
        if "SENT" in labels:
            return Found(where=Whereabouts.SENT, sent=sent_mail(message, trace.since), matched_by="provider_id")
        if "SCHEDULED" in labels:
            return Found(where=Whereabouts.SCHEDULED, matched_by="provider_id")
        seen.binned = seen.binned or "TRASH" in labels
        return None

    # ------------------------------------------------------------------------------------- among others

    def _read(self, trace: Trace, seen: _Seen, scheduled: Collection[str]) -> None:
        """Read the newest mails, and those a search finds, in a call or two.

        Drafts are listed before Sent: a mail that is sent in between is then seen at least once.
        """
        drafts = self._api.drafts.list
        messages = self._api.messages.list
        to = f"to:{trace.to}"
        rows = "nextPageToken,messages(id)"
        listings = [
            drafts(userId=self._user, maxResults=_NEWEST, fields="drafts(id,message(id))"),
            drafts(userId=self._user, q=to, maxResults=_CANDIDATES, fields="nextPageToken,drafts(id,message(id))"),
        ]
        if self._reads:
            # A mail that was sent and then put into the bin was sent.
            sent = {"userId": self._user, "includeSpamTrash": True}
            since = f"in:sent {to} after:{_epoch(trace.since)}"
            listings += [
                messages(**sent, labelIds=["SENT"], maxResults=_NEWEST, fields="messages(id)"),
                messages(**sent, q=since, maxResults=_CANDIDATES, fields=rows),
                messages(userId=self._user, q=f"in:scheduled {to}", maxResults=_CANDIDATES, fields=rows),
            ]
            if trace.draft is not None and trace.draft.internet_message_id:
                known = trace.draft.internet_message_id.strip("<>")
                listings.append(messages(**sent, q=f"rfc822msgid:{known}", maxResults=_CANDIDATES, fields=rows))
        answers = [answer or {} for answer in self._session.read_all(listings)]
        seen.complete = not any("nextPageToken" in answer for answer in answers)
        listed = {str(row["message"]["id"]): str(row["id"]) for answer in answers for row in answer.get("drafts", ())}
        others = dict.fromkeys(str(row["id"]) for answer in answers for row in answer.get("messages", ()))
        others |= dict.fromkeys(scheduled)
        self._read_each(seen, listed, [one for one in others if one not in listed])

    def _read_each(self, seen: _Seen, drafts: Mapping[str, str], others: Collection[str]) -> None:
        wanted = [self._draft(draft_id) for draft_id in drafts.values()] + [self._message(one) for one in others]
        for place, answer in enumerate(self._session.read_all(wanted)):
            if answer is None:
                continue
            message = answer["message"] if place < len(drafts) else answer
            seen.messages[str(message["id"])] = message
            if place < len(drafts):
                seen.drafts[str(message["id"])] = str(answer["id"])

    def _told(self, trace: Trace, seen: _Seen) -> Found:
        """Say what was found. Sent counts more than anything else that bears the same key."""
        # A draft whose id changed, and which still holds the message that we know.
        known = trace.draft.provider_id if trace.draft else None
        if known in seen.drafts:
            draft = draft_ref(seen.drafts[known], seen.messages[known])
            return Found(where=Whereabouts.DRAFT, draft=draft, matched_by="provider_id")
        matched_by, hits = matching(trace, seen.messages.values())
        refs = [
            draft_ref(seen.drafts[str(hit["id"])], hit)
            for hit in hits
            if str(hit["id"]) in seen.drafts and "TRASH" not in labels_of(hit)
        ]
        # Drafts that only look alike are the rep's own.
        extra = tuple(refs) if matched_by == "stamp" else ()
        for hit in hits:
            if "SENT" in labels_of(hit):
                sent = sent_mail(hit, trace.since)
                return Found(where=Whereabouts.SENT, sent=sent, matched_by=matched_by, extra=extra)
        if any("SCHEDULED" in labels_of(hit) for hit in hits):
            return Found(where=Whereabouts.SCHEDULED, matched_by=matched_by, extra=extra)
        if refs and seen.complete:
            return Found(where=Whereabouts.DRAFT, draft=refs[0], matched_by=matched_by, extra=extra[1:])
        return Found(where=self._nowhere(trace, seen, hits))

    def _nowhere(self, trace: Trace, seen: _Seen, hits: Collection[Message]) -> Whereabouts:
        if seen.binned or (hits and all("TRASH" in labels_of(hit) for hit in hits)):
            return Whereabouts.DISCARDED
        if not seen.complete or not self._reads:
            return Whereabouts.UNCLEAR
        return Whereabouts.ABSENT if trace.draft is None else Whereabouts.DISCARDED

    # -------------------------------------------------------------------------------------------- calls

    def _draft(self, draft_id: str) -> Any:
        return self._api.drafts.get(userId=self._user, id=draft_id, format="metadata", fields=DRAFT_FIELDS)

    def _message(self, message_id: str) -> Any:
        return self._api.messages.get(
            userId=self._user,
            id=message_id,
            format="metadata",
            metadataHeaders=SEEN_HEADERS,
            fields=MESSAGE_FIELDS,
        )


def _epoch(instant: datetime) -> int:
    """Return the second before an instant: `after:` leaves its own second out."""
    return int(instant.timestamp()) - 1
