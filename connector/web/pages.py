"""Pages: a template of this package, filled in, with every value escaped, in the language of the one who looks.

Lives here: `page`, `fragment`, `error_page`. Does not live here: their headers (`guard`), what they say (the routes).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from connector import __version__
from connector.web import i18n


def _as_sentence(text: str) -> str:
    """Return one of our sentences as it stands on a page: a capital first, but in an address, and a full stop last."""
    begun = text if "@" in text.partition(" ")[0] else text[:1].upper() + text[1:]
    return begun if begun.endswith((".", "!", "?", ":")) else f"{begun}."


def _asset(name: str) -> str:
    """Return the address of a file of ours; another release has another, so that browsers may keep it."""
    return f"/static/{name}?v={__version__}"


def _when(instant: datetime | None) -> str:
    if instant is None:
        return ""
    return Markup('<time datetime="{}">{}</time>').format(instant.isoformat(), i18n.when(instant))


@pass_context
def _csrf_field(context: Context) -> str:
    return Markup('<input type="hidden" name="csrf" value="{}">').format(context["csrf"])


_TEMPLATES = Environment(
    loader=PackageLoader(__package__ or "connector.web"),
    autoescape=True,  # whatever a template's name ends with
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
)
_TEMPLATES.install_gettext_callables(i18n.gettext, i18n.ngettext, newstyle=True)  # type: ignore[attr-defined]
_TEMPLATES.filters |= {
    "as_sentence": _as_sentence,
    "when": _when,
    "clock": i18n.clock,
    "day": i18n.day,
    "ago": i18n.ago,
    "number": i18n.number,
    "percent": i18n.percent,
    "size": i18n.size,
}
_TEMPLATES.globals |= {"asset": _asset, "csrf_field": _csrf_field, "language_tag": i18n.tag}


def is_htmx(request: Request) -> bool:
    """Tell whether a page of ours asks for a part of itself."""
    return request.headers.get("HX-Request") == "true"


def page(request: Request | None, template: str, *, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a template's page; every value is text, never markup."""
    return HTMLResponse(_rendered(request, template, title=title, **values), status_code=status)


def fragment(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a part of a page, for htmx to put in its place."""
    return HTMLResponse(_rendered(request, template, **values), status_code=status)


def error_page(status: int, title: str, *sentences: str, request: Request | None = None) -> HTMLResponse:
    """Return a page that says what is wrong and what to do."""
    return page(request, "error.html", title=title, status=status, sentences=sentences)


def _rendered(request: Request | None, template: str, **values: Any) -> str:
    state = {} if request is None else request.state._state  # noqa: SLF001 - Starlette has no other way to look
    common = {
        "user": state.get("user"),
        "csrf": state.get("csrf", ""),
        "path": "" if request is None else request.url.path,
    }
    return _TEMPLATES.get_template(template).render(common | values)
