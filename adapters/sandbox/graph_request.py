"""One request to one mailbox of Graph: its headers, its query, its body.

Lives here: `Call`, and reading what came. Does not live here: who may call (`graph`), what a message may be written
with (`graph_shapes`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from adapters.sandbox.graph_errors import bad, gone, no_folder, too_large
from adapters.sandbox.graph_shapes import Shape, ShapeError, check, folder_of
from adapters.sandbox.mailbox import Mailbox, Place, StoredMail

#: Bytes a JSON body may have; larger attachments need an upload session.
LARGEST_BODY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to one mailbox, its permission checked."""

    box: Mailbox
    #: `https://host/v1.0/me` or `…/users/{id}`, as it was called.
    base: str
    path: str
    keys: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def prefer(self) -> str:
        """Return the wishes of the Prefer header, lower case, without spaces."""
        return self.headers.get("prefer", "").lower().replace(" ", "")

    @property
    def immutable(self) -> bool:
        """Whether ids are wanted that stay when a mail moves."""
        return 'idtype="immutableid"' in self.prefer

    @property
    def as_text(self) -> bool:
        """Whether bodies are wanted as plain text."""
        return 'outlook.body-content-type="text"' in self.prefer

    @property
    def is_mime(self) -> bool:
        """Whether the body is a mail in base64, and not JSON."""
        return self.headers.get("content-type", "").startswith("text/plain")

    def json(self, shape: Shape) -> dict[str, Any]:
        """Return the body, checked; raises `GraphError`."""
        if len(self.body) > LARGEST_BODY:
            raise too_large()
        if not self.headers.get("content-type", "").startswith("application/json"):
            kind = self.headers.get("content-type", "")
            raise bad(f"Unsupported content type '{kind}'; send application/json.", "RequestBodyRead")
        try:
            value = json.loads(self.body)
        except ValueError:
            raise bad("Unable to read JSON request payload. Please ensure Content-Type header is set.") from None
        if not isinstance(value, dict):
            raise bad("Empty Payload. JSON content expected.")
        try:
            return check(value, shape)
        except ShapeError as wrong:
            raise bad(str(wrong), wrong.code) from None

    def mime(self) -> bytes:
        """Return the body as RFC 5322 bytes, when it was given as base64."""
        if len(self.body) > LARGEST_BODY:
            raise too_large()
        try:
            raw = base64.b64decode(self.body, validate=True)
        except (binascii.Error, ValueError):
            raise bad("Invalid base64 string for MIME content.", "ErrorMimeContentInvalidBase64String") from None
        if b":" not in raw.partition(b"\n")[0]:
            raise bad("Invalid MIME content.", "ErrorMimeContentInvalid")
        return raw

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a number of the query; raises `GraphError` when it is none or out of bounds."""
        text = self.query.get(name, str(default))
        if not text.isdigit() or not least <= int(text) <= most:
            raise bad(f"Invalid value '{text}' for {name} query option found.")
        return int(text)

    def page_size(self, default: int = 10) -> int:
        """Return how many items a page may have: by the Prefer header, else by $top."""
        match = re.search(r"odata\.maxpagesize=(\d+)", self.prefer)
        return min(1000, max(1, int(match[1]))) if match else self.number("$top", default, 1, 1000)

    def link(self, query: Mapping[str, str]) -> str:
        """Return the address of this operation with another query."""
        text = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in query.items())
        return f"{self.base}{self.path}" + (f"?{text}" if text else "")

    def place(self) -> Place | None:
        """Return the folder in the path; None when it names none. Raises `GraphError` for an unknown one."""
        if not self.keys.get("folder"):
            return None
        place = folder_of(unquote(self.keys["folder"]))
        if place is None:
            raise no_folder()
        return place

    def mail(self) -> StoredMail:
        """Return the mail in the path, by either of its ids; raises `GraphError`."""
        wanted = unquote(self.keys["id"])
        if not re.fullmatch(r"[A-Za-z0-9_=+-]{20,}", wanted):
            raise bad("Id is malformed.", "ErrorInvalidIdMalformed")
        mail = self.box.mails.get(wanted)
        if mail is None:
            mail = next((one for one in self.box.mails.values() if one.second_id == wanted), None)
        if mail is None or (self.keys.get("folder") and mail.place is not self.place()):
            raise gone()
        return mail


def read_query(text: str, known: frozenset[str]) -> dict[str, str]:
    """Read a query; raise `GraphError` for an OData option the operation does not have."""
    query = dict(parse_qsl(text, keep_blank_values=True))
    for name in query:
        if name.startswith("$") and name not in known:
            raise bad(f"The query parameter '{name}' is not supported.")
    return query
