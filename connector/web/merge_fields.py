"""Merge fields as the compose window shows them: numbered in its list, and marked in the mail.

Lives here: how people are told where a value comes from, what `compose/marked.html` is filled with. Does not live here:
which stretches of a mail came from fields (`content.marks`), the routes (`compose`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from connector.content.compose import one_line
from connector.content.marks import Mark, MarkKind, Piece
from connector.content.written import FieldSource, MergeField, Written, left_in
from connector.web.i18n import gettext as _


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    """One field of the template, as people are told of it."""

    #: The same in the list and in the mail.
    number: int
    path: str
    value: str = field(repr=False)
    source: FieldSource
    #: A short word for where it comes from, and the kind of its chip.
    chip: tuple[str, str]
    #: The same at length.
    told: str
    #: Its value was written over.
    edited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPiece:
    """A part of a mail, and what is told of it when it is marked."""

    content: str = field(repr=False)
    #: Class of its mark; "" for what bears none.
    kind: str = ""
    begins: bool = False
    numbers: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRow:
    """Something that is still to be written before the mail can be sent."""

    #: Id of the field that holds it: subject or body.
    place: str
    #: As it stands there.
    source: str
    told: str


def left_rows(written: Written) -> tuple[LeftRow, ...]:
    """Return what is still to be written, in order."""
    return tuple(
        LeftRow(place=place, source=found[0], told=_told_of_left(one_line(found["said"])))
        for place, text in (("subject", written.subject), ("body", written.body))
        for found in left_in(text)
    )


def field_rows(fields: Sequence[MergeField], crm: str, edited: Collection[str] = ()) -> tuple[FieldRow, ...]:
    """Return the rows of the list; `crm` is the name of its adapter, `edited` the fields that were written over."""
    shown = crm.title() or _("CRM")
    return tuple(
        FieldRow(
            number=number,
            path=one.path,
            value=one.value,
            source=one.source,
            chip=_chip(one.source, shown),
            told=_told(one, shown),
            edited=one.path in edited,
        )
        for number, one in enumerate(fields, start=1)
    )


def shown_pieces(pieces: Sequence[Piece], rows: Sequence[FieldRow]) -> tuple[ShownPiece, ...]:
    """Return the pieces of a marked mail as they are shown."""
    known = {row.path: row for row in rows}
    return tuple(_shown(piece, piece.mark, known) for piece in pieces)


def _told_of_left(said: str) -> str:
    if said.startswith("!"):
        return _("Replace: %(prompt)s", prompt=said.removeprefix("!").strip())
    return _("The field %(name)s has no value: write it in.", name=said)


def _shown(piece: Piece, mark: Mark | None, known: Mapping[str, FieldRow]) -> ShownPiece:
    if mark is None:
        return ShownPiece(content=piece.content)
    rows = [known[path] for path in mark.fields if path in known]
    if mark.kind is MarkKind.FIELD and not rows:
        return ShownPiece(content=piece.content)
    # What no field gave comes from the template: the text behind `default`.
    falls_back = mark.kind is MarkKind.FIELD and all(row.source is FieldSource.FALLBACK for row in rows)
    match mark.kind:
        case MarkKind.PROMPT:
            told = _("Replace: %(prompt)s", prompt=mark.asks)
        case MarkKind.MISSING:
            told = _("The field %(name)s has no value: write it in.", name=", ".join(mark.fields))
        case MarkKind.FIELD:
            told = "; ".join(f"{row.path}: {row.told}" for row in rows)
    return ShownPiece(
        content=piece.content,
        kind="fallback" if falls_back else mark.kind,
        begins=piece.begins,
        numbers=", ".join(str(row.number) for row in rows),
        told=told,
    )


def _chip(source: FieldSource, crm: str) -> tuple[str, str]:
    return {
        FieldSource.PERSON: (_("person"), ""),
        FieldSource.CRM: (crm, "good"),
        FieldSource.REP: (_("rep"), ""),
        FieldSource.FALLBACK: (_("fallback"), "warn"),
        FieldSource.MISSING: (_("missing"), "bad"),
    }[source]


def _told(one: MergeField, crm: str) -> str:
    name = one.path.partition(".")[2]
    match one.source:
        case FieldSource.PERSON:
            return _("from the list of people, column %(name)s", name=name or one.path)
        case FieldSource.CRM:
            return _("from %(crm)s, field %(name)s", crm=crm, name=name)
        case FieldSource.REP:
            return _("from connector.yaml, the rep's %(name)s", name=name)
        case FieldSource.FALLBACK:
            return _("no value; the template says what stands here instead")
        case FieldSource.MISSING:
            return _("no value; write it in")
