"""A client of the simulated Graph that has every exchange judged by Microsoft's description."""

from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import requests

from tests.judges.graph_schema import find_called, judge_answer, judge_named, judge_request

BEN, BOB, BOSS = "ben@acme.example", "bob@buyer.example", "boss@buyer.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
STAMP = "String {6b1f2c34-5d6e-4f70-8192-a3b4c5d6e7f8} Name ConnectorIntentId"
IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}
WITH_STAMP = {"$expand": f"singleValueExtendedProperties($filter=id eq '{STAMP}')"}


def fresh_sandbox(front):
    """Put a new sandbox behind the server, with Outlook for Ben and Dia and Gmail for Ana."""
    fresh = front.fresh(NOON)
    fresh.world.add_mailbox("outlook", BEN, "Ben Ode")
    fresh.world.add_mailbox("outlook", "dia@acme.example", "Dia")
    fresh.world.add_mailbox("gmail", "ana@acme.example", "Ana")
    return fresh


@contextmanager
def graph_of(sandbox):
    """Open a client for Ben's mailbox."""
    with requests.Session() as session:
        yield Client(sandbox, session)


def judge_exchange(method, path, sent, answer):
    """Refuse a request or an answer that Microsoft's description does not allow; return what was called."""
    called = judge_request(method, path, sent) if sent is not None else find_called(method, urlsplit(path).path)
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    judge_answer(called, answer.status_code, answer.json() if is_json else answer.content or None)
    return called


class Client:
    """Calls Graph for one mailbox and has every exchange judged."""

    def __init__(self, sandbox, session):
        self.sandbox = sandbox
        self.session = session
        self.base = f"{sandbox.url}/v1.0"
        self.owner = f"/users/{BEN}"
        #: Operations, by method and described path, whose requests and good answers were judged.
        self.judged = set()

    def signed(self):
        return {"Authorization": f"Bearer {self.sandbox.token('graph', '', scopes=['Mail.Send'])}"}

    def raw(self, method, path, *, token=None, roles=("Mail.ReadWrite", "Mail.Send"), headers=None, **more):
        token = self.sandbox.token("graph", "", scopes=list(roles)) if token is None else token
        headers = (headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return self.session.request(method, self.base + path, headers=headers, timeout=10, **more)

    def __call__(self, method, path, body=None, *, status=None, **more):
        answer = self.raw(method, self.owner + path, **({"json": body} if body is not None else {}), **more)
        target = urlsplit(answer.request.url)
        path = f"{target.path.removeprefix('/v1.0')}?{target.query}"
        if method == "GET":
            judge_request(method, path)
        called = judge_exchange(method, path, body, answer)
        if answer.ok:
            self.judged.add((called.http, called.template))
        if status is not None:
            assert answer.status_code == status, answer.text
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.json() if is_json else answer.content

    def follow(self, link, **more):
        parts = urlsplit(link)
        path = parts.path.removeprefix("/v1.0").removeprefix(self.owner)
        return self("GET", path, params=parse_qsl(parts.query), **more)

    def refused(self, method, path, body=None, **more):
        """Return (status, code) of a refusal; the request itself may be one that the description forbids."""
        answer = self.raw(method, self.owner + path, **({"json": body} if body is not None else {}), **more)
        judge_named("error", answer.json())
        return answer.status_code, answer.json()["error"]["code"]


def message(**parts):
    return {
        "subject": "Quarterly plan",
        "body": {"contentType": "html", "content": "<p>Hello <b>Bob</b></p>"},
        "toRecipients": [{"emailAddress": {"name": "Bob Buyer", "address": BOB}}],
        "singleValueExtendedProperties": [{"id": STAMP, "value": KEY}],
    } | parts


def found_by_stamp(key, folder="sentitems"):
    test = f"singleValueExtendedProperties/Any(ep: ep/id eq '{STAMP}' and ep/value eq '{key}')"
    return f"/mailFolders/{folder}/messages", {"$filter": test} | WITH_STAMP
