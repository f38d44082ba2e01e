"""What the mailbox contract needs of each adapter: a harness, sandbox-backed where there is a service.

A harness lives in `harness_<name>.py` next to this file, as a class `Harness`; `test_mailbox_contract.py` finds it by
the name of the adapter's entry point and fails when there is none. The people outside act through the sandbox, so
most of a harness is here; an adapter's own file says how its account looks and how its cursor expires.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from threading import Thread
from typing import Any, ClassVar

import pytest
import requests

from adapters.sandbox import Sandbox
from connector.accounts import AccountModel
from connector.ports import (
    ENTRY_POINT_GROUP,
    Address,
    DraftRef,
    Mail,
    Mailbox,
    MailboxAdapter,
    MailIdentity,
    SentMail,
    Trace,
)
from connector.ports import Thread as MailThread
from tests.doubles import MemoryVault
from tests.judges import graph_schema
from tests.judges.gmail_requests import judge_wire
from tests.judges.gmail_schema import Called

_numbers = itertools.count(1)


class Relay:
    """A line to the sandbox that can lose an answer after the service has acted.

    What goes to Gmail and to Graph is judged by Google's and by Microsoft's description on its way.
    """

    def __init__(self, target: str) -> None:
        relay = self
        self.lose_next: str | None = None
        self.lost: list[str] = []
        #: Calls of Gmail that were judged, and what was wrong with any.
        self.judged: list[Called] = []
        #: Calls of Graph that were judged.
        self.judged_graph: list[graph_schema.Called] = []
        self.complaints: list[str] = []
        self._session = requests.Session()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                try:
                    relay.judged += judge_wire(self.command, self.path, headers, body)
                    relay.judged_graph += graph_schema.judge_wire(self.command, self.path, headers, body)
                except AssertionError as error:
                    relay.complaints.append(f"{self.command} {self.path}: {error}")
                answer = relay._session.request(
                    self.command, target + self.path, data=body, headers=headers, allow_redirects=False
                )
                if relay.lose_next is not None and relay.lose_next == self.command:
                    relay.lose_next = None
                    relay.lost.append(f"{self.command} {self.path}")
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "content-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _forward  # noqa: N815 - http.server's names

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._session.close()


class MailboxHarness:
    """One rep's mailbox at one service, and the people around it; every test gets a new rep."""

    #: Entry point name.
    name: ClassVar[str]
    #: Kind of mailbox in the sandbox; "" when there is none.
    kind: ClassVar[str] = ""

    def __init__(self, sandbox: Sandbox, relay: Relay, adapter: MailboxAdapter) -> None:
        number = next(_numbers)
        self.sandbox = sandbox
        self.relay = relay
        self.adapter = adapter
        self.rep = MailIdentity(email=f"rep{number}@acme.example", name="Ana Diaz")
        self.person = f"ann{number}@bolt.example"
        self.clock = sandbox.clock
        if self.kind:
            sandbox.act("add_mail_account", kind=self.kind, email=self.rep.email, name=self.rep.name)
        self._opened: list[Mailbox] = []
        self.mailbox = self.open(relay.url)

    # ------------------------------------------------------------------ what an adapter's harness says

    def account(self, base: str, *, good: bool = True) -> AccountModel | None:
        """Return the account section against the server at `base`; with a wrong token when not `good`."""
        raise NotImplementedError

    def expire_cursor(self) -> None:
        """Make every cursor handed out so far too old for the service."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------- the rest

    def open(self, base: str, *, good: bool = True) -> Mailbox:
        account = self.account(base, good=good)
        mailbox = self.adapter.open_mailbox(account, self.rep, clock=self.clock, vault=MemoryVault())
        self._opened.append(mailbox)
        return mailbox

    def close(self) -> None:
        for mailbox in self._opened:
            getattr(mailbox, "close", lambda: None)()

    def mail(self, *, subject: str = "Hello from Acme", thread: MailThread | None = None) -> Mail:
        return Mail(
            key=f"{next(_numbers):032x}",
            sender=Address(email=self.rep.email, name=self.rep.name),
            to=Address(email=self.person, name="Ann Bolt"),
            subject=subject,
            html="<p>Dear Ann, <b>shall we talk</b>?</p>",
            text="Dear Ann, shall we talk?",
            thread=thread,
        )

    def trace(self, mail: Mail, draft: Any = None) -> Trace:
        since = self.clock.now() - timedelta(hours=1)
        return Trace(key=mail.key, draft=draft, to=mail.to.email, subject=mail.subject, since=since)

    def lying_in(self, place: str) -> list[Any]:
        """Return the mails in `drafts`, `sent`, `inbox` or `trash` as the sandbox stores them."""
        return [mail for mail in self.sandbox.world.boxes[self.rep.email].mails.values() if mail.place == place]

    def act(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Let somebody outside act; see `Sandbox.actions`."""
        return self.sandbox.act(action, rep=self.rep.email, **arguments)

    @contextmanager
    def answer_lost(self, method: str = "POST") -> Iterator[None]:
        """Lose the answer to the next request with this method, after the service has acted on it."""
        self.relay.lose_next = method
        before = len(self.relay.lost)
        yield
        assert len(self.relay.lost) == before + 1, "no answer was lost: the mailbox made no such request"


# ---------------------------------------------------------------------------------------------- the adapters

REGISTERED = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
#: An adapter that cannot be loaded stays in the list, so that its tests fail rather than vanish.
CRMS = {"salesforce"}
MAILBOXES = sorted(set(REGISTERED) - CRMS)


@contextmanager
def open_line() -> Iterator[tuple[Sandbox, Relay]]:
    """Start a sandbox and a line to it."""
    with Sandbox(start=datetime(2026, 11, 23, 9, 0, tzinfo=UTC)) as running:
        line = Relay(running.url)
        yield running, line
        line.close()


@contextmanager
def open_harness(name: str, sandbox: Sandbox, relay: Relay) -> Iterator[MailboxHarness]:
    """Open the harness of an adapter; what it asked for must be described by its service."""
    adapter = REGISTERED[name].load()
    try:
        module = importlib.import_module(f"harness_{name}")
    except ModuleNotFoundError:
        pytest.fail(f"mailbox adapter '{name}' has no contract harness: add tests/contracts/harness_{name}.py")
    made = module.Harness(sandbox, relay, adapter)
    yield made
    made.close()
    assert relay.complaints == [], "neither Google nor Microsoft describes such a request"


def needs(harness: MailboxHarness, *abilities: str) -> None:
    """Skip what the adapter says it cannot do."""
    for ability in abilities:
        if not getattr(harness.mailbox.capabilities, ability):
            pytest.skip(f"{harness.name}: its capabilities deny '{ability}'")


def send(harness: MailboxHarness, **options: Any) -> tuple[Mail, DraftRef, SentMail]:
    """Place a draft and send it."""
    mail = harness.mail(**options)
    ref = harness.mailbox.create_draft(mail)
    return mail, ref, harness.mailbox.send_draft(ref, mail.key)
