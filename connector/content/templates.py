"""Templates as files: front matter, subject and body, checked.

Lives here: reading a template file, what its front matter may say, every fault with its line in the file.
Does not live here: the language inside (`language`), rendering a mail (`compose`).
Source: spec interfaces 1, sequencing 7.

    ---
    subject: "Hello {{first_name}}"
    attachments: [price-list.pdf]
    ---
    Hi {{first_name}}, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from connector.content.fields import SIGNATURE, UNSUBSCRIBE
from connector.content.images import IMAGE_TYPES, file_named, images_in, is_beside, sources_in
from connector.content.language import PRIVATE, Compiled, Escaping, compile_source, evaluate
from connector.content.markup import AS_HTML
from connector.errors import BadInput, Fault, Severity

#: Formats of a body, by the end of the file's name.
FORMATS = ("html", "md", "txt")

_ESCAPING = {"html": Escaping.HTML, "md": Escaping.MARKDOWN, "txt": Escaping.PLAIN}
_FENCE = "---"

#: A style sheet or attribute that fetches something.
_STYLE_FETCHES = re.compile(r"(<style\b[^<]*?|\bstyle\s*=\s*(\"[^\"]*?|'[^']*?))\burl\s*\(", re.IGNORECASE)

#: Most characters of an address that a sentence shows; a picture written out as data: is long.
_SHOWN = 60

#: Takes note of a fault: sentence and line.
_Note = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A checked template. The same source always renders the same way: it is part of a campaign's version."""

    name: str
    #: html, md or txt.
    format: str
    #: Liquid; "" when it has none, which only a follow-up may.
    subject: str
    #: Liquid in the template's format.
    body: str = field(repr=False)
    #: Names of files, relative to the folder of the templates.
    attachments: tuple[str, ...] = ()
    #: Files that the body shows as images, relative to the folder of the templates.
    images: tuple[str, ...] = ()
    #: The whole text of the file.
    source: str = field(default="", repr=False)
    #: Texts of the field prompts `{{! text }}` in subject and body.
    prompts: tuple[str, ...] = ()
    #: Paths of the fields used in subject and body, conditions included.
    fields: frozenset[str] = frozenset()

    @property
    def compiled_subject(self) -> Compiled:
        """The subject, parsed (once)."""
        return _compiled(self.subject, Escaping.PLAIN)

    @property
    def compiled_body(self) -> Compiled:
        """The body, parsed (once)."""
        return _compiled(self.body, _ESCAPING[self.format])

    def line_of(self, text: str) -> int | None:
        """Return the first line of the file that says this, counted from 1; None when none does."""
        found = self.source.find(text)
        return None if found < 0 else self.source.count("\n", 0, found) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A step's name or notes: Liquid in plain text."""

    source: str
    #: What it is, for errors: "the name of the call".
    where: str = ""
    prompts: tuple[str, ...] = ()
    fields: frozenset[str] = frozenset()

    def render(self, fields: Mapping[str, Any]) -> str:
        """Return the text for one person; raise `Unresolved` when a field has no value."""
        return PRIVATE.sub("", evaluate(_compiled(self.source, Escaping.PLAIN), fields, self.where or "the text"))


def parse_text(source: str, *, where: str = "", file: str | None = None, line: int | None = None) -> Text:
    """Return a checked name or notes; raise `BadInput` with every fault.

    `line` is where the text starts in the file.
    """
    compiled, mistakes = compile_source(source, Escaping.PLAIN)
    if compiled is None:
        first = line or 1
        raise BadInput.of(
            [Fault(sentence=m.sentence, file=file, line=first + m.line - 1, where=where or None) for m in mistakes]
        )
    return Text(source=source, where=where, prompts=compiled.prompts, fields=compiled.fields)


def parse_template(name: str, source: str, format: str, file: str | None = None) -> Template:  # noqa: A002 - the field's word
    """Return a checked template; raise `BadInput` with every fault, each with its line in the file."""
    template, faults = _read(name, source, format, file)
    if faults:
        raise BadInput.of(faults)
    return template


