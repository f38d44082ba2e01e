"""The HTTP session every adapter uses: timeouts, counting, no silent repeats, known hosts only.

Lives here: `ServiceSession` (one per account, one thread at a time), `retrying`, the retry policy for calls that may
be repeated, how long a large body may take, and whether a request that failed can have had an effect. Does not live
here: what an error of a service means; each adapter translates its own.

Why our own session: simple-salesforce sets no timeout and builds https addresses only; httplib2 repeats a POST by
itself when the answer is lost; `requests` with no retries does neither.
"""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from urllib3.exceptions import NewConnectionError

from connector.accounts import is_loopback
from connector.errors import Retry

T = TypeVar("T")

#: Seconds to connect and to wait for an answer; below a third of the lane lease (engine 3.4).
TIMEOUT = (5.0, 15.0)

#: Longest wait inside one call; a longer `Retry-After` goes up to the lane, which blocks the mailbox.
LONGEST_WAIT = 2.0

#: A larger body goes out piece by piece: sent at once, all of it would have to leave within the time to connect.
AT_ONCE = 256 * 1024

#: Seconds a body, or a file of several, may take to leave. With the answer's 15 s this stays within the lease of a lane
#: (60 s): a holder that took longer could find that another had placed the same draft meanwhile.
LONGEST_UPLOAD = 40.0


class TooSlow(Exception):  # noqa: N818 - named for what it tells
    """The body did not leave in time; the server cannot have acted on a part of it.

    No error of the line on purpose: `requests` would turn it into one that says less.
    """


class TimedBody(io.BytesIO):
    """A body that stops being sent when it takes too long: past `until`, as `time.monotonic` counts."""

    def __init__(self, content: bytes, *, until: float) -> None:
        """Take what is sent."""
        super().__init__(content)
        self._until = until

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next piece; raise `TooSlow` when its time is over."""
        if time.monotonic() > self._until:
            raise TooSlow("the line is too slow for a body of this size")
        return super().read(size)


class _PlainLoopback(HTTPAdapter):
    """Send an https request for one loopback host over plain http (simple-salesforce cannot say http)."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        request.url = urlunsplit(("http", *parts[1:]))
        return super().send(request, *args, **kwargs)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class ServiceSession(requests.Session):
    """A `requests.Session` with default timeouts that counts its calls and refuses plain http off this machine.

    `plain_base`: an `http://` loopback address whose `https://` twin is sent in plain.
    """

    def __init__(self, *, plain_base: str | None = None) -> None:
        """Open; no connection is made."""
        super().__init__()
        self.calls = 0
        #: Scheme and host -> what the environment says of reaching it.
        self._surroundings: dict[tuple[str, str], Any] = {}
        # Without an auth of its own, requests puts a password of ~/.netrc in the place of our token.
        self.auth = _as_it_is
        if plain_base is not None:
            self.mount(f"https://{urlsplit(plain_base).netloc}", _PlainLoopback())

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send once, with the default timeout, and count it; redirects are followed for GET only."""
        address = url.decode() if isinstance(url, bytes) else url
        if urlsplit(address).scheme == "http" and not is_loopback(address):
            raise requests.exceptions.InvalidURL("plain http is accepted for loopback addresses only")
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT
        kwargs.setdefault("allow_redirects", str(method).upper() == "GET")
        self.calls += 1
        return super().request(method, url, *args, **kwargs)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Return proxies and certificates; reading them from the environment takes long, so it is done once a host."""
        if proxies or stream or verify is not None or cert:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        scheme, host, *_ = urlsplit(url)
        known = self._surroundings.get((scheme, host))
        if known is None:
            known = super().merge_environment_settings(url, {}, stream, verify, cert)
            self._surroundings[scheme, host] = known
        return {**known, "proxies": dict(known["proxies"])}


def retry_after(response: requests.Response) -> timedelta | None:
    """Return the wait a response asks for, from seconds or an HTTP date; None when it does not say."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return timedelta(seconds=int(value))
    try:
        at = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return max(at - now, timedelta(0))


def cut_short(status: int, media_type: str, content: bytes) -> bool:
    """Tell whether a refusal lost its reason on the way: it says it is JSON, and ends before it is.

    Not of a status that tells enough by itself (401, 429), nor of 5xx, which may have acted.
    """
    if not 400 <= status < 500 or status in (401, 429) or "json" not in media_type.lower():
        return False
    try:
        json.loads(content)
    except ValueError:
        return True
    return False


def never_connected(error: requests.RequestException) -> bool:
    """Tell whether a request that failed cannot have reached the service."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)


def _worth_another(error: BaseException) -> bool:
    return isinstance(error, Retry) and (error.after is None or error.after.total_seconds() <= LONGEST_WAIT)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Retry) and error.after is not None:
        return error.after.total_seconds()
    backoff: float = min(LONGEST_WAIT, 0.1 * 2**state.attempt_number)
    return backoff * (0.5 + random.random() / 2)  # noqa: S311 - jitter


def retrying(call: Callable[[], T], *, attempts: int = 3, sleep: Callable[[float], None] = time.sleep) -> T:
    """Run a call that may be repeated safely; repeat it on `Retry`, with backoff, jitter and short `Retry-After`.

    Never wrap a call whose effect must happen once.
    """
    policy = Retrying(
        retry=retry_if_exception(_worth_another),
        stop=stop_after_attempt(attempts),
        wait=_wait,
        sleep=sleep,
        reraise=True,
    )
    return policy(call)
