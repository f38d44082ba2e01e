"""The forms of the queue: complete, skip, snooze, assign, many at once, and undo.

Lives here: what is posted below `/tasks`. Does not live here: the pages (`queue`), acting on tasks (`sync.bulk`,
`sync.undoing`). Source: issue 7.

Each form works by itself and leads back to where it came from; with htmx its answer is one line, and the rows that it
concerns.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from connector.errors import BadInput
from connector.sync.bulk import MOST, Action, Deed, Done, act, act_on_all
from connector.sync.queue import QueueFilter, count_exactly, lets_through, read_rows, wanted
from connector.sync.undoing import undo
from connector.web.access import Viewer, own_task
from connector.web.dates import read_day
from connector.web.i18n import gettext as _
from connector.web.pages import fragment, is_htmx, page
from connector.web.queue import filter_of, reps_of_office, sees_several, tomorrow_of
from connector.web.queue_words import actions_of, done_sentence, lines_of, row_words
from connector.web.site import Site
from connector.web.users import User


def _asked_in_form(
    due: Annotated[str, Form(max_length=20)] = "",
    type: Annotated[str, Form(max_length=20)] = "",  # noqa: A002
    campaign: Annotated[str, Form(max_length=200)] = "",
    of_rep: Annotated[str, Form(max_length=254)] = "",
    q: Annotated[str, Form(max_length=200)] = "",
) -> QueueFilter:
    return filter_of(due, type, campaign, of_rep, q)


def _deed(
    until: Annotated[str, Form(max_length=10)] = "",
    to: Annotated[str, Form(max_length=254)] = "",
    outcome: Annotated[str, Form(max_length=200)] = "",
    call_reason: Annotated[str, Form(max_length=200)] = "",
) -> dict[str, Any]:
    """Read what a form says of a deed."""
    day = read_day(until) if until else None
    if until and day is None:
        raise BadInput(_("The date cannot be read: choose one."))
    return {"until": day, "rep": to.lower(), "outcome": outcome, "call_reason": call_reason}


_AskedInForm = Annotated[QueueFilter, Depends(_asked_in_form)]
_Said = Annotated[dict[str, Any], Depends(_deed)]
_Back = Annotated[str, Form(max_length=1000)]
_Keys = Annotated[list[str], Form(alias="key", max_length=MOST)]


def queue_form_routes(site: Site) -> APIRouter:
    """Return the forms of tasks."""
    routes = APIRouter()
    office = site.office

    @routes.post("/tasks/undo")
    def undo_(
        request: Request, user: Viewer, batch: Annotated[str, Form(max_length=32)], back: _Back = "/tasks"
    ) -> Response:
        """Undo what was done."""
        done = undo(office, user.email, batch, reps=user.reps)
        if not done.keys and not done.refused:
            raise BadInput(_("There is nothing left to undo."))
        return _told(request, done, done_sentence(None, len(done.keys)), back, undoable=False)

    @routes.post("/tasks/bulk")
    def bulk(
        request: Request,
        user: Viewer,
        asked: _AskedInForm,
        said: _Said,
        do: Annotated[Action, Form()],
        keys: _Keys = [],  # noqa: B006 - FastAPI copies it
        everything: Annotated[str, Form(alias="all")] = "",
        sure: Annotated[str, Form()] = "",
        back: _Back = "/tasks",
    ) -> Response:
        """Do something with several tasks, or all that the filter lets through: say how many, then do it.

        `sure` is how many were said: of all, there may be others by then.
        """
        if not (keys or everything):
            raise BadInput(_("No task is chosen: choose some first."))
        many = count_exactly(office, asked, reps=user.reps) if everything else len(keys)
        if not sure or (everything and sure != str(min(many, MOST))):
            return _ask(site, request, user, do, asked, [] if everything else keys, back, many=many, again=bool(sure))
        deed = Deed(action=do, **said)
        if everything:
            done = act_on_all(office, user.email, deed, wanted(office, asked, user.reps))
        else:
            done = act(office, user.email, deed, keys, reps=user.reps)
        return _told(request, done, done_sentence(do, len(done.keys)), back)

    for action in Action:
        _add_single(routes, site, action)

    return routes


def _add_single(routes: APIRouter, site: Site, action: Action) -> None:
    """Add the form that does something with one task."""
    office = site.office

    @routes.post(f"/tasks/{{key}}/{action.value}", name=f"{action.value}_task")
    def do(
        request: Request, user: Viewer, asked: _AskedInForm, said: _Said, key: str, back: _Back = "/tasks"
    ) -> Response:
        stored = own_task(site, user, key)
        deed = Deed(action=action, **said)
        done = act(office, user.email, deed, [stored.intent.key], reps=user.reps, strict=True)
        acted = read_rows(office, done.keys, reps=user.reps)
        # One that was given away may be nobody's whom one sees.
        name = lines_of(site, acted[:1])[0].name if acted else stored.intent.person
        sentence = done_sentence(action, 1, person=name)
        if not is_htmx(request):
            return _told(request, done, sentence, back)
        rows = [row for row in acted if lets_through(office, asked, row)]
        return fragment(
            request,
            "queue/said.html",
            sentence=sentence,
            done=done,
            undoable=True,
            back=_inside(back),
            words=row_words(),
            lines=lines_of(site, rows),
            gone=[] if rows else done.keys,
            several=sees_several(user),
        )


def _ask(
    site: Site,
    request: Request,
    user: User,
    do: Action,
    asked: QueueFilter,
    keys: list[str],
    back: str,
    *,
    many: int,
    again: bool,
) -> Response:
    """Say how many tasks it is about, and ask for what it needs; without keys all that the filter lets through."""
    if not many:
        raise BadInput(_("No task is chosen: choose some first."))
    return page(
        request,
        "queue/sure.html",
        title=_("Before it is done"),
        status=409 if again else 200,
        again=again,
        do=do,
        many=many,
        taken=min(many, MOST),
        keys=keys,
        everything=not keys,
        asked=asked,
        back=_inside(back),
        tomorrow=tomorrow_of(site, user),
        reps=reps_of_office(site),
        actions=actions_of(),
    )


def _told(request: Request, done: Done, sentence: str, back: str, *, undoable: bool = True) -> Response:
    """Say what became of it: where they came from, or on a page of its own if something could not be done."""
    back = _inside(back)
    if is_htmx(request):
        answer = fragment(
            request,
            "queue/said.html",
            sentence=sentence,
            done=done,
            undoable=undoable,
            back=back,
            words={},
            several=False,
            lines=[],
            gone=[],
        )
        answer.headers["HX-Trigger-After-Settle"] = "queue-changed"
        return answer
    if done.refused or not undoable:
        return page(
            request,
            "queue/done.html",
            title=_("Done") if done.keys else _("Nothing was done"),
            sentence=sentence,
            done=done,
            undoable=undoable and bool(done.keys),
            back=back,
        )
    mark = "&" if "?" in back else "?"
    return RedirectResponse(f"{back}{mark}batch={done.batch}" if back.startswith("/tasks") else back, 303)


def _inside(back: str) -> str:
    """Return an address of ours to go back to."""
    return back if back.startswith("/tasks") and "\\" not in back and "\n" not in back else "/tasks"
