"""How much goes into one request: files beside the mail they come with, and drafts beside each other. Pure.

Lives here: Graph's limits of size, and sharing out by them. Does not live here: sending anything (`drafting`,
`session`). Source: reference apis 3.1 and 3.5; Microsoft, "Attach large files to Outlook messages".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.outlook.batch import BATCH
from adapters.outlook.upload import LARGEST, LARGEST_IN_JSON
from connector.ports import Attachment, Mail

#: Largest sum of attachments. How much a mailbox takes is for its administrator to say: 35 MB unless they say more.
ATTACHMENT_BYTES = LARGEST

#: Bytes that one request may have: below Graph's 4 MB, with room for what surrounds it.
_REQUEST_BYTES = 3_900_000

#: Drafts that go together: requests that Graph lets run at once for a mailbox.
AT_ONCE = BATCH

#: What an attached file takes in JSON beside its content.
_AROUND_A_FILE = 400


def needs_upload(attachment: Attachment) -> bool:
    """Tell whether a file is too large for any request."""
    return len(attachment.content) > LARGEST_IN_JSON


def fitting(mail: Mail, body: Mapping[str, Any]) -> tuple[Sequence[Attachment], Sequence[Attachment]]:
    """Return the files that fit into the request that makes the mail, and those that must follow it, in order."""
    left = _REQUEST_BYTES - _size(body)
    inside: list[Attachment] = []
    beside: list[Attachment] = []
    for attachment in mail.attachments:
        takes = _as_json(attachment)
        if needs_upload(attachment) or takes > left:
            beside.append(attachment)
        else:
            inside.append(attachment)
            left -= takes
    return inside, beside


def is_whole(mail: Mail, body: Mapping[str, Any]) -> bool:
    """Tell whether one request makes the mail with all its files."""
    return not fitting(mail, body)[1]


def groups(bodies: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Mapping[str, Any]]]:
    """Share drafts out into requests: `AT_ONCE` of them at most, and no more than one request may hold."""
    group: dict[str, Mapping[str, Any]] = {}
    left = _REQUEST_BYTES
    for key, body in bodies.items():
        size = _size(body)
        if group and (len(group) == AT_ONCE or size > left):
            yield group
            group, left = {}, _REQUEST_BYTES
        group[key] = body
        left -= size
    if group:
        yield group


def _size(body: Mapping[str, Any]) -> int:
    return len(json.dumps(body))


def _as_json(attachment: Attachment) -> int:
    content = -(-len(attachment.content) // 3) * 4  # base64
    return content + _AROUND_A_FILE + 6 * len(attachment.name) + len(attachment.media_type)
