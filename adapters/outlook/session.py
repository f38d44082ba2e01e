"""One mailbox's way to Microsoft Graph: addresses, headers, batches, and what each error means.

Lives here: `GraphSession` and the table of error codes. Does not live here: what is asked (`mailbox`), what
messages look like (`messages`).

Only reads, and writes that may be repeated, are repeated. A request that makes or sends something leaves once:
if its answer is lost, or is a 5xx (504 has been seen after a mail went out), nobody knows what became of it, and
`OutcomeUnknown` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from adapters.http import ServiceSession, retry_after, retrying
from adapters.outlook.account import SignIn
from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry

#: Ids that stay when a message moves. Wanted on every request, relied on by none: reports say they change on send.
PREFER = 'IdType="ImmutableId", odata.maxpagesize=200'

#: Requests to one mailbox that run at once; a fifth in the same batch is answered 429.
BATCH = 4


class ItemGone(Refused):
    """The item is not in the mailbox under this id."""


class CursorExpired(Refused):
    """The delta link is too old."""


class Means(Enum):
    """What an error asks of us."""

    WAIT = "wait"
    PAUSE = "pause"
    SIGN_IN = "sign in"
    GONE = "gone"
    EXPIRED = "expired"
    REFUSED = "refused"


#: Graph's error codes, the innermost first (Graph wraps the telling code in general ones).
_CODES: dict[str, Means] = {
    "InvalidAuthenticationToken": Means.SIGN_IN,
    "ErrorAccessDenied": Means.SIGN_IN,
    "Authorization_RequestDenied": Means.SIGN_IN,
    "MailboxNotEnabledForRESTAPI": Means.SIGN_IN,
    "ErrorInvalidUser": Means.SIGN_IN,
    "ResourceNotFound": Means.SIGN_IN,
    "Request_ResourceNotFound": Means.SIGN_IN,
    "ErrorItemNotFound": Means.GONE,
    # An id that is not one of this mailbox (any more).
    "ErrorInvalidIdMalformed": Means.GONE,
    "ErrorInvalidMailboxItemId": Means.GONE,
    "ErrorFolderNotFound": Means.GONE,
    "syncStateNotFound": Means.EXPIRED,
    "SyncStateNotFound": Means.EXPIRED,
    "SyncStateInvalid": Means.EXPIRED,
    "resyncRequired": Means.EXPIRED,
    "ApplicationThrottled": Means.WAIT,
    "TooManyRequests": Means.WAIT,
    "activityLimitReached": Means.WAIT,
    "ErrorServerBusy": Means.WAIT,
    "ErrorMailboxStoreUnavailable": Means.WAIT,
    "ServiceUnavailable": Means.WAIT,
    "ResourceUnhealthy": Means.WAIT,
    "ErrorQuotaExceeded": Means.PAUSE,
    "ErrorExceededMessageLimit": Means.PAUSE,
    "ErrorMessageSubmissionBlocked": Means.PAUSE,
    "ErrorInvalidRecipients": Means.REFUSED,
    "ErrorSendAsDenied": Means.REFUSED,
    "InvalidInternetMessageHeader": Means.REFUSED,
    "InefficientFilter": Means.REFUSED,
    "ErrorIrresolvableConflict": Means.REFUSED,
    "ErrorMessageSizeExceeded": Means.REFUSED,
}

#: For codes the table does not list; any other 5xx waits, any other 4xx is refused. A bare 404 may come from anything
#: on the way, so it does not tell that an item is gone.
_STATUSES: dict[int, Means] = {
    401: Means.SIGN_IN,
    403: Means.SIGN_IN,
    410: Means.EXPIRED,
    429: Means.WAIT,
}

#: What a person can do about it.
_ADVICE: dict[Means, str] = {
    Means.SIGN_IN: "; connect it again, and check its licence and that Mail.ReadWrite and Mail.Send are granted",
    Means.PAUSE: "; the mailbox rests for a while: its owner may have to make room, or its day's limit is reached",
}

#: How long a mailbox that is full, blocked or over its daily limit rests.
_PAUSE = timedelta(hours=1)


def _codes(error: Mapping[str, Any]) -> list[str]:
    """Return the codes of an error, the innermost first."""
    codes: list[str] = []
    level: Any = error
    while isinstance(level, Mapping):
        if level.get("code"):
            codes.insert(0, str(level["code"]))
        level = level.get("innererror") or level.get("innerError")
    return codes


def meaning(status: int, codes: list[str]) -> Means:
    """Return what an answer asks of us: by the first code the table knows, else by status."""
    for code in codes:
        if code in _CODES:
            return _CODES[code]
    return _STATUSES.get(status, Means.WAIT if status >= 500 else Means.REFUSED)


def translate(status: int, body: Any, *, account: str, after: timedelta | None = None) -> AdapterError:
    """Return the error an answer means. `account` is `outlook:<rep>`; `after` is what Retry-After said."""
    error = body.get("error") if isinstance(body, Mapping) else None
    error = error if isinstance(error, Mapping) else {}
    codes = _codes(error)
    code = codes[0] if codes else str(status)
    inner = error.get("innerError") or error.get("innererror") or {}
    request = inner.get("request-id") if isinstance(inner, Mapping) else None
    # What is said about a token may quote it.
    said = "the token was not accepted" if status == 401 else str(error.get("message") or "no reason was given").strip()
    means = meaning(status, codes)
    sentence = f"Outlook answered {status} {code} for {account}: {said}" + (f" (request {request})" if request else "")
    sentence += _ADVICE.get(means, "")
    match means:
        case Means.WAIT:
            return Retry(sentence, code=code, after=after)
        case Means.PAUSE:
            return Retry(sentence, code=code, after=after or _PAUSE)
        case Means.SIGN_IN:
            return Reconnect(sentence, account=account, code=code)
        case Means.GONE:
            return ItemGone(sentence, code=code)
        case Means.EXPIRED:
            return CursorExpired(sentence, code=code)
        case Means.REFUSED:
            return Refused(sentence, code=code)


def address(path: str, **query: str) -> str:
    """Return a path with OData options: `address("/messages", select="id")` gives `/messages?$select=id`."""
    if not query:
        return path
    return f"{path}?{urlencode({f'${name}': value for name, value in query.items()}, safe='$,', quote_via=quote)}"


class GraphSession:
    """Calls to one mailbox. Paths are relative to the mailbox: `/messages/<id>`."""

    def __init__(self, *, endpoint: str, mailbox: str, account: str, sign_in: SignIn) -> None:
        """Take the address of Graph, the mailbox's part of it (`/me`, `/users/<rep>`), and its name in errors."""
        self._endpoint = endpoint
        #: The mailbox's part of an address.
        self.mailbox = mailbox
        self._account = account
        self._sign_in = sign_in
        self._http = ServiceSession()

    @property
    def calls(self) -> int:
        """HTTP calls made."""
        return self._http.calls

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str) -> Any:
        """Read one resource; repeats when the service asks for it."""
        return retrying(lambda: self._read("GET", path))

    def get_bytes(self, path: str) -> bytes:
        """Read raw content (`/$value`)."""
        return retrying(lambda: self._answered("GET", path).content)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Set values; may be repeated, because the same values are set."""
        return retrying(lambda: self._read("PATCH", path, body))

    def delete(self, path: str) -> None:
        """Delete; may be repeated. Raises `ItemGone` when there is nothing to delete."""
        retrying(lambda: self._answered("DELETE", path))

    def post_once(self, path: str, body: Mapping[str, Any] | None, *, key: str) -> Any:
        """Make or send something: one request. Returns the answer's JSON, or None when it has no body."""
        lost = f"Outlook's answer for {self._account} was lost: the mail is looked up before anything is done again"
        try:
            response = self._exchange("POST", self._endpoint + self.mailbox + path, body)
        except requests.RequestException as error:
            if _never_left(error):
                raise Retry(f"Outlook cannot be reached for {self._account}", code="unreachable") from error
            raise OutcomeUnknown(lost, key=key, code=type(error).__name__) from error
        if response.status_code >= 500:
            raise OutcomeUnknown(lost, key=key, code=str(response.status_code))
        if not response.ok:
            raise self._error(response)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise OutcomeUnknown(lost, key=key, code="answer_cut_short") from error

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
            wanted = {name: links[name] for name in names[start : start + BATCH]}
            retrying(partial(self._read_batch_once, wanted, answers))
        return answers

    def relative(self, link: str) -> str:
        """Return a next or delta link without its host: it is asked of our own endpoint, wherever the link points."""
        path = urlsplit(self._endpoint).path
        parts = urlsplit(link)
        if not parts.path.startswith(f"{path}/"):
            raise Refused(f"Outlook gave {self._account} a link that is not one of its own: {parts.path}", code="link")
        return parts.path.removeprefix(path) + (f"?{parts.query}" if parts.query else "")

    def _read_batch_once(self, wanted: Mapping[str, str], answers: dict[str, Any]) -> None:
        parts = [
            {"id": name, "method": "GET", "url": url, "headers": {"Prefer": PREFER}}
            for name, url in wanted.items()
            if name not in answers
        ]
        response = self._answered("POST", "/$batch", {"requests": parts}, mailbox="")
        throttled: Retry | None = None
        for part in _json(response, self._account).get("responses", ()):
            error = None
            if part["status"] >= 300:
                after = next(
                    (value for name, value in part.get("headers", {}).items() if name.lower() == "retry-after"), ""
                )
                wait = timedelta(seconds=int(after)) if str(after).isdigit() else None
                error = translate(part["status"], part.get("body"), account=self._account, after=wait)
            if isinstance(error, Reconnect):
                raise error
            if isinstance(error, Retry):
                throttled = error
            else:
                answers[part["id"]] = error or part.get("body") or {}
        if throttled is not None:
            raise throttled
        missing = [part["id"] for part in parts if part["id"] not in answers]
        if missing:
            raise Retry(f"Outlook left parts of a batch for {self._account} unanswered", code="batch")

    def _read(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return _json(self._answered(method, path, body), self._account)

    def _answered(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, mailbox: str | None = None
    ) -> requests.Response:
        """Make a call that may be repeated, so that a lost answer is only a reason to try again."""
        base = self._endpoint + (self.mailbox if mailbox is None else mailbox)
        try:
            response = self._exchange(method, base + path, body)
        except requests.RequestException as error:
            raise Retry(f"Outlook did not answer for {self._account}", code=type(error).__name__) from error
        if not response.ok:
            raise self._error(response)
        return response

    def _exchange(self, method: str, url: str, body: Mapping[str, Any] | None) -> requests.Response:
        """Call once; after a 401, which does nothing, sign in anew and call once more."""
        response = self._http.request(method, url, headers=self._headers(), data=_encoded(body))
        if response.status_code == 401 and self._sign_in.renew():
            response = self._http.request(method, url, headers=self._headers(), data=_encoded(body))
        return response

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._sign_in.token(self._account)}",
            "Prefer": PREFER,
            "Accept": "application/json",
            "Content-Type": "application/json",
        }

    def _error(self, response: requests.Response) -> AdapterError:
        try:
            body = response.json()
        except ValueError:
            body = None
        return translate(response.status_code, body, account=self._account, after=retry_after(response))


def _encoded(body: Mapping[str, Any] | None) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def _json(response: requests.Response, account: str) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise Retry(f"Outlook's answer for {account} was cut short", code="answer_cut_short") from error


def _never_left(error: requests.RequestException) -> bool:
    """Tell whether the request cannot have reached the service."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
