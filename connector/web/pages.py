"""Pages: a template of this package, filled in, with every value escaped.

Lives here: `page`, `error_page`. Does not live here: their headers (`guard`), what they say (the routes).
"""

from __future__ import annotations

from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined


def _as_sentence(text: str) -> str:
    """Return one of our sentences as it stands on a page: a capital first, a full stop last."""
    begun = text[:1].upper() + text[1:]
    return begun if begun.endswith((".", "!", "?", ":")) else f"{begun}."


_TEMPLATES = Environment(
    loader=PackageLoader(__package__ or "connector.web"),
    autoescape=True,  # whatever a template's name ends with
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["as_sentence"] = _as_sentence


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a template's page; every value is text, never markup."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values), status_code=status)


def error_page(status: int, title: str, *sentences: str) -> HTMLResponse:
    """Return a page that says what is wrong and what to do."""
    return page("error.html", status=status, title=title, sentences=sentences)
