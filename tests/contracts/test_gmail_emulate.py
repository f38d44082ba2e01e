"""The Gmail adapter against a Gmail that others wrote: the npm program `emulate`, as an independent judge.

What it is no judge of stands in `tests/judges/emulate`, which starts it: this is the plain path: draft, thread,
look-up, send, history, signing in. Answers lost on the way to it: `tests/faults/test_lost_answers_emulate`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from adapters.gmail import adapter
from adapters.gmail.account import SCOPES, GoogleAccount
from adapters.gmail.oauth import TokenService, trade_code
from adapters.gmail.signin import open_grant
from connector.errors import Reconnect, Refused
from connector.ports import Address, Mail, MailIdentity, MailSent, Thread, Trace, Whereabouts
from tests.doubles import MemoryVault
from tests.judges import emulate

REDIRECT = "http://localhost:1717/callback"
REP = MailIdentity(email=emulate.REP, name="Ana Diaz")


class MachineClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        pytest.fail(f"nothing here should have to wait {seconds} s")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulate.emulated(tmp_path_factory.mktemp("emulate")) as url:
        yield url


@pytest.fixture
def mailbox(emulated: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("EMULATED_TOKEN", emulate.TOKEN)
    account = GoogleAccount.model_validate(
        {"auth": "access_token", "token": "${env:EMULATED_TOKEN}", "endpoint": emulated}
    )
    opened = adapter.open_mailbox(account, REP, clock=MachineClock(), vault=MemoryVault())
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


def consented(emulated: str, verifier: str) -> str:
    """Press the button of its consent page and return the code the browser is sent back with."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    form = {
        "email": REP.email, "redirect_uri": REDIRECT, "scope": " ".join(SCOPES), "state": "ours", "client_id": "id",
        "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    answer = requests.post(f"{emulated}/o/oauth2/v2/auth/callback", data=form, allow_redirects=False, timeout=10)
    back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    assert back["state"] == "ours"
    return back["code"]


def test_a_sign_in_by_code_is_renewed_and_revoked_at_somebody_elses_google(emulated, tmp_path):
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"installed": {"client_id": "id", "client_secret": "secret"}}))
    account = GoogleAccount.model_validate(
        {"auth": "oauth", "client_file": str(path), "endpoint": emulated, "token_url": f"{emulated}/oauth2/token"}
    )

    def trade(verifier: str):
        code = consented(emulated, "v" * 64)
        service = TokenService(REP.email)
        try:
            return trade_code(account, service, code=code, verifier=verifier, redirect_uri=REDIRECT, rep=REP.email)
        finally:
            service.close()

    with pytest.raises(Reconnect, match="was not made for this sign-in"):
        trade("w" * 64)
    granted = trade("v" * 64)
    assert granted.scopes == set(SCOPES)

    vault = MemoryVault(**{f"google:{REP.email}": granted.refresh_token})
    opened = adapter.open_mailbox(account, REP, clock=MachineClock(), vault=vault)
    draft = opened.create_draft(a_mail("3" * 32, "By a token of our own"))
    opened.delete_draft(draft)
    opened.close()

    assert "is revoked and forgotten" in adapter.sign_out(account, rep=REP.email, vault=vault)
    again = open_grant(
        account,
        REP.email,
        clock=MachineClock(),
        vault=MemoryVault(**{f"google:{REP.email}": granted.refresh_token}),
    )
    with pytest.raises(Reconnect, match=f"run 'connector auth google --rep {REP.email}'"):
        again.token()
