"""A whole email: rendered, cleaned, with its plain-text alternative, alone or as a follow-up.

Lives here: from a template and fields to subject, HTML and text; where signature and unsubscribe text go; how the
previous email is quoted. Does not live here: what fields have values (`fields`, `language`), markup itself (`markup`,
`images`), MIME (`mime`).
Source: spec sequencing 7.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from liquid import Markup

from connector.content.fields import UNSUBSCRIBE
from connector.content.images import embed, images_in
from connector.content.language import PRIVATE, PROMPT_CLOSES, PROMPT_OPENS, evaluate_all
from connector.content.markup import AS_HTML, clean, plain_text
from connector.content.templates import Template

#: Stand in rendered text where the signature and the unsubscribe text belong.
SIGNATURE_PLACE, UNSUBSCRIBE_PLACE = "\ue000", "\ue001"

#: What no subject may hold.
CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
#: A field prompt in rendered text.
PROMPT = re.compile(f"{PROMPT_OPENS}(.*?){PROMPT_CLOSES}", re.DOTALL)
_REPLY_MARK = re.compile(r"\s*re\s*:", re.IGNORECASE)

_OPEN_PARAGRAPH = re.compile(r"<p\b(?!.*</p>)", re.IGNORECASE | re.DOTALL)
_EMPTY_PARAGRAPH = re.compile(r"<p\b[^>]*>\s*</p>$", re.IGNORECASE)
_EMPTY_PARAGRAPH_FIRST = re.compile(r"^<p>\s*</p>", re.IGNORECASE)
_BREAKS_AT_END = re.compile(r"(?:\s|<br\s*/?>)+$", re.IGNORECASE)

_QUOTE_STYLE = "margin:0 0 0 0.8ex;border-left:1px solid #ccc;padding-left:1ex"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An email for one person."""

    #: One line; "" when the template has none.
    subject: str
    html: str = field(repr=False)
    text: str = field(repr=False)
    #: Texts of the field prompts still to be replaced by the rep; a send with any is refused.
    prompts: tuple[str, ...] = ()
    #: Files beside the templates that the HTML shows as images, each once.
    images: tuple[str, ...] = ()


def render(
    template: Template,
    fields: Mapping[str, Any],
    *,
    signature: str,
    unsubscribe_html: str = "",
    as_quoted: bool = False,
) -> Rendered:
    """Return the template for one person.

    `signature` and `unsubscribe_html` are HTML; each goes where its field stands, else at the end, once.
    `as_quoted` leaves field prompts out: what the rep put in their place is not known (decision 7).
    Raises `Unresolved` with the names of all fields of subject and body that have no value.
    """
    mine = {**fields.get("my", {}), "signature": Markup(SIGNATURE_PLACE) if signature.strip() else ""}
    placed = {**fields, "my": mine, UNSUBSCRIBE: Markup(UNSUBSCRIBE_PLACE) if unsubscribe_html.strip() else ""}
    subject, body = evaluate_all(
        (template.compiled_subject, template.compiled_body), placed, f"template '{template.name}'"
    )
    if as_quoted:
        subject, body = PROMPT.sub("", subject), PROMPT.sub("", body)
    prompts = tuple(html.unescape(found) for part in (subject, body) for found in PROMPT.findall(part))
    return finish(
        subject,
        AS_HTML[template.format](body),
        signature=signature,
        unsubscribe_html=unsubscribe_html,
        prompts=tuple(dict.fromkeys(prompt_text(prompt) for prompt in prompts)),
        # Only what the author wrote may name a file: a value of the CRM could name any of them.
        images={*template.images, *images_in(signature)},
    )


def finish(
    subject: str, page: str, *, signature: str, unsubscribe_html: str, prompts: tuple[str, ...], images: Collection[str]
) -> Rendered:
    """Return a mail whose fields are filled in: signature and unsubscribe text in their places, HTML cleaned.

    `images`: the files beside the templates that the page may show.
    """
    page = _put(page, SIGNATURE_PLACE, signature)
    page = _put(page, UNSUBSCRIBE_PLACE, unsubscribe_html)
    page, shown = embed(clean(PRIVATE.sub("", page)), images)
    return Rendered(
        subject=one_line(PRIVATE.sub("", subject)), html=page, text=plain_text(page), prompts=prompts, images=shown
    )


def compose_follow_up(own: Rendered, previous: Rendered, *, header: str) -> Rendered:
    """Return `own` with the previous email below it, quoted under the header line.

    The subject is its own, else "Re: " and the previous one.
    """
    quote = f'<div><br>{html.escape(header)}</div><blockquote style="{_QUOTE_STYLE}">{previous.html}</blockquote>'
    quoted = "\n".join(f"> {line}".rstrip() for line in previous.text.splitlines())
    return Rendered(
        subject=own.subject or reply_subject(previous.subject),
        html=f"{own.html}{quote}",
        text=f"{own.text}\n\n{header}\n{quoted}",
        prompts=tuple(dict.fromkeys((*own.prompts, *previous.prompts))),
        images=tuple(dict.fromkeys((*own.images, *previous.images))),
    )


def reply_subject(subject: str) -> str:
    """Return the subject of a reply: one "Re: ", never two."""
    return subject if _REPLY_MARK.match(subject) else f"Re: {subject}"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def quote_header(at: datetime, zone: tzinfo, name: str) -> str:
    """Return "On Mon, 23 Nov 2026 at 09:00, Ana Diaz wrote:", the instant shown in `zone`."""
    at = at.astimezone(zone)
    day = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}"
    return one_line(f"On {day} at {at:%H:%M}, {name} wrote:")


def one_line(text: str) -> str:
    """Return text without line breaks and control characters."""
    return " ".join(CONTROL.sub(" ", text).split())


def prompt_text(shown: str) -> str:
    """Return what a field prompt asks for: `{{! a line }}` -> `a line`."""
    return shown.removeprefix("{{!").removesuffix("}}").strip()


def _put(page: str, place: str, text: str) -> str:
    """Put the text at the first place marked for it, or at the end."""
    if not text.strip():
        return page
    block = f"<div>{text}</div>"
    before, found, after = page.partition(place)
    if not found:
        page = f"{page}\n{block}"
    elif _OPEN_PARAGRAPH.search(before):
        # A signature has paragraphs of its own, which cannot stand inside another.
        head = _EMPTY_PARAGRAPH.sub("", f"{_BREAKS_AT_END.sub('', before)}</p>")
        tail = _EMPTY_PARAGRAPH_FIRST.sub("", f"<p>{after.lstrip()}")
        page = f"{head}{block}{tail}"
    else:
        page = f"{before}{text}{after}"
    return page.replace(place, "")
