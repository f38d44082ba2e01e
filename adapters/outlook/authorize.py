"""A rep signs in and out: by the browser of this machine with PKCE, or by a code in any browser.

Lives here: the two ways of msal, whose mailbox that turned out to be, which permissions came, forgetting. Does not live
here: the listener (`adapters.loopback`), msal itself (`entra`), refusals in words (`aadsts`), using what is kept
(`signin`).
Sources: reference apis 3.7 and 3.8; RFC 7636 (PKCE), RFC 8252 (native apps), RFC 8628 (device codes).
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from msal.token_cache import SerializableTokenCache

from adapters.http import ServiceSession
from adapters.loopback import Loopback
from adapters.outlook.aadsts import refused_person
from adapters.outlook.account import ACCOUNT, COSTS, DRAFTS, MicrosoftAccount, missing_permissions, sign_in_command
from adapters.outlook.entra import asked, public_application
from adapters.outlook.signin import secret_name
from connector.errors import BadInput, Refused
from connector.ports import Clock, Conversation, Vault

#: Answers to a look for a device code that mean: look again.
_PENDING = frozenset({"authorization_pending", "slow_down"})

#: Where a person ends what they agreed to; Microsoft has no address by which an app could.
_ENDING = (
    "Microsoft lets no app end it: the person can at myapps.microsoft.com (the app, Manage your application), or an "
    "administrator in the Entra admin centre (Users, the user, Revoke sessions)"
)


def sign_in(
    account: MicrosoftAccount,
    talk: Conversation,
    *,
    rep: str | None,
    aliases: Sequence[str],
    clock: Clock,
    vault: Vault,
) -> str:
    """Sign a rep in, keep msal's cache, and return a sentence that says who is signed in.

    Raises `Refused`, and keeps nothing, when somebody else signed in or drafts may not be placed.
    """
    whose = _whose(account, rep)
    cache = SerializableTokenCache()  # type: ignore[no-untyped-call]
    application = asked(lambda: public_application(account, cache), f"outlook:{whose}")
    if account.auth == "auth_code":
        answer = _by_browser(account, application, talk, whose)
    else:
        answer = _by_code(account, application, talk, whose, clock)
    if "access_token" not in answer:
        raise refused_person(answer, whose)
    # An answer that names none gives what was asked for (RFC 6749 5.1).
    lacking = missing_permissions(str(answer.get("scope") or " ".join(account.scopes)).split())
    if DRAFTS in lacking:
        raise Refused(
            f"{DRAFTS} was not granted, and without it {COSTS[DRAFTS]}: nothing was kept. Have it granted, and run "
            f"'{sign_in_command(whose)}' again",
            code="scope",
        )
    email = _checked_person(account, answer, whose, aliases)
    vault.save(secret_name(whose), cache.serialize())
    for_rep = "" if email == whose else f" for rep {whose}"
    losses = [
        f"{name} was not granted: {COSTS[name]}. Have it granted, and run '{sign_in_command(whose)}' again."
        for name in lacking
    ]
    return " ".join((f"signed in to Outlook as {email}{for_rep}.", *losses))


def sign_out(account: MicrosoftAccount, *, rep: str | None, vault: Vault) -> str:
    """Forget a rep's sign-in, and say who can end it at Microsoft."""
    whose = _whose(account, rep)
    name = secret_name(whose)
    try:
        kept = vault.read(name)
    except BadInput:  # it cannot be read any more, and goes all the same
        kept = ""
    if kept is None:
        return f"there is no sign-in of {whose} to Outlook to revoke"
    vault.forget(name)
    return f"the sign-in of {whose} to Outlook is forgotten. {_ENDING}"


def _whose(account: MicrosoftAccount, rep: str | None) -> str:
    """Return the rep who signs in; raise `BadInput` when no person signs in, or nobody is named."""
    if account.auth not in account.by_person:
        raise BadInput(
            f"auth: {account.auth} of accounts.{ACCOUNT} needs no person; to sign in rep by rep, write auth: auth_code "
            "or auth: device_code"
        )
    if not rep:
        raise BadInput(f"reps sign in to Outlook one by one: run '{sign_in_command('EMAIL')}'")
    return rep.lower()


