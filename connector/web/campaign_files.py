"""The campaigns as their files are now, and how a campaign is named in an address.

Lives here: `FilesNow`, `address_of`, `name_of`, and `Form`, a form whose fields are not known beforehand. Does not live
here: reading the files (`campaigns`), what is shown of them (`sync.campaign_views`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.datastructures import FormData

from connector.errors import Fault
from connector.sync.campaign_views import CampaignFiles
from connector.web.site import Site

_FOLDERS = ("campaigns", "templates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The campaigns that could be read, and what is wrong with the others."""

    files: CampaignFiles
    faults: Sequence[Fault]


class FilesNow:
    """Reads campaigns and templates anew when a file has changed, and not for every page."""

    def __init__(self, site: Site) -> None:
        """Read nothing yet."""
        self._site = site
        self._turn = Lock()
        self._seen: list[tuple[str, int, int]] | None = None
        self._read: Read | None = None

    def read(self) -> Read:
        """Return the campaigns as their files are now."""
        with self._turn:
            seen = sorted(self._files())
            if self._read is None or seen != self._seen:
                project = self._site.fresh_project()
                loaded = project.loaded
                files = CampaignFiles(campaigns=loaded.campaigns, templates=project.templates, files=loaded.files)
                self._read, self._seen = Read(files=files, faults=project.faults), seen
            return self._read

    def _files(self) -> Iterator[tuple[str, int, int]]:
        for folder in _FOLDERS:
            place: Path = self._site.project.folder / folder
            for path in place.iterdir() if place.is_dir() else ():
                found = path.stat()
                yield str(path), found.st_mtime_ns, found.st_size


async def _form(request: Request) -> FormData:
    return await request.form()  # its files are closed with the request (`access.check_form`)


Form = Annotated[FormData, Depends(_form)]


def segment(name: str) -> str:
    """Return a campaign's name as one part of an address, whatever characters it has."""
    return quote(name.replace("%", "%25").replace("/", "%2F"), safe="")


def address_of(name: str) -> str:
    """Return the address of a campaign's page."""
    return f"/campaigns/{segment(name)}"


def name_of(said: str, files: CampaignFiles) -> str:
    """Return the campaign that a part of an address means: its name, or that of its file."""
    name = said.replace("%2F", "/").replace("%25", "%")
    if name in files.campaigns:
        return name
    meant = name.casefold()
    found = (known for known, path in files.files.items() if meant in (known.casefold(), path.stem.casefold()))
    return next(found, name)