def _read(name: str, source: str, format: str, file: str | None) -> tuple[Template, list[Fault]]:  # noqa: A002
    """Return a template as far as it can be read, and every fault."""
    faults: list[Fault] = []

    def fault(sentence: str, line: int) -> None:
        faults.append(Fault(sentence=sentence, file=file, line=line, where=f"template '{name}'"))

    source = source.removeprefix("\ufeff").replace("\r\n", "\n")
    if format not in FORMATS:
        fault(f"a template is one of {', '.join(FORMATS)}, not '{format}'", 1)
        return Template(name=name, format=format, subject="", body=source), faults
    head, body, body_line = _split(source, fault)
    matter = _front_matter(head, fault)

    compiled: list[Compiled] = []
    for text, escaping, line in (
        (matter.subject, Escaping.PLAIN, matter.subject_line),
        (body, _ESCAPING[format], body_line),
    ):
        parsed, mistakes = compile_source(text, escaping)
        for mistake in mistakes:
            fault(mistake.sentence, line + mistake.line - 1)
        if parsed is not None:
            compiled.append(parsed)
            if escaping is Escaping.PLAIN and text is matter.subject:
                for misplaced in sorted(parsed.fields & {SIGNATURE, UNSUBSCRIBE}):
                    fault(f"{{{{{misplaced}}}}} belongs in the body, not in the subject", line)
    if not body.strip():
        fault("the template has no body; write the mail below the front matter", body_line)
    template = Template(
        name=name,
        format=format,
        subject=matter.subject,
        body=body,
        attachments=matter.attachments,
        images=images_in(AS_HTML[format](body)),
        source=source,
        prompts=tuple(prompt for part in compiled for prompt in part.prompts),
        fields=frozenset().union(*(part.fields for part in compiled)),
    )
    return template, faults


def load_templates(folder: Path) -> tuple[dict[str, Template], list[Fault]]:
    """Read every template of a folder; return the good ones by name, and the faults of the others."""
    templates: dict[str, Template] = {}
    faults: list[Fault] = []
    seen: dict[str, Path] = {}
    if not folder.is_dir():
        return {}, [Fault(sentence="the folder of the templates does not exist; make it", file=str(folder))]
    for path in sorted(folder.iterdir()):
        if path.suffix.lower().removeprefix(".") not in FORMATS or path.name.startswith(".") or not path.is_file():
            continue
        if path.stem in seen:
            sentence = f"there is already a template '{path.stem}' in {seen[path.stem].name}; rename one of the two"
            faults.append(Fault(sentence=sentence, file=str(path)))
            continue
        seen[path.stem] = path
        try:
            source = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            faults.append(Fault(sentence="the file is not UTF-8 text; save it as UTF-8", file=str(path), line=line))
            continue
        template, wrong = _read(path.stem, source, path.suffix.lower().removeprefix("."), str(path))
        faults += wrong
        if not wrong:
            templates[path.stem] = template
        for name in template.attachments:
            if not (folder / name).is_file():
                sentence = f"the attachment {name} is not there; it is looked for beside the templates"
                at = template.line_of(name)
                faults.append(Fault(sentence=sentence, file=str(path), line=at, where=f"template '{path.stem}'"))
        faults += _markup_faults(template, folder, path)
    return templates, faults


def _markup_faults(template: Template, folder: Path, path: Path) -> list[Fault]:
    """Return what is wrong with the images of a body, and what its styles say in vain, each with its line."""
    where = f"template '{template.name}'"
    faults = [
        Fault(
            sentence=sentence,
            file=str(path),
            line=template.line_of(source) or template.line_of(unquote(source)),
            where=where,
        )
        for source in sources_in(AS_HTML[template.format](template.body))
        if (sentence := image_fault(source, folder)) is not None
    ]
    if template.format != "txt" and (found := _STYLE_FETCHES.search(template.source)) is not None:
        sentence = "what a style fetches with url(...) is left out of the mail; show the picture with <img>"
        line = template.source.count("\n", 0, found.end()) + 1
        faults.append(Fault(sentence=sentence, file=str(path), line=line, where=where, severity=Severity.WARNING))
    return faults


