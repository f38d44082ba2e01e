"""What a mail of the compose window carries beside its text, and whether its mailbox takes that.

Lives here: `carried`, `to_choose_from`, `too_heavy`. Does not live here: reading files (`attachments`), uploading them
(`uploads`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from connector.content.templates import FORMATS, Template
from connector.content.written import Written
from connector.people import Rep
from connector.sync.attachments import TEMPLATES, weigh
from connector.sync.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAlong:
    """A file that goes along."""

    name: str
    #: In bytes; None when it is not there any more.
    size: int | None
    #: Of an uploaded one.
    id: str = ""


def carried(office: Office, written: Written) -> tuple[FileAlong, ...]:
    """Return the files that a mail carries, without the images that its text shows."""
    beside = office.folder / TEMPLATES
    paths = {name: beside / name for name in written.attachments}
    sizes = {name: path.stat().st_size if path.is_file() else None for name, path in paths.items()}
    return (
        *(FileAlong(name=name, size=size) for name, size in sizes.items()),
        *(FileAlong(name=upload.name, size=upload.size, id=upload.id) for upload in written.uploads),
    )


def to_choose_from(office: Office, templates: Mapping[str, Template], written: Written) -> tuple[str, ...]:
    """Return what may be attached: files beside the templates that are none, and those that templates attach."""
    beside = office.folder / TEMPLATES
    found = {name for template in templates.values() for name in template.attachments} | set(written.attachments)
    if beside.is_dir():
        found |= {
            path.name
            for path in beside.iterdir()
            if path.is_file() and path.name[0] != "." and path.suffix.lower().removeprefix(".") not in FORMATS
        }
    return tuple(sorted(found))


def too_heavy(office: Office, rep: Rep, written: Written, *, images: Collection[str] = ()) -> str:
    """Say that a rep's mailbox does not take the files of a mail; "" when it does, or files go there by hand.

    Raises `BadInput` when one of them is not there.
    """
    mailbox = office.mailboxes.get(rep.email)
    if mailbox is None or not mailbox.capabilities.drafts:
        return ""
    limit = mailbox.capabilities.attachment_bytes
    load = weigh(office.folder, images=images, attachments=written.attachments, uploads=written.uploads)
    return load.too_large_for(rep, limit) if load.bytes > limit else ""
