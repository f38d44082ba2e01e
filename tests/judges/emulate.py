"""`emulate`, a Gmail that nobody here wrote, and what a rep and the people around them do in it.

Lives here: starting it, and `Mailroom`, which acts and looks by plain HTTP. Does not live here: the tests
(`tests/contracts/test_gmail_emulate`, `tests/faults/test_lost_answers_emulate`).

It judges drafts, sends, threads and history. It is no judge of these: any token opens the first user's mailbox; it
keeps no foreign header, so the stamp is never found there; it knows no profile, no batch, no `fields`, no search among
drafts and none by Message-ID; a multipart upload loses its metadata; history never expires.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import requests

from tests.judges.programs import install, serving

#: Who its first user is.
REP = "ana@acme.example"
TOKEN = "a-token"


@contextmanager
def emulated(folder: Path) -> Iterator[str]:
    """Run it with one empty mailbox, and yield its address."""
    script = install() / "emulate" / "dist" / "index.js"
    seed = {"google": {"users": [{"email": REP, "name": "Ana Diaz"}]}, "tokens": {TOKEN: {"login": REP}}}
    (folder / "seed.yaml").write_text(json.dumps(seed), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    arguments = ("start", "-s", "google", "--seed", "seed.yaml", "-p", str(port))
    with serving(script, *arguments, folder=folder):
        yield f"http://127.0.0.1:{port}"


class Mailroom:
    """The rep's mailbox as the rep sees it, and mail from outside."""

    def __init__(self, url: str) -> None:
        self._me = f"{url}/gmail/v1/users/me"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"

    def history(self) -> str:
        """Return where the history stands."""
        return str(self._ask("GET", "history", params={"startHistoryId": "1"})["historyId"])

    def drafts(self) -> dict[str, list[str]]:
        """Return recipient -> ids of the drafts to them."""
        rows = self._ask("GET", "drafts", params={"maxResults": 500}).get("drafts", [])
        return _by_recipient((row["id"], self._ask("GET", f"drafts/{row['id']}")["message"]) for row in rows)

    def sent(self) -> dict[str, list[str]]:
        """Return recipient -> ids of the mails in Sent to them."""
        rows = self._ask("GET", "messages", params={"labelIds": "SENT", "maxResults": 500}).get("messages", [])
        return _by_recipient((row["id"], self._ask("GET", f"messages/{row['id']}")) for row in rows)

    def send_draft_to(self, person: str) -> None:
        """Let the rep send the draft to somebody."""
        (draft,) = self.drafts()[person]
        self._ask("POST", "drafts/send", json={"id": draft})

    def discard_draft_to(self, person: str) -> None:
        """Let the rep delete the draft to somebody."""
        (draft,) = self.drafts()[person]
        self._ask("DELETE", f"drafts/{draft}")

    def receive(self, person: str, subject: str) -> None:
        """Let a mail of somebody come in."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = person, REP, subject
        mail.set_content("Hello")
        raw = base64.urlsafe_b64encode(mail.as_bytes()).decode()
        self._ask("POST", "messages/import", json={"raw": raw, "labelIds": ["INBOX", "UNREAD"]})

    def clear(self) -> None:
        """Let the rep delete everything."""
        rows = self._ask("GET", "messages", params={"includeSpamTrash": "true", "maxResults": 500})
        ids = [row["id"] for row in rows.get("messages", [])]
        if ids:
            self._ask("POST", "messages/batchDelete", json={"ids": ids})

    def close(self) -> None:
        self._session.close()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self._session.request(method, f"{self._me}/{path}", timeout=10, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else {}


def _by_recipient(mails: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, message in mails:
        to = next((str(one["value"]) for one in message["payload"]["headers"] if one["name"] == "To"), "")
        found.setdefault(parseaddr(to)[1], []).append(number)
    return found
