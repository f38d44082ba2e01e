"""Google's own client on the sandbox, with Google's discovery document judging every body both ways."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import google_auth_httplib2
import httplib2
from google.oauth2 import credentials
from googleapiclient.discovery import build_from_document
from sandbox_front import Front

from adapters.sandbox import Sandbox
from tests.judges.gmail_schema import DISCOVERY, find_method, judge_answer, judge_request

ANA, BOB, CYN = "ana@acme.example", "bob@buyer.example", "cyn@acme.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
SCOPE = "https://www.googleapis.com/auth/gmail."


class JudgedHttp(httplib2.Http):
    """Judges what Google's client sends and what it gets; a batch is judged part by part by whoever reads it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # As Google's client sets it: 308 is no redirect here, it asks for more of an upload.
        self.redirect_codes = frozenset(self.redirect_codes) - {308}
        #: Methods whose answers were judged.
        self.judged: set[str] = set()

    def request(
        self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **more: Any
    ) -> tuple[httplib2.Response, bytes]:
        path = urlsplit(uri).path
        plain = path.startswith("/gmail/v1/")
        if plain:
            judge_request(method, uri, json.loads(body) if body else None)
        answer, content = super().request(uri, method=method, body=body, headers=headers, **more)
        # A partial answer is judged by the test that asks for it; an upload by its last answer.
        if answer.status in (200, 204) and "fields=" not in uri and (plain or ("/upload/" in path and content)):
            called = find_method(_opener(method, uri), path)
            judge_answer(called, json.loads(content) if content else None)
            self.judged.add(called.id)
        return answer, content


def _opener(method: str, uri: str) -> str:
    """Return the HTTP method that began a call: the pieces of a resumable upload are always PUT."""
    if "upload_id=" not in uri:
        return method
    path = urlsplit(uri).path
    return "PUT" if re.search(r"/drafts/(?!send$)[^/]+$", path) else "POST"


def fresh_sandbox(front: Front) -> Sandbox:
    """Put a new sandbox with two Gmail mailboxes behind the server."""
    fresh = front.fresh(NOON)
    fresh.world.add_mailbox("gmail", ANA, "Ana Diaz")
    fresh.world.add_mailbox("gmail", CYN, "Cyn")
    return fresh


@contextmanager
def gmail_of(sandbox: Sandbox, *scopes: str, subject: str = ANA) -> Iterator[Any]:
    """Open Google's client for one mailbox; scopes by short name, modify when none is named.

    It is built from the document with the address changed, as uploads and batches ignore `api_endpoint` (apis 2.8).
    """
    granted = [name if "://" in name else SCOPE + name for name in scopes or ("modify",)]
    token = credentials.Credentials(sandbox.token("gmail", subject, scopes=granted))
    http = google_auth_httplib2.AuthorizedHttp(token, http=JudgedHttp(timeout=60))
    document = {**DISCOVERY, "rootUrl": f"{sandbox.url}/", "baseUrl": f"{sandbox.url}/"}
    service = build_from_document(json.dumps(document), http=http)
    try:
        yield service
    finally:
        service.close()
        http.close()


def mime(
    *, to: str = f"Bob Buyer <{BOB}>", subject: str = "Quarterly plan", text: str = "Hello Bob", **more: str
) -> bytes:
    """Return a mail of Ana's; `In_Reply_To` is a header."""
    lines = [f"From: Ana Diaz <{ANA}>", f"Subject: {subject}", "Message-ID: <ours@acme.example>"]
    lines += [f"To: {to}"] if to else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "", text, ""]).encode()


def draft_body(thread: str | None = None, **parts: str) -> dict[str, Any]:
    """Return the JSON of a draft."""
    raw = base64.urlsafe_b64encode(mime(**parts)).decode()
    return {"message": {"raw": raw} | ({"threadId": thread} if thread else {})}


def headers_of(message: dict[str, Any]) -> dict[str, str]:
    """Return the headers of a message in JSON, by lower-case name."""
    return {one["name"].lower(): one["value"] for one in message["payload"]["headers"]}


def run(request: Any) -> Any:
    """Execute a request of Google's client; its line judges what goes out and what comes back."""
    return request.execute()


def send_stamped(users: Any, **parts: str) -> dict[str, Any]:
    """Make a draft that carries the stamp, send it by the API, and return the sent message's metadata."""
    draft = run(users.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY, **parts)))
    sent = run(users.drafts().send(userId="me", body={"id": draft["id"]}))
    answer: dict[str, Any] = run(users.messages().get(userId="me", id=sent["id"], format="metadata"))
    return answer
