"""`/numbers`: what was sent, answered, came back and was done, as dials, pictures, tables and CSV files.

Lives here: the page, the files beside it, and what one may ask for. Does not live here: counting (`sync.numbers`), the
geometry of pictures (`charts`). Source: issue 7, reference marketo 16.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from babel.dates import format_skeleton
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from connector.errors import BadInput
from connector.intents import StepType
from connector.spreadsheets import as_cell
from connector.sync.numbers import (
    Counts,
    Numbers,
    Preset,
    Range,
    Row,
    StepPlace,
    count,
    in_periods,
    list_campaigns,
    range_of,
)
from connector.web import charts
from connector.web.access import Viewer, site_of
from connector.web.dates import read_day
from connector.web.i18n import gettext as _
from connector.web.i18n import viewing
from connector.web.pages import page
from connector.web.site import Site
from connector.web.users import User
from connector.web.words import type_names

#: Rows a table on the page has; its file has all of them.
_MOST_ROWS = 100
#: Small pictures of reps: those whose work was answered most often.
_MOST_REPS = 12
#: Steps in the picture of a campaign.
_MOST_STEPS = 20


class Table(StrEnum):
    """Tables that can be had as files."""

    DAYS = "days"
    CAMPAIGNS = "campaigns"
    STEPS = "steps"
    TEMPLATES = "templates"
    REPS = "reps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants to see."""

    preset: Preset | None
    within: Range
    campaign: str
    rep: str

    def address(self, path: str = "/numbers", **changed: str) -> str:
        """Return the address that asks for the same, but for what is changed."""
        dates = {"from": self.within.first.isoformat(), "to": self.within.last.isoformat()}
        said = {"range": self.preset.value} if self.preset is not None else dates
        said |= {"campaign": self.campaign, "rep": self.rep}
        if "range" in changed:
            said = {name: value for name, value in said.items() if name not in dates}
        return f"{path}?{urlencode({name: value for name, value in (said | changed).items() if value})}"

    def reps(self, user: User) -> frozenset[str] | None:
        """Return the reps whose work counts: those a user may see, or the one of them who is asked for."""
        if not self.rep:
            return user.reps
        return frozenset({self.rep} if user.may_see(self.rep) else ())


def asked(
    request: Request,
    user: Viewer,
    preset: Annotated[Preset, Query(alias="range")] = Preset.DAYS_30,
    first: Annotated[str, Query(alias="from")] = "",
    last: Annotated[str, Query(alias="to")] = "",
    campaign: str = "",
    rep: str = "",
) -> Asked:
    """Read what is asked for; dates win over a preset, and one date alone goes to, or begins with, today's range."""
    today = site_of(request).now().astimezone(user.zone).date()
    named = range_of(preset, today)
    begins, ends = _date(first), _date(last)
    if begins is None and ends is None:
        return Asked(preset=preset, within=named, campaign=campaign, rep=rep)
    end = ends or max(today, begins or today)
    within = Range(first=begins or min(named.first, end), last=end)
    return Asked(preset=None, within=within, campaign=campaign, rep=rep)


def _date(text: str) -> date | None:
    """Return a date of the form; None for an empty field. Raises `BadInput`."""
    if not text:
        return None
    read = read_day(text)
    if read is None:
        raise BadInput(f"'{text[:40]}' is no date to count from or to: write one such as 2026-11-30")
    return read


