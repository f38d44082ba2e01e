"""Simulated Gmail API: what it takes, what it refuses, and how it answers.

Lives here: the routes of `gmail/v1/users/{userId}`, scopes, errors in Google's words, history.
Does not live here: tokens (`google_login`), mailboxes and how mail travels (`mailworld`), messages as JSON
(`gmail_message`), search (`gmail_search`).
Strict on purpose: unknown JSON names, unknown query parameters, other people's mailboxes, missing scopes and
expired history are refused as Google does. Source: reference apis 2 and Google's discovery document.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import getaddresses
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.gmail_message import PLACE_LABELS, draft_ref, labels_of, message_ref, show
from adapters.sandbox.gmail_search import searched
from adapters.sandbox.google_login import GoogleLogin
from adapters.sandbox.letter import bare_subject, head, is_deliverable, parse, with_headers
from adapters.sandbox.mailworld import Change, Kind, Mailbox, MailWorld, Place, StoredMail, What
from adapters.sandbox.service import Grant, SandboxClock, SandboxLog, Tokens

_AUTH = "https://www.googleapis.com/auth/gmail."
_FULL = "https://mail.google.com/"


def _scopes(*names: str) -> frozenset[str]:
    return frozenset((_FULL, *(_AUTH + name for name in names)))


_WRITE = _scopes("addons.current.action.compose", "compose", "modify")
_READ_DRAFTS = _scopes("compose", "modify", "readonly")
_READ = _scopes("metadata", "modify", "readonly")
_MODIFY = _scopes("modify")

#: Query parameters every method takes.
_COMMON = frozenset(
    (
        *("$.xgafv", "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser"),
        *("uploadType", "upload_protocol"),
    )
)

#: Known names of the JSON messages, so that unknown ones are refused.
_MESSAGE: Mapping[str, Any] = {
    "id": None,
    "threadId": None,
    "labelIds": None,
    "snippet": None,
    "historyId": None,
    "internalDate": None,
    "payload": None,
    "sizeEstimate": None,
    "raw": None,
    "classificationLabelValues": None,
}
_DRAFT: Mapping[str, Any] = {"id": None, "message": _MESSAGE}

_SYSTEM_LABELS = ("INBOX", "SENT", "DRAFT", "TRASH", "UNREAD", "SPAM", "STARRED", "IMPORTANT", "CHAT", "SCHEDULED")


class GoogleError(Exception):
    """An error as Google's servers say it."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str,
        status: str,
        short: str = "",
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = dict(headers or {})
        item: dict[str, Any] = {"message": short or message, "domain": "global", "reason": reason}
        if code == 401:
            item |= {"location": "Authorization", "locationType": "header"}
        self.body: dict[str, Any] = {
            "error": {"code": code, "message": message, "errors": [item], "status": status}
            | ({"details": list(details)} if details else {})
        }


def _bad(message: str, reason: str = "invalidArgument") -> GoogleError:
    return GoogleError(400, message, reason=reason, status="INVALID_ARGUMENT")


def _not_found() -> GoogleError:
    return GoogleError(404, "Requested entity was not found.", reason="notFound", status="NOT_FOUND")


