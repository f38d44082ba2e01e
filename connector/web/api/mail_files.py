"""Files of a rep's own that go along with the email of a task.

Lives here: these routes. Does not live here: what may be attached (`sync.uploads`), the rest of the email (`mail`).

A file comes as the body itself, its name in the address: the same file is the same request each time, which it would
not be between the boundaries of a form, and it is no larger than it is.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response

from connector.errors import BadInput
from connector.sync import uploads
from connector.sync.uploads import Incoming
from connector.web.api.callers import Reading, Working
from connector.web.api.mail import Desk, Mail
from connector.web.api.once import ApiRoute
from connector.web.api.problems import RequestError
from connector.web.guard import LARGEST_REQUEST
from connector.web.site import Site

_BYTES = "application/octet-stream"
_CONTENT: dict[str, Any] = {_BYTES: {"schema": {"type": "string", "format": "binary"}}}


class _FileRoute(ApiRoute):
    """A route that takes a file: as large as the window takes it, and then as the mailbox does."""

    largest = LARGEST_REQUEST


class _File(Response):
    """A file as it was given; no browser shows it as a page of ours."""

    media_type = _BYTES


async def _bytes_of(request: Request) -> bytes:
    return await request.body()


def _check_kind(request: Request) -> None:
    """Raise unless the body is said to be a file: of a form, its boundaries would be attached too."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _BYTES:
        raise RequestError(422, f"send the file itself as the body, with 'Content-Type: {_BYTES}'")


def add_routes(routes: APIRouter, site: Site) -> None:
    """Add the routes of this subject."""
    desk, office = Desk(site), site.office

    def attach_file(
        request: Request,
        user: Working,
        id: str,  # noqa: A002 - the path's own word
        name: Annotated[str, Query(min_length=1, max_length=255, description="The file's name, with its ending.")],
        content: Annotated[bytes, Depends(_bytes_of)],
    ) -> Mail:
        """Attach a file, in place of an uploaded one of the same name; it goes along when the email is sent."""
        key = desk.own(user, id)
        _check_kind(request)
        file = Incoming(name=name, size=len(content), read=lambda: content)
        if refused := uploads.attach(office, key, [file], by=desk.by(user)):
            raise BadInput(*refused)
        return desk.shown(key)

    routes.add_api_route(
        "/tasks/{id}/mail/files",
        attach_file,
        methods=["POST"],
        openapi_extra={"requestBody": {"required": True, "content": _CONTENT}},
        route_class_override=_FileRoute,
    )

    @routes.get("/tasks/{id}/mail/files/{file}", response_class=_File, responses={200: {"content": _CONTENT}})
    def read_file(user: Reading, id: str, file: str) -> Response:  # noqa: A002
        """Return an uploaded file as it was given."""
        found = uploads.find_upload(office, desk.own(user, id), file)
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.name, safe='')}"}
        return _File(found.content, headers=headers)

    @routes.delete("/tasks/{id}/mail/files/{file}")
    def detach_file(user: Working, id: str, file: str) -> Mail:  # noqa: A002
        """Take an uploaded file out of an email; one that is not there is no error."""
        key = desk.own(user, id)
        uploads.detach(office, key, file, by=desk.by(user))
        return desk.shown(key)
