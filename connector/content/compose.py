"""A whole email: rendered, cleaned, with its plain-text alternative, alone or as a follow-up.

Lives here: from a template and fields to subject, HTML and text; where signature and unsubscribe text go; how the
previous email is quoted. Does not live here: what fields have values (`fields`, `language`), MIME (`mime`).
Source: spec sequencing 7.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

import css_inline
import nh3
from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_document_state import HtmlDocumentState
from inscriptis.model.tag import CustomHtmlTagHandlerMapping
from liquid import Markup
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from connector.content.fields import UNSUBSCRIBE
from connector.content.language import PRIVATE, PROMPT_CLOSES, PROMPT_OPENS, evaluate_all
from connector.content.templates import Template

#: Stand in rendered text where the signature and the unsubscribe text belong.
_SIGNATURE_PLACE, _UNSUBSCRIBE_PLACE = "\ue000", "\ue001"


#: What mail programs show. Scripts, forms, frames and event attributes are left out.
_TAGS = nh3.ALLOWED_TAGS | {"font"}
_ATTRIBUTES = {tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
for _tag, _names in {
    "*": {"style", "title", "dir", "lang", "align"},
    "img": {"border"},
    "table": {"width", "border", "cellpadding", "cellspacing", "bgcolor", "role"},
    "td": {"width", "height", "valign", "bgcolor"},
    "th": {"width", "height", "valign", "bgcolor"},
    "font": {"color", "face", "size"},
}.items():
    _ATTRIBUTES[_tag] = _ATTRIBUTES.get(_tag, set()) | _names

_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    clean_content_tags={"script", "style", "title"},
    url_schemes={"http", "https", "mailto", "tel", "cid"},
    link_rel=None,
)
#: Style sheets inside the mail only: nothing is fetched and no file is opened.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False)
_STYLE_SHEET = re.compile(r"<style\b", re.IGNORECASE)
_STYLE_LINK = re.compile(r"<(link|base)\b[^>]*>", re.IGNORECASE)

_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
_PROMPT = re.compile(f"{PROMPT_OPENS}(.*?){PROMPT_CLOSES}", re.DOTALL)
_REPLY_MARK = re.compile(r"\s*re\s*:", re.IGNORECASE)
_REFERENCE = re.compile(r"&#(\d+);")

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
    mine = {**fields.get("my", {}), "signature": Markup(_SIGNATURE_PLACE) if signature.strip() else ""}
    placed = {**fields, "my": mine, UNSUBSCRIBE: Markup(_UNSUBSCRIBE_PLACE) if unsubscribe_html.strip() else ""}
    subject, body = evaluate_all(
        (template.compiled_subject, template.compiled_body), placed, f"template '{template.name}'"
    )
    if as_quoted:
        subject, body = _PROMPT.sub("", subject), _PROMPT.sub("", body)
    prompts = tuple(html.unescape(found) for part in (subject, body) for found in _PROMPT.findall(part))
    page = _AS_HTML[template.format](body)
    page = _put(page, _SIGNATURE_PLACE, signature)
    page = _put(page, _UNSUBSCRIBE_PLACE, unsubscribe_html)
    page = clean(PRIVATE.sub("", page))
    return Rendered(
        subject=_one_line(PRIVATE.sub("", subject)),
        html=page,
        text=plain_text(page),
        prompts=tuple(dict.fromkeys(_prompt_text(prompt) for prompt in prompts)),
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
    return _one_line(f"On {day} at {at:%H:%M}, {name} wrote:")


def clean(page: str) -> str:
    """Return HTML fit for a mail: style sheets inlined, nothing that runs or is fetched by us."""
    if _STYLE_SHEET.search(page):
        page = _INLINER.inline(_STYLE_LINK.sub("", page))
    return _CLEANER.clean(page).strip()


def _one_line(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _prompt_text(shown: str) -> str:
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


class _Renderer(RendererHTML):
    """Shows values inside code as what they are: Markdown does not read character references there."""

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        _read_references(tokens[idx])
        return super().code_inline(tokens, idx, options, env)

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        _read_references(tokens[idx])
        return super().code_block(tokens, idx, options, env)

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        _read_references(tokens[idx])
        return super().fence(tokens, idx, options, env)


def _read_references(token: Token) -> None:
    token.content = _REFERENCE.sub(lambda found: chr(int(found[1])), token.content)


#: HTML of the author's own is let through here and cleaned afterwards like every other body.
_MARKDOWN = MarkdownIt("commonmark", {"html": True}, renderer_cls=_Renderer).enable(["table", "strikethrough"])


def _html_of_markdown(body: str) -> str:
    return str(_MARKDOWN.render(body))


def _html_of_text(body: str) -> str:
    paragraphs = re.split(r"\n\s*\n", body.strip())
    return "\n".join(f"<p>{html.escape(p).replace(chr(10), '<br>')}</p>" for p in paragraphs)


_AS_HTML: Mapping[str, Callable[[str], str]] = {"md": _html_of_markdown, "txt": _html_of_text, "html": str}


# A link is written between private marks, because its text is known only after its end.
_LINK, _TARGET = "\ue000", "\ue001"
_SHOWN_LINK = re.compile(f"{_LINK}([^{_LINK}]*?){_TARGET}([^{_LINK}]*?){_LINK}")


def _open_link(state: HtmlDocumentState, attributes: dict[str, str]) -> None:
    state.link_target = attributes.get("href", "")
    if state.link_target:
        state.tags[-1].write(_LINK)


def _close_link(state: HtmlDocumentState) -> None:
    if state.link_target:
        state.tags[-1].write(f"{_TARGET}{state.link_target}{_LINK}")
        state.link_target = ""


_AS_TEXT = ParserConfig(
    css=CSS_PROFILES["strict"].copy(),
    custom_html_tag_handler_mapping=CustomHtmlTagHandlerMapping(
        start_tag_mapping={"a": _open_link}, end_tag_mapping={"a": _close_link}
    ),
)


def _show_link(found: re.Match[str]) -> str:
    text, target = found[1].strip(), found[2].strip()
    if not text or text in {target, target.removeprefix("mailto:")}:
        return text or target
    return f"{text} ({target})"


def plain_text(page: str) -> str:
    """Return clean HTML as plain text; a link is shown as `text (address)`."""
    # inscriptis reads character references once more after the parser did.
    kept = page.replace("&amp;", "&amp;amp;")
    text = _SHOWN_LINK.sub(_show_link, get_text(f"<html><body>{kept}</body></html>", _AS_TEXT))
    lines = (line.rstrip() for line in PRIVATE.sub("", text).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
