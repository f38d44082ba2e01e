"""The sandbox process: three simulated services on one port, and the control API under `/sandbox`.

Lives here: `Sandbox` (the server and its life), the control API, ready account sections for `connector.yaml`.
Does not live here: what a service answers (`salesforce`, `gmail`, `graph`), what they share (`service`).
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from adapters.sandbox.arrivals import Arrivals
from adapters.sandbox.calls import DateHeader, Spans, service_of
from adapters.sandbox.control import arguments_of, control, only, signature
from adapters.sandbox.gmail import GmailService
from adapters.sandbox.graph import GraphService
from adapters.sandbox.hostile import Dice, Hostility, Oddities, oddities
from adapters.sandbox.hostile_line import HostileLine, Parts
from adapters.sandbox.mailbox import Kind
from adapters.sandbox.mailworld import MailWorld
from adapters.sandbox.rep_acts import RepActs
from adapters.sandbox.salesforce import SalesforceService
from adapters.sandbox.server import Server
from adapters.sandbox.service import SandboxClock, SandboxLog, Service, Tokens
from connector.errors import BadInput
from connector.people import Person, Rep

#: What a token may do when nobody says otherwise.
DEFAULT_SCOPES: Mapping[str, Sequence[str]] = {
    "salesforce": ("api", "refresh_token"),
    "gmail": ("https://www.googleapis.com/auth/gmail.readonly", "https://www.googleapis.com/auth/gmail.compose"),
    "graph": ("Mail.ReadWrite", "Mail.Send"),
}

#: The application every service knows; its secrets open nothing outside this process.
CLIENT = "sandbox-connector"
_SALESFORCE_SECRET = "sandbox-salesforce-secret"  # noqa: S105 - of the simulated org
_MICROSOFT_SECRET = "sandbox-microsoft-secret"  # noqa: S105 - of the simulated tenant
_GOOGLE_SECRET = "sandbox-google-secret"  # noqa: S105 - of the simulated client
_GOOGLE_ACCOUNT = "connector@sandbox.iam.gserviceaccount.com"
#: By this a file of the simulated Google project is known, and not taken for a real one.
_GOOGLE_PROJECT = '"project_id": "sandbox"'

#: Tenant of the simulated Microsoft organisation.
TENANT = "sandbox"

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(w|d|h|m|s)")
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def read_span(text: str) -> timedelta:
    """Read "3d 2h", "90m" or "1.5h"; raise `BadInput` for anything else."""
    found = _SPAN.findall(text)
    if not found or _SPAN.sub("", text).strip():
        raise BadInput(f"'{text}' is not a span of time: write days, hours, minutes or seconds such as '3d 2h'")
    return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in found), timedelta())


def read_instant(text: str) -> datetime:
    """Read an ISO 8601 instant with an offset; raise `BadInput` for anything else."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"'{text}' is not an instant: write 2026-11-24T09:00:00Z") from None
    if instant.tzinfo is None:
        raise BadInput(f"'{text}' has no offset: write 2026-11-24T09:00:00Z")
    return instant.astimezone(UTC)


