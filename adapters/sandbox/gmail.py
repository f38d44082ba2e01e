"""Simulated Gmail API: who may call what, and where each call goes.

Lives here: the routes of `gmail/v1/users/{userId}`, `/upload` and `/batch`, the order in which a request is checked.
Does not live here: tokens (`google_login`), the table of methods (`gmail_methods`), reading a request
(`gmail_request`), answers (`gmail_mails`, `gmail_labels`, `gmail_history`), errors (`gmail_errors`).
Strict on purpose: unknown JSON names, unknown query parameters, other people's mailboxes, missing scopes and
expired history are refused as Google does. Source: reference apis 2 and Google's discovery document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.gmail_batch import PATHS, Part, read_batch, write_batch
from adapters.sandbox.gmail_errors import (
    Answer,
    GoogleError,
    api_disabled,
    domain_policy,
    forbidden,
    no_mail_service,
    no_page,
    too_narrow,
    unauthenticated,
)
from adapters.sandbox.gmail_fields import cut
from adapters.sandbox.gmail_history import list_history
from adapters.sandbox.gmail_labels import Labels
from adapters.sandbox.gmail_mails import Mails
from adapters.sandbox.gmail_methods import Method, find_method
from adapters.sandbox.gmail_quota import Quota
from adapters.sandbox.gmail_request import Call, read_body, read_query
from adapters.sandbox.gmail_upload import Uploads
from adapters.sandbox.google_login import GoogleLogin
from adapters.sandbox.hostile import Meets, meets_nothing
from adapters.sandbox.hostile_words import google_error
from adapters.sandbox.mailbox import Change, Kind, Mailbox, Place, What
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.service import Grant, SandboxClock, SandboxLog, Tokens, taking

#: Both addresses of uploads; Google's document names the second one for resumable uploads.
_UPLOAD = re.compile(r"/(?:resumable/)?upload(/gmail/v1/.*)")


class GmailService:
    """The Gmail API, behind Google's sign-in."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog, world: MailWorld) -> None:
        self._tokens = tokens
        self._log = log
        self._world = world
        #: Who is given which token.
        self.login = GoogleLogin(clock, tokens, log, world)
        self._quota = Quota(world)
        #: What one part of a batch meets, on a hostile sandbox.
        self.meets: Meets = meets_nothing
        self._uploads = Uploads(clock)
        self._answers: Mapping[str, Callable[[Call], dict[str, Any] | None]] = {
            **Mails(world, self._quota).answers(),
            **Labels(world).answers(),
            "users.history.list": list_history,
        }

    def routes(self) -> Sequence[BaseRoute]:
        """Return Google's sign-in, and everything under /gmail/v1, /upload and /batch."""
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return (
            *self.login.routes(),
            Route("/gmail/v1/{rest:path}", self._serve, methods=every),
            Route("/upload/gmail/v1/{rest:path}", self._serve, methods=every),
            Route("/resumable/upload/gmail/v1/{rest:path}", self._serve, methods=every),
            *(Route(path, self._serve, methods=["POST"]) for path in PATHS),
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
        url, headers = request.url, request.headers
        self._log.call("gmail", request.method, url.path)
        grant = self._tokens.check("gmail", headers.get("authorization", ""))
        user = grant.subject.lower() if grant else ""
        self._quota.flying[user] += 1
        try:
            async with taking(self._world.settings.gmail_delay):
                with self._world.lock:
                    self._world.settle()
                    address = f"{url.scheme}://{url.netloc}{url.path}"
                    answer = self.answer(request.method, address, url.path, url.query, headers, body)
        finally:
            self._quota.flying[user] -= 1
        return Response(answer.content, answer.status, headers=dict(answer.headers), media_type=answer.media_type)

    def answer(self, http: str, address: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one HTTP request; `address` is its URL without the query."""
        try:
            if path in PATHS:
                return write_batch(read_batch(headers, body), self._answer_part)
            upload = _UPLOAD.fullmatch(path)
            if upload is None:
                return self._answer_one(http, path, query, headers, body)
            session = parse_qs(query).get("upload_id")
            if session:
                return self._uploads.resume(session[0], http, headers, body)
            return self._answer_upload(http, address, upload[1], query, headers, body)
        except GoogleError as error:
            return error.answer()

    def _answer_part(self, count: int, part: Part) -> Answer:
        self._log.call("gmail:part", part.http, part.path)
        grant = self._tokens.check("gmail", part.headers.get("authorization", ""))
        draw = self.meets("gmail", grant.subject.lower() if grant else "", part.http, part.path)
        try:
            if draw is not None:
                if draw.acts:
                    self._answer_one(part.http, part.path, part.query, part.headers, part.body, beside=count)
                return google_error(draw.trouble, draw.form // 3).answer()
            return self._answer_one(part.http, part.path, part.query, part.headers, part.body, beside=count)
        except GoogleError as error:
            return error.answer()

    def _answer_one(
        self, http: str, path: str, query: str, headers: Mapping[str, str], body: bytes, *, beside: int = 0
    ) -> Answer:
        found = find_method(http, path)
        if found is None:
            return no_page()
        method, variables = found
        grant, box = self._admit(method, variables, headers)
        return self._perform(method, variables, query, grant, box, body, None, beside=beside)

    def _answer_upload(
        self, http: str, address: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        found = find_method(http, path)
        if found is None or not found[0].upload:
            return no_page()
        method, variables = found
        grant, box = self._admit(method, variables, headers)
        finish = partial(self._perform, method, variables, query, grant, box)
        return self._uploads.take(method, address, query, headers, body, finish)

    def _admit(self, method: Method, variables: Mapping[str, str], headers: Mapping[str, str]) -> tuple[Grant, Mailbox]:
        """Return whose token it is and the mailbox it opens; refuse who may not call the method there."""
        grant = self._tokens.check("gmail", headers.get("authorization", ""))
        if grant is None:
            raise unauthenticated()
        if not self.login.api_enabled:
            raise api_disabled()
        if not self.login.apps_allowed:
            raise domain_policy()
        if not grant.scopes & method.scopes:
            raise too_narrow(method.rpc, sorted(method.scopes))
        box = self._world.mailbox(Kind.GMAIL, grant.subject)
        if box is None or not box.licensed:
            raise no_mail_service()
        user = variables["userId"]
        if user not in ("me", box.guid) and not box.owns(user):
            raise forbidden(f"Delegation denied for {box.email}")
        return grant, box

    def _perform(
        self,
        method: Method,
        variables: Mapping[str, str],
        query: str,
        grant: Grant,
        box: Mailbox,
        body: bytes,
        media: bytes | None,
        *,
        beside: int = 0,
    ) -> Answer:
        self._quota.spend(box, method.units, beside=beside)
        asked = read_query(query, method)
        call = Call(box=box, grant=grant, path=variables, query=asked, body=read_body(body, method), media=media)
        given = self._answers[method.id](call)
        if given is None:
            return Answer(status=204)
        fields = call.one("fields")
        return Answer(content=json.dumps(cut(given, fields, method.gives) if fields else given).encode())
