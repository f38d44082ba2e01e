"""Images inside a mail: a file beside the templates that the HTML shows goes along and is shown by its content id.

Lives here: which files a body names, and the addresses that show them. Does not live here: reading files (`sync`),
other addresses (`markup`, which lets those of the web through).

    <img src="logo.png">   or in Markdown   ![Acme](logo.png)
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

#: Kinds of image that mail programs show, by the end of the file's name.
IMAGE_TYPES = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}

# In clean HTML every attribute stands in double quotes, and `<` in text is a character reference.
_IMAGE = re.compile(r'<img(?:\s+[\w-]+="[^"]*")*\s*/?>')
_SOURCE = re.compile(r'\ssrc="([^"]*)"')


def content_id(name: str) -> str:
    """Return the id of an image, without angle brackets: always the same for the same file."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:24]}@connector"


def file_named(source: str) -> str | None:
    """Return the file that an image's address names, relative to the templates; None for an address elsewhere."""
    try:
        parts = urlsplit(source.strip())
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path:
        return None
    return str(PurePosixPath(unquote(parts.path)))


def is_beside(name: str) -> bool:
    """Tell whether a name stays in the folder of the templates."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\x00" not in name


def sources_in(page: str) -> tuple[str, ...]:
    """Return the addresses of the images of a page as its author wrote them; those made by a field are left out."""
    found = _Sources()
    found.feed(page)
    found.close()
    return tuple(dict.fromkeys(source for source in found.sources if not _MADE_BY_A_FIELD.search(source)))


def images_in(page: str) -> tuple[str, ...]:
    """Return the files beside the templates that a page names as images."""
    names = (file_named(source) for source in sources_in(page))
    return tuple(dict.fromkeys(name for name in names if name is not None and is_beside(name)))


def embed(page: str, names: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Return clean HTML that shows these files by their content ids, and those of them that it shows.

    Images on the web stay if they are reached by https; what else an image names is left out.
    """
    used: dict[str, None] = {}

    def shown(found: re.Match[str]) -> str:
        source = html.unescape(found[1])
        name = file_named(source)
        if name is not None and name in names:
            used[name] = None
            return f' src="cid:{content_id(name)}"'
        return found[0] if source.strip().lower().startswith("https://") else ""

    return _IMAGE.sub(lambda tag: _SOURCE.sub(shown, tag[0]), page), tuple(used)


_MADE_BY_A_FIELD = re.compile(r"\{\{|\{%|%7B%7B|%7B%25", re.IGNORECASE)


class _Sources(HTMLParser):
    """Collects the addresses of images."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources += [value.strip() for name, value in attrs if name == "src" and value and value.strip()]
