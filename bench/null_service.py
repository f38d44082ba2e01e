"""A project whose mailboxes answer at once, for the benches of what is ours alone.

Lives here: `NullMailbox`, `null_office`, `write_project`, `people`. Does not live here: what is measured.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from processes import START

from adapters.gmail import adapter as gmail
from connector.app import Project, open_office
from connector.capabilities import MailboxCapabilities
from connector.errors import AdapterError
from connector.people import Person
from connector.ports import Check, DraftRef, Found, Mail, Mailbox, MailPull, SentMail, Trace, Whereabouts
from connector.store.database import Database
from connector.sync.office import Office

SENDS_A_MAILBOX = 10

#: An instant when every first mail is due.
NOW = START + timedelta(days=1)

#: Never used: no service is opened.
ACCOUNT = {"auth": "access_token", "token": "${env:NEVER_ASKED_FOR}"}

CAMPAIGN = """\
name: Bench
days:
  - day: 1
    steps:
      - email: {template: intro, send: "09:00"}
  - day: 3
    steps:
      - email: {template: intro, send: "09:00"}
"""
TEMPLATE = """\
---
subject: Hello {{first_name}}
---
Hi {{first_name}},

how is {{company}}? **Shall we talk** about it this week?
"""


class _Clock:
    """Stands still; nobody waits."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def sleep(self, seconds: float) -> None:
        raise SystemExit(f"nothing is paced here, and something waits {seconds} s: the measurement is wrong")


class NullMailbox:
    """A `ports.Mailbox` that answers at once and keeps nothing."""

    capabilities: MailboxCapabilities = gmail.capabilities
    calls = 0

    def create_draft(self, mail: Mail) -> DraftRef:
        """Say that it is placed."""
        return DraftRef(draft_id=f"r{mail.key}", provider_id=mail.key[:16], thread_id=mail.key[:16])

    def create_drafts(self, mails: Sequence[Mail]) -> Sequence[DraftRef | AdapterError]:
        """Say that they are placed."""
        return [self.create_draft(mail) for mail in mails]

    def delete_draft(self, draft: DraftRef) -> None:
        """Say nothing."""

    def draft_address(self, draft: DraftRef) -> str:
        """Say some address."""
        return f"https://mail.example/{draft.draft_id}"

    def send_draft(self, draft: DraftRef, key: str) -> SentMail:
        """Say that it lies in Sent."""
        sent, message = f"s{key[:15]}", f"<{key}@mail.example>"
        return SentMail(provider_id=sent, at=NOW, thread_id=draft.thread_id, internet_message_id=message, key=key)

    def find(self, trace: Trace) -> Found:
        """Say that it is nowhere."""
        del trace
        return Found(where=Whereabouts.ABSENT)

    def pull_mail(self, cursor: str | None) -> MailPull:
        """Say that nothing has changed."""
        return MailPull(changes=(), cursor=cursor or "0")

    def check(self) -> Sequence[Check]:
        """Find nothing."""
        return ()

    def close(self) -> None:
        """Do nothing."""


@contextmanager
def null_office(url: str, folder: Path, at: datetime = NOW) -> Iterator[tuple[Project, Office]]:
    """Open a project whose mailboxes answer at once and have no pace."""
    gc.freeze()  # as the command does
    project, database = Project(folder=folder), Database(url)
    database.upgrade()
    try:
        office = open_office(project, database, _Clock(at), services=False)
        mailboxes: dict[str, Mailbox] = {email: NullMailbox() for email in office.reps}
        yield project, replace(office, mailboxes=mailboxes, pacing={})
    finally:
        database.close()


def write_project(folder: Path, mailboxes: int) -> None:
    """Write a project of so many reps."""
    reps = [
        {"email": f"rep{number:05}@acme.example", "name": f"Rep {number}", "time_zone": "UTC", "mailbox": "gmail"}
        for number in range(mailboxes)
    ]
    for name in ("campaigns", "templates"):
        (folder / name).mkdir()
    (folder / "connector.yaml").write_text(json.dumps({"reps": reps, "accounts": {"google": ACCOUNT}}))
    (folder / "campaigns" / "bench.yaml").write_text(CAMPAIGN)
    (folder / "templates" / "intro.md").write_text(TEMPLATE)


def people(rep: str) -> Iterator[Person]:
    """Make the people of a rep up."""
    name = rep.partition("@")[0]
    for number in range(SENDS_A_MAILBOX):
        yield Person(
            email=f"{name}.p{number}@client{number}.example",
            first_name="Pat",
            last_name=f"Doe{number}",
            company=f"Client {number}",
        )
