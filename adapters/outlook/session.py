"""The calls of one mailbox: each sent once, or repeated where that does no harm.

Lives here: `GraphSession`, which every part of the adapter calls Graph through: which calls may be repeated, which go
together in a batch, and that a lost answer to an effect is an unknown outcome. Does not live here: which calls are
made (`drafting`, `finding`, `watching`), the line (`transport`), what an error means (`errors`).

A request that makes or sends something leaves once: if its answer is lost, or is a 5xx (504 has been seen after a mail
went out), nobody knows what became of it, and `OutcomeUnknown` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import requests

from adapters.http import TooSlow, retrying
from adapters.outlook.account import SignIn
from adapters.outlook.batch import BATCH, Part, Step, read_batch, write_batch
from adapters.outlook.errors import Owner, answered, garbled, translated, unanswered
from adapters.outlook.quota import Quota
from adapters.outlook.transport import Transport
from adapters.outlook.upload import Upload
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry
from connector.ports import Attachment, Clock

T = TypeVar("T")

#: The answer without a body: accepted (`/send`). Any other without one was cut short.
_ACCEPTED = 202
#: The token is not taken; the transport renews it when a whole answer says so.
_NO_TOKEN = 401


def address(path: str, **query: str) -> str:
    """Return a path with OData options: `address("/messages", select="id")` gives `/messages?$select=id`."""
    if not query:
        return path
    return f"{path}?{urlencode({f'${name}': value for name, value in query.items()}, safe='$,', quote_via=quote)}"


class GraphSession:
    """Makes the calls of one mailbox. Paths are relative to the mailbox: `/messages/<id>`."""

    def __init__(self, *, endpoint: str, mailbox: str, rep: str, sign_in: SignIn, clock: Clock) -> None:
        """Open without calling anyone. `mailbox` is its part of an address: `/me`, `/users/<rep>`."""
        self._endpoint = endpoint
        #: The mailbox's part of an address.
        self.mailbox = mailbox
        self._clock = clock
        self._owner = Owner(rep=rep, sign_in=sign_in, clock=clock)
        self._transport = Transport(self._owner, Quota(clock, mailbox=rep))

    @property
    def calls(self) -> int:
        """HTTP calls made (a batch is one); those to the token service are not counted."""
        return self._transport.calls

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    # ------------------------------------------------------------------------------- what may be repeated

    def get(self, path: str) -> Any:
        """Read one resource."""
        return self._repeated(lambda: self._json("GET", path))

    def get_bytes(self, path: str) -> bytes:
        """Read raw content (`/$value`)."""
        return self._repeated(lambda: self._call("GET", path).content)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Set values; may be repeated, because the same values are set."""
        return self._repeated(lambda: self._json("PATCH", path, body))

    def delete(self, path: str) -> None:
        """Delete. Raises `ItemGone` when there is nothing to delete."""
        self._repeated(lambda: self._call("DELETE", path))

    def purge(self, path: str) -> None:
        """Delete for good, past Deleted Items. Raises `ItemGone` when there is nothing to delete."""
        self._repeated(lambda: self._call("POST", f"{path}/permanentDelete"))

    def _repeated(self, call: Callable[[], T]) -> T:
        return retrying(call, sleep=self._clock.sleep)

    def read_batch(self, paths: Mapping[str, str]) -> dict[str, Any]:
        """Read several resources of the mailbox, `BATCH` to a call. Returns name -> JSON, or the `AdapterError` it got.

        A throttled part is asked for again by itself; when it stays so, `Retry` is raised. So is `Reconnect`.
        """
        return self.read_links({name: self.mailbox + path for name, path in paths.items()})

    def read_links(self, links: Mapping[str, str]) -> dict[str, Any]:
        """Like `read_batch`, for links as `relative` gives them."""
        answers: dict[str, Any] = {}
        names = list(links)
        for start in range(0, len(names), BATCH):
            wanted = {name: Step(method="GET", url=links[name]) for name in names[start : start + BATCH]}
            self._repeated(partial(self._read_together, wanted, answers))
        return answers

    def relative(self, link: str) -> str:
        """Return a next or delta link without its host: it is asked of our own endpoint, wherever the link points."""
        path = urlsplit(self._endpoint).path
        parts = urlsplit(link)
        if not parts.path.startswith(f"{path}/"):
            raise Refused(
                f"Outlook gave {self._owner.rep} a link that is not one of its own: {parts.path}", code="link"
            )
        return parts.path.removeprefix(path) + (f"?{parts.query}" if parts.query else "")

    def _read_together(self, wanted: Mapping[str, Step], answers: dict[str, Any]) -> None:
        missing = {name: step for name, step in wanted.items() if name not in answers}
        parts = self._parts(missing)
        refused = {name: missing[name] for name, part in parts.items() if part.status == _NO_TOKEN}
        if refused and self._transport.renew():  # The token ended on the way.
            parts |= self._parts(refused)
        again: Retry | None = None
        for name, part in parts.items():
            error = self._failed(part, key=None)
            if error is None and not isinstance(part.body, Mapping):
                error = garbled(self._owner, key=None)
            if isinstance(error, Reconnect):
                raise error
            if isinstance(error, Retry):
                again = error
            else:
                answers[name] = error or part.body
        if again is not None:
            raise again
        if missing.keys() - parts.keys():
            raise Retry(f"Outlook left parts of a batch for {self._owner.rep} unanswered", code="batch")

    def _parts(self, steps: Mapping[str, Step]) -> dict[str, Part]:
        """Make a batch that may be repeated as a whole."""
        try:
            return read_batch(self._sent("POST", "/$batch", write_batch(steps), key=None, parts=len(steps)))
        except ValueError as error:
            raise garbled(self._owner, key=None) from error

    # ------------------------------------------------------------------------------ what must happen once

    def post_once(self, path: str, body: Mapping[str, Any] | None, *, key: str) -> Any:
        """Make or send something: one request. Returns what was made, or None when there is nothing to tell.

        A 202 is accepted, whatever Retry-After it may bear (reference apis 3.5).
        """
        response = self._sent("POST", self.mailbox + path, body, key=key)
        if response.status_code == _ACCEPTED and not response.content:
            return None
        try:
            made = response.json()
        except ValueError as error:
            raise garbled(self._owner, key=key) from error
        return self._named(made, key)

    def _named(self, made: Any, key: str) -> Any:
        """Return what was made; without an id nobody knows what that is."""
        if isinstance(made, Mapping) and made.get("id"):
            return made
        raise garbled(self._owner, key=key)

    def create_together(self, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any | AdapterError]:
        """Make at most `BATCH` messages in one call. Returns intent key -> the message's JSON, or why there is none.

        Nothing is made twice: a part whose answer is lost, fails on the way or is missing is `OutcomeUnknown`; one that
        was refused in passing is `Retry`. `Reconnect` is raised unless some message was made, or may have been.
        """
        if len(bodies) > BATCH:
            raise ValueError(f"at most {BATCH} messages go together, not {len(bodies)}")
        answers = self._made(bodies)
        refused = {
            key: bodies[key] for key, one in answers.items() if isinstance(one, Part) and one.status == _NO_TOKEN
        }
        if refused and self._transport.renew():  # The token ended on the way, and nothing was made.
            answers |= self._made(refused)
        made = {key: self._made_one(one, key) for key, one in answers.items()}
        reconnect = next((one for one in made.values() if isinstance(one, Reconnect)), None)
        if reconnect is not None and all(isinstance(one, (Reconnect, Retry, Refused)) for one in made.values()):
            raise reconnect
        return made

    def _made(self, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Part | AdapterError]:
        steps = {key: Step(method="POST", url=f"{self.mailbox}/messages", body=body) for key, body in bodies.items()}
        try:
            parts = read_batch(
                self._sent("POST", "/$batch", write_batch(steps), key=next(iter(bodies)), parts=len(bodies))
            )
        except OutcomeUnknown as error:
            return {key: OutcomeUnknown(error.sentence, key=key, code=error.code) for key in bodies}
        except AdapterError as error:
            return dict.fromkeys(bodies, error)
        except ValueError:
            parts = {}
        return {key: parts.get(key) or garbled(self._owner, key=key) for key in bodies}

    def _made_one(self, part: Part | AdapterError, key: str) -> Any | AdapterError:
        if isinstance(part, AdapterError):
            return part
        error = self._failed(part, key=key)
        if error is not None:
            return error
        try:
            return self._named(part.body, key)
        except AdapterError as unknown:
            return unknown

    def upload(self, path: str, attachment: Attachment, *, key: str) -> None:
        """Attach a file by an upload session to the message at `path`: one of more than `upload.LARGEST_IN_JSON` bytes.

        Raises `Unsupported` for one larger than `upload.LARGEST`, `Retry` when it was not attached, `OutcomeUnknown`
        when that cannot be told.
        """
        item = {
            "attachmentType": "file",
            "name": attachment.name,
            "contentType": attachment.media_type,
            "size": len(attachment.content),
        }
        if attachment.content_id is not None:
            item |= {"isInline": True, "contentId": attachment.content_id}
        Upload(self._transport, self._owner, attachment, endpoint=self._endpoint, key=key).run(
            # Nothing is attached by it, so it may be repeated.
            lambda: self._repeated(
                lambda: self._json("POST", f"{path}/attachments/createUploadSession", {"AttachmentItem": item})
            ),
            lambda: len(self.get(address(f"{path}/attachments", select="id"))["value"]),
        )

    # ----------------------------------------------------------------------------------------- one call

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._call(method, path, body).json()
        except ValueError as error:
            raise garbled(self._owner, key=None) from error
        if not isinstance(answer, Mapping):
            raise garbled(self._owner, key=None)
        return answer

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        return self._sent(method, self.mailbox + path, body, key=None)

    def _sent(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, key: str | None, parts: int = 1
    ) -> requests.Response:
        """Send once; `key` is the intent whose effect it has, None if it may be repeated."""
        try:
            response = self._transport.request(method, self._endpoint + path, body, parts=parts)
        except (requests.RequestException, TooSlow) as error:
            raise unanswered(error, self._owner, key=key) from error
        if response.status_code >= 300:
            raise answered(response, self._owner, key=key)
        return response

    def _failed(self, part: Part, *, key: str | None) -> AdapterError | None:
        if part.status < 300:
            return None
        return translated(part.status, part.body, self._owner, after=part.after, key=key)