class Sandbox:
    """Salesforce, Gmail and Microsoft Graph as local servers, with their own clock.

    `start` freezes the clock there; it then moves only when told. `salesforce_delay` is how many seconds every call to
    Salesforce really takes. `hostile` lets calls go wrong. Use it as a context manager, or `start`/`stop`.
    """

    def __init__(
        self, start: datetime | None = None, *, salesforce_delay: float = 0, hostile: Hostility | None = None
    ) -> None:
        self.clock = SandboxClock(start)
        self.tokens = Tokens(self.clock)
        self.log = SandboxLog(self.clock)
        self.hostile = hostile
        odd = oddities(hostile) if hostile is not None else Oddities()
        self._org_clock, mail_clock = self.clock.off(odd.salesforce_skew), self.clock.off(odd.mail_skew)
        self.salesforce = SalesforceService(self.clock, self.tokens, self.log, org_clock=self._org_clock)
        self.salesforce.delay = salesforce_delay
        self.world = MailWorld(mail_clock, self.log)
        for name, value in odd.mail.items():
            setattr(self.world.settings, name, value)
        self.gmail = GmailService(self.clock, self.tokens, self.log, self.world)
        self.graph = GraphService(self.clock, self.tokens, self.log, self.world)
        self.salesforce.register_client(CLIENT, _SALESFORCE_SECRET)
        self.graph.register_client(TENANT, CLIENT, _MICROSOFT_SECRET)
        self.url = ""
        self._server: Server | None = None

    # -------------------------------------------------------------------------------------------- life

    def start(self, port: int = 0) -> str:
        """Serve on 127.0.0.1 in a background thread and return the base URL; port 0 takes a free one."""
        if self._server is None:
            self._server = Server(self.app(), port)
            self.url = self._server.url
        return self.url

    def stop(self) -> None:
        """Stop serving and wait until the thread has ended."""
        if self._server is not None:
            self._server.stop()
        self._server = None
        self.log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def services(self) -> Mapping[str, Service]:
        """Return the services by the name their tokens and log lines carry."""
        return {"salesforce": self.salesforce, "gmail": self.gmail, "graph": self.graph}

    def app(self) -> Starlette:
        """Return the one application that answers for all services."""
        routes: list[BaseRoute] = [
            Route("/sandbox/clock", control(self._clock_now), methods=["GET"]),
            Route("/sandbox/clock", control(self._clock_move), methods=["POST"]),
            Route("/sandbox/state", control(lambda _: self.state()), methods=["GET"]),
            Route("/sandbox/log", control(self._show_log), methods=["GET"]),
            Route("/sandbox/actions", control(self._show_actions), methods=["GET"]),
            Route("/sandbox/act", control(self._act), methods=["POST"]),
            Route("/sandbox/tokens", control(self._issue_token), methods=["POST"]),
            Route("/sandbox/people", control(self._seed_people), methods=["POST"]),
        ]
        for service in self.services().values():
            routes.extend(service.routes())
        middleware = [
            Middleware(Spans, tokens=self.tokens, log=self.log),
            Middleware(DateHeader, clock_of=self._clock_of),
        ]
        if self.hostile is not None:
            dice = Dice(self.hostile)
            self.gmail.meets = self.graph.meets = Parts(dice, self.log)
            middleware.append(Middleware(HostileLine, dice=dice, log=self.log, now=self.clock.now, cut=self._cut))
        return Starlette(routes=routes, middleware=middleware)

    def _clock_of(self, path: str) -> SandboxClock:
        """Return the clock of the service at a path; all keep the same time unless the sandbox is hostile."""
        clocks = {"salesforce": self._org_clock, "gmail": self.world.clock, "graph": self.world.clock}
        return clocks.get(service_of(path), self.clock)

    def _cut(self, client: tuple[str, int], reset: bool) -> None:  # noqa: FBT001 - as the line calls it
        if self._server is not None:
            self._server.cut(client, reset)

    # ---------------------------------------------------------------------------------- people outside

    def actions(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Return everything people outside can do: name -> function of keyword arguments."""
        found: dict[str, Callable[..., dict[str, Any]]] = {}
        for service in self.services().values():
            found.update(service.actions())
        for people in (RepActs(self.world), Arrivals(self.world)):
            found.update(people.actions())
        return found

    def act(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Do what a person outside would do; raise `BadInput` for an unknown action or argument."""
        actions = self.actions()
        if action not in actions:
            raise BadInput(f"there is no action '{action}'; the sandbox knows {', '.join(sorted(actions))}")
        function = actions[action]
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError as wrong:
            raise BadInput(f"{action} takes {signature(function)}: {wrong}") from None
        try:
            return function(**arguments)
        except (ValueError, LookupError) as wrong:
            raise BadInput(str(wrong.args[0]) if wrong.args else str(wrong)) from wrong

    def state(self) -> dict[str, Any]:
        """Return the clock and everything the services hold, as JSON values."""
        services = {name: service.state() for name, service in self.services().items()}
        return {"clock": self.clock.now().isoformat(), **services}

    def seed(self, people: Sequence[Person], reps: Sequence[Rep] = ()) -> dict[str, str]:
        """Make the reps' users and mailboxes, and a lead or contact of each person; return email -> record id."""
        for rep in reps:
            if rep.mailbox in set(Kind):
                self.world.add_mailbox(rep.mailbox, rep.email, rep.name)
        return self.salesforce.seed(people, reps)

    def token(
        self, service: str, subject: str = "", *, scopes: Sequence[str] | None = None, hours: float = 24 * 366
    ) -> str:
        """Hand out a ready token for `auth: access_token`; `service` is salesforce, gmail or graph."""
        if service not in DEFAULT_SCOPES:
            raise BadInput(f"there is no service '{service}'; the sandbox knows {', '.join(DEFAULT_SCOPES)}")
        granted = DEFAULT_SCOPES[service] if scopes is None else scopes
        return self.tokens.issue(service, subject=subject, scopes=granted, hours=hours)

    def accounts(self, folder: Path) -> dict[str, Any]:
        """Return account sections for `connector.yaml` against this sandbox, and what they need.

        `accounts` goes into the file, `environment` into the environment; key files are written to `folder`.
        """
        return {
            "accounts": {
                "salesforce": {
                    "auth": "client_credentials",
                    "client_id": CLIENT,
                    "client_secret": "${env:SANDBOX_SALESFORCE_SECRET}",
                    "instance_url": self.url,
                    "login_url": self.url,
                },
                "google": {
                    "auth": "service_account",
                    "key_file": str(self._write_google_key(folder)),
                    "endpoint": self.url,
                    "token_url": f"{self.url}/google/token",
                },
                "microsoft": {
                    "auth": "client_credentials",
                    "tenant": TENANT,
                    "client_id": CLIENT,
                    "client_secret": "${env:SANDBOX_MICROSOFT_SECRET}",
                    "endpoint": f"{self.url}/v1.0",
                    "authority": self.url,
                },
            },
            "environment": {
                "SANDBOX_SALESFORCE_SECRET": _SALESFORCE_SECRET,
                "SANDBOX_MICROSOFT_SECRET": _MICROSOFT_SECRET,
            },
        }

    def _write_google_key(self, folder: Path) -> Path:
        private, public = _google_keys()
        self.gmail.login.register_service_account(_GOOGLE_ACCOUNT, public)
        account = {
            "type": "service_account",
            "project_id": "sandbox",
            "private_key_id": "sandbox-key",
            "private_key": private,
            "client_email": _GOOGLE_ACCOUNT,
            "client_id": "100000000000000000001",
            "token_uri": f"{self.url}/google/token",
        }
        return self._write_secret(folder / "google-service-account.json", account)

    def write_google_client(self, folder: Path, *, rotate: bool = False) -> Path:
        """Write the JSON of a Desktop client, for `auth: oauth`; with `rotate` a refresh token is good for one use."""
        self.gmail.login.register_client(CLIENT, _GOOGLE_SECRET, rotate=rotate)
        installed = {
            "client_id": CLIENT,
            "client_secret": _GOOGLE_SECRET,
            "project_id": "sandbox",
            "auth_uri": f"{self.url}/google/auth",
            "token_uri": f"{self.url}/google/token",
            "redirect_uris": ["http://localhost"],
        }
        return self._write_secret(folder / "google-client.json", {"installed": installed})

    def _write_secret(self, path: Path, content: Mapping[str, Any]) -> Path:
        """Write a file that only its owner reads; raise `BadInput` when another than the sandbox's lies there."""
        if path.is_file() and _GOOGLE_PROJECT not in path.read_text(encoding="utf-8", errors="replace"):
            raise BadInput(f"'{path}' is not the sandbox's and is left as it is: run the sandbox in another folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        path.chmod(0o600)
        return path

    # ------------------------------------------------------------------------------------- control API

    def _clock_now(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"now": self.clock.now().isoformat()}

    def _clock_move(self, body: Mapping[str, Any]) -> dict[str, Any]:
        only(body, "advance", "to")
        if len(body) != 1:
            raise BadInput('write {"advance": "3d 2h"} or {"to": "2026-11-24T09:00:00Z"}')
        if "advance" in body:
            self.clock.advance(read_span(str(body["advance"])))
        else:
            instant = read_instant(str(body["to"]))
            if instant < self.clock.now():
                raise BadInput(f"{body['to']} has passed in the sandbox: its clock only moves forward")
            self.clock.advance_to(instant)
        return self._clock_now(body)

    def _show_log(self, _: Mapping[str, Any]) -> dict[str, Any]:
        names = ("requests", "effects", "faults", "spans")
        return {"calls": dict(self.log.calls), **{name: list(getattr(self.log, name)) for name in names}}

    def _show_actions(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "actions": [
                {"action": name, "arguments": arguments_of(function), "does": inspect.getdoc(function) or ""}
                for name, function in sorted(self.actions().items())
            ]
        }

    def _act(self, body: Mapping[str, Any]) -> dict[str, Any]:
        arguments = dict(body)
        action = arguments.pop("action", None)
        if not isinstance(action, str):
            raise BadInput('name the action: {"action": "rep_closes_task", "key": "..."}')
        return self.act(action, **arguments)

    def _issue_token(self, body: Mapping[str, Any]) -> dict[str, Any]:
        only(body, "service", "subject", "scopes", "hours")
        scopes = body.get("scopes")
        hours = float(body.get("hours", 1))
        token = self.token(str(body.get("service", "")), str(body.get("subject", "")), scopes=scopes, hours=hours)
        return {"access_token": token, "expires_in": int(hours * 3600)}

    def _seed_people(self, body: Mapping[str, Any]) -> dict[str, Any]:
        only(body, "accounts", "users", "leads", "contacts")
        made: dict[str, list[str]] = {}
        adders = {
            "accounts": self.salesforce.add_account,
            "users": self.salesforce.add_user,
            "leads": self.salesforce.add_lead,
            "contacts": self.salesforce.add_contact,
        }
        for kind, add in adders.items():
            rows = body.get(kind, [])
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise BadInput(f"{kind} must be a list of objects with Salesforce field names")
            made[kind] = [add(**row) for row in rows]
        return made


@functools.cache
def _google_keys() -> tuple[str, str]:
    """Return the service account's private and public key, made once a process: making one is slow."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