def _bad_json(message: str, field: str) -> GoogleError:
    violation = {"field": field, "description": message} if field else {"description": message}
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    return GoogleError(400, message, reason="badRequest", status="INVALID_ARGUMENT", details=details)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request, checked."""

    box: Mailbox
    grant: Grant
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: Mapping[str, Any]

    def one(self, name: str, default: str = "") -> str:
        return self.query.get(name, (default,))[0]

    def number(self, name: str, default: int, largest: int) -> int:
        text = self.one(name, str(default))
        if not text.isdigit():
            raise _bad_json(f"Invalid value at '{_snake(name)}' (TYPE_UINT32), \"{text}\"", _snake(name))
        if int(text) < 1:
            raise _bad(f"Invalid value for {name}: {text}")
        return min(int(text), largest)

    @property
    def headers_only(self) -> bool:
        """Whether the token sees headers and labels alone."""
        return not self.grant.scopes & _scopes("modify", "readonly", "compose")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """One method of the API."""

    name: str
    http: str
    path: re.Pattern[str]
    scopes: frozenset[str]
    units: int
    answer: Callable[[_Call], dict[str, Any] | None]
    query: frozenset[str]
    body: Mapping[str, Any] | None
    root: str


class GmailService:
    """The Gmail API, behind Google's sign-in."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog, world: MailWorld) -> None:
        self._clock = clock
        self._tokens = tokens
        self._log = log
        self._world = world
        #: Who is given which token.
        self.login = GoogleLogin(clock, tokens, log, world)
        self._spent: dict[tuple[str, int], int] = {}
        self._methods = self._table()

    # --------------------------------------------------------------------------------------- set-up

    def routes(self) -> Sequence[BaseRoute]:
        """Return Google's sign-in and everything under /gmail/v1."""
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return (
            *self.login.routes(),
            Route("/gmail/v1/{rest:path}", self._serve, methods=every),
        )

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what can happen to the service itself."""
        return {"gmail_expires_history": self.expire_history, **self.login.actions()}

    def state(self) -> dict[str, Any]:
        """Return every Gmail mailbox as JSON."""
        return self._world.state(Kind.GMAIL)

    def expire_history(self, rep: str = "") -> dict[str, Any]:
        """Forget the history of one mailbox, or of all: an older startHistoryId gets 404."""
        boxes = [box for box in self._world.boxes.values() if box.kind is Kind.GMAIL and rep.lower() in ("", box.email)]
        for box in boxes:
            # One more line, so that a historyId read just before is already too old.
            box.forgotten = box.serial + 1
            box.changes.append(
                Change(serial=box.forgotten, what=What.CHANGED, id="", second_id="", thread="", place=Place.INBOX)
            )
        return {"mailboxes": [box.email for box in boxes]}

    # ------------------------------------------------------------------------------------ one request

    async def _serve(self, request: Request) -> Response:
        body = await request.body()
        self._log.call("gmail", request.method, request.url.path)
        with self._world.lock:
            self._world.settle()
            try:
                answer = self.answer(request.method, request.url.path, request.url.query, request.headers, body)
            except GoogleError as error:
                return JSONResponse(error.body, status_code=error.code, headers=error.headers)
        if isinstance(answer, Response):
            return answer
        return JSONResponse(answer) if answer is not None else Response(status_code=204)

    def answer(
        self, http: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, Any] | Response | None:
        """Answer one request: JSON, or None for no content; raises `GoogleError`."""
        for method in self._methods:
            match = method.path.fullmatch(path)
            if match and method.http == http:
                break
        else:
            # Google answers an address it does not know with a page, not with JSON.
            return Response("<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", 404, media_type="text/html")
        grant = self._tokens.check("gmail", headers.get("authorization", ""))
        if grant is None:
            raise GoogleError(
                401,
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
                "valid authentication credential.",
                reason="authError",
                status="UNAUTHENTICATED",
                short="Invalid Credentials",
                headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'},
            )
        if not self.login.api_enabled:
            raise _api_disabled()
        if not self.login.apps_allowed:
            message = "The domain administrators have disabled Gmail apps."
            raise GoogleError(403, message, reason="domainPolicy", status="PERMISSION_DENIED")
        if not grant.scopes & method.scopes:
            raise _too_narrow(method)
        box = self._own_box(grant, match["user"])
        self._spend(box, method.units)
        call = _Call(
            box=box,
            grant=grant,
            path=match.groupdict(),
            query=_read_query(query, method),
            body=_read_body(body, method),
        )
        return method.answer(call)

    def _own_box(self, grant: Grant, user: str) -> Mailbox:
        box = self._world.mailbox(Kind.GMAIL, grant.subject)
        if box is None or not box.licensed:
            raise GoogleError(
                400, "Mail service not enabled", reason="failedPrecondition", status="FAILED_PRECONDITION"
            )
        if user not in ("me", box.guid) and not box.owns(user):
            raise GoogleError(403, f"Delegation denied for {box.email}", reason="forbidden", status="PERMISSION_DENIED")
        return box

    def _spend(self, box: Mailbox, units: int) -> None:
        limit = self._world.settings.gmail_units_per_minute
        minute = int(self._clock.now().timestamp() // 60)
        spent = self._spent.get((box.email, minute), 0) + units
        if limit is not None and spent > limit:
            raise GoogleError(
                429,
                "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service "
                "'gmail.googleapis.com'.",
                reason="rateLimitExceeded",
                status="RESOURCE_EXHAUSTED",
            )
        self._spent[(box.email, minute)] = spent

    def _table(self) -> tuple[_Method, ...]:
        def method(
            name: str,
            http: str,
            path: str,
            scopes: frozenset[str],
            units: int,
            answer: Callable[[_Call], dict[str, Any] | None],
            query: str = "",
            body: Mapping[str, Any] | None = None,
            root: str = "",
        ) -> _Method:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", f"/gmail/v1/users/{{user}}{path}")
            return _Method(
                name=name,
                http=http,
                path=re.compile(pattern),
                scopes=scopes,
                units=units,
                answer=answer,
                query=_COMMON | frozenset(query.split()),
                body=body,
                root=root,
            )

        lists = "includeSpamTrash maxResults pageToken q"
        return (
            method("GetProfile", "GET", "/profile", _READ | _READ_DRAFTS, 1, self._profile),
            method("CreateDraft", "POST", "/drafts", _WRITE, 10, self._create_draft, "", _DRAFT, "draft"),
            method("SendDraft", "POST", "/drafts/send", _WRITE, 100, self._send_draft, "", _DRAFT, "draft"),
            method("ListDrafts", "GET", "/drafts", _READ_DRAFTS, 5, self._list_drafts, lists),
            method("GetDraft", "GET", "/drafts/{id}", _READ_DRAFTS, 20, self._get_draft, "format"),
            method("UpdateDraft", "PUT", "/drafts/{id}", _WRITE, 15, self._update_draft, "", _DRAFT, "draft"),
            method("DeleteDraft", "DELETE", "/drafts/{id}", _WRITE, 10, self._delete_draft),
            method("ListMessages", "GET", "/messages", _READ, 5, self._list_messages, lists + " labelIds"),
            method(
                "SendMessage",
                "POST",
                "/messages/send",
                _WRITE | _scopes("send"),
                100,
                self._send_message,
                "",
                _MESSAGE,
                "message",
            ),
            method("GetMessage", "GET", "/messages/{id}", _READ, 20, self._get_message, "format metadataHeaders"),
            method("TrashMessage", "POST", "/messages/{id}/trash", _MODIFY, 5, self._trash_message, "", {}),
            method("DeleteMessage", "DELETE", "/messages/{id}", frozenset((_FULL,)), 10, self._delete_message),
            method("GetThread", "GET", "/threads/{id}", _READ, 40, self._get_thread, "format metadataHeaders"),
            method(
                "ListHistory",
                "GET",
                "/history",
                _READ,
                2,
                self._list_history,
                "historyTypes labelId maxResults pageToken startHistoryId",
            ),
            method("ListLabels", "GET", "/labels", _READ | _scopes("labels"), 1, self._list_labels),
        )

    # ----------------------------------------------------------------------------------------- drafts

    def _profile(self, call: _Call) -> dict[str, Any]:
        return {
            "emailAddress": call.box.email,
            "messagesTotal": len(call.box.mails),
            "threadsTotal": len({mail.thread for mail in call.box.mails.values()}),
            "historyId": str(call.box.serial),
        }

    def _create_draft(self, call: _Call) -> dict[str, Any]:
        message = call.body.get("message") or {}
        raw = _read_raw(message, "draft.message.raw")
        thread = _thread_for(call.box, message.get("threadId"), raw)
        draft = self._world.save_draft(call.box, _from_owner(call.box, raw), thread=thread)
        return draft_ref(draft)

    def _update_draft(self, call: _Call) -> dict[str, Any]:
        draft = _draft(call.box, call.path["id"])
        message = call.body.get("message") or {}
        raw = _read_raw(message, "draft.message.raw")
        thread = _thread_for(call.box, message.get("threadId"), raw)
        return draft_ref(self._world.rewrite(call.box, draft, _from_owner(call.box, raw), thread=thread))

    def _get_draft(self, call: _Call) -> dict[str, Any]:
        draft = _draft(call.box, call.path["id"])
        return {"id": draft.second_id, "message": show(draft, _format(call), ())}

    def _list_drafts(self, call: _Call) -> dict[str, Any]:
        found = [mail for mail in _newest_first(call.box) if mail.place is Place.DRAFTS]
        found = searched(found, call.one("q"), self._clock.now())
        page, following = _page(found, call)
        answer: dict[str, Any] = {"resultSizeEstimate": len(found)}
        if page:
            ids = [{"id": one.second_id, "message": {"id": one.id, "threadId": one.thread}} for one in page]
            answer["drafts"] = ids
        return answer | following

    def _send_draft(self, call: _Call) -> dict[str, Any]:
        draft_id = call.body.get("id")
        message = call.body.get("message") or {}
        if not draft_id:
            return self._send(call, message, "draft.message.raw")
        draft = _draft(call.box, str(draft_id))
        if message.get("raw"):
            raw = _from_owner(call.box, _read_raw(message, "draft.message.raw"))
            thread = _thread_for(call.box, message.get("threadId") or draft.thread, raw)
            _check_recipients(raw)
            draft = self._world.rewrite(call.box, draft, raw, thread=thread)
        _check_recipients(draft.raw)
        return message_ref(self._world.send(call.box, draft))

    def _delete_draft(self, call: _Call) -> None:
        self._world.discard(call.box, _draft(call.box, call.path["id"]))

    # --------------------------------------------------------------------------------------- messages

    def _send_message(self, call: _Call) -> dict[str, Any]:
        return self._send(call, call.body, "message.raw")

    def _send(self, call: _Call, message: Mapping[str, Any], field: str) -> dict[str, Any]:
        raw = _from_owner(call.box, _read_raw(message, field))
        _check_recipients(raw)
        thread = _thread_for(call.box, message.get("threadId"), raw)
        return message_ref(self._world.post(call.box, raw, thread=thread))

    def _list_messages(self, call: _Call) -> dict[str, Any]:
        query = call.one("q")
        if query and call.headers_only:
            raise GoogleError(
                403, "Metadata scope does not support 'q' parameter", reason="forbidden", status="PERMISSION_DENIED"
            )
        wanted = set(call.query.get("labelIds", ()))
        binned = call.one("includeSpamTrash") == "true" or "in:trash" in query or "in:anywhere" in query
        found = [
            mail
            for mail in _newest_first(call.box)
            if wanted <= set(labels_of(mail)) and (binned or "TRASH" in wanted or mail.place is not Place.TRASH)
        ]
        found = searched(found, query, self._clock.now())
        page, following = _page(found, call)
        answer: dict[str, Any] = {"resultSizeEstimate": len(found)}
        if page:
            answer["messages"] = [{"id": mail.id, "threadId": mail.thread} for mail in page]
        return answer | following

    def _get_message(self, call: _Call) -> dict[str, Any]:
        return show(_mail(call.box, call.path["id"]), _format(call), call.query.get("metadataHeaders", ()))

    def _trash_message(self, call: _Call) -> dict[str, Any]:
        return message_ref(self._world.trash(call.box, _mail(call.box, call.path["id"])))

    def _delete_message(self, call: _Call) -> None:
        self._world.discard(call.box, _mail(call.box, call.path["id"]))

    def _get_thread(self, call: _Call) -> dict[str, Any]:
        thread = call.path["id"]
        mails = sorted((mail for mail in call.box.mails.values() if mail.thread == thread), key=lambda mail: mail.at)
        if not mails:
            raise _not_found()
        wanted = call.query.get("metadataHeaders", ())
        return {
            "id": thread,
            "historyId": str(max(mail.serial for mail in mails)),
            "messages": [show(mail, _format(call), wanted) for mail in mails],
        }

    def _list_labels(self, _: _Call) -> dict[str, Any]:
        return {"labels": [{"id": name, "name": name, "type": "system"} for name in _SYSTEM_LABELS]}

    # ---------------------------------------------------------------------------------------- history

    def _list_history(self, call: _Call) -> dict[str, Any]:
        start = call.one("startHistoryId")
        if not start:
            raise _bad("Missing/invalid startHistoryId")
        if not start.isdigit():
            text = f"Invalid value at 'start_history_id' (TYPE_UINT64), \"{start}\""
            raise _bad_json(text, "start_history_id")
        if not call.box.forgotten <= int(start) <= call.box.serial:
            raise _not_found()
        kinds = frozenset(call.query.get("historyTypes", ()))
        for kind in kinds - frozenset(_HISTORY_KEYS):
            raise _bad_json(f"Invalid value at 'history_types' (type.googleapis.com/gmail.HistoryType), \"{kind}\"", "")
        label = call.one("labelId")
        records = []
        for change in call.box.since(int(start)):
            record = _history(change, call.box, kinds, label)
            if record is not None:
                records.append(record)
        page, following = _page(records, call)
        answer: dict[str, Any] = {"historyId": str(call.box.serial)}
        if page:
            answer["history"] = page
        return answer | following


#: Value of `historyTypes` -> key of the record.
_HISTORY_KEYS: Mapping[str, str] = {
    "messageAdded": "messagesAdded",
    "messageDeleted": "messagesDeleted",
    "labelAdded": "labelsAdded",
    "labelRemoved": "labelsRemoved",
}


def _history(change: Change, box: Mailbox, kinds: frozenset[str], label: str) -> dict[str, Any] | None:
    ref: dict[str, Any] = {"id": change.id, "threadId": change.thread}
    labels = list(PLACE_LABELS[change.place])
    if change.place is Place.INBOX:
        labels.insert(0, "UNREAD")
    events: dict[str, list[dict[str, Any]]] = {}
    if change.what is What.ADDED:
        # The labels are the present ones, when the message is still there.
        present = box.mails.get(change.id)
        labels = labels_of(present) if present else labels
        events["messageAdded"] = [{"message": ref | {"labelIds": labels}}]
    elif change.what is What.REMOVED:
        events["messageDeleted"] = [{"message": ref | {"labelIds": labels}}]
    elif change.what is What.TRASHED:
        before = list(PLACE_LABELS[change.was or Place.INBOX])
        events["labelAdded"] = [{"message": ref | {"labelIds": ["TRASH"]}, "labelIds": ["TRASH"]}]
        if "INBOX" in before:
            events["labelRemoved"] = [{"message": ref | {"labelIds": ["TRASH"]}, "labelIds": ["INBOX"]}]
            labels = ["INBOX", "TRASH"]
    events = {kind: items for kind, items in events.items() if not kinds or kind in kinds}
    if not events or (label and label not in labels):
        return None
    record: dict[str, Any] = {"id": str(change.serial), "messages": [ref]}
    return record | {_HISTORY_KEYS[kind]: items for kind, items in events.items()}


# ---------------------------------------------------------------------------------------- reading requests


def _api_disabled() -> GoogleError:
    place = "https://console.developers.google.com/apis/api/gmail.googleapis.com/overview?project=100000000001"
    metadata = {"service": "gmail.googleapis.com", "consumer": "projects/100000000001"}
    return GoogleError(
        403,
        "Gmail API has not been used in project 100000000001 before or it is disabled. Enable it by visiting "
        f"{place} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our "
        "systems and retry.",
        reason="accessNotConfigured",
        status="PERMISSION_DENIED",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": metadata,
            }
        ],
    )


def _too_narrow(method: _Method) -> GoogleError:
    metadata = {"service": "gmail.googleapis.com", "method": f"caribou.api.proto.MailboxService.{method.name}"}
    return GoogleError(
        403,
        "Request had insufficient authentication scopes.",
        reason="insufficientPermissions",
        status="PERMISSION_DENIED",
        short="Insufficient Permission",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                "domain": "googleapis.com",
                "metadata": metadata,
            }
        ],
        headers={
            "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="insufficient_scope", '
            f'scope="{" ".join(sorted(method.scopes))}"'
        },
    )


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)


def _read_query(text: str, method: _Method) -> dict[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in method.query:
            message = (
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                f"Field '{name}' could not be found in request message."
            )
            raise _bad_json(message, "")
        found.setdefault(name, []).append(value)
    return dict(found)


def _read_body(body: bytes, method: _Method) -> dict[str, Any]:
    if not body:
        return {}
    if method.body is None:
        message = 'Invalid JSON payload received. Unknown name "": Root element must be a message.'
        raise _bad_json(message, "")
    try:
        value = json.loads(body)
    except ValueError:
        raise _bad("Parse Error", "parseError") from None
    if not isinstance(value, dict):
        raise _bad_json('Invalid JSON payload received. Unknown name "": Root element must be a message.', "")
    _refuse_unknown(value, method.body, method.root)
    return value


def _refuse_unknown(value: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for name, inner in value.items():
        if name not in known:
            at = f" at '{where}'" if where else ""
            raise _bad_json(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.', where)
        below = known[name]
        if below is None:
            if name in ("raw", "threadId", "id") and inner is not None and not isinstance(inner, str):
                field = f"{where}.{_snake(name)}"
                raise _bad_json(f"Invalid value at '{field}' (TYPE_STRING), {json.dumps(inner)}", field)
        elif not isinstance(inner, dict):
            field = f"{where}.{_snake(name)}"
            raise _bad_json(f"Invalid value at '{field}', {json.dumps(inner)}", field)
        else:
            _refuse_unknown(inner, below, f"{where}.{_snake(name)}")


def _read_raw(message: Mapping[str, Any], field: str) -> bytes:
    text = message.get("raw")
    if not text:
        raise _bad("'raw' RFC822 payload message string or uploading message via /upload/* URL required")
    try:
        plain = str(text).replace("-", "+").replace("_", "/").rstrip("=")
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        shown = str(text)[:60]
        raise _bad_json(
            f"Invalid value at '{field}' (TYPE_BYTES), Base64 decoding failed for \"{shown}\"", field
        ) from None
    return raw


def _from_owner(box: Mailbox, raw: bytes) -> bytes:
    """Return the mail with a From of this mailbox: Gmail puts it there when it is missing or somebody else's."""
    senders = parse(raw).get("From")
    if senders is not None and box.email in str(senders).lower():
        return raw
    return with_headers(raw, **{"from": f"{box.name} <{box.email}>" if box.name else box.email})


