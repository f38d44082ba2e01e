"""The simulated Salesforce REST API: tokens, queries, records, collections, list views, reports, limits.

Lives here: HTTP of Salesforce (paths, statuses, error bodies, paging, the call budget) and what people outside can
do in it. Does not live here: what the org accepts (`org`), its objects (`sobjects`), the query language (`soql`).
Source: reference apis 1; error bodies after the recordings in tests/data/salesforce-recordings.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox import soql
from adapters.sandbox.org import Org, Refusal
from adapters.sandbox.service import Grant, SandboxClock, SandboxLog, Tokens
from adapters.sandbox.sobjects import Field, Record, SObject, describe, describe_briefly, full_id, new_id
from connector.people import Person, Rep

A = TypeVar("A")

#: Most records in one collection call.
COLLECTION = 200

#: Rows a list view and a report give at most.
MOST_ROWS = 2000

#: Longest address of a request, in bytes.
LONGEST_ADDRESS = 16_384

#: How long an access token lives without use.
SESSION_HOURS = 2

_VERSION = re.compile(r"^v(\d\d)\.0$")
_FIRST_VERSION, _LAST_VERSION = 31, 68
_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"]

_NOT_THERE = "The requested resource does not exist"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request, after its token was checked."""

    method: str
    #: `/services/data/vXX.0`
    base: str
    #: What follows the version, decoded.
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    #: Id of the user who calls.
    user: str

    def json(self) -> dict[str, Any]:
        """Read the body; refuse what is not a JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            raise Refusal("JSON_PARSER_ERROR", "Unexpected character or end of input at [line:1, column:1]") from None
        if not isinstance(found, dict):
            raise Refusal("JSON_PARSER_ERROR", "The HTTP entity body is required to be a JSON object")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A list view or a tabular report: a name over a query."""

    name: str
    query: str


