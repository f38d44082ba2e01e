"""One request to the Gmail API, read and checked.

Lives here: `Call`, query parameters, JSON against its shape, the mail in a request. Does not live here: the methods
(`gmail_methods`), uploads and batches (`gmail_upload`, `gmail_batch`).
Strict on purpose: unknown JSON names and unknown query parameters are refused, as Google does.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from adapters.sandbox.gmail_errors import bad, bad_json, forbidden, too_large
from adapters.sandbox.gmail_methods import SHOWS_BODIES, Method
from adapters.sandbox.gmail_shapes import SHAPES
from adapters.sandbox.mailbox import Mailbox
from adapters.sandbox.service import Grant

#: Largest message inside JSON, in bytes: a practical limit that users report, not a documented one (apis 2.1).
JSON_LIMIT = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked."""

    box: Mailbox
    grant: Grant
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: Mapping[str, Any]
    #: The message, when it came by upload.
    media: bytes | None = field(default=None, repr=False)

    def one(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        return self.query.get(name, (default,))[0]

    def number(self, name: str, default: int, largest: int) -> int:
        """Return a query parameter that counts something."""
        text = self.one(name, str(default))
        if not text.isdigit():
            raise bad_json(f"Invalid value at '{snake(name)}' (TYPE_UINT32), \"{text}\"", snake(name))
        if int(text) < 1:
            raise bad(f"Invalid value for {name}: {text}")
        return min(int(text), largest)

    @property
    def headers_only(self) -> bool:
        """Whether the token sees headers and labels alone."""
        return not self.grant.scopes & SHOWS_BODIES

    @property
    def format(self) -> str:
        """How mails are to be shown: minimal, metadata, full or raw."""
        kind = self.one("format", "full").lower()
        if kind not in ("full", "metadata", "minimal", "raw"):
            shown = self.one("format")
            raise bad_json(f"Invalid value at 'format' (type.googleapis.com/gmail.Format), \"{shown}\"", "format")
        if kind in ("full", "raw") and self.headers_only:
            raise forbidden(f"Metadata scope doesn't allow format {kind.upper()}")
        return kind

    @property
    def search(self) -> str:
        """The query of the search box."""
        query = self.one("q")
        if query and self.headers_only:
            raise forbidden("Metadata scope does not support 'q' parameter")
        return query

    def page(self, found: Sequence[Any]) -> tuple[Sequence[Any], dict[str, str]]:
        """Return the page that is asked for, and how to ask for the next one."""
        size = self.number("maxResults", 100, 500)
        token = self.one("pageToken")
        try:
            offset = int(base64.urlsafe_b64decode(token)) if token else 0
        except ValueError:
            raise bad("Invalid pageToken") from None
        following = {}
        if offset + size < len(found):
            following = {"nextPageToken": base64.urlsafe_b64encode(str(offset + size).encode()).decode()}
        return found[offset : offset + size], following

    def raw(self, message: Mapping[str, Any], where: str) -> bytes:
        """Return the mail in the request: uploaded, or `raw` of the JSON message that errors call `where`."""
        if self.media is not None:
            return self.media
        text = message.get("raw")
        if not text:
            raise bad("'raw' RFC822 payload message string or uploading message via /upload/* URL required")
        try:
            plain = str(text).replace("-", "+").replace("_", "/").rstrip("=")
            raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError):
            about = f"Invalid value at '{where}.raw' (TYPE_BYTES), Base64 decoding failed for \"{str(text)[:60]}\""
            raise bad_json(about, f"{where}.raw") from None
        if len(raw) > JSON_LIMIT:
            raise too_large()
        return raw


def snake(name: str) -> str:
    """Return a name as Google's errors write it."""
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)


def read_query(text: str, method: Method) -> dict[str, Sequence[str]]:
    """Read query parameters; one that the method does not take raises a 400."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in method.query:
            message = (
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                f"Field '{name}' could not be found in request message."
            )
            raise bad_json(message, "")
        found.setdefault(name, []).append(value)
    return dict(found)


def read_body(body: bytes, method: Method) -> dict[str, Any]:
    """Read the JSON of a request; a name or kind that its shape does not have raises a 400."""
    if not body:
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        raise bad("Parse Error", "parseError") from None
    if not isinstance(value, dict) or (value and not method.takes):
        raise bad_json('Invalid JSON payload received. Unknown name "": Root element must be a message.', "")
    _check(value, method.takes, method.root)
    return value


def _check(value: Mapping[str, Any], shape: str, where: str) -> None:
    known = SHAPES.get(shape, {})
    for name, inner in value.items():
        if name not in known:
            at = f" at '{where}'" if where else ""
            raise bad_json(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.', where)
        if inner is not None:
            _check_kind(inner, known[name], f"{where}.{snake(name)}".lstrip("."))


def _check_kind(value: Any, kind: str, where: str) -> None:
    if kind.startswith("[]") and isinstance(value, list):
        for count, one in enumerate(value):
            _check_kind(one, kind.removeprefix("[]"), f"{where}[{count}]")
    elif kind in SHAPES and isinstance(value, dict):
        _check(value, kind, where)
    elif kind in _KINDS:
        title, fits = _KINDS[kind]
        if not fits(value):
            raise bad_json(f"Invalid value at '{where}' ({title}), {json.dumps(value)}", where)
    else:
        raise bad_json(f"Invalid value at '{where}', {json.dumps(value)}", where)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | str) and re.fullmatch(r"-?\d+", str(value)) is not None


#: Kind -> what errors call it, and which values fit.
_KINDS: Mapping[str, tuple[str, Any]] = {
    "string": ("TYPE_STRING", lambda value: isinstance(value, str)),
    "byte": ("TYPE_BYTES", lambda value: isinstance(value, str)),
    "boolean": ("TYPE_BOOL", lambda value: isinstance(value, bool)),
    "int32": ("TYPE_INT32", _is_number),
    "uint32": ("TYPE_UINT32", _is_number),
    "int64": ("TYPE_INT64", _is_number),
    "uint64": ("TYPE_UINT64", _is_number),
}
