"""Whether this process lives, and whether it can work: for whoever watches it, without a sign-in.

Lives here: `/healthz` and `/readyz`. Does not live here: how the accounts stand (`connector status`, `doctor`).
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from connector.errors import BadInput
from connector.store.database import Database

#: Monitors and load balancers ask by HEAD, too.
_ASKED_BY = ["GET", "HEAD"]


def health_routes(database: Database) -> APIRouter:
    """Return `/healthz` and `/readyz`; neither says where the database is."""
    routes = APIRouter()

    @routes.api_route("/healthz", methods=_ASKED_BY)
    async def healthz() -> PlainTextResponse:
        """Tell that the process answers."""
        return PlainTextResponse("the process answers\n")

    @routes.api_route("/readyz", methods=_ASKED_BY)
    def readyz() -> PlainTextResponse:
        """Tell whether the database answers and has the newest tables."""
        try:
            newest = database.is_newest()
        except BadInput:
            return PlainTextResponse("the database does not answer: 'connector status' says more\n", status_code=503)
        if not newest:
            sentence = "the database's tables are of another release: give all machines one release, then start anew\n"
            return PlainTextResponse(sentence, status_code=503)
        return PlainTextResponse("the database answers, and its tables are the newest\n")

    return routes
