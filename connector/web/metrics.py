"""`/metrics`: how things stand, for Prometheus and whatever reads its text.

Lives here: the text, and that it is made at most once in a while. Does not live here: the gauges (`sync.gauges`).

No address of a rep or a person is in it. Whoever reaches the app may read it, as `/healthz`: the reverse proxy keeps
it from others.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from threading import Lock

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from connector import __version__
from connector.sync.gauges import Gauge, read_gauges
from connector.web.site import Site

#: However often it is asked for, the database is asked at most so often.
_KEPT = timedelta(seconds=10)

_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_routes(site: Site) -> APIRouter:
    """Return `/metrics`."""
    routes = APIRouter()
    turn = Lock()
    made: tuple[datetime, str] | None = None

    @routes.get("/metrics")
    def metrics() -> PlainTextResponse:
        """Tell how things stand, or stood a few seconds ago."""
        nonlocal made
        with turn:
            now = site.now()
            if made is None or not timedelta(0) <= now - made[0] < _KEPT:
                made = now, as_text(read_gauges(site.office))
            return PlainTextResponse(made[1], media_type=_MEDIA_TYPE)

    return routes


def as_text(gauges: Iterable[Gauge]) -> str:
    """Return gauges in Prometheus' text format; names, labels and values are words of ours, so none is escaped."""
    version = Gauge(name="connector_info", help="The release that runs.", label="version", values={__version__: 1})
    lines: list[str] = []
    for gauge in (version, *gauges):
        lines += [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} gauge"]
        lines += [f'{gauge.name}{{{gauge.label}="{value}"}} {number:.15g}' for value, number in gauge.values.items()]
    return "\n".join(lines) + "\n"
