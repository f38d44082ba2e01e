"""Simulated Microsoft Graph mail API: who may call what, and where each call goes.

Lives here: the mail paths of `/v1.0/me` and `/v1.0/users/{id}` and of `$batch`, the order in which a request is
checked. Does not live here: the login (`microsoft_login`), the table of operations (`graph_operations`), reading a
request (`graph_request`), answers (`graph_messages`, `graph_drafts`, `graph_lists`, `graph_delta`), errors
(`graph_errors`). Source: reference apis 3 and the Graph mail OpenAPI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.graph_attachments import Attachments
from adapters.sandbox.graph_batch import Step, answer_batch, read_batch
from adapters.sandbox.graph_delta import Delta
from adapters.sandbox.graph_drafts import Drafts
from adapters.sandbox.graph_errors import Answer, GraphError, bad, denied, throttled
from adapters.sandbox.graph_faults import Faults
from adapters.sandbox.graph_limits import CONCURRENCY, Limits, owner_of
from adapters.sandbox.graph_lists import list_folders, list_messages, show_folder, show_profile
from adapters.sandbox.graph_messages import Messages
from adapters.sandbox.graph_operations import find_operation
from adapters.sandbox.graph_request import Call, read_query
from adapters.sandbox.graph_shapes import ShapeError
from adapters.sandbox.graph_upload import Uploads
from adapters.sandbox.hostile import Meets, meets_nothing
from adapters.sandbox.hostile_words import graph_error
from adapters.sandbox.mailbox import Kind, Mailbox
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.microsoft_login import MicrosoftLogin
from adapters.sandbox.odata import BadFilter
from adapters.sandbox.service import Grant, SandboxClock, SandboxLog, Tokens, taking


class GraphService:
    """Microsoft's login and the mail part of Microsoft Graph."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog, world: MailWorld) -> None:
        self._clock = clock
        self._tokens = tokens
        self._log = log
        self._world = world
        self.login = MicrosoftLogin(clock, tokens, log, world)
        self._limits = Limits(world)
        #: What one part of a batch meets, on a hostile sandbox.
        self.meets: Meets = meets_nothing
        self._faults = Faults()
        attachments = Attachments(world)
        self._uploads = Uploads(clock, attachments)
        self._answers: Mapping[str, Callable[[Call], Answer]] = {
            "profile": show_profile,
            "folders": list_folders,
            "folder": show_folder,
            "list": list_messages,
            **Delta(world).answers(),
            **Messages(world).answers(),
            **attachments.answers(),
            **self._uploads.answers(),
            **Drafts(world, self._limits).answers(),
        }

    # ------------------------------------------------------------------------------------------ set-up

    def register_client(
        self, tenant: str, client_id: str, secret: str, roles: Sequence[str] = ("Mail.ReadWrite", "Mail.Send")
    ) -> None:
        """Register an application with its secret and the application permissions it was granted."""
        self.login.register_client(tenant, client_id, secret, roles)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the login's endpoints and everything under /v1.0."""
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return (
            *self.login.routes(),
            Route("/v1.0/$batch", self._batch, methods=["POST"]),
            Route("/v1.0/{rest:path}", self._serve, methods=every),
            Route("/api/v2.0/{rest:path}", self._upload, methods=["GET", "PUT", "DELETE"]),
        )

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what can happen to the service itself."""
        return {
            "outlook_expires_delta": self.expire_delta,
            "outlook_revokes_access": self.revoke_access,
            **self._faults.actions(),
            **self._uploads.actions(),
            **self.login.actions(),
        }

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
        self.login.forget_clients()
        return {}

    # ------------------------------------------------------------------------------------- one request

    async def _serve(self, request: Request) -> Response:
        body = await request.body()
        self._log.call("graph", request.method, request.url.path)
        path = request.url.path.removeprefix("/v1.0")
        headers = dict(request.headers)
        owner = owner_of(path, headers.get("authorization", ""))
        with self._limits.running([owner]) as before:
            async with taking(self._world.settings.outlook_delay):
                with self._world.lock:
                    self._world.settle()
                    beside = before[owner]
                    answer = self.answer(request.method, path, request.url.query, headers, body, beside=beside)
        return _response(answer)

    async def _batch(self, request: Request) -> Response:
        body = await request.body()
        self._log.call("graph", request.method, request.url.path)
        headers = dict(request.headers)
        try:
            self._grant(headers)
            steps = read_batch(body, headers.get("authorization", ""))
        except GraphError as error:
            return _response(self._refusal(error, headers))
        with self._limits.running([step.owner for step in steps if not step.waits_for]) as before:
            async with taking(self._world.settings.outlook_delay):
                answer = self._answer_batch(steps, before, headers)
        return _response(answer)

    def _answer_batch(self, steps: Sequence[Step], before: Mapping[str, int], headers: Mapping[str, str]) -> Answer:
        with self._world.lock:
            self._world.settle()
            try:
                return self._faults.perform(
                    "POST",
                    "/$batch",
                    lambda: answer_batch(
                        steps,
                        lambda step: self._answer_step(step, headers),
                        lambda error: self._refusal(error, headers),
                        before,
                    ),
                    named=True,
                )
            except GraphError as error:
                return self._refusal(error, headers)

    async def _upload(self, request: Request) -> Response:
        body = await request.body()
        url, headers = request.url, dict(request.headers)
        self._log.call("graph", request.method, url.path)
        root, query = f"{url.scheme}://{url.netloc}", dict(request.query_params)
        with self._world.lock:
            self._world.settle()
            try:
                answer = self._faults.perform(
                    request.method,
                    url.path,
                    lambda: self._uploads.answer(request.method, root, url.path, query, headers, body),
                    named=True,
                )
            except GraphError as error:
                answer = self._refusal(error, headers)
        return _response(answer)

    def _answer_step(self, step: Step, headers: Mapping[str, str]) -> Answer:
        self._log.requests.append({"service": "graph", "method": f"$batch {step.http}", "path": f"/v1.0{step.path}"})
        own = {"authorization": headers.get("authorization", ""), **step.headers, "host": headers["host"]}
        draw = self.meets("graph", step.owner, step.http, step.path)
        if draw is None:
            return self.answer(step.http, step.path, step.query, own, step.body)
        if draw.acts:
            self.answer(step.http, step.path, step.query, own, step.body)
        return self._refusal(graph_error(draw.trouble, draw.form // 3), own)

    def answer(
        self, http: str, path: str, query: str, headers: Mapping[str, str], body: bytes, *, beside: int = 0
    ) -> Answer:
        """Answer one request; `path` comes after /v1.0, `beside` requests to the mailbox run already."""
        try:
            # OData writes keys and calls of functions in brackets, too: messages('AAk='), delta().
            plain = re.sub(r"\('([^']*)'\)", r"/\1", path).removesuffix("()")
            return self._answer(http, plain, query, headers, body, beside)
        except GraphError as error:
            return self._refusal(error, headers)

    def _answer(self, http: str, path: str, query: str, headers: Mapping[str, str], body: bytes, beside: int) -> Answer:
        grant = self._grant(headers)
        match = re.fullmatch(r"/(?:me|users/(?P<user>[^/]+))(?P<rest>/.*)?", path)
        if match is None:
            raise bad(f"Resource not found for the segment '{path.split('/')[1]}'.")
        rest = match["rest"] or "/"
        operation, keys = find_operation(http, rest)
        box = self._box(grant, match["user"])
        if not grant.scopes & operation.roles:
            raise denied()
        if beside >= CONCURRENCY:
            raise throttled("Application is over its MailboxConcurrency limit.", 1)
        self._limits.spend(box)
        start = path[: len(path) - len(match["rest"] or "")]
        call = Call(
            box=box,
            base=f"http://{headers.get('host', 'localhost')}/v1.0{start}",
            path=rest,
            keys=keys,
            query=read_query(query, operation.query),
            headers=headers,
            body=body,
        )
        try:
            return self._faults.perform(http, path, lambda: self._answers[operation.name](call))
        except (BadFilter, ShapeError) as wrong:
            raise bad(str(wrong), wrong.code) from None

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
            raise bad("/me request is only valid with delegated authentication flow.")
        wanted = (user or grant.subject).lower()
        for box in self._world.boxes.values():
            if box.kind is Kind.OUTLOOK and wanted in (box.email, box.guid):
                break
        else:
            raise GraphError(404, "ErrorInvalidUser", f"The requested user '{wanted}' is invalid.")
        if grant.subject and not box.owns(grant.subject):
            raise denied()
        if not box.licensed:
            raise GraphError(
                404,
                "MailboxNotEnabledForRESTAPI",
                "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
            )
        return box

    def _refusal(self, error: GraphError, headers: Mapping[str, str]) -> Answer:
        answer = error.answer(self._clock.now(), headers.get("client-request-id", ""))
        if self._world.settings.outlook_retry_after:
            return answer
        return replace(answer, headers={name: one for name, one in answer.headers.items() if name != "Retry-After"})


def _response(answer: Answer) -> Response:
    if isinstance(answer.body, dict):
        return JSONResponse(answer.body, status_code=answer.status, headers=dict(answer.headers))
    return Response(answer.body, status_code=answer.status, headers=dict(answer.headers))
