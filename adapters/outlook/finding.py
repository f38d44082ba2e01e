"""Looking a mail up: is it a draft, sent, waiting to go, in the bin, nowhere, or can nobody tell.

Lives here: `Finding`: where is looked and in which order. Does not live here: which of several messages it is
(`sightings`), what follows from the answer (`connector.sync`).

An id may change on send whatever is asked, so several keys are tried; a draft that left Drafts may have been sent or
discarded. Source: reference apis 3.2; spec delivery 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.outlook.folders import Folder, Folders
from adapters.outlook.messages import instant, is_scheduled, quoted, sent_mail, stamped_with
from adapters.outlook.paths import body_of, folder_path, is_unread, listing, messages_in, ours
from adapters.outlook.session import GraphSession
from adapters.outlook.sightings import Sighting, judged, left_over, resembles
from connector.errors import AdapterError
from connector.ports import Clock, Found, Trace, Whereabouts

#: Where Outlook keeps what was deleted for good or from the bin, for some weeks.
_PURGED = "/mailFolders/recoverableitemsdeletions/messages"

#: The look-up that lists Sent Items, and how many further pages of it are read.
_SENT_SINCE = "sent since"
_PAGES = 5


class Finding:
    """Looks mails up in one mailbox."""

    def __init__(self, session: GraphSession, folders: Folders, *, clock: Clock) -> None:
        """Take the session, and who tells folders apart."""
        self._session = session
        self._folders = folders
        self._clock = clock

    def find(self, trace: Trace) -> Found:
        """Look a mail up: by stored id and stamp in one call; only if it is not there, by weaker keys in more.

        Source: apis 3.2, the order of keys.
        """
        strong = {
            "stamp in Drafts": listing(folder_path("drafts"), stamped_with(trace.key)),
            "stamp in Sent Items": listing(folder_path("sentitems"), stamped_with(trace.key)),
            "stamp in Deleted Items": listing(folder_path("deleteditems"), stamped_with(trace.key)),
        }
        if trace.draft is not None:
            strong = {"stored id": ours(trace.draft.draft_id), **strong}
        answers = self._session.read_batch(strong)
        seen = self._sightings(answers, strong)
        found = judged(seen, trace)
        if found and found.where is not Whereabouts.DISCARDED:
            return found
        weak = self._weak(trace)
        answers = self._session.read_batch(weak)
        listed, searched = self._resembling(answers.pop(_SENT_SINCE), trace)
        seen += self._sightings(answers, weak) + listed
        if found := judged(seen, trace):
            return found
        searched = searched and not any(is_unread(answer) for answer in answers.values())
        # A draft that was there leaves Drafts for Sent Items or for the bins. In neither it is most likely on its way
        # to Sent Items, where it may take seconds to appear: that is no proof that it was discarded.
        where = Whereabouts.ABSENT if searched and trace.draft is None else Whereabouts.UNCLEAR
        return Found(where=where, extra=left_over(seen, trace))

    def _weak(self, trace: Trace) -> dict[str, str]:
        stamped = stamped_with(trace.key)
        weak = {
            "stamp anywhere": listing("/messages", stamped),
            "stamp in the second bin": listing(_PURGED, stamped),
            _SENT_SINCE: listing(folder_path("sentitems"), f"receivedDateTime ge {instant(trace.since)}"),
        }
        if trace.draft and trace.draft.internet_message_id:
            same = f"internetMessageId eq {quoted(trace.draft.internet_message_id)}"
            weak["Message-ID"] = listing("/messages", same)
        return weak

    def _resembling(self, answer: Any, trace: Trace) -> tuple[list[Sighting], bool]:
        """Return what was sent to this person in the conversation or under this subject, without another's stamp.

        It is compared here, because Graph cannot filter by recipient, and a filter by conversation bears no order.
        The second value is false when not all of it could be read.
        """
        messages = list(messages_in(answer))
        for _ in range(_PAGES):
            if "@odata.nextLink" not in body_of(answer):
                break
            (answer,) = self._session.read_links(
                {_SENT_SINCE: self._session.relative(answer["@odata.nextLink"])}
            ).values()
            messages += messages_in(answer)
        messages.sort(key=lambda message: sent_mail(message).at)
        found = [
            Sighting(where=Whereabouts.SENT, message=message, matched_by=matched_by)
            for message in messages
            if (matched_by := resembles(message, trace))
        ]
        return found, not isinstance(answer, AdapterError) and "@odata.nextLink" not in answer

    def _sightings(self, answers: Mapping[str, Any], asked: Mapping[str, str]) -> list[Sighting]:
        return [
            Sighting(where=self.where(message, purged=_PURGED in asked[name]), message=message, matched_by=name)
            for name in asked
            if name in answers
            for message in sorted(messages_in(answers[name]), key=lambda message: str(message.get("sentDateTime")))
        ]

    def where(self, message: Mapping[str, Any], *, purged: bool = False) -> Whereabouts:
        """Tell by its folder where a message is; wherever it lies, a draft is what was not sent yet."""
        if purged:
            return Whereabouts.DISCARDED if message["isDraft"] else Whereabouts.SENT
        match self._folders.which(message["parentFolderId"]):
            case Folder.OUTBOX:
                return Whereabouts.SCHEDULED
            case Folder.DELETED if message["isDraft"]:
                return Whereabouts.DISCARDED
            case _ if is_scheduled(message, self._clock.now()):
                return Whereabouts.SCHEDULED
            case _:
                return Whereabouts.DRAFT if message["isDraft"] else Whereabouts.SENT
