"""What the tests of the Outlook adapter begin with: a rep's mailbox on a mocked line or in the sandbox, Graph's answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import responses
from graph_line import GRAPH, KEY, START, FrozenClock

from adapters.outlook import MicrosoftAccount, OutlookAdapter
from adapters.outlook.messages import STAMP
from adapters.sandbox import Sandbox
from connector.ports import Address, Attachment, DraftRef, Mail, Mailbox, MailIdentity, Trace
from tests.doubles import MemoryVault
from tests.judges.graph_schema import judge_wire

REP = MailIdentity(email="max@acme.example", name="Max")
CREDENTIALS = {
    "auth": "client_credentials",
    "tenant": "acme-tenant",
    "client_id": "app",
    "client_secret": "${env:GRAPH_SECRET}",
}
#: The mailbox as it is addressed with a ready token.
MINE = "/users/max@acme.example"
BOX = f"{GRAPH}{MINE}"
PDF = Attachment(name="a.pdf", media_type="application/pdf", content=b"%PDF")
FOLDERS = {
    f"{MINE}/mailFolders/{name}": {"id": f"F-{name}"} for name in ("deleteditems", "outbox", "junkemail", "sentitems")
}
NOTHING: Mapping[str, Any] = {"value": []}

#: Keys that no other test uses.
keys = map("{:032x}".format, count(1))


def a_mail(**changes: Any) -> Mail:
    return Mail(
        **{
            "key": KEY,
            "sender": Address(email="max@acme.example", name="Max"),
            "to": Address(email="ann@north.example", name="Ann O'Hara"),
            "subject": "Hello",
            "html": "<p>Hello</p>",
            "text": "Hello",
            "attachments": (PDF,),
            "unsubscribe": "https://acme.example/u/1",
            **changes,
        }
    )


def open_outlook(section: Mapping[str, Any] | None = None, *, clock: Any = None) -> Mailbox:
    """Open the rep's mailbox, with a ready token unless the section says otherwise."""
    account = MicrosoftAccount.model_validate(section or {"auth": "access_token", "token": "${env:GRAPH_TOKEN}"})
    return OutlookAdapter().open_mailbox(account, REP, clock=clock or FrozenClock(), vault=MemoryVault())


@contextmanager
def outlook_sandbox() -> Iterator[Sandbox]:
    """Start a sandbox whose Microsoft knows our application."""
    with Sandbox(start=START) as running:
        running.graph.register_client("acme-tenant", "app", "secret-of-app")
        yield running


@contextmanager
def opening_in(sandbox: Sandbox) -> Iterator[Callable[..., Mailbox]]:
    """Give a way to open mailboxes of reps in a sandbox, by application; every oddity is switched off at the end."""
    adapter, boxes = OutlookAdapter(), []
    account = MicrosoftAccount.model_validate(
        CREDENTIALS | {"authority": sandbox.url, "endpoint": f"{sandbox.url}/v1.0"}
    )
    usual = dict(sandbox.act("mail_settings"))

    def open_one(email: str = REP.email, aliases: tuple[str, ...] = ()) -> Mailbox:
        sandbox.act("add_mail_account", kind="outlook", email=email)
        identity = MailIdentity(email=email, name="Max", aliases=aliases)
        boxes.append(adapter.open_mailbox(account, identity, clock=sandbox.clock, vault=MemoryVault()))
        return boxes[-1]

    yield open_one
    sandbox.act("mail_settings", **usual)
    for box in boxes:
        box.close()


def trace(mail: Mail, draft: DraftRef | None, sandbox: Sandbox) -> Trace:
    since = sandbox.clock.now() - timedelta(hours=1)
    return Trace(key=mail.key, draft=draft, to=mail.to.email, subject=mail.subject, since=since)


def graph_refusal(outer: str, **inner: str) -> dict[str, Any]:
    return {"error": {"code": outer, "message": "Sorry.", "innerError": {"request-id": "r-1", **inner}}}


def message(id_: str = "AAk=", **changes: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "isDraft": True,
        "parentFolderId": "F-drafts",
        "subject": "Hello",
        "toRecipients": [{"emailAddress": {"address": "ann@north.example"}}],
        "internetMessageId": "<d@acme.example>",
        "conversationId": "C1",
        "createdDateTime": "2026-11-24T08:00:00Z",
        "lastModifiedDateTime": "2026-11-24T08:30:00Z",
        "sentDateTime": "2026-11-24T08:00:00Z",
        "webLink": "https://outlook.office365.com/owa/?ItemID=AAk%3D",
    } | changes


def stamped(id_: str = "AAk=", key: str = KEY, **changes: Any) -> dict[str, Any]:
    return message(id_, singleValueExtendedProperties=[{"id": STAMP, "value": key}], **changes)


def folder_of(path: str) -> str:
    """Return the folder that a path of the mailbox names."""
    return path.removeprefix(f"{MINE}/mailFolders/").partition("/")[0]


def sent_body(request: Any) -> Any:
    return json.loads(request.body)


def answers_batches(wire: responses.RequestsMock, answer: Callable[[str, dict[str, str]], Any]) -> None:
    """Let `answer(path, query)` answer each part of every batch: a body, or a status and a body (and headers).

    The telling folders answer for themselves.
    """

    def whole(request: Any) -> tuple[int, dict[str, str], str]:
        parts = []
        for part in sent_body(request)["requests"]:
            assert part["method"] == "GET"
            assert 'IdType="ImmutableId"' in part["headers"]["Prefer"]
            split = urlsplit(part["url"])
            path, query = unquote(split.path), {name: values[0] for name, values in parse_qs(split.query).items()}
            got = FOLDERS[path] if path in FOLDERS else answer(path, query)
            status, body, *headers = got if isinstance(got, tuple) else (200, got)
            parts.append({"id": part["id"], "status": status, "headers": headers[0] if headers else {}, "body": body})
        assert len(parts) <= 4
        return 200, {}, json.dumps({"responses": parts})

    wire.add_callback("POST", f"{GRAPH}/$batch", callback=whole, content_type="application/json")


@contextmanager
def mocked_line() -> Iterator[responses.RequestsMock]:
    """Answer calls as a test says; see that each answer was asked for, and that Microsoft describes each request."""
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mock:
        yield mock
        for call in mock.calls:
            asked = call.request
            if asked.url.startswith(GRAPH):
                target = asked.url.removeprefix("https://graph.microsoft.com")
                judge_wire(asked.method, target, dict(asked.headers), asked.body or b"")


def give_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPH_TOKEN", "token-of-max")
    monkeypatch.setenv("GRAPH_SECRET", "secret-of-app")
