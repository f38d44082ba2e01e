"""The calls of one mailbox: each sent once, or repeated where that does no harm.

Lives here: `GmailSession`, which every part of the adapter calls Gmail through: which calls may be repeated, which go
together in a batch, what they cost, and that a lost answer to an effect is an unknown outcome. Does not live here:
which calls are made (`drafting`, `finding`, `watching`), the line (`transport`), what an error means (`errors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest

from adapters.gmail.account import Grant
from adapters.gmail.api import api_at
from adapters.gmail.batch import LARGEST_BATCH, GarbledBatch, send_batch
from adapters.gmail.codes import NOT_FOUND
from adapters.gmail.errors import answered, garbled, too_slow, unanswered
from adapters.gmail.messages import encode_raw
from adapters.gmail.quota import UNITS_PER_MINUTE, Quota, units_of
from adapters.gmail.transport import Transport
from adapters.gmail.upload import LARGEST_IN_JSON, draft_upload
from adapters.http import TooSlow, retrying
from connector.errors import AdapterError, Refused, Retry
from connector.ports import Clock

#: Answers of a server that has no batch address (a stand-in for Google's).
_NO_BATCH = frozenset({404, 405, 501})
#: The token is not taken; the transport renews it when a whole answer says so.
_NO_TOKEN = 401


class GmailSession:
    """Makes the calls of one mailbox; one thread at a time."""

    def __init__(
        self,
        grant: Grant,
        mailbox: str,
        *,
        user: str,
        clock: Clock,
        endpoint: str | None,
        units_per_minute: int = UNITS_PER_MINUTE,
    ) -> None:
        """Open without calling anyone. `mailbox` is the rep's address; `user` is Gmail's userId for it, or "me"."""
        self.api = api_at(endpoint)
        self.user = user
        self.mailbox = mailbox
        self.clock = clock
        self._grant = grant
        self._transport = Transport(grant)
        self._quota = Quota(clock, mailbox=mailbox, per_minute=units_per_minute)
        #: No more than a third of a minute's quota at once.
        self._batch_size = max(1, min(LARGEST_BATCH, units_per_minute // 60))
        self._has_batch = True

    @property
    def calls(self) -> int:
        """HTTP calls made to Gmail; those to the token service are not counted."""
        return self._transport.calls

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    # ------------------------------------------------------------------------------- what may be repeated

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Make a call that may be repeated: a read, or the deletion of a draft."""
        return retrying(lambda: self._call(request, key=None), sleep=self.clock.sleep)

    def read_if_there(self, request: HttpRequest) -> dict[str, Any] | None:
        """Make a call that may be repeated; None when Gmail has no such thing."""
        try:
            return self.read(request)
        except Refused as refused:
            if refused.code == NOT_FOUND:
                return None
            raise

    def read_all(self, requests: Sequence[HttpRequest]) -> list[dict[str, Any] | None]:
        """Make several reads in the fewest calls; the answers in order, None for what Gmail has not.

        One that fails in passing is made again alone; one that is refused raises.
        """
        answers: list[dict[str, Any] | None] = []
        for start in range(0, len(requests), self._batch_size):
            part = requests[start : start + self._batch_size]
            if len(part) == 1 or not self._has_batch:
                answers += [self.read_if_there(request) for request in part]
            else:
                answers += self._read_together(part)
        return answers

    def _read_together(self, part: Sequence[HttpRequest]) -> list[dict[str, Any] | None]:
        try:
            results = retrying(lambda: self._batch(part), sleep=self.clock.sleep)
        except _NoBatch:
            self._has_batch = False
            return [self.read_if_there(request) for request in part]
        return [self._settled(request, result) for request, result in zip(part, results, strict=True)]

    def _settled(self, request: HttpRequest, result: Any) -> dict[str, Any] | None:
        """Return one answer of a batch; a call that failed in passing is made again alone."""
        if isinstance(result, dict):
            return result
        error = self._meaning(result, request, key=None)
        if isinstance(error, Refused) and error.code == NOT_FOUND:
            return None
        if isinstance(result, HttpError) and result.status_code == _NO_TOKEN:
            return self.read_if_there(request)  # The token ended on the way: alone it is made with a new one.
        if not isinstance(error, Retry):
            raise error
        failed: list[Retry] = [error]

        def again() -> dict[str, Any]:
            # The failure in the batch counts as the first attempt, so that the next one waits as it should.
            if failed:
                raise failed.pop()
            return self._call(request, key=None)

        try:
            return retrying(again, sleep=self.clock.sleep)
        except Refused as refused:
            if refused.code == NOT_FOUND:
                return None
            raise

    def _batch(self, part: Sequence[HttpRequest]) -> list[Any]:
        self._quota.take(units_of(request.methodId for request in part))
        try:
            return send_batch(self.api, self._transport, part)
        except HttpError as error:
            if error.status_code in _NO_BATCH:
                raise _NoBatch from error
            raise self._meaning(error, part[0], key=None) from error
        except GarbledBatch as error:
            raise garbled(mailbox=self.mailbox, key=None) from error
        except requests.RequestException as error:
            raise unanswered(error, mailbox=self.mailbox, key=None) from error

    # ------------------------------------------------------------------------------ what must happen once

    def once(self, request: HttpRequest, key: str) -> dict[str, Any]:
        """Make a call whose effect must happen once; what it made is named by an id, or it is not known."""
        made = self._call(request, key=key)
        if not made.get("id"):
            raise garbled(mailbox=self.mailbox, key=key)
        return made

    def place_draft(self, raw: bytes, message: Mapping[str, str], key: str) -> dict[str, Any]:
        """Make a draft of a mail, once: inside JSON, or by upload when it is large.

        `message` holds the other fields of the draft's message (threadId).
        """
        if len(raw) > LARGEST_IN_JSON:
            return self.once(draft_upload(self.api, self.user, raw, message), key)
        body = {"message": {"raw": encode_raw(raw), **message}}
        return self.once(self.api.drafts.create(userId=self.user, body=body), key)

    # ----------------------------------------------------------------------------------------- one call

    def _call(self, request: HttpRequest, *, key: str | None) -> dict[str, Any]:
        """Send once and return the JSON; `key` is the intent whose effect it has, None if it may be repeated."""
        self._quota.take(units_of([request.methodId]))
        try:
            answer = request.execute(http=self._transport, num_retries=0)
        except HttpError as error:
            raise self._meaning(error, request, key=key) from error
        except requests.RequestException as error:
            raise unanswered(error, mailbox=self.mailbox, key=key) from error
        except TooSlow as error:
            raise too_slow(mailbox=self.mailbox) from error
        if request.method == "DELETE":
            return {}
        if not isinstance(answer, dict):
            raise garbled(mailbox=self.mailbox, key=key)
        return answer

    def _meaning(self, result: Any, request: HttpRequest, *, key: str | None) -> AdapterError:
        if not isinstance(result, HttpError):
            return garbled(mailbox=self.mailbox, key=key)
        return answered(
            result,
            method=request.method,
            mailbox=self.mailbox,
            renewal=self._grant.renewal,
            key=key,
            now=self.clock.now(),
        )


class _NoBatch(Exception):  # noqa: N818 - named for what it tells
    """The server takes no batches."""
