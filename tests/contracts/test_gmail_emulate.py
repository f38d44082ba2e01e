"""The Gmail adapter against a Gmail that others wrote: the npm program `emulate`, as an independent judge.

It keeps no foreign header and knows no search, profile, scope or expiry, so it judges the plain path only: draft,
thread, look-up, send, history. Skipped, and said so, where node or npm is missing or the program cannot be had.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.gmail import adapter
from adapters.gmail.account import GoogleAccount
from connector.errors import Refused
from connector.ports import Address, Mail, MailIdentity, MailSent, Thread, Trace, Whereabouts
from tests.doubles import MemoryVault
from tests.judges.programs import find_program

#: Without a version npm gives an unrelated program.
PROGRAM = "emulate@0.11.2"
REP = MailIdentity(email="ana@acme.example", name="Ana Diaz")


class MachineClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        pytest.fail(f"nothing here should have to wait {seconds} s")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node, npm = find_program("node"), find_program("npm")
    folder: Path = tmp_path_factory.mktemp("emulate")
    try:
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", PROGRAM],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm could not install {PROGRAM}: {type(error).__name__}")
    seed = {"google": {"users": [{"email": REP.email, "name": REP.name}]}, "tokens": {"a-token": {"login": REP.email}}}
    (folder / "seed.yaml").write_text(json.dumps(seed), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    script = folder / "node_modules/emulate/dist/index.js"
    with subprocess.Popen(
        [node, script, "start", "-s", "google", "--seed", "seed.yaml", "-p", str(port)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            # It prints its address once it listens; if it ends before that, its output ends too.
            assert any("http://" in line for line in program.stdout), "emulate ended without having started"
            yield f"http://127.0.0.1:{port}"
        finally:
            program.terminate()


@pytest.fixture
def mailbox(emulated: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("EMULATED_TOKEN", "a-token")
    account = GoogleAccount.model_validate(
        {"auth": "access_token", "token": "${env:EMULATED_TOKEN}", "endpoint": emulated}
    )
    opened = adapter.open_mailbox(account, REP, sole=True, clock=MachineClock(), vault=MemoryVault())
    yield opened
    opened.close()


def a_mail(key: str, subject: str, thread: Thread | None = None) -> Mail:
    return Mail(
        key=key,
        sender=Address(email=REP.email, name=REP.name),
        to=Address(email="ann@bolt.example", name="Ann Bölt"),
        subject=subject,
        html="<p>Shall we talk?</p>",
        text="Shall we talk?",
        thread=thread,
    )


def test_the_plain_path_holds_against_somebody_elses_gmail(mailbox):
    mail = a_mail("1" * 32, "Grüße aus Sevilla")
    since = datetime.now(UTC) - timedelta(hours=1)
    draft = mailbox.create_draft(mail)
    trace = Trace(key=mail.key, draft=draft, to=mail.to.email, subject=mail.subject, since=since)
    found = mailbox.find(trace)
    assert (found.where, found.matched_by) == (Whereabouts.DRAFT, "draft_id")
    assert mailbox.draft_address(draft).endswith(f"#drafts/{found.draft.provider_id}")

    sent = mailbox.send_draft(draft, mail.key)
    assert (sent.subject, sent.to) == (mail.subject, ("ann@bolt.example",))
    assert sent.internet_message_id
    assert mailbox.find(trace).where is Whereabouts.SENT
    with pytest.raises(Refused) as raised:
        mailbox.send_draft(draft, mail.key)
    assert raised.value.code == "draft_gone"

    # It knows no profile, so the cursor of a first pull is written by hand: history from the beginning.
    pull = mailbox.pull_mail(json.dumps({"history": "1", "at": since.isoformat()}))
    assert [change.mail.provider_id for change in pull.changes if isinstance(change, MailSent)] == [sent.provider_id]
    before = mailbox.calls
    assert mailbox.pull_mail(pull.cursor).changes == ()
    assert mailbox.calls == before + 1

    thread = Thread(
        internet_message_id=sent.internet_message_id,
        references=(sent.internet_message_id,),
        thread_id=sent.thread_id,
        mailbox=REP.email,
    )
    follow_up = mailbox.create_draft(a_mail("2" * 32, f"Re: {mail.subject}", thread))
    assert follow_up.thread_id == sent.thread_id
    for _ in range(2):
        mailbox.delete_draft(follow_up)
