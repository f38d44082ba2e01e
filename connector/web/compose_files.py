"""Files of a rep's own in the compose window: chosen or dropped there, listed, taken out, read again.

Lives here: `/tasks/<key>/compose/files` and what lies below it. Does not live here: what may be attached
(`sync.uploads`), the rest of the window (`compose`).

With a script a file goes up as soon as it is chosen, and the text stays as it stands in the window; without one the
form brings both, and the text is kept first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, UploadFile

from connector.errors import BadInput, Busy, ConnectorError
from connector.sync import composing, uploads
from connector.sync.actions import UnknownTask
from connector.sync.uploads import Incoming
from connector.web.access import Viewer
from connector.web.campaign_files import Form
from connector.web.compose import Desk, given_in
from connector.web.i18n import gettext as _
from connector.web.pages import fragment, is_htmx
from connector.web.site import Site
from connector.web.users import User


def compose_file_routes(site: Site) -> APIRouter:
    """Return what is below `/tasks/<key>/compose/files`."""
    routes, desk, office = APIRouter(), Desk(site), site.office

    @routes.post("/tasks/{key}/compose/files")
    def attach(request: Request, user: Viewer, key: str, form: Form) -> Response:
        """Attach files."""
        key, by = desk.own(user, key), desk.by(user)
        files = list(_files_in(form))

        def bring() -> Sequence[str]:
            if not files:
                raise BadInput(_("Choose a file first."))
            return uploads.attach(office, key, files, by=by)

        return _done(desk, site, request, user, key, form, bring)

    @routes.post("/tasks/{key}/compose/files/{upload}/remove")
    def remove(request: Request, user: Viewer, key: str, upload: str, form: Form) -> Response:
        """Take a file out."""
        key, by = desk.own(user, key), desk.by(user)

        def take_out() -> Sequence[str]:
            uploads.detach(office, key, upload, by=by)
            return ()

        return _done(desk, site, request, user, key, form, take_out)

    @routes.get("/tasks/{key}/compose/files/{upload}")
    def read(user: Viewer, key: str, upload: str) -> Response:
        """Give a file back; no browser shows it as a page of ours."""
        file = uploads.find_upload(office, desk.own(user, key), upload)
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"}
        return Response(file.content, media_type="application/octet-stream", headers=headers)

    return routes


def _files_in(form: FormData) -> Iterator[Incoming]:
    for file in form.getlist("upload"):
        # Where nothing was chosen, browsers send a file without a name.
        if isinstance(file, UploadFile) and (file.filename or file.size):
            yield Incoming(name=file.filename or "", size=file.size or 0, read=file.file.read)


def _done(
    desk: Desk,
    site: Site,
    request: Request,
    user: User,
    key: str,
    form: FormData,
    do: Callable[[], Sequence[str]],
) -> Response:
    """Do something about files, and show them as they are then, with the sentences it returns."""
    given = given_in(form)
    try:
        if not is_htmx(request):
            composing.save(site.office, key, given.text, version=given.version, by=desk.by(user))
    except (UnknownTask, Busy):
        raise
    except ConnectorError as error:
        return desk.shown(request, user, key, given=given, error=error)
    try:
        refused = do()
    except (UnknownTask, Busy):
        raise
    except ConnectorError as error:
        refused = str(error).splitlines()
    if is_htmx(request):
        return fragment(request, "compose/uploads.html", swaps=True, refused=refused, **desk.values(user, key))
    if refused:
        return desk.shown(request, user, key, error=BadInput(*refused))
    return RedirectResponse(f"/tasks/{key}/compose", status_code=303)
