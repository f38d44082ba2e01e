"""What each request to the API goes through: who asks, whether it was asked before, and what went wrong.

Lives here: `ApiRoute`, and requests that carry an `Idempotency-Key`. Does not live here: what they do (the subjects).
Source: issue 7; draft-ietf-httpapi-idempotency-key-header.

The first request with a key is carried out, and its answer kept for a day, sealed; the same request gets that answer.
While it is being carried out, and for another request with the same key, the answer is a problem. What came to nothing
by a fault of ours or of a service is forgotten, so that it may be tried again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from connector.ports import Vault
from connector.store.idempotency import Asked, begin, finish, forget
from connector.web.access import check_address, site_of
from connector.web.api.callers import identify
from connector.web.api.problems import RequestError, answer
from connector.web.site import Site

#: Largest body of a request, in bytes: a list of some ten thousand people.
LARGEST = 10_000_000

#: Name of the key that answers are sealed with, in the vault.
VAULT_NAME = "web-answers"

HEADER = "Idempotency-Key"

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

_READING = frozenset({"GET", "HEAD", "OPTIONS"})

_Handler = Callable[[Request], Awaitable[Response]]


class ApiRoute(APIRoute):
    """A route of the API."""

    #: Largest body that it takes, in bytes.
    largest = LARGEST

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return what answers a request."""
        carry_out = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                user = await identify(request)
                check_address(request)
                _check_size(request, self.largest)
                key = request.headers.get(HEADER)
                if request.method in _READING or key is None:
                    return await carry_out(request)
                return await _once(request, carry_out, user=user.email, key=key)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem
                return answer(error, request)

        return handle


def _check_size(request: Request, largest: int) -> None:
    length = request.headers.get("content-length")
    if length is None and "transfer-encoding" in request.headers:
        raise RequestError(411, "say how long the body is, in Content-Length")
    if length is not None and int(length) > largest:
        raise RequestError(413, f"the body has more than {largest:,} bytes: send it in parts")


async def _once(request: Request, carry_out: _Handler, *, user: str, key: str) -> Response:
    if _KEY.fullmatch(key) is None:
        raise RequestError(422, f"{HEADER} is at most 255 visible ASCII characters")
    site = site_of(request)
    asked = await run_in_threadpool(_begin, site, user, key, await _digest(request))
    if asked is not None:
        return asked
    try:
        given = await carry_out(request)
    except Exception as error:  # noqa: BLE001 - the answer is what counts
        given = answer(error, request)
    await run_in_threadpool(_finish, site, user, key, given)
    return given


async def _digest(request: Request) -> str:
    """Return what stands for a request. What it may be for is part of it: an answer is for who might ask for it."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n{sorted(request.state.scopes)}\n".encode()
    return hashlib.sha256(asked + await request.body()).hexdigest()


def _begin(site: Site, user: str, key: str, digest: str) -> Response | None:
    with site.office.database.write() as tx:
        before = begin(tx, user, key, digest, site.now())
    if before is None:
        return None
    if before.request != digest:
        raise RequestError(422, f"this {HEADER} came with another request before: use a new one")
    if before.status is None or before.answer is None:
        sentence = "the same request is being carried out: ask again for its answer"
        raise RequestError(409, sentence, {"Retry-After": "1"})
    return _opened(site, before, before.answer)


def _opened(site: Site, before: Asked, sealed: str) -> Response:
    try:
        kept = json.loads(_cipher(site.vault).decrypt(sealed))
    except InvalidToken:
        raise RequestError(409, "the request was carried out, and its answer cannot be read any more") from None
    return Response(kept["body"], status_code=before.status or 200, media_type=kept["type"])


def _finish(site: Site, user: str, key: str, given: Response) -> None:
    """Keep an answer; forget the request when it is one that another try may better."""
    kept = {"type": given.headers.get("content-type"), "body": bytes(given.body).decode()}
    # It may hold a secret that is shown once, and what others wrote. The vault has transactions of its own.
    sealed = _cipher(site.vault).encrypt(json.dumps(kept).encode()).decode()
    with site.office.database.write() as tx:
        if given.status_code >= 500 or given.status_code in (401, 403, 409):
            forget(tx, user, key)
        else:
            finish(tx, user, key, status=given.status_code, answer=sealed)


def _cipher(vault: Vault) -> Fernet:
    key = vault.read(VAULT_NAME) or vault.renew(VAULT_NAME, None, lambda seen: seen or Fernet.generate_key().decode())
    return Fernet(key)
