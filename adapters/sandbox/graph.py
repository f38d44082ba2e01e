"""Simulated Microsoft Graph mail API.

Lives here: mail paths of `/v1.0/me` and `/v1.0/users/{id}`, `$batch`, delta, permissions, errors in Graph's words.
Does not live here: mailboxes and how mail travels (`mailworld`), filters (`odata`), what a message looks like in
JSON (`graph_message`), the login (`microsoft_login`).
Source: reference apis 3 and the Graph mail OpenAPI.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.graph_message import (
    MESSAGE,
    PROPERTIES,
    Shape,
    ShapeError,
    attachment,
    check,
    folder_id,
    folder_of,
    letter_of,
    quoted_reply,
    read_enclosure,
    show,
)
from adapters.sandbox.letter import Letter, is_deliverable, open_letter
from adapters.sandbox.mailbox import FIRST_SERIAL, Kind, Mailbox, Place, StoredMail, What
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.microsoft_login import MicrosoftLogin
from adapters.sandbox.odata import BadFilter, Filter, property_key
from adapters.sandbox.service import Grant, SandboxClock, SandboxLog, Tokens

#: Requests of one mailbox that may run at once (apis 3.5); further ones of a $batch get 429.
CONCURRENCY = 4

#: Bytes a JSON body may have; larger attachments need an upload session, which the sandbox has not.
LARGEST_BODY = 4 * 1024 * 1024

_READ = frozenset(("Mail.ReadBasic", "Mail.ReadBasic.All", "Mail.Read", "Mail.ReadWrite"))
_WRITE = frozenset(("Mail.ReadWrite",))
_SEND = frozenset(("Mail.Send",))
_PROFILE = frozenset(("User.Read", "User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All"))

#: What a PATCH may change only while the message is a draft (apis 3.1).
_DRAFT_ONLY = frozenset(
    (
        *("subject", "body", "toRecipients", "ccRecipients", "bccRecipients", "replyTo", "from", "sender"),
        *("internetMessageId", "internetMessageHeaders", "isDeliveryReceiptRequested", "isReadReceiptRequested"),
    )
)

_LIST_QUERY = frozenset(("$filter", "$select", "$expand", "$top", "$skip", "$orderby", "$count"))
_DELTA_QUERY = frozenset(("$filter", "$select", "$top", "$expand", "changeType", "$deltatoken", "$skiptoken"))


class GraphError(Exception):
    """An error as Graph says it."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def _bad(message: str, code: str = "BadRequest") -> GraphError:
    return GraphError(400, code, message)


