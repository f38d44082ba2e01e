"""The session with one org: calling, querying, counting, and one new sign-in when a session has ended.

Lives here: `Org`, the only place that holds simple-salesforce, and `Orgs`, the sessions of all who sign in. Does not
live here: how a token is had (`signin`), what a code means (`errors`), what is asked of the org (`tasks`, `people`).

Every call of this adapter may be repeated (queries, upserts by external id, updates by id, deletes), so passing trouble
is tried a few times at once, and a lost answer is `Retry`. simple-salesforce is always given a ready token: with login
arguments of its own it answers a permanent 401 with about a thousand requests (reference apis 1.2).
Used by one thread at a time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceExpiredSession

from adapters.http import ServiceSession, retry_after, retrying
from adapters.salesforce.account import SalesforceAccount
from adapters.salesforce.codes import rule_for
from adapters.salesforce.errors import from_requests, from_vendor
from adapters.salesforce.oauth import sign_in_command, sign_in_name
from adapters.salesforce.signin import Session, open_grant
from connector.accounts import is_loopback
from connector.errors import AdapterError, Reconnect, Retry
from connector.ports import Clock, Vault

T = TypeVar("T")

_LIMIT = re.compile(r"api-usage=(\d+)/(\d+)")

#: The token is good, but not for this API: no new sign-in of this kind will be better (jsforce #1301).
_NOT_FOR_REST = "This session is not valid for use with the REST API"


class Org:
    """One org, as one user sees it. Nothing is called until it is used."""

    def __init__(self, account: SalesforceAccount, *, clock: Clock, vault: Vault, rep: str = "") -> None:
        """Take the account as configured; `rep` is the address of the rep who signs in, empty for the org's own."""
        self._account = account
        self._clock = clock
        self._rep = rep
        self._grant = open_grant(account, clock=clock, vault=vault, rep=rep)
        self._session: Session | None = None
        self._http: ServiceSession | None = None
        self._sf: Salesforce | None = None
        self._calls_before = 0
        #: Calls used and allowed per day as last said in `Sforce-Limit-Info`.
        self.budget: tuple[int, int] | None = None
        #: The org's clock at its last answer, to the second; None before the first.
        self.answered_at: datetime | None = None
        #: How long the last answer asked to wait; simple-salesforce keeps no headers of a refusal.
        self._asked_to_wait: timedelta | None = None

    @property
    def calls(self) -> int:
        """HTTP calls made, sign-in not counted."""
        return self._calls_before + (self._http.calls if self._http else 0)

    @property
    def scope(self) -> str:
        """Which org this is, and as whom it is seen: names what is remembered of it. Holds no secret."""
        account = self._account
        user = account.username or account.client_id or ""
        if account.auth == "access_token" and account.token is not None:
            user = hashlib.blake2b(account.token.reveal().encode(), digest_size=8).hexdigest()
        return f"{account.instance_url or account.sign_in_url} {user} {self._rep}".rstrip()

    @property
    def data_path(self) -> str:
        """Where the REST resources lie below the org's address: `/services/data/vXX.0/`."""
        return f"/services/data/v{self._account.api_version}/"

    def now(self) -> datetime:
        """Return the present instant by our clock."""
        return self._clock.now()

    def wait(self, seconds: float) -> None:
        """Wait by our clock."""
        self._clock.sleep(seconds)

    def close(self) -> None:
        """Close the connections; the org may be used again."""
        if self._http is not None:
            self._calls_before += self._http.calls
            self._http.close()
        self._http = self._sf = self._session = None

    # ------------------------------------------------------------------------------------------- calls

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        check: Callable[[Any], None] | None = None,
    ) -> Any:
        """Call a REST resource below `/services/data/vXX.0/` and return its JSON, or None when it has none.

        `check` looks at the answer first; a `SalesforceError` of its own counts as the call's.
        """
        arguments: dict[str, Any] = {} if json is None else {"json": json}

        def act(sf: Salesforce) -> Any:
            answer = sf.restful(path, params=dict(params or {}), method=method, **arguments)
            if check is not None:
                check(answer)
            return answer

        return self._repeated(act)

    def call_each(
        self,
        method: str,
        path: str,
        count: int,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Call a collection resource and return the result of each of `count` records, in order."""
        results = self.call(method, path, params=params, json=json)
        if not isinstance(results, list) or len(results) != count:
            sentence = "Salesforce did not answer for every record; it will be tried again"
            raise Retry(sentence, code="answer", advice=rule_for("answer").advice)
        return results

    def query(self, soql: str, *, deleted_too: bool = False) -> Iterator[Mapping[str, Any]]:
        """Yield the records of a query, page by page; with `deleted_too` the deleted and archived ones as well."""
        page = self._repeated(lambda sf: sf.query(soql, include_deleted=deleted_too))
        yield from page["records"]
        while not page["done"]:
            page = self._next_page(page["nextRecordsUrl"])
            yield from page["records"]

    def _next_page(self, address: str) -> Any:
        return self._repeated(lambda sf: sf.query_more(address, identifier_is_url=True))

    def _repeated(self, act: Callable[[Salesforce], T]) -> T:
        return retrying(lambda: self._once(act), sleep=self._clock.sleep)

    def _once(self, act: Callable[[Salesforce], T]) -> T:
        first = self._session is None
        try:
            try:
                return act(self._sf or self._sign_in(None))
            except SalesforceExpiredSession as error:
                # A session ends in the middle of a pass: sign in again once, unless this one is seconds old.
                ended = self._session
                self.close()
                if ended is None or (first and ended.fresh) or _NOT_FOR_REST in str(error.content):
                    raise self._rejected(error) from error
                try:
                    return act(self._sign_in(ended.token))
                except SalesforceExpiredSession as again:
                    self.close()
                    raise self._rejected(again) from again
        except SalesforceError as error:
            raise self.named(from_vendor(error)) from error
        except requests.exceptions.RequestException as error:
            raise from_requests(error) from error

    def _rejected(self, error: SalesforceExpiredSession) -> Reconnect:
        # Always Reconnect, whatever code the body has: a 401 never mends itself.
        told = from_vendor(error)
        if _NOT_FOR_REST in str(error.content):
            sentence = "Salesforce does not let this user's sessions use the REST API: ask the administrator"
        elif self._account.auth == "refresh_token":
            sentence = f"Salesforce does not accept the session: run '{sign_in_command(self._rep)}'"
        else:
            sentence = "Salesforce does not accept the session; sign in again, or set a token that is valid"
        return Reconnect(sentence, account=sign_in_name(self._rep), code=told.code, advice=told.advice)

    def named(self, error: AdapterError) -> AdapterError:
        """Return an error that names whose sign-in it is about, or how long the answer asked to wait."""
        if isinstance(error, Reconnect):
            error.account = sign_in_name(self._rep)
        if isinstance(error, Retry) and self._asked_to_wait is not None:
            error.after = self._asked_to_wait
        return error

    # ----------------------------------------------------------------------------------------- sign-in

    def _sign_in(self, rejected: str | None) -> Salesforce:
        self._session = session = self._grant.session(rejected=rejected)
        if self._http is None:
            plain = session.instance_url if _is_plain(session.instance_url) else None
            self._http = _OrgHttp(plain_base=plain)
            self._http.hooks["response"].append(self._read_headers)
        self._sf = Salesforce(
            session_id=session.token,
            instance_url=session.instance_url,
            version=self._account.api_version,
            session=self._http,
        )
        return self._sf

    def _read_headers(self, response: requests.Response, *_: Any, **__: Any) -> None:
        # simple-salesforce keeps this only for some of its calls (reference apis 1.2).
        self._asked_to_wait = retry_after(response)
        usage = _LIMIT.search(response.headers.get("Sforce-Limit-Info", ""))
        if usage:
            self.budget = (int(usage[1]), int(usage[2]))
        try:
            self.answered_at = parsedate_to_datetime(response.headers.get("Date", "")).astimezone(UTC)
        except ValueError:
            self.answered_at = None


def _is_plain(address: str) -> bool:
    return address.startswith("http://") and is_loopback(address)


class _OrgHttp(ServiceSession):
    """Follows no redirect: a token goes to the address it is for and to no other."""

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(method, url, *args, **{**kwargs, "allow_redirects": False})


class Orgs:
    """The org as each of those who sign in sees it: one integration user, or every rep."""

    def __init__(self, account: SalesforceAccount, *, clock: Clock, vault: Vault) -> None:
        """Take the account as configured; nothing is called."""
        self._account = account
        self._clock = clock
        self._vault = vault
        #: The org's own sign-in: what is read is read by it.
        self.own = Org(account, clock=clock, vault=vault)
        self._by_rep: dict[str, Org] = {}

    def of(self, rep: str) -> Org:
        """Return the org that writes for a rep: their own session with `per_rep`, else the one of all."""
        if not self._account.per_rep or not rep:
            return self.own
        if rep not in self._by_rep:
            self._by_rep[rep] = Org(self._account, clock=self._clock, vault=self._vault, rep=rep)
        return self._by_rep[rep]

    @property
    def calls(self) -> int:
        """HTTP calls made in all sessions, sign-in not counted."""
        return sum(org.calls for org in self._all())

    @property
    def budget(self) -> tuple[int, int] | None:
        """Calls used and allowed per day as last said: all sessions draw on one allowance, so the most is the truth."""
        return max((org.budget for org in self._all() if org.budget), default=None)

    def close(self) -> None:
        """Close the connections; they may be used again."""
        for org in self._all():
            org.close()

    def _all(self) -> Sequence[Org]:
        return (self.own, *self._by_rep.values())


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield runs of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
