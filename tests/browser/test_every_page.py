"""Every page there is: people who see, hear or move otherwise can use it, by day and by night."""

from __future__ import annotations

import pytest

from tests.browser.axe import grave_faults
from tests.browser.center import ADMIN, REP, Center
from tests.browser.places import NO_PAGES, Places, find_places, page_routes
from tests.browser.window import Window

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def places(center: Center) -> Places:
    return find_places(center, ADMIN)


def test_links_lead_to_every_page_and_to_nothing_else(center: Center, places: Places) -> None:
    """So that no page is missed below, and none is a place that people cannot find."""
    routes = {route.path for route in page_routes(center)}
    assert places.dead == {}
    assert routes - set(places.pages) - set(NO_PAGES) == set()
    assert set(NO_PAGES) - routes == set()


def test_axe_finds_nothing_grave(center: Center, places: Places, windows: list[Window]) -> None:
    """What comes of a form (a plan of a launch) is looked at in the walk."""
    found: list[str] = []
    for user, paths in ((ADMIN, places.one_each), (REP, ["/tasks", "/feed"]), (None, ["/sign-in"])):
        window = center.window(user)
        windows.append(window)
        for path in paths:
            found += grave_faults(window.open(path))
    assert found == []


def test_every_page_fits_a_narrow_screen(center: Center, places: Places, windows: list[Window]) -> None:
    window = center.window(ADMIN, viewport={"width": 320, "height": 640})
    windows.append(window)
    wide = {}
    for path in places.all:
        page = window.open(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 320:
            wide[path] = width
    assert wide == {}