def _by_browser(account: MicrosoftAccount, application: Any, talk: Conversation, rep: str) -> Mapping[str, Any]:
    with Loopback("Microsoft") as listener, warnings.catch_warnings():
        # msal would rather have the answer posted; a listener on this machine may have it in the address (RFC 8252).
        warnings.simplefilter("ignore")
        flow = application.initiate_auth_code_flow(
            account.scopes,
            redirect_uri=listener.redirect_uri,
            state=listener.state,
            login_hint=rep,
            prompt="select_account",
        )
        talk.show(f"Sign in to Microsoft as {rep} in the browser; this waits for it.")
        talk.open(_openable(account, str(flow["auth_uri"])))
        came = listener.wait()
    if came.error:
        raise Refused(
            f"{refused_person({'error': came.error, 'error_description': came.description}, rep)}; nothing was kept",
            code=came.error if came.error == "access_denied" else "sign_in",
        )
    back = {"code": came.code, "state": listener.state}
    answer: Mapping[str, Any] = asked(lambda: application.acquire_token_by_auth_code_flow(flow, back), f"outlook:{rep}")
    return answer


def _by_code(
    account: MicrosoftAccount, application: Any, talk: Conversation, rep: str, clock: Clock
) -> Mapping[str, Any]:
    flow: dict[str, Any] = asked(lambda: application.initiate_device_flow(account.scopes), f"outlook:{rep}")
    if "user_code" not in flow:
        raise refused_person(flow, rep)
    talk.show(
        f"Sign in to Microsoft as {rep}: in a browser anywhere, open {flow['verification_uri']} and enter the code "
        f"{flow['user_code']}. Enter it only because you started this yourself; this waits for it."
    )
    until = clock.now() + timedelta(seconds=flow["expires_in"])
    while True:
        with warnings.catch_warnings():
            # msal warns of a look that comes too soon by the machine's clock; the connector's clock keeps the interval.
            warnings.simplefilter("ignore")
            answer: Mapping[str, Any] = asked(
                lambda: application.acquire_token_by_device_flow(flow, exit_condition=lambda _: True), f"outlook:{rep}"
            )
        if answer.get("error") not in _PENDING:
            return answer
        if clock.now() >= until:
            raise Refused(
                f"nobody entered the code in time: run '{sign_in_command(rep)}' again; nothing was kept", code="timeout"
            )
        clock.sleep(flow["interval"])


def _openable(account: MicrosoftAccount, address: str) -> str:
    """Return the address for a browser: msal says https also for a sign-in of this machine that speaks plain http."""
    return urlsplit(address)._replace(scheme=urlsplit(account.login_address).scheme).geturl()


def _checked_person(account: MicrosoftAccount, answer: Mapping[str, Any], rep: str, aliases: Sequence[str]) -> str:
    """Return the address somebody signed in by; raise `Refused` when it is not the rep's."""
    wanted = {rep, *(alias.lower() for alias in aliases)}
    claims = answer.get("id_token_claims")
    signed = str(claims.get("preferred_username") or "").lower() if isinstance(claims, Mapping) else ""
    if signed in wanted:
        return signed
    others = _addresses(account, str(answer["access_token"]))
    # The name people sign in by need not be the address of their mailbox.
    if any(other in wanted for other in others):
        return signed or rep
    who = signed or next(iter(others), "somebody else")
    raise Refused(
        f"{who} signed in, not {rep}: nothing was kept. Run '{sign_in_command(rep)}' again and choose the account of "
        f"{rep}; if both are one mailbox, list {who} under the aliases of {rep} in connector.yaml",
        code="other_person",
    )


def _addresses(account: MicrosoftAccount, token: str) -> Collection[str]:
    """Return the addresses Graph knows of whoever signed in; none when it does not say."""
    with ServiceSession() as session:
        try:
            response = session.get(
                f"{account.graph_address}/me",
                headers={"Authorization": f"Bearer {token}"},
                allow_redirects=False,
            )
            body = response.json() if response.status_code == 200 else {}
        except requests.RequestException:
            return ()
    said = [body.get(name) for name in ("mail", "userPrincipalName")] if isinstance(body, dict) else []
    return [one.lower() for one in said if isinstance(one, str)]