def numbers_routes(site: Site) -> APIRouter:
    """Return `/numbers` and its files."""
    routes = APIRouter()

    @routes.get("/numbers")
    def show(request: Request, user: Viewer, what: Annotated[Asked, Depends(asked)]) -> HTMLResponse:
        """Show the numbers of a range."""
        numbers = _count(site, user, what)
        return page(
            request,
            "numbers/index.html",
            title=_("Numbers"),
            asked=what,
            presets=[(preset, name, what.address(range=preset.value)) for preset, name in _presets().items()],
            campaigns=[("", _("All campaigns")), *((name, name) for name in list_campaigns(site.office))],
            reps=[("", _("All reps")), *_reps(site, user)],
            numbers=numbers,
            over_time=_over_time(numbers),
            funnel=_funnel(numbers, what.campaign),
            multiples=_multiples(site, numbers),
            tables=_tables(site, numbers, what),
            forgotten=_forgotten(site, user, what),
        )

    @routes.get("/numbers/{table}.csv")
    def export(user: Viewer, table: Table, what: Annotated[Asked, Depends(asked)]) -> Response:
        """Return a table as a file for spreadsheets."""
        name = f"{table}-{what.within.first}-{what.within.last}.csv"
        return Response(
            as_csv(_file_rows(_count(site, user, what), table)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return routes


def _count(site: Site, user: User, what: Asked) -> Numbers:
    return count(site.office, what.reps(user), what.within, user.zone, campaign=what.campaign or None)


def _presets() -> dict[Preset, str]:
    return {
        Preset.TODAY: _("Today"),
        Preset.DAYS_7: _("7 days"),
        Preset.DAYS_30: _("30 days"),
        Preset.DAYS_90: _("90 days"),
        Preset.THIS_MONTH: _("This month"),
        Preset.LAST_MONTH: _("Last month"),
    }


def _reps(site: Site, user: User) -> list[tuple[str, str]]:
    seen = [(rep.email, rep.name) for rep in site.office.reps.values() if user.may_see(rep.email)]
    return sorted(seen, key=lambda one: one[1].casefold())


def _forgotten(site: Site, user: User, what: Asked) -> date | None:
    """Return since when all is counted, if a range goes back to what retention may have forgotten."""
    kept = site.office.keep_ended
    if kept is None:
        return None
    since = (site.now() - kept).astimezone(user.zone).date()
    return since if what.within.first < since else None


def short_day(value: date) -> str:
    """Write a day without its year, as it stands below a picture."""
    return format_skeleton("MMMd", value, locale=viewing().locale)


def _over_time(numbers: Numbers) -> dict[str, Any]:
    rows = in_periods(numbers.days)
    picture = charts.draw_time(
        [row.counts.sent for row in rows],
        [[row.counts.replied for row in rows], [row.counts.bounced for row in rows]],
        width=720,
        height=240,
        left=44,
        below=24,
    )
    return {
        "picture": picture,
        "rows": rows,
        "names": [short_day(rows[tick.value].key) for tick in picture.named],
        "weekly": len(rows) < len(numbers.days),
    }


def _funnel(numbers: Numbers, campaign: str) -> dict[str, Any] | None:
    """Return the steps of one campaign: the one asked for, or the one with the most emails."""
    busiest = max(numbers.campaigns, key=lambda row: row.counts.sent if row.key else -1, default=None)
    name = campaign or (busiest.key if busiest is not None else None)
    rows = [row for row in numbers.steps if row.key is not None and row.key.campaign == name][:_MOST_STEPS]
    if not rows:
        return None
    picture = charts.draw_funnel(
        [row.counts.done if _is_task(row) else row.counts.sent for row in rows],
        [row.counts.replied for row in rows],
        width=720,
        left=190,
        right=150,
    )
    return {"campaign": name, "picture": picture, "rows": [(row, step_name(row.key)) for row in rows if row.key]}


def _is_task(row: Row[StepPlace | None]) -> bool:
    return row.key is not None and row.key.type != "email"


def step_name(step: StepPlace) -> str:
    """Write a step: where it stands, and what it is."""
    kind = type_names()[StepType(step.type)]
    return _("Day %(day)s, step %(step)s: %(kind)s", day=step.day, step=step.step, kind=kind)


def _multiples(site: Site, numbers: Numbers) -> list[dict[str, Any]]:
    """Return small pictures of the reps on one scale, so that they can be compared."""
    shown = [row for row in numbers.reps if row.key is not None][:_MOST_REPS]
    periods = {row.key: in_periods(numbers.rep_days.get(row.key, ())) for row in shown}
    top = max((period.counts.sent for rows in periods.values() for period in rows), default=0)
    return [
        {
            "name": _rep_name(site, row.key),
            "counts": row.counts,
            "picture": charts.draw_time(
                [period.counts.sent for period in periods[row.key]],
                [[period.counts.replied for period in periods[row.key]]],
                width=240,
                height=64,
                top=top,
            ),
        }
        for row in shown
    ]


def _rep_name(site: Site, email: str | None) -> str:
    if email is None:
        return _("Nobody's")
    rep = site.office.reps.get(email)
    return rep.name if rep is not None else email


def _tables(site: Site, numbers: Numbers, what: Asked) -> list[dict[str, Any]]:
    """Return the tables of the page; that of the days stands beside its picture."""

    def table(
        kind: Table,
        title: str,
        first: str,
        rows: Sequence[Row[Any]],
        name: Callable[[Any], str],
        narrow: Callable[[Any], dict[str, str]] = lambda _key: {},
    ) -> dict[str, Any]:
        shown = [
            (
                name(row.key),
                what.address(**narrow(row.key)) if row.key is not None and narrow(row.key) else "",
                row.counts,
            )
            for row in rows[:_MOST_ROWS]
        ]
        file = what.address(f"/numbers/{kind}.csv")
        return {"kind": kind.value, "title": title, "first": first, "rows": shown, "all": len(rows), "file": file}

    def step(key: StepPlace | None) -> str:
        return _("Not to an email in Sent") if key is None else f"{key.campaign} · {step_name(key)}"

    return [
        table(Table.REPS, _("Reps"), _("Rep"), numbers.reps, partial(_rep_name, site), lambda key: {"rep": key}),
        table(
            Table.CAMPAIGNS,
            _("Campaigns"),
            _("Campaign"),
            numbers.campaigns,
            lambda key: key or _("No campaign"),
            lambda key: {"campaign": key},
        ),
        table(Table.STEPS, _("Steps"), _("Step"), numbers.steps, step),
        table(Table.TEMPLATES, _("Templates"), _("Template"), numbers.templates, lambda key: key or _("Not known")),
    ]


#: Columns that every file has after those that say what a row is about.
_COLUMNS = ("sent", "replied", "bounced", "opted_out", "tasks_done", "tasks_done_in_time")


def _file_rows(numbers: Numbers, table: Table) -> Iterator[Sequence[object]]:
    """Return the rows of a file, its heads first; heads stay the same in every language, for programs."""
    heads, rows = _FILES[table]
    yield (*heads, *_COLUMNS)
    for key, counts in rows(numbers):
        yield (*key, *_figures(counts))


def _figures(counts: Counts) -> tuple[int, ...]:
    return counts.sent, counts.replied, counts.bounced, counts.opted_out, counts.done, counts.in_time


_Keyed = Iterator[tuple[tuple[object, ...], Counts]]


def _step_rows(numbers: Numbers) -> _Keyed:
    for row in numbers.steps:
        key = row.key
        yield ("", "", "", "") if key is None else (key.campaign, key.day, key.step, key.type.value), row.counts


_FILES: dict[Table, tuple[tuple[str, ...], Callable[[Numbers], _Keyed]]] = {
    Table.DAYS: (("day",), lambda all_: (((row.key.isoformat(),), row.counts) for row in all_.days)),
    Table.CAMPAIGNS: (("campaign",), lambda all_: (((row.key or "",), row.counts) for row in all_.campaigns)),
    Table.STEPS: (("campaign", "day", "step", "type"), _step_rows),
    Table.TEMPLATES: (("template",), lambda all_: (((row.key or "",), row.counts) for row in all_.templates)),
    Table.REPS: (("rep",), lambda all_: (((row.key or "",), row.counts) for row in all_.reps)),
}


def as_csv(rows: Iterator[Sequence[object]]) -> bytes:
    """Return rows as CSV that spreadsheets read as UTF-8, and in which no cell is a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([as_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")
