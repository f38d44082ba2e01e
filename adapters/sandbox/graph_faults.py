"""Trouble a test asks for: requests to Graph that fail as told, before or after they have acted.

Lives here: what can go wrong, what was asked for, and how often it is still to come. Does not live here: what Graph
refuses by itself (`graph_limits`, the answers). Source: reference apis 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.sandbox.graph_errors import Answer, GraphError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of trouble."""

    #: 0 leaves the answer as it is, but for the headers.
    status: int
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether the request is done all the same.
    acts: bool = False


_BUSY = "The server cannot service this request right now. Try again later."
_WAIT = {"Retry-After": "10"}

FAULTS: Mapping[str, Fault] = {
    "throttled": Fault(
        status=429,
        code="ApplicationThrottled",
        message="Application is over its MailboxConcurrency limit.",
        headers=_WAIT,
    ),
    "throttled_for_a_second": Fault(
        status=429,
        code="ApplicationThrottled",
        message="Application is over its MailboxConcurrency limit.",
        headers={"Retry-After": "1"},
    ),
    "too_many_requests": Fault(status=429, code="TooManyRequests", message="Too many requests.", headers=_WAIT),
    "server_busy": Fault(status=503, code="ErrorServerBusy", message=_BUSY, headers=_WAIT),
    # Throttling too, and without a time to wait (apis 3.5).
    "resource_unhealthy": Fault(status=503, code="ResourceUnhealthy", message=_BUSY),
    "store_unavailable": Fault(
        status=503, code="ErrorMailboxStoreUnavailable", message="The mailbox database is temporarily unavailable."
    ),
    "gateway_timeout": Fault(status=504, code="UnknownError"),
    "gateway_timeout_after_acting": Fault(status=504, code="UnknownError", acts=True),
    "submission_blocked": Fault(
        status=403,
        code="ErrorMessageSubmissionBlocked",
        message="Cannot send mail. Follow the instructions in your Inbox to verify your account.",
    ),
    "quota_exceeded": Fault(
        status=403, code="ErrorQuotaExceeded", message="The process failed to get the correct properties."
    ),
    "accepted_with_wait": Fault(status=0, headers=_WAIT, acts=True),
}


@dataclass(slots=True, kw_only=True)
class _Asked:
    fault: Fault
    left: int
    http: str
    path: str


class Faults:
    """What is to fail next, in the order it was asked for."""

    def __init__(self) -> None:
        """Start with no trouble."""
        self._asked: list[_Asked] = []

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what a test can ask for."""
        return {"outlook_fails_next": self.fail_next}

    def fail_next(self, *, fault: str, times: int = 1, method: str = "", path: str = "") -> dict[str, Any]:
        """Let the next requests fail; `method` is an HTTP method, `path` a part of the address, "" means any.

        Requests inside a batch are meant too, each by itself; the batch as a whole, and the address of an upload
        session, only when `path` names them (`$batch`, `AttachmentSessions`). `times=0` takes back what is still to
        come.
        """
        if fault not in FAULTS:
            raise ValueError(f"fault is one of {', '.join(FAULTS)}, not '{fault}'")
        if times:
            self._asked.append(_Asked(fault=FAULTS[fault], left=times, http=method.upper(), path=path))
        else:
            self._asked = [one for one in self._asked if one.fault is not FAULTS[fault]]
        return {"to_come": sum(one.left for one in self._asked)}

    def perform(self, http: str, path: str, act: Callable[[], Answer], *, named: bool = False) -> Answer:
        """Do what a request asks, or fail as was asked for; raises `GraphError`.

        A request that must be `named` fails only when its path was asked for.
        """
        fault = self._take(http, path, named=named)
        if fault is None:
            return act()
        if not fault.acts:
            raise GraphError(fault.status, fault.code, fault.message, fault.headers)
        answer = act()
        if fault.status:
            raise GraphError(fault.status, fault.code, fault.message, fault.headers)
        return replace(answer, headers={**answer.headers, **fault.headers})

    def _take(self, http: str, path: str, *, named: bool) -> Fault | None:
        for asked in self._asked:
            if asked.left > 0 and asked.http in ("", http) and asked.path in path and (asked.path or not named):
                asked.left -= 1
                return asked.fault
        return None
