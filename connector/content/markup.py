"""Markup: Markdown and text become HTML, HTML is made fit for a mail, and read as plain text.

Lives here: `AS_HTML`, `clean`, `plain_text`. Does not live here: fields (`language`), images (`images`), the mail
(`compose`). Source: spec sequencing 7.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping

import cmarkgfm
import css_inline
import nh3
from cmarkgfm.cmark import Options
from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_document_state import HtmlDocumentState
from inscriptis.model.tag import CustomHtmlTagHandlerMapping

from connector.content.language import PRIVATE

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

#: What a style may not say: it fetches, runs, or hides in an escape that it does.
_NO_STYLE = re.compile(r"\\|(url|src|image|image-set|expression)\s*\(|behaviou?r\s*:|-moz-binding|@", re.IGNORECASE)


def _without_harm(_tag: str, attribute: str, value: str) -> str | None:
    if attribute != "style" or not _NO_STYLE.search(value):
        return value
    said = (part.strip() for part in value.split(";"))
    return "; ".join(part for part in said if ":" in part and not _NO_STYLE.search(part)) or None


_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    attribute_filter=_without_harm,
    clean_content_tags={"script", "style", "title"},
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel=None,
)
#: Style sheets inside the mail only: nothing is fetched and no file is opened.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False)
_STYLE_SHEET = re.compile(r"<style\b", re.IGNORECASE)
_STYLE_LINK = re.compile(r"<(link|base)\b[^>]*>", re.IGNORECASE)
#: HTML of the author's own is let through here and cleaned afterwards like every other body; `~10~` is no deletion.
_MARKDOWN = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_STRIKETHROUGH_DOUBLE_TILDE
#: Code as Markdown writes it, and a character reference in there.
_CODE = re.compile(r"<code[^>]*>.*?</code>", re.DOTALL)
_REFERENCE = re.compile(r"&amp;(#\d+;)")


def clean(page: str) -> str:
    """Return HTML fit for a mail: style sheets inlined, nothing that runs or is fetched by us."""
    if _STYLE_SHEET.search(page):
        page = _INLINER.inline(_STYLE_LINK.sub("", page))
    return _CLEANER.clean(page).strip()


def _html_of_markdown(body: str) -> str:
    page: str = cmarkgfm.markdown_to_html_with_extensions(  # type: ignore[no-untyped-call]  # it ships no types
        body, options=_MARKDOWN, extensions=["table", "strikethrough"]
    )
    return _CODE.sub(_read_references, page)


def _read_references(found: re.Match[str]) -> str:
    """Show values inside code as what they are: Markdown does not read character references there."""
    return _REFERENCE.sub(lambda one: html.escape(html.unescape(f"&{one[1]}")), found[0])


def _html_of_text(body: str) -> str:
    paragraphs = re.split(r"\n\s*\n", body.strip())
    return "\n".join(f"<p>{html.escape(p).replace(chr(10), '<br>')}</p>" for p in paragraphs)


#: Format of a template -> what makes HTML of its body.
AS_HTML: Mapping[str, Callable[[str], str]] = {"md": _html_of_markdown, "txt": _html_of_text, "html": str}


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
