"""An email as its person would see it, and the same with its merge fields marked.

Lives here: `preview`, `preview_marked`, `with_images`. Does not live here: what is written (`composing`), where marks
go (`content.marks`).
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from connector.content.images import content_id
from connector.content.marks import Marked, mark
from connector.content.templates import Template
from connector.content.written import MergeField, Written, merge_fields
from connector.sync.attachments import read_image
from connector.sync.composing import letters_of, present, traced
from connector.sync.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedMail:
    """A mail with its merge fields marked."""

    marked: Marked
    #: Of its template, in order of name.
    fields: tuple[MergeField, ...]


def preview(office: Office, key: str) -> str:
    """Return the HTML of the whole mail as its person would see it; images of ours stand in it.

    Raises `BadInput` for what is no email, or cannot be composed.
    """
    with office.database.read() as tx:
        stored, letters = letters_of(tx, office, key)
        _, written, _ = present(tx, letters, stored, office)
        letter = letters.compose(stored.intent, saying=written)
    return with_images(letter.html, office, letter.images)


def preview_marked(office: Office, project_templates: Mapping[str, Template], key: str) -> MarkedMail:
    """Return the same mail, subject and page, in pieces that say which field they came from."""
    with office.database.read() as tx:
        stored, letters = letters_of(tx, office, key)
        intent = stored.intent
        name, written, _ = present(tx, letters, stored, office)
        known = {**project_templates, **letters.templates_of(intent)}
        template = known.get(name, letters.template_of(intent))
        letter = letters.compose(intent, saying=written)

        def compose(saying: Written) -> tuple[str, str]:
            composed = letters.compose(intent, saying=saying)
            return composed.subject, composed.html

        marked = mark(written, traced(office, letters, intent, template), compose)
        fields = merge_fields(template, letters.fields_of(intent), written)
    page = tuple(replace(one, content=with_images(one.content, office, letter.images)) for one in marked.page)
    return MarkedMail(marked=replace(marked, page=page), fields=fields)


def with_images(page: str, office: Office, images: Iterable[str]) -> str:
    """Return the HTML of a mail with these of its images in it, which a mail carries beside it."""
    for name in images:
        shown_by = f"cid:{content_id(name)}"
        if shown_by in page:
            image = read_image(office.folder, name)
            shown = f"data:{image.media_type};base64,{base64.b64encode(image.content).decode()}"
            page = page.replace(shown_by, html.escape(shown))
    return page