def _check_recipients(raw: bytes) -> None:
    from_top = parse(raw)
    named = False
    for header in ("To", "Cc", "Bcc"):
        for value in from_top.get_all(header, []):
            for _, address in getaddresses([str(value)]):
                if not is_deliverable(address):
                    raise _bad(f"Invalid {header} header")
                named = True
    if not named:
        raise _bad("Recipient address required")


def _thread_for(box: Mailbox, wanted: Any, raw: bytes) -> str | None:
    """Return the thread a mail may join, None for a thread of its own.

    All must hold (apis 2.2): the thread exists here, References or In-Reply-To name a mail in it, the subject is
    its subject. A mail that fails the last two is taken, in a new thread.
    """
    if not wanted:
        return None
    if not re.fullmatch(r"[0-9a-f]{1,16}", str(wanted)):
        raise _bad("Invalid thread_id value")
    mails = [mail for mail in box.mails.values() if mail.thread == wanted]
    if not mails:
        raise _not_found()
    top = head(raw)
    known = {mail.head.message_id for mail in mails}
    subjects = {bare_subject(mail.head.subject) for mail in mails}
    unsent = all(mail.place is Place.DRAFTS for mail in mails)
    if bare_subject(top.subject) in subjects and (unsent or known & set(top.answers)):
        return str(wanted)
    return None


