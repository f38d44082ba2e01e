"""The simulated Salesforce: one org behind its REST API, and the settings tests turn.

Lives here: what every call goes through (token, budget, versions, paths), and how calls fail.
Does not live here: fields, records and rules a test sets up (`salesforce_settings`), what answers a path
(`salesforce_records`, `salesforce_queries`, `salesforce_composite`), sign-in (`salesforce_login`), what people do
(`salesforce_acts`), what the org accepts (`org`), its objects (`sobjects`).
Source: reference apis 1; error bodies after the recordings in tests/data/salesforce-recordings.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.org import ORG, Org
from adapters.sandbox.org_people import show_records
from adapters.sandbox.org_values import Refusal
from adapters.sandbox.salesforce_acts import SalesforceActs
from adapters.sandbox.salesforce_composite import Composite
from adapters.sandbox.salesforce_faults import Faults
from adapters.sandbox.salesforce_login import SalesforceLogin
from adapters.sandbox.salesforce_queries import QueryResources
from adapters.sandbox.salesforce_records import RecordResources
from adapters.sandbox.salesforce_settings import OrgSettings
from adapters.sandbox.salesforce_soap import SoapLogin
from adapters.sandbox.salesforce_wire import NOT_THERE, Answer, Call, Handler, refused, written
from adapters.sandbox.service import Grant, SandboxClock, SandboxLog, Tokens
from adapters.sandbox.soql import SoqlError

#: Longest address of a request, in bytes.
LONGEST_ADDRESS = 16_384

#: What a spent allowance of calls says, and too many long calls at once.
TOTAL_LIMIT = "TotalRequests Limit exceeded."
CONCURRENT_LIMIT = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."

_VERSION = re.compile(r"^v(\d\d)\.0$")
_FIRST_VERSION, _LAST_VERSION = 31, 68
_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]


class SalesforceService(OrgSettings):
    """One Salesforce org behind its REST API. `org` holds the records; the attributes below are its settings."""

    def __init__(
        self, clock: SandboxClock, tokens: Tokens, log: SandboxLog, *, org_clock: SandboxClock | None = None
    ) -> None:
        """Found the org; its records are dated by `org_clock` when that is another than sign-in goes by."""
        super().__init__(Org(org_clock or clock, log), threading.RLock())
        #: Calls allowed in 24 hours.
        self.daily_limit = 15_000
        #: Seconds every call takes, really waited; a call holds the rows it has written until it is answered.
        self.delay = 0.0
        self._clock = clock
        self._log = log
        self._faults = Faults()
        self._login = SalesforceLogin(self.org, clock, tokens, log, self._lock, self._faults)
        self._soap = SoapLogin(self.org, self._login, log, self._lock, self._faults)
        self._acts = SalesforceActs(self.org, self._lock)
        self._queries = QueryResources(self.org)
        self._records = RecordResources(self.org, self._faults)
        self._composite = Composite(self.org, self._find)
        self._calls: deque[datetime] = deque()
        self._resources = self._table()

    # ----------------------------------------------------------------------------- service, as others see it

    def routes(self) -> Sequence[BaseRoute]:
        """Return its HTTP routes."""
        return (
            *self._login.routes(),
            *self._soap.routes(),
            Route("/services/data", self._serve, methods=_METHODS),
            Route("/services/data/{rest:path}", self._serve, methods=_METHODS),
        )

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what people outside can do in it, and the trouble they can make."""
        return {
            **self._acts.actions(),
            "salesforce_fails": self._fail,
            "salesforce_fails_items": self._fail_items,
            "salesforce_sessions_end": self._end_sessions,
        }

    def state(self) -> dict[str, Any]:
        """Return every record, and the call budget."""
        with self._lock:
            return {"records": show_records(self.org), "api_usage": [self._used(), self.daily_limit]}

    # ------------------------------------------------------------------------------------------ settings

    @property
    def page_size(self) -> int:
        """Rows of one page of a query."""
        return self._queries.page_size

    @page_size.setter
    def page_size(self, rows: int) -> None:
        self._queries.page_size = rows

    @property
    def queries(self) -> Sequence[str]:
        """Every query that arrived, those inside composite calls too, the newest last."""
        return tuple(self._queries.asked)

    def fail_items(
        self, code: str, message: str, count: int = 1, fields: Sequence[str] = (), key: str | None = None
    ) -> None:
        """Let the next `count` items of collection writes fail; `key` is an id, or begins an intent key or email."""
        with self._lock:
            self._faults.fail_items(code, message, count=count, fields=fields, key=key or "")

    def fail_calls(
        self,
        status: int,
        code: str,
        message: str,
        count: int = 1,
        path: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Let the next `count` calls fail: those whose path holds `path`, or all of the REST API.

        Without a code the message is the whole body, as HTML. Below `/services/oauth2` the body is as sign-in has it.
        """
        with self._lock:
            self._faults.fail_calls(status, code, message, count=count, path=path or "", headers=headers or {})

    def limit_concurrent(self, count: int = 1) -> None:
        """Let the next `count` calls meet too many long calls at once, which passes within seconds."""
        self.fail_calls(403, "REQUEST_LIMIT_EXCEEDED", CONCURRENT_LIMIT, count)

    def stop_failing(self) -> None:
        """Forget what `fail_items` and `fail_calls` asked for and what has not come yet."""
        with self._lock:
            self._faults.forget()

    def _fail_items(
        self,
        code: str,
        message: str,
        count: int | str = 1,
        key: str = "",
        fields: str = "",
    ) -> dict[str, Any]:
        """The next items written in collections fail with a code and a message; fields are separated by commas."""
        self.fail_items(code, message, int(count), [each.strip() for each in fields.split(",") if each.strip()], key)
        return {"fails": code, "count": int(count), **({"key": key} if key else {})}

    def _fail(self, status: int | str, code: str, message: str, count: int | str = 1, path: str = "") -> dict[str, Any]:
        """The next calls fail with an HTTP status, a code and a message; path is a part of the address."""
        self.fail_calls(int(status), code, message, int(count), path)
        return {"fails": code, "status": int(status), "count": int(count), **({"path": path} if path else {})}

    @property
    def login(self) -> SalesforceLogin:
        """Sign-in: its attributes are settings (`session_hours`, `at_the_browser`, `denies`, `audiences`)."""
        return self._login

    def register_app(
        self,
        client_id: str,
        *,
        secret: str | None = None,
        redirect_uris: Sequence[str] = (),
        certificate: str | None = None,
        users: Sequence[str] = (),
        rotate: bool = False,
    ) -> None:
        """Know a connected app.

        `certificate` is PEM, of a certificate or a public key; `users` are approved by an administrator, who alone may
        sign in then; `rotate` gives a new refresh token at each use and ends the old one.
        """
        with self._lock:
            self._login.register_app(
                client_id,
                secret=secret,
                redirect_uris=redirect_uris,
                certificate=certificate,
                users=users,
                rotate=rotate,
            )

    def register_client(self, client_id: str, secret: str) -> str:
        """Know a connected app with a secret, that rotates its refresh tokens; return the secret."""
        self.register_app(client_id, secret=secret, rotate=True)
        return secret

    def _end_sessions(self) -> dict[str, Any]:
        """Every Salesforce session ends; refresh tokens stay good."""
        self.expire_sessions()
        return {"ended": "sessions"}

    def set_password(self, username: str, password: str, token: str = "") -> None:
        """Let a user sign in with a password, and a security token behind it."""
        with self._lock:
            self._login.set_password(username, password, token)

    def issue_refresh_token(self, username: str, client_id: str | None = None) -> str:
        """Hand out a refresh token as the browser sign-in of a user would; without an app, of the first one."""
        with self._lock:
            return self._login.issue_refresh_token(username, client_id)

    def allow_soap_login(self, *, allowed: bool) -> None:
        """Let `login` by SOAP be used, or not, as in orgs made from Winter '26 on."""
        self._soap.allowed = allowed

    def expire_sessions(self) -> None:
        """End every session; refresh tokens stay good."""
        with self._lock:
            self._login.expire_sessions()

    def add_list_view(self, name: str, query: str) -> str:
        """Add a list view over a query (`SELECT Id, Name FROM Lead ...`); return its id."""
        with self._lock:
            return self._queries.add_list_view(name, query)

    def add_report(self, name: str, query: str) -> str:
        """Add a tabular report over a query whose first field is Id; return its id."""
        with self._lock:
            return self._queries.add_report(name, query)

    def use_calls(self, calls: int) -> None:
        """Count calls that others made against the daily limit."""
        with self._lock:
            self._calls.extend([self._clock.now()] * calls)

    # ------------------------------------------------------------------------------------------ requests

    async def _serve(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._answer, request, body)

    def _answer(self, request: Request, body: bytes) -> Response:
        self._log.call("salesforce", request.method, request.url.path)
        raw_path = request.scope.get("raw_path") or request.url.path.encode()
        query = request.scope.get("query_string", b"")
        if len(raw_path) + len(query) > LONGEST_ADDRESS:
            return Response(status_code=414)
        with self._lock:
            response = self._checked(request, raw_path.decode("latin-1"), query.decode("latin-1"), body)
            response.headers["Sforce-Limit-Info"] = f"api-usage={self._used()}/{self.daily_limit}"
            written_rows = self.org.settle()
            held = written_rows if self.delay > 0 else set()
            self.org.held |= held
        if self.delay > 0:
            time.sleep(self.delay)
            with self._lock:
                self.org.held -= held
        return response

    def _checked(self, request: Request, raw_path: str, query: str, body: bytes) -> Response:
        """Answer a call unless it is to fail, its token is not good, or the budget of calls is spent."""
        failed = self._faults.check_call(unquote(raw_path))
        if failed is not None:
            return failed
        grant = self._login.check(request.headers.get("authorization", ""))
        if grant is None:
            return refused(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if not grant.scopes & {"api", "full"}:
            return refused(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")
        if self._used() >= self.daily_limit:
            return refused(403, "REQUEST_LIMIT_EXCEEDED", TOTAL_LIMIT)
        self._calls.append(self._clock.now())
        try:
            return written(self._dispatch(request, grant, raw_path, query, body))
        except Refusal as refusal:
            return refused(refusal.status, refusal.code, refusal.message, refusal.fields)
        except SoqlError as wrong:
            return refused(400, wrong.code, wrong.message)

    def _used(self) -> int:
        day_ago = self._clock.now() - timedelta(hours=24)
        while self._calls and self._calls[0] <= day_ago:
            self._calls.popleft()
        return len(self._calls)

    def _dispatch(self, request: Request, grant: Grant, raw_path: str, query: str, body: bytes) -> Answer:
        path = [unquote(part) for part in raw_path.split("/")[3:]]
        if path and not path[-1]:
            path.pop()
        if not path:
            versions = [
                {"label": f"v{n}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"}
                for n in range(_FIRST_VERSION, _LAST_VERSION + 1)
            ]
            return Answer(status=200, body=versions)
        version = _VERSION.match(path[0])
        if version is None or not _FIRST_VERSION <= int(version[1]) <= _LAST_VERSION:
            raise Refusal("NOT_FOUND", NOT_THERE, status=404)
        call = Call(
            method=request.method,
            base=f"/services/data/{path[0]}",
            path=tuple(path[1:]),
            query={name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()},
            headers=request.headers,
            body=body,
            user=self._login.user(grant.subject),
        )
        return self._find(call)

    def _find(self, call: Call) -> Answer:
        """Find what answers a path: the first pattern of the table that fits; `*` fits anything."""
        for pattern, methods in self._resources.items():
            parts = pattern.split()
            if len(parts) == len(call.path) and all(p in ("*", c) for p, c in zip(parts, call.path, strict=True)):
                found = methods.get("GET" if call.method == "HEAD" else call.method)
                if found is None:
                    allowed = ",".join(["HEAD", *methods] if "GET" in methods else methods)
                    message = f"HTTP Method '{call.method}' not allowed. Allowed are {allowed}"
                    raise Refusal("METHOD_NOT_ALLOWED", message, status=405)
                arguments = [c for p, c in zip(parts, call.path, strict=True) if p == "*"]
                return found(call, *arguments)
        raise Refusal("NOT_FOUND", NOT_THERE, status=404)

    def _table(self) -> dict[str, dict[str, Handler]]:
        """Return what answers which path; a path with a fixed part stands before one that fits anything."""
        found: dict[str, dict[str, Handler]] = {
            "": {"GET": self._list_resources},
            "limits": {"GET": self._show_limits},
            "composite": {"POST": self._composite.serve},
        }
        for resources in (self._queries.resources(), self._records.resources()):
            for pattern, methods in resources.items():
                found.setdefault(pattern, {}).update(methods)
        return found

    def _list_resources(self, call: Call) -> Answer:
        names = ("query", "queryAll", "sobjects", "limits", "composite", "analytics")
        identity = f"https://login.salesforce.com/id/{ORG}/{call.user}"
        return Answer(status=200, body={**{name: f"{call.base}/{name}" for name in names}, "identity": identity})

    def _show_limits(self, _: Call) -> Answer:
        left = max(self.daily_limit - self._used(), 0)
        return Answer(status=200, body={"DailyApiRequests": {"Max": self.daily_limit, "Remaining": left}})