def image_fault(source: str, folder: Path) -> str | None:
    """Return what is wrong with the address of an image, as a sentence; None when it can be shown.

    `folder` is that of the templates.
    """
    name = file_named(source)
    if name is None:
        if source.lower().startswith("https://"):
            return None
        shown = source if len(source) <= _SHOWN else f"{source[:_SHOWN]}..."
        return f"the image {shown} is left out of the mail; put a file beside the templates, or use an https address"
    if not is_beside(name):
        return f"the image {name} lies outside the folder of the templates; put it beside them"
    if PurePosixPath(name).suffix.lower() not in IMAGE_TYPES:
        return f"the image {name} is of a kind that mail programs do not show; use {', '.join(sorted(IMAGE_TYPES))}"
    if not (folder / name).is_file():
        return f"the image {name} is not there; it is looked for beside the templates"
    return None


def _compiled(source: str, escaping: Escaping) -> Compiled:
    compiled, mistakes = compile_source(source, escaping)
    if compiled is None:
        raise BadInput(*(mistake.sentence for mistake in mistakes))
    return compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matter:
    subject: str = ""
    subject_line: int = 1
    attachments: tuple[str, ...] = ()


def _split(source: str, fault: _Note) -> tuple[str, str, int]:
    """Return front matter, body and the body's first line in the file."""
    lines = source.split("\n")
    if lines[0].rstrip() != _FENCE:
        return "", source, 1
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == _FENCE:
            # The line of the first fence is kept empty, so that YAML counts lines as the file does.
            return "\n".join(["", *lines[1:number]]), "\n".join(lines[number + 1 :]), number + 2
    fault("the front matter is not closed; end it with a line that holds --- alone", 1)
    return "", "", len(lines)


def _front_matter(head: str, fault: _Note) -> _Matter:
    try:
        matter = _load_yaml(head, fault)
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        hint = " (text that begins with {{ must stand in quotes)" if "{{" in head else ""
        fault(
            f"the front matter is not YAML: {getattr(error, 'problem', None) or error}{hint}",
            mark.line + 1 if mark else 1,
        )
        return _Matter()
    if matter is None:
        return _Matter()
    if not isinstance(matter, CommentedMap):
        fault("the front matter must be lines such as `subject: Hello`", 2)
        return _Matter()

    def line(key: str) -> int:
        return int(matter.lc.key(key)[0]) + 1

    subject = ""
    attachments: tuple[str, ...] = ()
    for key, value in matter.items():
        if key == "subject":
            if isinstance(value, str):
                subject = value
            else:
                hint = "; text that begins with {{ must stand in quotes" if isinstance(value, dict) else ""
                fault(f"subject must be one line of text{hint}", line(key))
        elif key == "attachments":
            attachments = _attachments(value, lambda sentence: fault(sentence, line("attachments")))
        else:
            fault(f"there is no '{key}' in a front matter; there are subject and attachments", line(key))
    return _Matter(
        subject=" ".join(subject.split()),
        subject_line=line("subject") if "subject" in matter else 1,
        attachments=attachments,
    )


def _load_yaml(head: str, fault: _Note) -> Any:
    try:
        return YAML(typ="rt", pure=True).load(head)
    except DuplicateKeyError as error:
        # Told, and read all the same: the rest may have faults of its own.
        fault("the front matter says this twice; keep one of them", error.problem_mark.line + 1)
        yaml = YAML(typ="rt", pure=True)
        yaml.allow_duplicate_keys = True
        return yaml.load(head)


def _attachments(value: object, fault: Callable[[str], None]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        fault("attachments must be a list of file names, such as [price-list.pdf]")
        return ()
    for name in value:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            fault(f"the attachment {name} lies outside the folder of the templates; put it beside them")
    return tuple(str(name) for name in value)
