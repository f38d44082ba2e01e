"""What axe-core finds on a page, by day and by night.

Lives here: `grave_faults`. Does not live here: which pages (`places`).
"""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = ("serious", "critical")
_SCRIPT = Axe().axe_script

#: What is told apart by colours alone is looked at in the dark as well.
_RULES: dict[str, dict[str, list[str]]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast", "link-in-text-block"]},
}


def grave_faults(page: Page) -> list[str]:
    """Return each serious or critical finding, with the first places of it."""
    page.evaluate(_SCRIPT)
    found = []
    for scheme, rules in _RULES.items():
        page.emulate_media(color_scheme=scheme)
        said = page.evaluate("(rules) => axe.run(rules)", {"resultTypes": ["violations"], **rules})
        for one in said["violations"]:
            if one["impact"] in _GRAVE:
                places = [node["html"][:120] for node in one["nodes"][:3]]
                found.append(f"{one['id']} at {page.url} ({scheme}): {places}")
    return found
