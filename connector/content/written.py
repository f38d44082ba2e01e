"""What a rep writes in the compose window: a template with its fields filled in, as source to edit, and back to a mail.

Lives here: `write_out`, from a template to text that a person edits; `render_written`, from that text to a mail; which
fields a template takes from where. Does not live here: templates (`templates`), the mail itself (`compose`), what is
kept of it (`store.compositions`). Source: reference marketo 8, rules 26 to 28.

Fields are filled in once, when the text is written out; what a person types is not a template any more. Only two places
are still looked for, `{{my.signature}}` and `{{unsubscribe}}`. Whatever else stands in double braces was forgotten: a
field without a value, or a field prompt. It may be kept, and not be sent.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from liquid import Markup

from connector.content.compose import (
    CONTROL,
    PROMPT,
    SIGNATURE_PLACE,
    UNSUBSCRIBE_PLACE,
    Rendered,
    finish,
    one_line,
    prompt_text,
)
from connector.content.fields import SIGNATURE, STAND_INS, UNSUBSCRIBE
from connector.content.images import IMAGE_TYPES, images_in
from connector.content.language import PRIVATE, Escaping, escaped, evaluate_as_far, left_field
from connector.content.markup import AS_HTML
from connector.content.templates import Template
from connector.content.traced import Traced

#: Most characters of a text and of its subject.
LONGEST_BODY, LONGEST_SUBJECT = 200_000, 998

_PLACES = {left_field(SIGNATURE): SIGNATURE_PLACE, left_field(UNSUBSCRIBE): UNSUBSCRIBE_PLACE}
_LEFT = re.compile(r"\{\{(?P<said>[^{}]*)\}\}")

#: References inside a value that mean nothing to Markdown after a letter or a digit: they are shown as what they are.
_REFERENCES = re.compile(r"(?<=[^\W_])(?:&#(?:32|38|39|44|45|46|47|58|63|64);)+(?P<goes_on>\w)?")
_REFERENCE = re.compile(r"&#(\d+);")
#: How Liquid names a column that is no word: `custom['Job level']`.
_BRACKETS = re.compile(r"\[(['\"])(.*?)\1\]")
_BREAKS_AROUND = re.compile(r"\A\n+|\n+\Z")
_SPACES, _SPACES_AROUND = re.compile(r"\s+"), re.compile(r"\A\s+|\s+\Z")


class FieldSource(StrEnum):
    """Where the value of a field comes from."""

    PERSON = "person"
    CRM = "crm"
    REP = "rep"
    #: The template says what stands there instead, or the field may be left out.
    FALLBACK = "fallback"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeField:
    """One field of a template, and what it came to for one person."""

    path: str
    source: FieldSource
    #: "" where the template has a fallback, or nothing.
    value: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that a person uploaded for one mail."""

    id: str
    name: str
    #: SHA-256 of its bytes, in hexadecimal digits: other bytes make another mail.
    hash: str
    #: In bytes.
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A mail as a person edits it."""

    #: md, html or txt: how the body is read.
    format: str
    subject: str
    body: str = field(repr=False)
    #: Names of files beside the templates.
    attachments: tuple[str, ...] = ()
    uploads: tuple[Upload, ...] = ()

    @property
    def left(self) -> tuple[str, ...]:
        """What stands in double braces still, each once: names of fields, and field prompts with their `!`."""
        found = (one_line(said["said"]) for part in (self.subject, self.body) for said in left_in(part))
        return tuple(dict.fromkeys(found))

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the field prompts ask for that nobody replaced."""
        return tuple(one.removeprefix("!").strip() for one in self.left if one.startswith("!"))

    @property
    def missing(self) -> tuple[str, ...]:
        """The fields that have no value."""
        return tuple(one for one in self.left if not one.startswith("!"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenOut:
    """What a template came to for one person, before anybody changed it."""

    subject: Traced
    body: Traced


def left_in(text: str) -> Iterator[re.Match[str]]:
    """Return what stands in double braces in a text to edit and was forgotten there; `said` is what they hold."""
    return (found for found in _LEFT.finditer(text) if found[0] not in _PLACES)


def write_out(template: Template, fields: Mapping[str, Any], *, signature: str, unsubscribes: bool) -> Written:
    """Return a template for one person as text to edit; a field without a value is left in as `{{field}}`.

    Raises `BadInput` when it cannot be rendered at all.
    """
    out = trace_out(template, fields, signature=signature, unsubscribes=unsubscribes)
    return Written(
        format=template.format, subject=out.subject.text, body=out.body.text, attachments=template.attachments
    )


def trace_out(template: Template, fields: Mapping[str, Any], *, signature: str, unsubscribes: bool) -> WrittenOut:
    """Return the same, knowing which stretches of it came from fields."""
    mine = {**fields.get("my", {}), "signature": Markup(SIGNATURE_PLACE) if signature.strip() else ""}
    placed = {**fields, "my": mine, UNSUBSCRIBE: Markup(UNSUBSCRIBE_PLACE) if unsubscribes else ""}
    parts = (template.compiled_subject, template.compiled_body)
    (subject, body), missing = evaluate_as_far(parts, placed, f"template '{template.name}'")
    if template.format == "md":
        for name in missing:
            body = body.sub(re.compile(re.escape(escaped(left_field(name), Escaping.MARKDOWN))), left_field(name))
        body = body.sub(_REFERENCES, _readable)
    plain = template.format == "txt"
    body = body.sub(PROMPT, lambda found: f"{{{{! {_prompt(found[1], plain=plain)} }}}}")
    for source, place in _PLACES.items():
        body = body.sub(re.compile(place), source, count=1)
    return WrittenOut(
        subject=_one_line(subject.sub(PROMPT, lambda found: f"{{{{! {_prompt(found[1], plain=True)} }}}}")),
        body=body.sub(PRIVATE, "").sub(_BREAKS_AROUND, ""),
    )


def render_written(
    written: Written, *, signature: str, unsubscribe_html: str = "", as_quoted: bool = False
) -> Rendered:
    """Return what a person wrote as a mail; what stands in double braces still are its prompts.

    `as_quoted` leaves that out: what was put in its place is not known (decision 7).
    """
    if as_quoted:
        written = replace(written, subject=_without_left(written.subject), body=_without_left(written.body))
    page = AS_HTML[written.format](_placed(PRIVATE.sub("", written.body)))
    named = {name for name in images_in(page) if PurePosixPath(name).suffix.lower() in IMAGE_TYPES}
    return finish(
        written.subject,
        page,
        signature=signature,
        unsubscribe_html=unsubscribe_html,
        prompts=tuple(one.removeprefix("!").strip() for one in written.left),
        images={*named, *images_in(signature)},
    )


def merge_fields(template: Template, fields: Mapping[str, Any], written: Written) -> tuple[MergeField, ...]:
    """Return the fields a template uses, in order of name; `written` is what it came to."""
    missing = set(written.missing)
    paths = sorted({_BRACKETS.sub(r".\2", path) for path in template.fields} - {SIGNATURE, UNSUBSCRIBE})
    return tuple(_merge_field(path, fields, missing) for path in paths)


def _merge_field(path: str, fields: Mapping[str, Any], missing: set[str]) -> MergeField:
    group, _, name = path.partition(".")
    value = fields.get(group)
    if isinstance(value, Mapping):
        value = value.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        if path in missing:
            return MergeField(path=path, source=FieldSource.MISSING)
        return MergeField(path=path, source=FieldSource.FALLBACK, value=STAND_INS.get(path, ""))
    source = {"my": FieldSource.REP, "sfdc": FieldSource.CRM}.get(group, FieldSource.PERSON)
    return MergeField(path=path, source=source, value=str(value))


def _one_line(text: Traced) -> Traced:
    """Do as `one_line` does."""
    return text.sub(CONTROL, " ").sub(_SPACES, " ").sub(_SPACES_AROUND, "")


def _readable(found: re.Match[str]) -> str:
    """Show references as characters, except where they would begin a list: `1.` and a space."""
    run, before = found[0], found.string[found.start() - 1]
    begins_list = before.isdigit() and run.startswith("&#46;") and run != f"&#46;{found['goes_on']}"
    if begins_list:
        return run
    return _REFERENCE.sub(lambda one: "&amp;" if one[1] == "38" else chr(int(one[1])), run)


def _prompt(shown: str, *, plain: bool) -> str:
    return prompt_text(shown if plain else html.unescape(shown))


def _placed(source: str) -> str:
    for written, place in _PLACES.items():
        source = source.replace(written, place)
    return source


def _without_left(source: str) -> str:
    return _LEFT.sub(lambda found: found[0] if found[0] in _PLACES else "", source)
