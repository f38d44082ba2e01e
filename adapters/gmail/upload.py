"""Large mails: a draft by Gmail's upload address rather than inside JSON.

Lives here: the one request that makes a draft from a whole mail. Does not live here: sending it (`session`).

Multipart, in one request, rather than a resumable session: there is one POST that acts, as for every other draft, so
its answer lost means the same and is answered the same way (look it up, then decide). A resumable session would add a
second thing that may be lost and must be remembered across a crash. Made here because the library sends uploads to
https and the root host whatever `endpoint` says. Source: reference apis 2.1, 2.8; Google's guide to uploads.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from urllib.parse import quote

from googleapiclient.http import HttpRequest
from googleapiclient.model import JsonModel

from adapters.gmail.api import Api

#: A mail larger than this goes by upload: JSON holds it as base64, which Gmail takes up to about 5 MB.
LARGEST_IN_JSON = 3_500_000
#: Google's limit for the whole mail, in bytes.
LARGEST = 36_700_160


def draft_upload(api: Api, user: str, raw: bytes, message: Mapping[str, str]) -> HttpRequest:
    """Return the request that makes a draft of a mail; `message` holds the draft's other fields (threadId)."""
    boundary = secrets.token_hex(16)
    metadata = json.dumps({"message": dict(message)}).encode()
    body = b"".join(
        (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode(),
            metadata,
            f"\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n".encode(),
            raw,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    request: HttpRequest = HttpRequest(
        None,
        JsonModel().response,  # type: ignore[no-untyped-call]
        f"{api.base}/upload/gmail/v1/users/{quote(user, safe='')}/drafts?uploadType=multipart&alt=json",
        method="POST",
        body=body,
        headers={"accept": "application/json", "content-type": f'multipart/related; boundary="{boundary}"'},
        methodId="gmail.users.drafts.create",
    )
    return request
