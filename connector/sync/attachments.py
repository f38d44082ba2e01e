"""Files that go along with a mail: read from beside the templates, and weighed before anything is sent.

Lives here: reading attachments and images, and whether a mailbox takes what a template carries. Does not live here:
which files a template names (`content`), the limits themselves (each mailbox's capabilities).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from connector.campaigns.model import Campaign
from connector.content.images import IMAGE_TYPES, content_id, images_in, sources_in
from connector.content.templates import Template, image_fault
from connector.content.written import Upload
from connector.errors import BadInput, Fault, Severity
from connector.people import Rep
from connector.ports import Attachment

#: Folder of the templates, within that of connector.yaml.
TEMPLATES = "templates"


def read_attachment(folder: Path, name: str) -> Attachment:
    """Return a file to attach; raise `BadInput` when it is not beside the templates. `folder`: of connector.yaml."""
    path = _beside(folder, name, "attachment")
    return Attachment(name=path.name, media_type=_media_type(path.name), content=_read(path, "attachment"))


def uploaded(upload: Upload, blobs: Mapping[str, bytes]) -> Attachment:
    """Return an uploaded file to attach; raise `BadInput` when its bytes are not among `blobs`, which go by hash."""
    if upload.hash not in blobs:
        raise BadInput(f"the uploaded file '{upload.name}' is not in the database any more: upload it again")
    return Attachment(name=upload.name, media_type=_media_type(upload.name), content=blobs[upload.hash])


def _media_type(name: str) -> str:
    media_type, packed = mimetypes.guess_type(name)
    return "application/octet-stream" if media_type is None or packed else media_type


def read_image(folder: Path, name: str) -> Attachment:
    """Return a file that the HTML shows; raise `BadInput` when it is not beside the templates."""
    path = _beside(folder, name, "image")
    # A table of our own: what the machine's knows of webp differs.
    media_type = IMAGE_TYPES.get(path.suffix.lower(), "application/octet-stream")
    content = _read(path, "image")
    return Attachment(name=path.name, media_type=media_type, content=content, content_id=content_id(name))


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(f"the {what} '{path.name}' cannot be read ({reason}): let the connector read it") from error


def _beside(folder: Path, name: str, what: str) -> Path:
    beside = (folder / TEMPLATES).resolve()
    path = (beside / name).resolve()
    if not path.is_relative_to(beside) or not path.is_file():
        raise BadInput(f"the {what} '{name}' is not beside the templates: put it there, or take it out")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a mail carries."""

    #: What carries it, for whoever is told.
    what: str
    #: Name of each file -> its size in bytes, the largest first.
    sizes: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int:
        """All of it together."""
        return sum(size for _, size in self.sizes)

    def too_large_for(self, rep: Rep, limit: int) -> str:
        """Say that a rep's mailbox takes no more than `limit` bytes."""
        files = ", ".join(f"{name} ({shown_size(size)})" for name, size in self.sizes)
        return (
            f"{self.what} carries {files}, {shown_size(self.bytes)} in all, and the {rep.mailbox} "
            f"mailbox of {rep.name} takes {shown_size(limit)}: make them smaller, or put a link in their place"
        )


def load_of(folder: Path, templates: Sequence[Template], *, signature: str) -> Load:
    """Return what a mail carries: the first template, and those whose mails it quotes, with their images.

    Raises `BadInput` when a file is not there, with the template and line that name it.
    """
    files = dict.fromkeys(templates[0].attachments, ("attachment", templates[0]))
    images: dict[str, tuple[str, Template | None]] = dict.fromkeys(images_in(signature), ("image", None))
    images |= {name: ("image", template) for template in reversed(templates) for name in template.images}
    sizes: list[tuple[str, int]] = []
    # A file that is attached and shown goes along twice.
    for name, (what, template) in (*files.items(), *images.items()):
        try:
            sizes.append((name, _beside(folder, name, what).stat().st_size))
        except BadInput as error:
            if template is None:
                raise
            file = str(folder / TEMPLATES / f"{template.name}.{template.format}")
            raise BadInput(Fault(sentence=str(error), file=file, line=template.line_of(name))) from error
    return _load(f"template '{templates[0].name}'", sizes)


def weigh(
    folder: Path, *, images: Iterable[str] = (), attachments: Iterable[str] = (), uploads: Iterable[Upload] = ()
) -> Load:
    """Return what a written mail carries; raise `BadInput` when a file is not there."""
    sizes = [(name, _beside(folder, name, "image").stat().st_size) for name in images]
    sizes += [(name, _beside(folder, name, "attachment").stat().st_size) for name in attachments]
    return _load("the mail", [*sizes, *((upload.name, upload.size) for upload in uploads)])


def _load(what: str, sizes: Iterable[tuple[str, int]]) -> Load:
    return Load(what=what, sizes=tuple(sorted(sizes, key=lambda size: -size[1])))


def loads_of(
    folder: Path, campaign: Campaign, templates: Mapping[str, Template], *, signature: str
) -> tuple[Load, ...]:
    """Return what each email of a campaign carries, in its order."""
    loads: list[Load] = []
    quoted: list[Template] = []
    for step in campaign.steps:
        if step.template is None:
            continue
        quoted = [templates[step.template], *(quoted if step.follow_up else [])]
        loads.append(load_of(folder, quoted, signature=signature))
    return tuple(loads)


def attachment_faults(
    settings_file: Path, templates: Iterable[Template], reps: Sequence[Rep], limits: Mapping[str, int]
) -> list[Fault]:
    """Return what templates carry and mailboxes do not take, and images of signatures that cannot be shown.

    `limits`: kind of mailbox that holds drafts -> bytes it takes. What some reps can send is a warning, for nobody
    knows yet who launches it; what nobody can send is an error.
    """
    folder = settings_file.parent
    faults = [
        Fault(sentence=f"in the signature {sentence}", file=str(settings_file), where=f"rep {rep.email}")
        for rep in reps
        for source in sources_in(rep.signature)
        if (sentence := image_fault(source, folder / TEMPLATES)) is not None
    ]
    able = [rep for rep in reps if rep.mailbox in limits]
    for template in templates:
        heavy: list[str] = []
        line: int | None = None
        for rep in able:
            with suppress(BadInput):  # a file that is not there was told with the template
                load = load_of(folder, [template], signature=rep.signature)
                if load.bytes > limits[rep.mailbox]:
                    heavy.append(load.too_large_for(rep, limits[rep.mailbox]))
                    line = template.line_of(load.sizes[0][0])
        severity = Severity.ERROR if len(heavy) == len(able) else Severity.WARNING
        file = str(folder / TEMPLATES / f"{template.name}.{template.format}")
        faults += [Fault(sentence=sentence, file=file, line=line, severity=severity) for sentence in heavy]
    return faults


def shown_size(size: int) -> str:
    """Return a number of bytes as people say it."""
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{max(size / 1000, 0.1):.1f} kB"