class SalesforceService:
    """One Salesforce org behind its REST API. `org` holds the records; the attributes below are its settings."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog) -> None:
        self.org = Org(clock, log)
        #: Rows of one page of a query (`Sforce-Query-Options: batchSize=` asks for fewer).
        self.page_size = 2000
        #: Calls allowed in 24 hours.
        self.daily_limit = 15_000
        #: Whether each use of a refresh token gives a new one and ends the old one.
        self.rotates_refresh_tokens = True
        self._clock = clock
        self._tokens = tokens
        self._log = log
        self._lock = threading.RLock()
        self._clients: dict[str, str] = {}
        self._passwords: dict[str, str] = {}
        self._refresh_tokens: dict[str, str] = {}
        self._calls: deque[datetime] = deque()
        self._pages: dict[str, tuple[soql.Result, str]] = {}
        self._list_views: dict[str, tuple[str, _View]] = {}
        self._reports: dict[str, _View] = {}

    # ----------------------------------------------------------------------------- service, as others see it

    def routes(self) -> Sequence[BaseRoute]:
        """Return its HTTP routes."""
        return (
            Route("/services/oauth2/token", self._serve_token, methods=_METHODS),
            Route("/services/data", self._serve, methods=_METHODS),
            Route("/services/data/{rest:path}", self._serve, methods=_METHODS),
        )

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what people outside can do in it."""
        return {
            "rep_closes_task": self.rep_closes_task,
            "rep_reopens_task": self.rep_reopens_task,
            "rep_deletes_task": self.rep_deletes_task,
            "rep_reassigns_task": self.rep_reassigns_task,
            "rep_changes_task": self.rep_changes_task,
            "lead_is_converted": self.lead_is_converted,
            "people_are_merged": self.people_are_merged,
            "person_opts_out": self.person_opts_out,
        }

    def state(self) -> dict[str, Any]:
        """Return every record, and the call budget."""
        with self._lock:
            return {"records": self.org.shown(), "api_usage": [self._used(), self.daily_limit]}

    # ------------------------------------------------------------------------------------------ settings

    def register_client(self, client_id: str, secret: str) -> str:
        """Know a connected app; return its secret."""
        self._clients[client_id] = secret
        return secret

    def set_password(self, username: str, password: str) -> None:
        """Let a user sign in with a password."""
        self._passwords[username.lower()] = password

    def issue_refresh_token(self, username: str) -> str:
        """Hand out a refresh token as the browser sign-in of a user would."""
        token = "5Aep861" + secrets.token_urlsafe(40)
        self._refresh_tokens[token] = username
        return token

    def set_intent_field(self, *, present: bool) -> None:
        """Put the external-id field on Task, or take it away."""
        with self._lock:
            self.org.set_intent_field(present=present)

    def set_task_statuses(self, *statuses: tuple[str, bool, bool]) -> None:
        """Replace the values of Task.Status: (API name, is default, is closed)."""
        with self._lock:
            self.org.set_picklist("TaskStatus", statuses)

    def use_calls(self, calls: int) -> None:
        """Count calls that others made against the daily limit."""
        with self._lock:
            self._calls.extend([self._clock.now()] * calls)

    # ------------------------------------------------------------------------------------------- seeding

    def add_account(self, **fields: Any) -> str:
        """Add an account by Salesforce field names; return its id."""
        return self._add("Account", fields)

    def add_user(self, **fields: Any) -> str:
        """Add a user by Salesforce field names (`Username`, `LastName`, `Email`); return the id."""
        return self._add("User", fields)

    def add_lead(self, **fields: Any) -> str:
        """Add a lead by Salesforce field names (`LastName`, `Company`, ...); return the id."""
        return self._add("Lead", fields)

    def add_contact(self, **fields: Any) -> str:
        """Add a contact by Salesforce field names (`LastName`, ...); return the id."""
        return self._add("Contact", fields)

    def add_campaign(self, name: str, members: Sequence[str]) -> str:
        """Add a Salesforce campaign with leads and contacts by id; return its id."""
        campaign = self._add("Campaign", {"Name": name})
        for member in members:
            kind = "LeadId" if member.startswith("00Q") else "ContactId"
            self._add("CampaignMember", {"CampaignId": campaign, kind: member})
        return campaign

    def add_list_view(self, name: str, query: str) -> str:
        """Add a list view over a query (`SELECT Id, Name FROM Lead ...`); return its id."""
        with self._lock:
            result = soql.run(query, self.org)
            view_id = new_id("00B", len(self._list_views) + 1)
            self._list_views[view_id] = (result.sobject.name, _View(name=name, query=query))
            return view_id

    def add_report(self, name: str, query: str) -> str:
        """Add a tabular report over a query whose first field is Id; return its id."""
        with self._lock:
            soql.run(query, self.org)
            report_id = new_id("00O", len(self._reports) + 1)
            self._reports[report_id] = _View(name=name, query=query)
            return report_id

    def seed(self, people: Sequence[Person], reps: Sequence[Rep] = ()) -> dict[str, str]:
        """Make users of the reps, leads and contacts of the people; return lower-case email -> record id."""
        with self._lock, _said():
            return self.org.seed(people, reps)

    def _add(self, name: str, fields: Mapping[str, Any]) -> str:
        with self._lock, _said():
            return self.org.add(name, **fields)

    # ------------------------------------------------------------------------------------ people outside

    def _act(self, do: Callable[[], Record], **told: Any) -> dict[str, Any]:
        with self._lock, _said():
            row = do()
            self.org.settle()
            return {"id": row.id, **told}

    def _rep_writes(self, task: Mapping[str, str], **values: Any) -> dict[str, Any]:
        def write() -> Record:
            row = self.org.task(**task)
            return self.org.update("Task", row.id, values, user=row.values["OwnerId"])

        return self._act(write, **values)

    def rep_closes_task(
        self,
        key: str = "",
        id: str = "",  # noqa: A002 - the control API's word
        person: str = "",
        status: str = "Completed",
    ) -> dict[str, Any]:
        """The rep sets a task to a closed status."""
        return self._rep_writes(_task(key, id, person), Status=status)

    def rep_reopens_task(
        self,
        key: str = "",
        id: str = "",  # noqa: A002 - the control API's word
        person: str = "",
        status: str = "Not Started",
    ) -> dict[str, Any]:
        """The rep sets a closed task back to an open status."""
        return self._rep_writes(_task(key, id, person), Status=status)

    def rep_reassigns_task(self, user: str, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep gives a task to another user (user name, email or id)."""
        return self._rep_writes(_task(key, id, person), OwnerId=self.org.user(user).id)

    def rep_changes_task(self, field: str, value: Any, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep changes one field of a task, by its Salesforce name."""
        return self._rep_writes(_task(key, id, person), **{field: value})

    def rep_deletes_task(self, key: str = "", id: str = "", person: str = "") -> dict[str, Any]:  # noqa: A002
        """The rep puts a task into the recycle bin."""

        def delete() -> Record:
            row = self.org.task(key=key, id=id, person=person)
            self.org.delete(row.id, user=row.values["OwnerId"])
            return row

        return self._act(delete)

    def lead_is_converted(self, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody converts a lead; answers with the id of the new contact."""
        return self._act(lambda: self.org.convert_lead(self.org.person(email=email, id=id)))

    def people_are_merged(self, winner: str, loser: str) -> dict[str, Any]:
        """Somebody merges two leads or two contacts, by id; the loser is deleted and points to the winner."""

        def merge() -> Record:
            kept = self.org.person(id=winner)
            self.org.merge_people(kept, self.org.person(id=loser))
            return kept

        return self._act(merge)

    def person_opts_out(self, email: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
        """Somebody marks a lead or contact as opted out of email."""

        def opt_out() -> Record:
            row = self.org.person(email=email, id=id)
            return self.org.update(row.object, row.id, {"HasOptedOutOfEmail": True}, user=row.values["OwnerId"])

        return self._act(opt_out)

    # -------------------------------------------------------------------------------------------- tokens

    async def _serve_token(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._token, request, body)

    def _token(self, request: Request, body: bytes) -> Response:
        self._log.call("salesforce:token", request.method, request.url.path)
        if request.method != "POST":
            return _token_error("invalid_request", "must use HTTP POST")
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        basic = _basic(request.headers.get("authorization", ""))
        client, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        grants = {
            "client_credentials": self._grant_client,
            "password": self._grant_password,
            "refresh_token": self._grant_refresh,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            return _token_error("unsupported_grant_type", "grant type not supported")
        if client not in self._clients:
            return _token_error("invalid_client_id", "client identifier invalid")
        with self._lock:
            return grant(form, str(request.base_url).rstrip("/"), secret == self._clients[client])

    def _grant_client(self, _: Mapping[str, str], url: str, trusted: bool) -> Response:  # noqa: FBT001 - one of three alike
        if not trusted:
            return _token_error("invalid_client", "invalid client credentials")
        return self._granted("", url)

    def _grant_password(self, form: Mapping[str, str], url: str, trusted: bool) -> Response:  # noqa: FBT001
        if not trusted:
            return _token_error("invalid_client", "invalid client credentials")
        name = form.get("username", "").lower()
        if not name or self._passwords.get(name) != form.get("password"):
            return _token_error("invalid_grant", "authentication failure")
        return self._granted(name, url)

    def _grant_refresh(self, form: Mapping[str, str], url: str, trusted: bool) -> Response:  # noqa: FBT001
        """A public app may refresh without a secret; a wrong one is refused."""
        if not trusted and form.get("client_secret"):
            return _token_error("invalid_client", "invalid client credentials")
        token = form.get("refresh_token", "")
        name = self._refresh_tokens.get(token)
        if name is None:
            return _token_error("invalid_grant", "expired access/refresh token")
        if not self.rotates_refresh_tokens:
            return self._granted(name, url)
        del self._refresh_tokens[token]
        return self._granted(name, url, refresh_token=self.issue_refresh_token(name))

    def _granted(self, username: str, url: str, **more: str) -> Response:
        token = f"00DSandbox00001!{secrets.token_urlsafe(48)}"
        self._tokens.issue("salesforce", subject=username, scopes=("api",), hours=SESSION_HOURS, token=token)
        user = self._user(username)
        return JSONResponse(
            {
                "access_token": token,
                **more,
                "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
                "scope": "api",
                "instance_url": url,
                "id": f"{url}/id/00DSandbox00001EAA/{user}",
                "token_type": "Bearer",
                "issued_at": str(int(self._clock.now().timestamp() * 1000)),
            }
        )

    def _user(self, username: str) -> str:
        try:
            return self.org.user(username).id if username else self.org.integration_user
        except ValueError:
            return self.org.integration_user

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
        grant = self._tokens.check("salesforce", request.headers.get("authorization", ""))
        if grant is None:
            return _refused(401, "INVALID_SESSION_ID", "Session expired or invalid")
        with self._lock:
            if self._used() >= self.daily_limit:
                return self._limited(_refused(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
            self._calls.append(self._clock.now())
            try:
                answer = self._dispatch(request, grant, raw_path.decode("latin-1"), query.decode("latin-1"), body)
                response = _written(answer)
            except Refusal as refusal:
                response = _refused(refusal.status, refusal.code, refusal.message, refusal.fields)
            except soql.SoqlError as wrong:
                response = _refused(400, wrong.code, wrong.message)
            self.org.settle()
            return self._limited(response)

    def _used(self) -> int:
        day_ago = self._clock.now() - timedelta(hours=24)
        while self._calls and self._calls[0] <= day_ago:
            self._calls.popleft()
        return len(self._calls)

    def _limited(self, response: Response) -> Response:
        response.headers["Sforce-Limit-Info"] = f"api-usage={self._used()}/{self.daily_limit}"
        return response

    def _dispatch(self, request: Request, grant: Grant, raw_path: str, query: str, body: bytes) -> _Answer:
        path = [unquote(part) for part in raw_path.split("/")[3:]]
        if path and not path[-1]:
            path.pop()
        if not path:
            versions = [
                {"label": f"v{n}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"}
                for n in range(_FIRST_VERSION, _LAST_VERSION + 1)
            ]
            return _Answer(status=200, body=versions)
        version = _VERSION.match(path[0])
        if version is None or not _FIRST_VERSION <= int(version[1]) <= _LAST_VERSION:
            raise Refusal("NOT_FOUND", _NOT_THERE, status=404)
        call = _Call(
            method=request.method,
            base=f"/services/data/{path[0]}",
            path=tuple(path[1:]),
            query={name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()},
            headers=request.headers,
            body=body,
            user=self._user(grant.subject),
        )
        return self._resource(call)

    def _resource(self, call: _Call) -> _Answer:
        """Find what answers a path: the first pattern of the table that fits; `*` fits anything."""
        for pattern, methods in self._resources().items():
            parts = pattern.split()
            if len(parts) == len(call.path) and all(p in ("*", c) for p, c in zip(parts, call.path, strict=True)):
                found = methods.get("GET" if call.method == "HEAD" else call.method)
                if found is None:
                    allowed = ",".join(["HEAD", *methods] if "GET" in methods else methods)
                    message = f"HTTP Method '{call.method}' not allowed. Allowed are {allowed}"
                    raise Refusal("METHOD_NOT_ALLOWED", message, status=405)
                arguments = [c for p, c in zip(parts, call.path, strict=True) if p == "*"]
                return found(call, *arguments)
        raise Refusal("NOT_FOUND", _NOT_THERE, status=404)

    def _resources(self) -> dict[str, dict[str, Callable[..., _Answer]]]:
        return {
            "": {"GET": self._list_resources},
            "limits": {"GET": self._show_limits},
            "query": {"GET": self._query},
            "query *": {"GET": self._query_more},
            "queryAll": {"GET": self._query_all},
            "queryAll *": {"GET": self._query_more},
            "sobjects": {"GET": self._list_objects},
            "sobjects *": {"GET": self._show_object, "POST": self._create},
            "sobjects * describe": {"GET": self._describe},
            "sobjects * *": {"GET": self._read, "PATCH": self._update, "DELETE": self._delete},
            "sobjects * listviews * results": {"GET": self._list_view},
            "sobjects * * *": {"GET": self._read_by, "PATCH": self._upsert, "DELETE": self._delete_by},
            "composite sobjects": {
                "POST": self._create_many,
                "PATCH": self._update_many,
                "DELETE": self._delete_many,
            },
            "composite sobjects * *": {"PATCH": self._upsert_many},
            "analytics reports *": {"GET": self._report},
        }

    # ----------------------------------------------------------------------------- describing and limits

    def _list_resources(self, call: _Call) -> _Answer:
        names = ("query", "queryAll", "sobjects", "limits", "composite", "analytics")
        return _Answer(status=200, body={name: f"{call.base}/{name}" for name in names})

    def _show_limits(self, _: _Call) -> _Answer:
        left = max(self.daily_limit - self._used(), 0)
        return _Answer(status=200, body={"DailyApiRequests": {"Max": self.daily_limit, "Remaining": left}})

    def _list_objects(self, call: _Call) -> _Answer:
        objects = [describe_briefly(each, call.base) for each in self.org.sobjects.values()]
        return _Answer(status=200, body={"encoding": "UTF-8", "maxBatchSize": COLLECTION, "sobjects": objects})

    def _show_object(self, call: _Call, name: str) -> _Answer:
        brief = describe_briefly(self.org.sobject(name), call.base)
        return _Answer(status=200, body={"objectDescribe": brief, "recentItems": []})

    def _describe(self, call: _Call, name: str) -> _Answer:
        return _Answer(status=200, body=describe(self.org.sobject(name), call.base))

    # ------------------------------------------------------------------------------------------- queries

    def _query(self, call: _Call) -> _Answer:
        return self._run_query(call, everything=False)

    def _query_all(self, call: _Call) -> _Answer:
        return self._run_query(call, everything=True)

    def _run_query(self, call: _Call, *, everything: bool) -> _Answer:
        if "q" not in call.query:
            raise Refusal("MALFORMED_QUERY", "A query string has to be specified")
        result = soql.run(call.query["q"], self.org, everything=everything)
        if not result.columns:
            return _Answer(status=200, body={"totalSize": len(result.records), "done": True, "records": []})
        return self._page(call, result, 0, new_id("01g", len(self._pages) + 1))

    def _page(self, call: _Call, result: soql.Result, start: int, locator: str) -> _Answer:
        asked = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
        size = min(max(int(asked[1]), 200), 2000, self.page_size) if asked else self.page_size
        shown = result.records[start : start + size]
        body: dict[str, Any] = {"totalSize": len(result.records), "done": start + size >= len(result.records)}
        if not body["done"]:
            self._pages[locator] = (result, locator)
            body["nextRecordsUrl"] = f"{call.base}/query/{locator}-{start + size}"
        body["records"] = [self._row(call, result, row) for row in shown]
        return _Answer(status=200, body=body)

    def _query_more(self, call: _Call, place: str) -> _Answer:
        locator, _, start = place.rpartition("-")
        if locator not in self._pages or not (start.isascii() and start.isdigit()):
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        result, _ = self._pages[locator]
        return self._page(call, result, int(start), locator)

    def _row(self, call: _Call, result: soql.Result, row: Record) -> dict[str, Any]:
        shown: dict[str, Any] = {"attributes": _attributes(call, row)}
        for column in result.columns:
            at, here = shown, row
            for parent in column.parents:
                target = self.org.record(self.org.value(here, parent.name))
                name = str(parent.relationship)
                if target is None:
                    at[name] = None
                    break
                at = at.setdefault(name, {"attributes": _attributes(call, target)})
                here = target
            else:
                at[column.field.name] = _json(self.org.value(here, column.field.name))
        return shown

    # ------------------------------------------------------------------------------------------- records

    def _external(self, sobject: SObject, name: str) -> Field:
        found = sobject.field(name)
        if found is None or not (found.external_id or found.type in ("id", "email")):
            message = f"Provided external ID field does not exist or is not accessible: {name}"
            raise Refusal("NOT_FOUND", message, status=404)
        return found

    def _existing(self, sobject: SObject, record_id: str) -> Record:
        """Find a record named by an address: what the other calls refuse with 400 is a 404 here."""
        try:
            return self.org.live(sobject, record_id)
        except Refusal as refusal:
            if refusal.code == "MALFORMED_ID":
                message = f"Provided external ID field does not exist or is not accessible: {record_id}"
                raise Refusal("NOT_FOUND", message, status=404) from refusal
            if refusal.code == "INVALID_CROSS_REFERENCE_KEY":
                raise Refusal("NOT_FOUND", _NOT_THERE, status=404) from refusal
            raise

    def _matching(self, name: str, field_name: str, value: str) -> Record:
        sobject = self.org.sobject(name)
        external = self._external(sobject, field_name)
        row = self.org.find_by(sobject, external, value)
        if row is None:
            raise Refusal("NOT_FOUND", _NOT_THERE, status=404)
        return row

    def _shown(self, call: _Call, row: Record) -> _Answer:
        sobject = self.org.sobjects[row.object]
        names = [name for name in call.query.get("fields", "").split(",") if name] or list(sobject.fields)
        body: dict[str, Any] = {"attributes": _attributes(call, row)}
        for name in names:
            found = sobject.field(name)
            if found is None:
                raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            body[found.name] = _json(self.org.value(row, found.name))
        return _Answer(status=200, body=body)

    def _read(self, call: _Call, name: str, record_id: str) -> _Answer:
        return self._shown(call, self._existing(self.org.sobject(name), record_id))

    def _read_by(self, call: _Call, name: str, field_name: str, value: str) -> _Answer:
        return self._shown(call, self._matching(name, field_name, value))

    def _create(self, call: _Call, name: str) -> _Answer:
        row = self.org.create(name, _values(call.json()), user=call.user)
        at = f"{call.base}/sobjects/{row.object}/{row.id}"
        return _Answer(status=201, body={"id": row.id, "success": True, "errors": []}, headers={"Location": at})

    def _update(self, call: _Call, name: str, record_id: str) -> _Answer:
        sobject = self.org.sobject(name)
        row = self._existing(sobject, record_id)
        values = _values(call.json())
        _without_id(values)
        self.org.update(sobject.name, row.id, values, user=call.user)
        return _Answer(status=204)

    def _delete(self, call: _Call, name: str, record_id: str) -> _Answer:
        row = self._existing(self.org.sobject(name), record_id)
        self.org.delete(row.id, user=call.user)
        return _Answer(status=204)

    def _delete_by(self, call: _Call, name: str, field_name: str, value: str) -> _Answer:
        self.org.delete(self._matching(name, field_name, value).id, user=call.user)
        return _Answer(status=204)

    def _upsert(self, call: _Call, name: str, field_name: str, value: str) -> _Answer:
        sobject = self.org.sobject(name)
        external = self._external(sobject, field_name)
        values = _values(call.json())
        _without_id(values, external.name)
        if external.type == "id":
            return self._update(call, name, value)
        row, created = self.org.upsert(
            sobject.name, external, value, values, update_only=_flag(call.query, "updateOnly"), user=call.user
        )
        body = {"id": row.id, "success": True, "errors": [], "created": created}
        return _Answer(status=201 if created else 200, body=body)

    # --------------------------------------------------------------------------------------- collections

    def _records(self, call: _Call) -> tuple[list[dict[str, Any]], bool]:
        body = call.json()
        records = body.get("records")
        if not isinstance(records, list) or not records or not all(isinstance(each, dict) for each in records):
            raise Refusal("INVALID_INPUT", "The records parameter must be a list of at least one record")
        if len(records) > COLLECTION:
            message = f"record limit reached. cannot submit more than {COLLECTION} records into this call"
            raise Refusal("EXCEEDED_ID_LIMIT", message)
        for each in records:
            if not isinstance(each.get("attributes"), dict) or not each["attributes"].get("type"):
                raise Refusal("INVALID_INPUT", "Include entity type information in attributes of each record")
        return records, body.get("allOrNone") is True

    def _collect(
        self,
        steps: Sequence[Callable[[], dict[str, Any]]],
        *,
        all_or_none: bool,
        failed: Mapping[str, Any] | None = None,
    ) -> _Answer:
        """Do each step by itself; with `all_or_none` one failure takes all of them back. HTTP 200 either way."""
        results: list[dict[str, Any]] = []
        refused = False
        try:
            with self.org.writing():
                for step in steps:
                    try:
                        results.append(step())
                    except Refusal as refusal:
                        if refusal.code == "JSON_PARSER_ERROR":
                            raise
                        refused = True
                        results.append(_failure(refusal, failed))
                if refused and all_or_none:
                    raise _RolledBack  # noqa: TRY301 - leaving `writing` by an exception is what takes it back
        except _RolledBack:
            results = [_failure(_ROLLED_BACK, failed) if result["success"] else result for result in results]
        return _Answer(status=200, body=results)

    def _create_many(self, call: _Call) -> _Answer:
        records, all_or_none = self._records(call)

        def step(record: Mapping[str, Any]) -> dict[str, Any]:
            row = self.org.create(_type_of(record, self.org), _values(record), user=call.user)
            return {"id": row.id, "success": True, "errors": []}

        return self._collect([_bound(step, record) for record in records], all_or_none=all_or_none)

    def _update_many(self, call: _Call) -> _Answer:
        records, all_or_none = self._records(call)

        def step(record: Mapping[str, Any]) -> dict[str, Any]:
            values = _values(record)
            record_id = values.pop("Id", values.pop("id", None))
            if not isinstance(record_id, str) or not record_id:
                raise Refusal("MISSING_ARGUMENT", "Id not specified in an update call")
            row = self.org.update(_type_of(record, self.org), record_id, values, user=call.user)
            return {"id": row.id, "success": True, "errors": []}

        return self._collect([_bound(step, record) for record in records], all_or_none=all_or_none)

    def _delete_many(self, call: _Call) -> _Answer:
        ids = [each for each in call.query.get("ids", "").split(",") if each]
        if not ids:
            raise Refusal("MISSING_ARGUMENT", "The ids parameter is required")
        if len(ids) > COLLECTION:
            message = f"record limit reached. cannot submit more than {COLLECTION} records into this call"
            raise Refusal("EXCEEDED_ID_LIMIT", message)

        def step(record_id: str) -> dict[str, Any]:
            return {"id": self.org.delete(record_id, user=call.user), "success": True, "errors": []}

        all_or_none = _flag(call.query, "allOrNone")
        return self._collect([_bound(step, record_id) for record_id in ids], all_or_none=all_or_none)

    def _upsert_many(self, call: _Call, name: str, field_name: str) -> _Answer:
        sobject = self.org.sobject(name)
        external = self._external(sobject, field_name)
        records, all_or_none = self._records(call)
        update_only = _flag(call.query, "updateOnly")
        keys = [_key(record, external) for record in records]
        twice = {key for key in keys if key is not None and keys.count(key) > 1}

        def step(record: Mapping[str, Any]) -> dict[str, Any]:
            if str(record["attributes"]["type"]).lower() != sobject.name.lower():
                message = f"Record type must match the type in the address: {sobject.name}"
                raise Refusal("INVALID_TYPE", message)
            values = _values(record)
            key = _key(record, external)
            found = next((n for n in values if n.lower() == external.name.lower()), "")
            value = values.pop(found, None)
            if external.type == "id":
                return self._upsert_by_id(call, sobject, value, values)
            _without_id(values)
            if not isinstance(value, str) or not value:
                raise Refusal("MISSING_ARGUMENT", f"{external.name} not specified")
            if key in twice:
                raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", external.name)
            row, created = self.org.upsert(
                sobject.name, external, value, values, update_only=update_only, user=call.user
            )
            return {"id": row.id, "success": True, "errors": [], "created": created}

        steps = [_bound(step, record) for record in records]
        return self._collect(steps, all_or_none=all_or_none, failed={"created": False})

    def _upsert_by_id(self, call: _Call, sobject: SObject, value: Any, values: dict[str, Any]) -> dict[str, Any]:
        if value is None:
            row = self.org.create(sobject.name, values, user=call.user)
        else:
            row = self.org.update(sobject.name, str(value), values, user=call.user)
        return {"id": row.id, "success": True, "errors": [], "created": value is None}

    # ----------------------------------------------------------------------------- list views and reports

    def _list_view(self, call: _Call, name: str, view_id: str) -> _Answer:
        sobject = self.org.sobject(name)
        found = self._list_views.get(full_id(view_id) or "")
        if found is None or found[0] != sobject.name:
            raise Refusal("NOT_FOUND", _NOT_THERE, status=404)
        view = found[1]
        result = soql.run(view.query, self.org)
        names = [".".join([*(str(p.relationship) for p in c.parents), c.field.name]) for c in result.columns]
        limit = min(_number(call.query, "limit", 25), MOST_ROWS)
        offset = _number(call.query, "offset", 0)
        shown = result.records[offset : offset + limit]
        body = {
            "columns": [
                {
                    "fieldNameOrPath": path,
                    "label": column.field.label,
                    "hidden": path == "Id",
                    "type": column.field.type,
                }
                for path, column in zip(names, result.columns, strict=True)
            ],
            "developerName": re.sub(r"\W+", "_", view.name),
            "done": offset + limit >= len(result.records),
            "id": full_id(view_id),
            "label": view.name,
            "records": [
                {
                    "columns": [
                        {"fieldNameOrPath": path, "value": _text(column.read(self.org, row))}
                        for path, column in zip(names, result.columns, strict=True)
                    ]
                }
                for row in shown
            ],
            "size": len(shown),
        }
        return _Answer(status=200, body=body)

    def _report(self, call: _Call, report_id: str) -> _Answer:
        report = self._reports.get(full_id(report_id) or "")
        if report is None:
            raise Refusal("NOT_FOUND", _NOT_THERE, status=404)
        result = soql.run(report.query, self.org)
        kind = result.sobject.name
        columns = [_report_column(kind, column) for column in result.columns]
        rows = [
            {"dataCells": [{"label": _text(value) or "-", "value": value} for value in self._cells(result, row)]}
            for row in result.records[:MOST_ROWS]
        ]
        details = _flag(call.query, "includeDetails")
        count = len(result.records)
        cells: dict[str, Any] = {"aggregates": [{"label": str(count), "value": count}]}
        body = {
            "attributes": {"reportId": full_id(report_id), "reportName": report.name, "type": "Report"},
            "allData": count <= MOST_ROWS,
            "factMap": {"T!T": {**cells, "rows": rows} if details else cells},
            "groupingsAcross": {"groupings": []},
            "groupingsDown": {"groupings": []},
            "hasDetailRows": details,
            "reportExtendedMetadata": {
                "detailColumnInfo": {
                    name: {"dataType": column.field.type, "label": column.field.label}
                    for name, column in zip(columns, result.columns, strict=True)
                }
            },
            "reportMetadata": {
                "detailColumns": columns,
                "id": full_id(report_id),
                "name": report.name,
                "reportFormat": "TABULAR",
                "reportType": {"label": f"{kind}s", "type": f"{kind}List"},
            },
        }
        return _Answer(status=200, body=body)

    def _cells(self, result: soql.Result, row: Record) -> list[Any]:
        return [_json(column.read(self.org, row)) for column in result.columns]


def _task(key: str, record_id: str, person: str) -> dict[str, str]:
    return {"key": key, "id": record_id, "person": person}


@contextmanager
def _said() -> Iterator[None]:
    """Say a refusal as a sentence for the control API."""
    try:
        yield
    except Refusal as refusal:
        raise ValueError(f"Salesforce refuses it: {refusal.code}: {refusal.message}") from refusal


class _RolledBack(Exception):  # noqa: N818 - it takes work back, it is no fault
    pass


_ROLLED_BACK = Refusal(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)


def _bound(step: Callable[[A], dict[str, Any]], argument: A) -> Callable[[], dict[str, Any]]:
    return lambda: step(argument)


def _failure(refusal: Refusal, more: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a failed item of a collection; it has no id, and says `statusCode` where other errors say `errorCode`."""
    error = {"statusCode": refusal.code, "message": refusal.message, "fields": list(refusal.fields)}
    return {"success": False, "errors": [error], **(more or {})}


def _values(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "attributes"}


def _type_of(record: Mapping[str, Any], org: Org) -> str:
    name = str(record["attributes"]["type"])
    try:
        return org.sobject(name).name
    except Refusal:
        raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.") from None


def _without_id(values: Mapping[str, Any], *more: str) -> None:
    forbidden = {name.lower() for name in ("Id", *more)}
    for name in values:
        if name.lower() in forbidden:
            raise Refusal("INVALID_FIELD", f"The {name} field should not be specified in the sobject data.")


def _key(record: Mapping[str, Any], external: Field) -> str | None:
    """Return the external id of a record as it is compared."""
    value = next((v for n, v in record.items() if n.lower() == external.name.lower()), None)
    return None if not isinstance(value, str) else value if external.case_sensitive else value.lower()


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise Refusal("INVALID_PARAMETER_VALUE", f"The {name} parameter must be a number")
    return int(text)


def _attributes(call: _Call, row: Record) -> dict[str, str]:
    return {"type": row.object, "url": f"{call.base}/sobjects/{row.object}/{row.id}"}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, date) else value


def _text(value: Any) -> str | None:
    plain = _json(value)
    if isinstance(plain, bool):
        return str(plain).lower()
    return None if plain is None else str(plain)


def _report_column(kind: str, column: soql.Column) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.field.name).upper()
    return f"{kind.upper()}_ID" if name == "ID" else name


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, code = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(code).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(user), unquote(password)


def _token_error(error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status_code=400)


def _refused(status: int, code: str, message: str, fields: Sequence[str] = ()) -> Response:
    error: dict[str, Any] = {"message": message, "errorCode": code}
    if fields:
        error["fields"] = list(fields)
    return JSONResponse([error], status_code=status, media_type="application/json;charset=UTF-8")


def _written(answer: _Answer) -> Response:
    if answer.status == 204:
        return Response(status_code=204, headers=dict(answer.headers))
    return JSONResponse(
        answer.body,
        status_code=answer.status,
        headers=dict(answer.headers),
        media_type="application/json;charset=UTF-8",
    )
