"""A rep signs in and out in the browser: the flow for installed apps with PKCE, over a loopback redirect.

Lives here: the consent page's address, whose mailbox that turned out to be, which scopes were ticked, revoking. Does
not live here: the listener (`adapters.loopback`), the token service (`oauth`), using what is kept (`signin`).
Sources: reference apis 2.6 and 2.8; RFC 7636 (PKCE), RFC 8252 (native apps).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import httplib2
import requests
from googleapiclient.errors import HttpError

from adapters.gmail.account import (
    ACCOUNT,
    COMPOSE_SCOPE,
    COSTS,
    READ_SCOPE,
    Client,
    GoogleAccount,
    missing_scopes,
    read_client,
    short_name,
    sign_in_command,
)
from adapters.gmail.errors import answered, garbled, unanswered
from adapters.gmail.oauth import Granted, TokenService, revoke, said, trade_code
from adapters.gmail.signin import secret_name
from adapters.http import ServiceSession
from adapters.loopback import Answer, Loopback
from connector.errors import BadInput, Refused
from connector.ports import Clock, Conversation, Vault

_API = "https://gmail.googleapis.com"

#: Word of a refusal that comes back from the consent page -> what to do.
_REFUSALS = {
    "access_denied": "it was declined in the browser, or the consent screen does not list this person as a test user",
    "admin_policy_enforced": "an administrator does not let this app in: have it trusted in the Admin console",
}


def sign_in(
    account: GoogleAccount,
    talk: Conversation,
    *,
    rep: str | None,
    aliases: Sequence[str],
    clock: Clock,
    vault: Vault,
) -> str:
    """Sign a rep in by the browser, keep the refresh token, and return a sentence that says who is signed in.

    Raises `Refused`, and keeps nothing, when somebody else signed in or drafts may not be placed.
    """
    whose = _whose(account, rep)
    client = read_client(account.client_file or Path())
    verifier = secrets.token_urlsafe(64)
    service = TokenService(whose)
    try:
        with Loopback("Google") as listener:
            talk.show(f"Sign in to Google as {whose} in the browser, and tick every box; this waits for it.")
            talk.open(_address(account, client, listener, verifier=verifier, rep=whose))
            code = _code_of(listener.wait(), whose)
            granted = trade_code(
                account, service, code=code, verifier=verifier, redirect_uri=listener.redirect_uri, rep=whose
            )
    finally:
        service.close()
    # What is refused from here on is not revoked: that would end every sign-in of this person, also one that is good.
    lacking = missing_scopes(account.scopes, granted.scopes)
    if COMPOSE_SCOPE in lacking:
        raise Refused(
            f"{short_name(COMPOSE_SCOPE)} was not granted, and without it {COSTS[COMPOSE_SCOPE]}: nothing was kept. "
            f"Run '{sign_in_command(whose)}' again and tick every box",
            code="scope",
        )
    email = _mailbox_of(account, granted, whose, clock)
    _check_person(email, whose, aliases)
    vault.save(secret_name(whose), granted.refresh_token)
    return " ".join((f"signed in to Gmail as {email}{_for_rep(email, whose)}.", *_losses(account, lacking, whose)))


def sign_out(account: GoogleAccount, *, rep: str | None, vault: Vault) -> str:
    """Revoke a rep's sign-in and forget it; raise `Retry`, and forget nothing, when Google does not answer."""
    whose = _whose(account, rep)
    name = secret_name(whose)
    try:
        token = vault.read(name)
    except BadInput:
        vault.forget(name)
        return (
            f"the sign-in of {whose} to Gmail is forgotten; it could not be read any more, so remove the app at "
            "myaccount.google.com/connections too"
        )
    if token is None:
        return f"there is no sign-in of {whose} to Gmail to revoke"
    service = TokenService(whose)
    try:
        known = revoke(account, service, token)
    finally:
        service.close()
    vault.forget(name)
    return (
        f"the sign-in of {whose} to Gmail is {'revoked and forgotten' if known else 'forgotten; it had ended already'}"
    )


def _whose(account: GoogleAccount, rep: str | None) -> str:
    """Return the rep who signs in; raise `BadInput` when no person signs in, or nobody is named."""
    if account.auth != "oauth":
        raise BadInput(
            f"auth: {account.auth} of accounts.{ACCOUNT} needs no person; to sign in rep by rep, write auth: oauth"
        )
    if not rep:
        raise BadInput(f"reps sign in to Gmail one by one: run '{sign_in_command('EMAIL')}'")
    return rep.lower()


def _address(account: GoogleAccount, client: Client, listener: Loopback, *, verifier: str, rep: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": listener.redirect_uri,
        "scope": " ".join(account.scopes),
        "state": listener.state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        # Google gives a refresh token for offline access only, and after the first time only with a new consent.
        "access_type": "offline",
        "prompt": "consent",
        "login_hint": rep,
    }
    return f"{client.auth_url}?{urlencode(query)}"


def _code_of(answer: Answer, rep: str) -> str:
    if not answer.error:
        return answer.code
    # A word that is not ours may hold anything: its letters only.
    word = "".join(letter for letter in answer.error if letter.isalnum() or letter in "_- ")[:60]
    raise Refused(
        f"signing in to Gmail as {rep} failed: {_REFUSALS.get(answer.error, f'Google answered {word}')}; nothing was "
        f"kept. When that is mended, run '{sign_in_command(rep)}' again",
        code=answer.error if answer.error in _REFUSALS else "sign_in",
    )


def _mailbox_of(account: GoogleAccount, granted: Granted, rep: str, clock: Clock) -> str:
    """Return the address of the mailbox that the token opens."""
    address = f"{account.endpoint or _API}/gmail/v1/users/me/profile"
    with ServiceSession() as session:
        try:
            headers = {"Authorization": f"Bearer {granted.token}"}
            response = session.get(address, headers=headers, allow_redirects=False)
        except requests.RequestException as error:
            raise unanswered(error, mailbox=rep, key=None) from error
    if response.status_code != 200:
        meta = httplib2.Response({"status": str(response.status_code)})  # type: ignore[no-untyped-call]
        refusal = HttpError(meta, response.content)
        renewal = f"run '{sign_in_command(rep)}'"
        raise answered(refusal, method="GET", mailbox=rep, renewal=renewal, key=None, now=clock.now())
    email = str(said(response).get("emailAddress") or "").lower()
    if not email:
        raise garbled(mailbox=rep, key=None)
    return email


def _check_person(email: str, rep: str, aliases: Sequence[str]) -> None:
    if email in (rep, *(alias.lower() for alias in aliases)):
        return
    raise Refused(
        f"{email} signed in in the browser, not {rep}: nothing was kept. Run '{sign_in_command(rep)}' again and choose "
        f"the account of {rep}; if both are one mailbox, list {email} under the aliases of {rep} in connector.yaml",
        code="other_person",
    )


def _for_rep(email: str, rep: str) -> str:
    return "" if email == rep else f" for rep {rep}"


def _losses(account: GoogleAccount, lacking: Sequence[str], rep: str) -> list[str]:
    """Return a sentence for each scope that is not there, with what that costs."""
    losses = [
        f"{short_name(scope)} was not granted: {COSTS[scope]}. To grant it, run '{sign_in_command(rep)}' again and "
        "tick every box; to do without, write read_mail: false"
        for scope in lacking
    ]
    return losses or ([] if account.read_mail else [f"As read_mail is false, {COSTS[READ_SCOPE]}."])
