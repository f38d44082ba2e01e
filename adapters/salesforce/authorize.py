"""Signing in and out by a person: the web-server flow with PKCE, over a loopback redirect.

Lives here: the address the browser opens, the code it brings back, who that turned out to be, revoking. Does not live
here: the listener (`adapters.loopback`), the token endpoint (`oauth`), using and renewing what is kept (`signin`).
Source: reference apis 1.1; RFC 7636 (PKCE), RFC 8252 (native apps).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import urlencode

from simple_salesforce.format import format_soql

from adapters.loopback import Answer, Loopback
from adapters.salesforce.account import ACCOUNT, SalesforceAccount
from adapters.salesforce.oauth import AUTHORIZE, Granted, by_code, revoke, sign_in_command, sign_in_name
from adapters.salesforce.session import Org
from adapters.salesforce.signin import Kept, configured_seed
from connector.errors import AdapterError, BadInput, Refused
from connector.ports import Clock, Conversation, Vault

#: Records by the API, and a refresh token.
_SCOPES = "api refresh_token"

#: Word of a refused authorization -> what to do.
_REFUSALS = {
    "access_denied": "it was declined in the browser",
    "redirect_uri_mismatch": "the app does not list the callback URL: add it to the app, letter by letter",
    "invalid_client_id": "client_id is not known to the org: copy the consumer key of the app",
    "invalid_scope": "the app lacks a scope: give it 'api' and 'refresh_token, offline_access'",
    "OAUTH_AUTHORIZATION_BLOCKED": "the app is blocked in the org: ask the administrator",
    "OAUTH_APP_ACCESS_DENIED": "the user is not pre-authorised for the app: assign the app's permission set to them",
}


def sign_in(account: SalesforceAccount, talk: Conversation, *, rep: str | None, clock: Clock, vault: Vault) -> str:
    """Sign in by the browser, keep the tokens, and return a sentence that says who is signed in where."""
    whose = _whose(account, rep)
    verifier = secrets.token_urlsafe(64)
    with Loopback("Salesforce", port=account.redirect_port, setting=f"accounts.{ACCOUNT}.redirect_port") as listener:
        talk.show(f"Sign in to Salesforce{f' as {whose}' if whose else ''} in the browser; this waits for it.")
        talk.open(_address(account, listener, verifier=verifier, rep=whose))
        answer = listener.wait()
        granted = _traded(account, answer, listener.redirect_uri, verifier=verifier, rep=whose)
    _, seed = configured_seed(account)
    kept = Kept(refresh_token=granted.refresh_token or "", seed=seed).after(granted, clock.now())
    vault.save(sign_in_name(whose), kept.text)
    return _who(account, granted, clock=clock, vault=vault, rep=whose)


def sign_out(account: SalesforceAccount, *, rep: str | None, vault: Vault) -> str:
    """Revoke what a sign-in gave and forget it; raise `Retry`, and forget nothing, when Salesforce does not answer."""
    whose = _whose(account, rep)
    name = sign_in_name(whose)
    of = f" of {whose}" if whose else ""
    try:
        text = vault.read(name)
    except BadInput:
        vault.forget(name)
        return (
            f"the sign-in to Salesforce{of} is forgotten; it could not be read any more, so revoke it in Salesforce "
            "too: Setup, Connected Apps OAuth Usage"
        )
    if text is None:
        return f"there is no sign-in to Salesforce{of} to revoke"
    known = revoke(account, Kept.read(text).refresh_token)
    vault.forget(name)
    seeded = not whose and account.refresh_token is not None
    return (
        f"the sign-in to Salesforce{of} is {'revoked and forgotten' if known else 'forgotten; it had ended already'}"
        f"{'. Remove refresh_token from connector.yaml too' if seeded else ''}"
    )


def _whose(account: SalesforceAccount, rep: str | None) -> str:
    """Return the rep who signs in, empty for the org's own sign-in; raise `BadInput` when no person signs in."""
    if account.auth != "refresh_token":
        raise BadInput(
            f"auth: {account.auth} of accounts.{ACCOUNT} needs no person; to sign in by the browser, write "
            "auth: refresh_token"
        )
    if rep and not account.per_rep:
        raise BadInput(
            f"reps do not sign in to Salesforce one by one here: leave --rep out, or write per_rep: true under "
            f"accounts.{ACCOUNT}"
        )
    return rep or ""


def _address(account: SalesforceAccount, listener: Loopback, *, verifier: str, rep: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": account.client_id or "",
        "redirect_uri": listener.redirect_uri,
        "scope": _SCOPES,
        "state": listener.state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if rep:
        # Whoever is signed in in this browser is not taken for the rep: Salesforce asks who it is.
        query |= {"login_hint": rep, "prompt": "login"}
    elif account.username:
        query["login_hint"] = account.username
    return f"{account.sign_in_url}{AUTHORIZE}?{urlencode(query)}"


def _traded(account: SalesforceAccount, answer: Answer, redirect_uri: str, *, verifier: str, rep: str) -> Granted:
    if answer.error:
        known = _REFUSALS.get(answer.error)
        # A word that is not ours may hold anything: its letters only.
        word = "".join(letter for letter in answer.error if letter.isalnum() or letter in "_- ")[:60]
        raise Refused(
            f"signing in to Salesforce failed: {known or f'it answered {word}; check the app and its policies'}",
            code=answer.error if known else "sign_in",
        )
    granted = by_code(account, code=answer.code, verifier=verifier, redirect_uri=redirect_uri, rep=rep)
    if not granted.refresh_token:
        raise Refused(
            "Salesforce gave no refresh token: give the app the scope 'Perform requests at any time (refresh_token, "
            f"offline_access)', and run '{sign_in_command(rep)}' again",
            code="no_refresh_token",
        )
    return granted


def _who(account: SalesforceAccount, granted: Granted, *, clock: Clock, vault: Vault, rep: str) -> str:
    """Return the sentence that says who is signed in, by what the org says of the user."""
    place = granted.instance_url.partition("://")[2]
    try:
        username, email = _user(account, granted.user_id, clock=clock, vault=vault, rep=rep)
    except AdapterError as error:
        return f"signed in to Salesforce at {place}; the first call failed, though: {error.sentence}"
    if not rep:
        return f"signed in to Salesforce at {place} as {username}"
    if rep not in (username.lower(), email.lower()):
        return f"signed in to Salesforce at {place} as {username} for rep {rep}: make sure that this is the same person"
    return f"signed in to Salesforce at {place} as {username} for rep {rep}"


def _user(account: SalesforceAccount, user_id: str, *, clock: Clock, vault: Vault, rep: str) -> tuple[str, str]:
    org = Org(account, clock=clock, vault=vault, rep=rep)
    try:
        (user,) = org.query(format_soql("SELECT Username, Email FROM User WHERE Id = {}", user_id))
    except ValueError:
        raise Refused("it does not show the user who is signed in") from None
    finally:
        org.close()
    return str(user["Username"]), str(user["Email"] or "")
