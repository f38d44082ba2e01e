"""The session with one org: signing in, calling, querying, counting.

Lives here: `Org`, the only place that holds simple-salesforce. Does not live here: what a code means (`errors`), what
is asked of the org (`tasks`, `people`).

Every call of this adapter may be repeated (queries, upserts by external id, updates by id, deletes), so passing trouble
is tried a few times at once, and a lost answer is `Retry`. simple-salesforce is always given a ready token: with login
arguments of its own it answers a permanent 401 with about a thousand requests (reference apis 1.2).
Used by one thread at a time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceExpiredSession

from adapters.http import ServiceSession, retrying
from adapters.salesforce.account import ACCOUNT, SalesforceAccount
from adapters.salesforce.errors import from_requests, from_sign_in, from_vendor
from connector.accounts import is_loopback
from connector.errors import Reconnect, Retry
from connector.ports import Clock

T = TypeVar("T")

_LIMIT = re.compile(r"api-usage=(\d+)/(\d+)")


class Org:
    """One signed-in org. Nothing is called until it is used."""

    def __init__(self, account: SalesforceAccount, *, clock: Clock) -> None:
        """Take the account as configured."""
        self._account = account
        self._clock = clock
        self._http: ServiceSession | None = None
        self._sf: Salesforce | None = None
        self._calls_before = 0
        #: Calls used and allowed per day as last said in `Sforce-Limit-Info`.
        self.budget: tuple[int, int] | None = None
        #: The org's clock at its last answer, to the second; None before the first.
        self.answered_at: datetime | None = None

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
        return f"{account.instance_url or account.sign_in_url} {user}"

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
        self._http = self._sf = None

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
            raise Retry("Salesforce did not answer for every record; it will be tried again", code="answer")
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
        fresh = self._sf is None
        try:
            try:
                return act(self._sf or self._sign_in())
            except SalesforceExpiredSession as error:
                # A session ends in the middle of a pass: sign in again once, unless there is nothing to sign in with
                # or this session is seconds old.
                self.close()
                if fresh or self._account.auth == "access_token":
                    raise _rejected(error) from error
                try:
                    return act(self._sign_in())
                except SalesforceExpiredSession as again:
                    self.close()
                    raise _rejected(again) from again
        except SalesforceError as error:
            raise from_vendor(error) from error
        except requests.exceptions.RequestException as error:
            raise from_requests(error) from error

    # ----------------------------------------------------------------------------------------- sign-in

    def _sign_in(self) -> Salesforce:
        if self._account.auth == "access_token" and self._account.token and self._account.instance_url:
            token, instance = self._account.token.reveal(), self._account.instance_url
        else:
            token, instance = self._client_credentials()
        if self._http is None:
            self._http = ServiceSession(plain_base=instance if _is_plain(instance) else None)
            self._http.hooks["response"].append(self._read_headers)
            # Otherwise requests puts the password of a ~/.netrc entry in place of our token.
            self._http.auth = _as_it_is
        self._sf = Salesforce(
            session_id=token, instance_url=instance, version=self._account.api_version, session=self._http
        )
        return self._sf

    def _client_credentials(self) -> tuple[str, str]:
        """Return a new token and the address of the API.

        By ourselves, because simple-salesforce signs in at `https://<domain>.salesforce.com` only.
        """
        account = self._account
        if account.client_id is None or account.client_secret is None:
            raise Reconnect("signing in to Salesforce needs client_id and client_secret", account=ACCOUNT)
        with ServiceSession() as http:
            response = http.post(
                f"{account.sign_in_url}/services/oauth2/token",
                data={"grant_type": "client_credentials"},
                auth=(account.client_id, account.client_secret.reveal()),
                headers={"Accept": "application/json"},
            )
        if response.status_code != 200:
            raise from_sign_in(response)
        answer = response.json()
        token, instance = answer.get("access_token"), account.instance_url or answer.get("instance_url")
        if not token or not instance:
            raise Reconnect(
                "signing in to Salesforce failed: the answer names no token or no address; check login_url",
                account=ACCOUNT,
            )
        return str(token), str(instance).rstrip("/")

    def _read_headers(self, response: requests.Response, *_: Any, **__: Any) -> None:
        # simple-salesforce keeps this only for some of its calls (reference apis 1.2).
        usage = _LIMIT.search(response.headers.get("Sforce-Limit-Info", ""))
        if usage:
            self.budget = (int(usage[1]), int(usage[2]))
        try:
            self.answered_at = parsedate_to_datetime(response.headers.get("Date", "")).astimezone(UTC)
        except ValueError:
            self.answered_at = None


def _is_plain(address: str) -> bool:
    return address.startswith("http://") and is_loopback(address)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _rejected(error: SalesforceExpiredSession) -> Reconnect:
    # Always Reconnect, whatever code the body has: a 401 never mends itself.
    told = from_vendor(error)
    return Reconnect(
        "Salesforce does not accept the session; sign in again, or set a token that is valid",
        account=ACCOUNT,
        code=told.code,
    )


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield runs of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
