"""Files that a rep uploads in the compose window: judged, kept with what is being written, read again.

Lives here: `attach`, `detach`, `find_upload`. Does not live here: the text (`composing`), the bytes (`store.blobs`),
how files become parts of a mail (`attachments`). Source: issue 7, decision 45.

Files come and go beside the text and leave its version as it is: nobody has changed what another tab is writing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from connector.content.written import Upload, Written
from connector.errors import BadInput
from connector.intents import Intent
from connector.people import Rep
from connector.ports import Attachment
from connector.store.blobs import keep_blob, read_blobs
from connector.store.compositions import read_compositions, read_working, save_working
from connector.sync.attachments import shown_size, uploaded
from connector.sync.carried import too_heavy
from connector.sync.composing import MOST_FILES, letters_of, working_copy
from connector.sync.letters import Letters
from connector.sync.office import Office

#: Most characters of a file's name, and of its ending.
_LONGEST_NAME, _LONGEST_ENDING = 150, 20

#: What does not belong in a name: control characters, line breaks, halves of characters, and marks that turn the
#: direction of writing, with which `fdp.exe` is made to look like `exe.pdf`.
_STRAY = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")


class UnknownUpload(BadInput):
    """An address names no file of this mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A file as it arrives."""

    #: As a browser gives it.
    name: str
    #: In bytes.
    size: int
    read: Callable[[], bytes]


def attach(office: Office, key: str, files: Iterable[Incoming], *, by: str) -> tuple[str, ...]:
    """Attach files to what is being written, each that can be; return why others cannot.

    A file takes the place of an uploaded one of the same name. Raises `BadInput` and `Busy` for an email that cannot be
    written now, or whose mailbox takes no files.
    """
    with office.database.read() as tx:
        stored, _ = letters_of(tx, office, key)
    rep = office.reps[stored.intent.rep]
    limit, refused, ready = _limit(office, rep), list[str](), list[tuple[Upload, bytes]]()
    for file in files:  # before the database is locked: it takes long
        try:
            ready.append(_read(file, rep, limit))
        except BadInput as error:
            refused.append(str(error))
    if not ready:
        return tuple(refused)
    now = office.now()
    with office.database.write() as tx:
        stored, letters = letters_of(tx, office, key)
        copy = working_copy(tx, office, letters, stored, by=by, now=now)
        for upload, content in ready:
            written = _with(copy.written, upload)
            try:
                _check(office, letters, stored.intent, written, upload)
            except BadInput as error:
                refused.append(str(error))
                continue
            keep_blob(tx, upload.hash, content, now)
            copy = replace(copy, written=written)
        save_working(tx, copy)
    return tuple(refused)


def detach(office: Office, key: str, id: str, *, by: str) -> None:  # noqa: A002 - the field's own word
    """Take an uploaded file out of what is being written; one that is not there is no error.

    Raises `BadInput` and `Busy` for an email that cannot be written now.
    """
    with office.database.write() as tx:
        stored, letters = letters_of(tx, office, key)
        copy = working_copy(tx, office, letters, stored, by=by, now=office.now())
        left = tuple(one for one in copy.written.uploads if one.id != id)
        if left != copy.written.uploads:
            save_working(tx, replace(copy, written=replace(copy.written, uploads=left)))


def find_upload(office: Office, key: str, id: str) -> Attachment:  # noqa: A002
    """Return a file of an email, as it is being written or goes out; raise `UnknownUpload` for any other."""
    with office.database.read() as tx:
        for copy in (read_working(tx, key), read_compositions(tx, [key]).get(key)):
            for upload in copy.written.uploads if copy is not None else ():
                if upload.id == id:
                    return uploaded(upload, read_blobs(tx, [upload.hash]))
    raise UnknownUpload("there is no such file in this mail: look in its window")


def clean_name(given: str) -> str:
    """Return the name of a file as it may stand in a mail; raise `BadInput` when nothing is left of it.

    Of a path only the last part counts.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", given))[-1]
    name = " ".join(_STRAY.sub(" ", last).split()).rstrip(" .")
    if not name:
        raise BadInput("a file has no name: give it one, and choose it again")
    if len(name) > _LONGEST_NAME:
        ending = PurePosixPath(name).suffix[:_LONGEST_ENDING]
        name = name[: _LONGEST_NAME - len(ending)].rstrip(" .") + ending
    return name


def _limit(office: Office, rep: Rep) -> int:
    mailbox = office.mailboxes.get(rep.email)
    limit = 0 if mailbox is None else mailbox.capabilities.attachment_bytes
    if not limit:
        raise BadInput(f"the mailbox of {rep.name} takes no files from here: attach them in the mail program")
    return limit


def _read(file: Incoming, rep: Rep, limit: int) -> tuple[Upload, bytes]:
    """Return a file and its bytes, judged by itself; one that is too large is not read at all."""
    name = clean_name(file.name)
    if file.size > limit:
        raise BadInput(
            f"'{name}' has {shown_size(file.size)}, and the {rep.mailbox} mailbox of {rep.name} takes "
            f"{shown_size(limit)}: make it smaller, or put a link in its place"
        )
    content = file.read()
    if not content:
        raise BadInput(f"'{name}' is empty: choose it again when something is in it")
    digest = hashlib.sha256(content).hexdigest()
    return Upload(id=secrets.token_hex(8), name=name, hash=digest, size=len(content)), content


def _with(written: Written, upload: Upload) -> Written:
    if any((one.name, one.hash) == (upload.name, upload.hash) for one in written.uploads):
        return written
    others = (one for one in written.uploads if one.name != upload.name)
    return replace(written, uploads=(*others, upload))


def _check(office: Office, letters: Letters, intent: Intent, written: Written, upload: Upload) -> None:
    """Raise `BadInput` when a mail cannot carry what it would carry with a file."""
    if len(written.attachments) + len(written.uploads) > MOST_FILES:
        raise BadInput(f"'{upload.name}' would be one too many: a mail carries {MOST_FILES} files at most")
    try:
        images = letters.compose(intent, saying=written).images
    except BadInput:
        images = ()  # what it lacks is told elsewhere
    heavy = too_heavy(office, office.reps[intent.rep], written, images=images)
    if heavy:
        raise BadInput(f"'{upload.name}' was not attached: with it {heavy}")