def _gone() -> GraphError:
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: dict[str, Any] | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request to one mailbox, its permission checked."""

    box: Mailbox
    #: `https://host/v1.0/me` or `…/users/{id}`, as it was called.
    base: str
    path: str
    keys: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def prefer(self) -> str:
        return self.headers.get("prefer", "").lower().replace(" ", "")

    @property
    def immutable(self) -> bool:
        """Whether ids are wanted that stay when a mail moves."""
        return 'idtype="immutableid"' in self.prefer

    @property
    def as_text(self) -> bool:
        return 'outlook.body-content-type="text"' in self.prefer

    @property
    def is_mime(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/plain")

    def json(self, shape: Shape) -> dict[str, Any]:
        """Return the body, checked; raises `GraphError`."""
        if len(self.body) > LARGEST_BODY:
            raise GraphError(413, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.")
        if not self.headers.get("content-type", "").startswith("application/json"):
            kind = self.headers.get("content-type", "")
            raise _bad(f"Unsupported content type '{kind}'; send application/json.", "RequestBodyRead")
        try:
            value = json.loads(self.body)
        except ValueError:
            raise _bad("Unable to read JSON request payload. Please ensure Content-Type header is set.") from None
        if not isinstance(value, dict):
            raise _bad("Empty Payload. JSON content expected.")
        try:
            return check(value, shape)
        except ShapeError as wrong:
            raise _bad(str(wrong), wrong.code) from None

    def mime(self) -> bytes:
        """Return the body as RFC 5322 bytes, when it was given as base64."""
        try:
            raw = base64.b64decode(self.body, validate=True)
        except (binascii.Error, ValueError):
            raise _bad("Invalid base64 string for MIME content.", "ErrorMimeContentInvalidBase64String") from None
        if b":" not in raw.partition(b"\n")[0]:
            raise _bad("Invalid MIME content.", "ErrorMimeContentInvalid")
        return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    """One operation: where it answers, and what permission it takes."""

    http: str
    path: re.Pattern[str]
    roles: frozenset[str]
    answer: Callable[[_Call], Answer]
    query: frozenset[str]


class GraphService:
    """Microsoft's login and the mail part of Microsoft Graph."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog, world: MailWorld) -> None:
        self._clock = clock
        self._tokens = tokens
        self._log = log
        self._world = world
        self._login = MicrosoftLogin(clock, tokens, log)
        self._requests: dict[tuple[str, int], int] = {}
        self._operations = self._table()

    # ------------------------------------------------------------------------------------------ set-up

    def register_client(
        self, tenant: str, client_id: str, secret: str, roles: Sequence[str] = ("Mail.ReadWrite", "Mail.Send")
    ) -> None:
        """Register an application with its secret and the application permissions it was granted."""
        self._login.register_client(tenant, client_id, secret, roles)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the login's endpoints and everything under /v1.0."""
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return (
            *self._login.routes(),
            Route("/v1.0/$batch", self._batch, methods=["POST"]),
            Route("/v1.0/{rest:path}", self._serve, methods=every),
        )

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what can happen to the service itself."""
        return {"outlook_expires_delta": self.expire_delta, "outlook_revokes_access": self.revoke_access}

    def state(self) -> dict[str, Any]:
        """Return every Outlook mailbox as JSON."""
        return self._world.state(Kind.OUTLOOK)

    def expire_delta(self, rep: str = "") -> dict[str, Any]:
        """Forget the sync state of one mailbox, or of all: an older delta link gets 410."""
        boxes = [
            one for one in self._world.boxes.values() if one.kind is Kind.OUTLOOK and rep.lower() in ("", one.email)
        ]
        for box in boxes:
            box.forgotten += 1
        return {"mailboxes": [box.email for box in boxes]}

    def revoke_access(self) -> dict[str, Any]:
        """Make every token invalid and forget every client, as an administrator can."""
        self._tokens.revoke_all("graph")
        self._login.forget_clients()
        return {}

    # ------------------------------------------------------------------------------------- one request

    async def _serve(self, request: Request) -> Response:
        body = await request.body()
        self._log.call("graph", request.method, request.url.path)
        path = request.url.path.removeprefix("/v1.0")
        with self._world.lock:
            self._world.settle()
            answer = self.answer(request.method, path, request.url.query, dict(request.headers), body)
        if isinstance(answer.body, dict):
            return JSONResponse(answer.body, status_code=answer.status, headers=dict(answer.headers))
        return Response(answer.body, status_code=answer.status, headers=dict(answer.headers))

    async def _batch(self, request: Request) -> Response:
        body = await request.body()
        self._log.call("graph", request.method, request.url.path)
        headers = dict(request.headers)
        with self._world.lock:
            self._world.settle()
            try:
                self._grant(headers)
                responses = self._answer_batch(_read_batch(body), headers)
            except GraphError as error:
                return JSONResponse(self._told(error), status_code=error.status, headers=error.headers)
        return JSONResponse({"responses": responses})

    def _answer_batch(self, steps: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> list[dict[str, Any]]:
        statuses: dict[str, int] = {}
        running: dict[str, int] = {}
        responses = []
        for step in steps:
            method, (path, _, query) = str(step["method"]).upper(), str(step["url"]).partition("?")
            self._log.requests.append({"service": "graph", "method": f"$batch {method}", "path": f"/v1.0{path}"})
            owner = "/".join(path.split("/")[1:3]) if path.startswith("/users/") else "me"
            waits_for = step.get("dependsOn") or []
            if not waits_for:
                running[owner] = running.get(owner, 0) + 1
            if any(statuses.get(one, 424) >= 400 for one in waits_for):
                error = GraphError(424, "FailedDependency", "A request this one depends on has failed.")
                answer = self._refusal(error)
            elif not waits_for and running[owner] > CONCURRENCY:
                answer = self._refusal(_throttled("Application is over its MailboxConcurrency limit.", 1))
            else:
                own = {name.lower(): str(value) for name, value in (step.get("headers") or {}).items()}
                own.setdefault("authorization", headers.get("authorization", ""))
                content = step.get("body")
                raw = content.encode() if isinstance(content, str) else json.dumps(content).encode() if content else b""
                answer = self.answer(method, unquote(path), query, own | {"host": headers["host"]}, raw)
            statuses[str(step["id"])] = answer.status
            shown: dict[str, Any] = {"id": str(step["id"]), "status": answer.status, "headers": dict(answer.headers)}
            if isinstance(answer.body, dict):
                shown["headers"] |= {"Content-Type": "application/json"}
                shown["body"] = answer.body
            elif answer.body is not None:
                shown["body"] = base64.b64encode(answer.body).decode()
            responses.append(shown)
        return responses

    def answer(self, http: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request; `path` comes after /v1.0."""
        try:
            return self._answer(http, re.sub(r"\('([^']*)'\)", r"/\1", path), query, headers, body)
        except GraphError as error:
            return self._refusal(error)

    def _answer(self, http: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        grant = self._grant(headers)
        match = re.fullmatch(r"/(?:me|users/(?P<user>[^/]+))(?P<rest>/.*)?", path)
        if match is None:
            raise _bad(f"Resource not found for the segment '{path.split('/')[1]}'.")
        rest = match["rest"] or "/"
        for operation in self._operations:
            found = operation.path.fullmatch(rest)
            if found and operation.http == http:
                break
        else:
            if any(one.path.fullmatch(rest) for one in self._operations):
                raise GraphError(
                    405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target."
                )
            raise _bad(f"Resource not found for the segment '{rest.strip('/').split('/')[-1]}'.")
        box = self._box(grant, match["user"])
        if not grant.scopes & operation.roles:
            raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        self._spend(box)
        start = path[: len(path) - len(match["rest"] or "")]
        call = _Call(
            box=box,
            base=f"http://{headers.get('host', 'localhost')}/v1.0{start}",
            path=rest,
            keys=found.groupdict(),
            query=_read_query(query, operation.query),
            headers=headers,
            body=body,
        )
        try:
            return operation.answer(call)
        except BadFilter as wrong:
            raise _bad(str(wrong), wrong.code) from None
        except ShapeError as wrong:
            raise _bad(str(wrong), wrong.code) from None

    def _grant(self, headers: Mapping[str, str]) -> Grant:
        grant = self._tokens.check("graph", headers.get("authorization", ""))
        if grant is None:
            missing = not headers.get("authorization")
            sentence = "Access token is empty." if missing else "Lifetime validation failed, the token is expired."
            raise GraphError(
                401, "InvalidAuthenticationToken", sentence, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            )
        return grant

    def _box(self, grant: Grant, user: str | None) -> Mailbox:
        if user is None and not grant.subject:
            raise _bad("/me request is only valid with delegated authentication flow.")
        wanted = (user or grant.subject).lower()
        for box in self._world.boxes.values():
            if box.kind is Kind.OUTLOOK and wanted in (box.email, box.guid):
                break
        else:
            raise GraphError(404, "ErrorInvalidUser", f"The requested user '{wanted}' is invalid.")
        if grant.subject and not box.owns(grant.subject):
            raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        if not box.licensed:
            raise GraphError(
                404,
                "MailboxNotEnabledForRESTAPI",
                "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
            )
        return box

    def _spend(self, box: Mailbox) -> None:
        limit = self._world.settings.outlook_requests_per_10_minutes
        now = int(self._clock.now().timestamp())
        spent = self._requests.get((box.email, now // 600), 0) + 1
        if limit is not None and spent > limit:
            raise _throttled("Application is over its limit of requests for this mailbox.", 600 - now % 600)
        self._requests[box.email, now // 600] = spent

    def _told(self, error: GraphError) -> dict[str, Any]:
        request_id = str(uuid.uuid4())
        at = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S")
        inner = {"date": at, "request-id": request_id, "client-request-id": request_id}
        return {"error": {"code": error.code, "message": error.message, "innerError": inner}}

    def _refusal(self, error: GraphError) -> Answer:
        return Answer(status=error.status, body=self._told(error), headers=error.headers)

    def _table(self) -> tuple[_Operation, ...]:
        def operation(
            http: str,
            path: str,
            roles: frozenset[str],
            answer: Callable[[_Call], Answer],
            query: frozenset[str] = frozenset(),
        ) -> _Operation:
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.replace("$", r"\$")))
            return _Operation(http=http, path=pattern, roles=roles, answer=answer, query=query)

        table = [
            operation("GET", "/", _PROFILE | _READ, self._profile, frozenset(("$select",))),
            operation("POST", "/sendMail", _SEND, self._send_mail),
            operation("GET", "/mailFolders", _READ, self._folders, frozenset(("$top", "$select"))),
            operation("GET", "/mailFolders/{folder}", _READ, self._folder, frozenset(("$select",))),
        ]
        one = frozenset(("$select", "$expand"))
        for prefix in ("", "/mailFolders/{folder}"):
            messages = f"{prefix}/messages"
            message = f"{messages}/{{id}}"
            table += [
                operation("GET", f"{messages}/delta", _READ, self._delta, _DELTA_QUERY),
                operation("GET", messages, _READ, self._list, _LIST_QUERY),
                operation("POST", messages, _WRITE, self._create),
                operation("GET", message, _READ, self._get, one),
                operation("PATCH", message, _WRITE, self._patch),
                operation("DELETE", message, _WRITE, self._delete),
                operation("GET", f"{message}/$value", _READ, self._value),
                operation("POST", f"{message}/createReply", _WRITE, self._create_reply),
                operation("POST", f"{message}/createReplyAll", _WRITE, self._create_reply_all),
                operation("POST", f"{message}/send", _SEND, self._send),
                operation("POST", f"{message}/move", _WRITE, self._move),
                operation("GET", f"{message}/attachments", _READ, self._attachments, one),
                operation("POST", f"{message}/attachments", _WRITE, self._attach),
            ]
        return tuple(table)

    # ---------------------------------------------------------------------------------------- messages

    def _profile(self, call: _Call) -> Answer:
        box = call.box
        shown = {"id": box.guid, "displayName": box.name, "mail": box.email, "userPrincipalName": box.email}
        return Answer(body=shown)

    def _create(self, call: _Call) -> Answer:
        if call.keys.get("folder"):
            self._place(call)
        now = self._clock.now()
        if call.is_mime:
            letter = _from_mime(call)
            written: dict[str, Any] = {}
        else:
            written = call.json(MESSAGE)
            letter = letter_of(written, Letter(sender=_owner(call.box)))
        if not letter.message_id:
            letter = replace(letter, message_id=self._world.new_message_id(call.box))
        # Threading headers cannot be given: this is always a new conversation (apis 3.1).
        draft = self._world.save_draft(call.box, letter.raw(now), properties=_properties(written))
        _mark(draft, written)
        return self._shown(call, draft, 201)

    def _get(self, call: _Call) -> Answer:
        return self._shown(call, self._mail(call), 200)

    def _patch(self, call: _Call) -> Answer:
        mail = self._mail(call)
        self._check_etag(call, mail)
        written = call.json(MESSAGE)
        if mail.place is not Place.DRAFTS:
            fixed = sorted(_DRAFT_ONLY & set(written))
            if fixed:
                raise _bad(f"Property '{fixed[0]}' is read-only and cannot be set.", "ErrorInvalidPropertySet")
        elif "internetMessageHeaders" in written:
            # Headers can be given at creation only (apis 3.2).
            raise _bad("Property 'internetMessageHeaders' cannot be set.", "ErrorInvalidPropertySet")
        raw = mail.raw
        if _DRAFT_ONLY & set(written):
            raw = letter_of(written, open_letter(mail.raw)).raw(self._clock.now())
        mail.properties |= _properties(written)
        _mark(mail, written)
        return self._shown(call, self._world.rewrite(call.box, mail, raw), 200)

    def _delete(self, call: _Call) -> Answer:
        mail = self._mail(call)
        self._check_etag(call, mail)
        self._world.discard(call.box, mail)
        return Answer(status=204)

    def _value(self, call: _Call) -> Answer:
        return Answer(body=self._mail(call).raw, headers={"Content-Type": "text/plain"})

    def _move(self, call: _Call) -> Answer:
        mail = self._mail(call)
        wanted = str(call.json(Shape(name="move", properties={"destinationId": str})).get("destinationId"))
        place = folder_of(wanted)
        if place is None:
            raise GraphError(404, "ErrorFolderNotFound", "The specified folder could not be found in the store.")
        return self._shown(call, self._world.move(call.box, mail, place), 201)

    def _create_reply(self, call: _Call) -> Answer:
        return self._reply(call, everyone=False)

    def _create_reply_all(self, call: _Call) -> Answer:
        return self._reply(call, everyone=True)

    def _reply(self, call: _Call, *, everyone: bool) -> Answer:
        answered = self._mail(call)
        if answered.place is Place.DRAFTS:
            raise _bad("The operation can't be performed on a draft.", "ErrorInvalidReferenceItem")
        shape = Shape(
            name="createReply", properties={"comment": str, "message": MESSAGE, "Comment": str, "Message": MESSAGE}
        )
        given = call.json(shape) if call.body else {}
        written = given.get("message") or given.get("Message") or {}
        comment = given.get("comment") or given.get("Comment")
        if comment is not None and "body" in written:
            raise _bad("Comment and Message.Body cannot both be given.", "ErrorInvalidArgument")
        letter = quoted_reply(answered, _owner(call.box), comment=comment or "", everyone=everyone)
        letter = replace(letter_of(written, letter), message_id=self._world.new_message_id(call.box))
        draft = self._world.save_draft(
            call.box, letter.raw(self._clock.now()), thread=answered.thread, properties=_properties(written)
        )
        _mark(draft, written)
        return self._shown(call, draft, 201)

    def _send(self, call: _Call) -> Answer:
        mail = self._mail(call)
        if mail.place is not Place.DRAFTS:
            # What a second /send answers is documented nowhere; 404 is what is reported (apis 3.5).
            raise _gone()
        _check_recipients(mail)
        self._world.send(call.box, mail)
        return Answer(status=202)

    def _send_mail(self, call: _Call) -> Answer:
        keep = True
        if call.is_mime:
            letter = _from_mime(call)
            written: dict[str, Any] = {}
        else:
            properties = {"message": MESSAGE, "saveToSentItems": bool, "Message": MESSAGE, "SaveToSentItems": bool}
            given = call.json(Shape(name="sendMail", properties=properties))
            written = given.get("message") or given.get("Message") or {}
            keep = given.get("saveToSentItems", given.get("SaveToSentItems", True)) is not False
            letter = letter_of(written, Letter(sender=_owner(call.box)))
        letter = replace(letter, message_id=letter.message_id or self._world.new_message_id(call.box))
        raw = letter.raw(self._clock.now())
        if not (letter.to or letter.cc or letter.bcc):
            raise _bad("At least one recipient is needed.", "ErrorInvalidRecipients")
        self._world.post(call.box, raw, properties=_properties(written), keep=keep)
        return Answer(status=202)

    def _attachments(self, call: _Call) -> Answer:
        letter = open_letter(self._mail(call).raw)
        return Answer(body={"value": [attachment(one, number) for number, one in enumerate(letter.enclosures)]})

    def _attach(self, call: _Call) -> Answer:
        mail = self._mail(call)
        if mail.place is not Place.DRAFTS:
            raise _bad("The message is no draft.", "ErrorInvalidPropertySet")
        attachments = MESSAGE.properties["attachments"][0]
        enclosure = read_enclosure(call.json(attachments))
        letter = open_letter(mail.raw)
        letter = replace(letter, enclosures=(*letter.enclosures, enclosure))
        self._world.rewrite(call.box, mail, letter.raw(self._clock.now()))
        return Answer(status=201, body=attachment(enclosure, len(letter.enclosures) - 1))

    def _mail(self, call: _Call) -> StoredMail:
        wanted = unquote(call.keys["id"])
        if not re.fullmatch(r"[A-Za-z0-9_=+-]{20,}", wanted):
            raise _bad("Id is malformed.", "ErrorInvalidIdMalformed")
        mail = call.box.mails.get(wanted)
        if mail is None:
            mail = next((one for one in call.box.mails.values() if one.second_id == wanted), None)
        if mail is None or (call.keys.get("folder") and mail.place is not self._place(call)):
            raise _gone()
        return mail

    def _check_etag(self, call: _Call, mail: StoredMail) -> None:
        given = call.headers.get("if-match", "*")
        if given not in ("*", f'W/"{show(mail, immutable=False)["changeKey"]}"'):
            raise GraphError(
                412,
                "ErrorIrresolvableConflict",
                "The send or update operation could not be performed because the change key passed in the request "
                "does not match the current change key for the item.",
            )

    def _shown(self, call: _Call, mail: StoredMail, status: int) -> Answer:
        body = self._one(call, mail)
        context = f"{call.base.partition('/v1.0')[0]}/v1.0/$metadata#users('{quote(call.box.guid)}')/messages/$entity"
        headers = {"Preference-Applied": 'IdType="ImmutableId"'} if call.immutable else {}
        return Answer(status=status, body={"@odata.context": context} | body, headers=headers)

    def _one(self, call: _Call, mail: StoredMail) -> dict[str, Any]:
        shown = show(mail, immutable=call.immutable, as_text=call.as_text)
        select = [name.strip() for name in call.query.get("$select", "").split(",") if name.strip()]
        for name in select:
            if name not in PROPERTIES:
                raise _bad(
                    "Parsing OData Select and Expand failed: Could not find a property named "
                    f"'{name}' on type 'microsoft.graph.message'."
                )
        if select:
            kept = {name: shown[name] for name in shown if name in select or name in ("id", "@odata.etag")}
        else:
            kept = {name: value for name, value in shown.items() if name != "internetMessageHeaders"}
        return kept | _expanded(call.query.get("$expand", ""), mail)

    # --------------------------------------------------------------------------------- lists and delta

    def _place(self, call: _Call) -> Place | None:
        if not call.keys.get("folder"):
            return None
        place = folder_of(unquote(call.keys["folder"]))
        if place is None:
            raise GraphError(404, "ErrorFolderNotFound", "The specified folder could not be found in the store.")
        return place

    def _folders(self, call: _Call) -> Answer:
        return Answer(body={"value": [self._shown_folder(call.box, place) for place in Place]})

    def _folder(self, call: _Call) -> Answer:
        place = self._place(call)
        return Answer(body=self._shown_folder(call.box, place or Place.INBOX))

    def _shown_folder(self, box: Mailbox, place: Place) -> dict[str, Any]:
        mails = box.at(place)
        return {
            "id": folder_id(place),
            "displayName": {Place.TRASH: "Deleted Items", Place.SENT: "Sent Items", Place.SCHEDULED: "Outbox"}.get(
                place, place.value.title()
            ),
            "childFolderCount": 0,
            "unreadItemCount": sum(mail.unread for mail in mails),
            "totalItemCount": len(mails),
            "isHidden": False,
        }

    def _list(self, call: _Call) -> Answer:
        place = self._place(call)
        mails = [mail for mail in call.box.mails.values() if place in (None, mail.place)]
        names: list[str] = []
        if call.query.get("$filter"):
            wanted = Filter(call.query["$filter"], PROPERTIES)
            names = wanted.names
            mails = [mail for mail in mails if wanted.test(mail)]
        mails = _ordered(mails, call.query.get("$orderby", ""), names)
        top, skip = _number(call, "$top", 10, 1, 1000), _number(call, "$skip", 0, 0, 1_000_000)
        body: dict[str, Any] = {}
        if call.query.get("$count") == "true":
            body["@odata.count"] = len(mails)
        body["value"] = [self._one(call, mail) for mail in mails[skip : skip + top]]
        if skip + top < len(mails):
            body["@odata.nextLink"] = _link(call, dict(call.query) | {"$top": str(top), "$skip": str(skip + top)})
        return Answer(body=body)

    def _delta(self, call: _Call) -> Answer:
        place = self._place(call)
        if place is None:
            raise _bad("Change tracking is not supported against 'microsoft.graph.message' without a folder.")
        token = call.query.get("$deltatoken") or call.query.get("$skiptoken")
        state: dict[str, Any] = _read_token(token) if token else {"query": dict(call.query), "since": 0, "skip": 0}
        if token is not None and (state["forgotten"] != call.box.forgotten or state["place"] != place.value):
            raise GraphError(
                410,
                "syncStateNotFound",
                "The sync state generation is not found; the full sync must be started anew.",
                {"Location": _link(call, state["query"])},
            )
        call = replace(call, query=state["query"])
        test = _delta_filter(call.query.get("$filter", ""))
        until = state.get("until", call.box.serial)
        items = self._changes(call, place, state["since"], until, test)
        size = _page_size(call)
        skip = state["skip"]
        shown = [
            self._one(call, item) if isinstance(item, StoredMail) else {"@removed": {"reason": "deleted"}, "id": item}
            for item in items[skip : skip + size]
        ]
        body: dict[str, Any] = {"value": shown}
        state = state | {"forgotten": call.box.forgotten, "place": place.value}
        if skip + size < len(items):
            following = state | {"skip": skip + size, "until": until}
            body["@odata.nextLink"] = _link(call, {"$skiptoken": _write_token(following)})
        else:
            following = {**state, "since": until, "skip": 0}
            following.pop("until", None)
            body["@odata.deltaLink"] = _link(call, {"$deltatoken": _write_token(following)})
        return Answer(body=body)

    def _changes(
        self, call: _Call, place: Place, since: int, until: int, test: Callable[[StoredMail], bool]
    ) -> list[StoredMail | str]:
        """Return what changed in a folder, oldest first: a mail that lies there, or the id of one that left."""
        if since < FIRST_SERIAL:
            return [mail for mail in call.box.at(place) if test(mail)]
        kind = call.query.get("changeType", "")
        here = {(mail.second_id if call.immutable else mail.id) for mail in call.box.at(place)}
        items: dict[str, StoredMail | str] = {}
        for change in call.box.since(since):
            if change.place is not place or change.serial > until:
                continue
            shown_id = change.second_id if call.immutable else change.id
            mail = call.box.mails.get(change.id)
            items.pop(shown_id, None)
            if mail is not None and mail.place is place:
                kinds = "created" if change.what is What.ADDED else "updated"
                if test(mail) and kind in ("", kinds):
                    items[shown_id] = mail
            elif shown_id not in here and kind in ("", "deleted"):
                items[shown_id] = shown_id
        return list(items.values())


def _throttled(sentence: str, seconds: int) -> GraphError:
    return GraphError(429, "ApplicationThrottled", sentence, {"Retry-After": str(seconds)})


def _from_mime(call: _Call) -> Letter:
    """Read a MIME body; headers that Graph has no property for and that do not start with x- are lost (apis 3.6)."""
    letter = open_letter(call.mime())
    kept = tuple((name, value) for name, value in letter.headers if name.lower().startswith("x-"))
    return replace(letter, sender=_owner(call.box), headers=kept)


def _owner(box: Mailbox) -> tuple[str, str]:
    return (box.name, box.email)


def _properties(written: Mapping[str, Any]) -> dict[str, str]:
    return {one["id"]: str(one["value"]) for one in written.get("singleValueExtendedProperties") or []}


def _mark(mail: StoredMail, written: Mapping[str, Any]) -> None:
    for name in ("importance", "categories", "flag", "isDeliveryReceiptRequested", "isReadReceiptRequested"):
        if written.get(name) is not None:
            mail.marks[name] = written[name]
    if written.get("isRead") is not None:
        mail.unread = not written["isRead"]


def _check_recipients(mail: StoredMail) -> None:
    if not mail.head.recipients or not all(is_deliverable(one) for one in mail.head.recipients):
        raise _bad("At least one recipient isn't valid.", "ErrorInvalidRecipients")


def _read_batch(body: bytes) -> list[dict[str, Any]]:
    try:
        steps = json.loads(body)["requests"]
    except (ValueError, KeyError, TypeError):
        raise _bad("Invalid batch payload format.") from None
    if not isinstance(steps, list) or not steps:
        raise _bad("Invalid batch payload format.")
    if len(steps) > 20:
        raise _bad("Number of batch request steps exceeds the maximum value of 20.", "MaximumValueExceeded")
    ids: set[str] = set()
    for step in steps:
        if not isinstance(step, dict) or not all(isinstance(step.get(name), str) for name in ("id", "method", "url")):
            raise _bad("Invalid batch payload format.")
        if step["id"] in ids:
            raise _bad(f"Request Id : {step['id']} is not unique.")
        if not step["url"].startswith("/"):
            raise _bad(f"Request url of request id : {step['id']} must be relative.")
        names = {name.lower() for name in step.get("headers") or {}}
        if step.get("body") is not None and "content-type" not in names:
            raise _bad(f"Write request id : {step['id']} does not contain Content-Type header or body.")
        if any(one not in ids for one in step.get("dependsOn") or []):
            raise _bad(f"Request id : {step['id']} depends on a request that does not come before it.")
        ids.add(step["id"])
    return steps


def _read_query(text: str, known: frozenset[str]) -> dict[str, str]:
    query = dict(parse_qsl(text, keep_blank_values=True))
    for name in query:
        if name.startswith("$") and name not in known:
            raise _bad(f"The query parameter '{name}' is not supported.")
    return query


def _number(call: _Call, name: str, default: int, least: int, most: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdigit() or not least <= int(text) <= most:
        raise _bad(f"Invalid value '{text}' for {name} query option found.")
    return int(text)


def _page_size(call: _Call) -> int:
    match = re.search(r"odata\.maxpagesize=(\d+)", call.prefer)
    return max(1, int(match[1])) if match else _number(call, "$top", 10, 1, 1000)


def _link(call: _Call, query: Mapping[str, str]) -> str:
    text = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in query.items())
    return f"{call.base}{call.path}" + (f"?{text}" if text else "")


def _ordered(mails: Sequence[StoredMail], orderby: str, filtered: Sequence[str]) -> list[StoredMail]:
    """Sort; an order that the filter does not begin with is refused (apis 3.4)."""
    if not orderby:
        return sorted(mails, key=lambda mail: (mail.at, mail.serial), reverse=True)
    terms = [term.split() for term in orderby.split(",")]
    names = [term[0] for term in terms]
    for name in names:
        if name not in PROPERTIES:
            raise _bad(f"Could not find a property named '{name}' on type 'microsoft.graph.message'.")
    if filtered and list(dict.fromkeys(filtered))[: len(names)] != names:
        raise _bad("The restriction or sort order is too complex for this operation.", "InefficientFilter")
    result = list(mails)
    for term in reversed(terms):
        getter = PROPERTIES[term[0]]
        result.sort(key=lambda mail, getter=getter: getter(mail), reverse=term[1:] == ["desc"])  # type: ignore[misc]
    return result


def _delta_filter(text: str) -> Callable[[StoredMail], bool]:
    if not text:
        return lambda _mail: True
    if not re.fullmatch(r"receivedDateTime\s+g[et]\s+\S+", text.strip()):
        raise _bad(
            "The change tracking query supports filters on receivedDateTime with ge or gt only.", "ErrorInvalidUrlQuery"
        )
    return Filter(text, PROPERTIES).test


def _expanded(text: str, mail: StoredMail) -> dict[str, Any]:
    if not text:
        return {}
    if text == "attachments":
        letter = open_letter(mail.raw)
        return {"attachments": [attachment(one, number) for number, one in enumerate(letter.enclosures)]}
    match = re.fullmatch(r"singleValueExtendedProperties\(\$filter=(.*)\)", text)
    wanted = re.findall(r"id eq '((?:[^']|'')*)'", match[1]) if match else []
    if not wanted:
        raise _bad(f"Parsing OData Select and Expand failed: the expansion '{text}' is not supported.")
    keys = {property_key(one.replace("''", "'")) for one in wanted}
    found = [{"id": name, "value": value} for name, value in mail.properties.items() if property_key(name) in keys]
    return {"singleValueExtendedProperties": found} if found else {}


def _write_token(state: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(state).encode()).decode().rstrip("=")


def _read_token(text: str) -> dict[str, Any]:
    try:
        state = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise _bad("Badly formed token.") from None
    if not isinstance(state, dict):
        raise _bad("Badly formed token.")
    return state