def _draft(box: Mailbox, draft_id: str) -> StoredMail:
    for mail in box.mails.values():
        if mail.place is Place.DRAFTS and mail.second_id == draft_id:
            return mail
    raise _not_found()


def _mail(box: Mailbox, message_id: str) -> StoredMail:
    if not re.fullmatch(r"[0-9a-f]{1,16}", message_id):
        raise _bad("Invalid id value")
    mail = box.mails.get(message_id)
    if mail is None:
        raise _not_found()
    return mail


def _format(call: _Call) -> str:
    kind = call.one("format", "full")
    if kind not in ("full", "metadata", "minimal", "raw"):
        raise _bad_json(f"Invalid value at 'format' (type.googleapis.com/gmail.Format), \"{kind}\"", "format")
    if kind in ("full", "raw") and call.headers_only:
        raise GoogleError(
            403,
            f"Metadata scope doesn't allow format {kind.upper()}",
            reason="forbidden",
            status="PERMISSION_DENIED",
        )
    return kind


def _newest_first(box: Mailbox) -> list[StoredMail]:
    return sorted(box.mails.values(), key=lambda mail: (mail.at, mail.id), reverse=True)


def _page(found: Sequence[Any], call: _Call) -> tuple[Sequence[Any], dict[str, str]]:
    size = call.number("maxResults", 100, 500)
    token = call.one("pageToken")
    try:
        offset = int(base64.urlsafe_b64decode(token)) if token else 0
    except ValueError:
        raise _bad("Invalid pageToken") from None
    following = {}
    if offset + size < len(found):
        following = {"nextPageToken": base64.urlsafe_b64encode(str(offset + size).encode()).decode()}
    return found[offset : offset + size], following
