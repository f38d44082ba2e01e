"""Fixtures: the web app of a world, and the browser at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.site import CAMPAIGN, Site, Sites
from tests.web.visitors import ANA, Browser, Visitors
from tests.world import World, WorldMaker


@pytest.fixture
def serve() -> Iterator[Sites]:
    """Serve the web app of a world: `serve(world)`."""
    sites = Sites()
    yield sites
    sites.stop()


@pytest.fixture
def site(make_world: WorldMaker, serve: Sites) -> Site:
    """The web app of a world in which nothing happened yet; nobody is signed in."""
    return serve(make_world(campaign=CAMPAIGN))


@pytest.fixture(scope="module")
def visitors(world: World) -> Iterator[Visitors]:
    """Who comes to the web app of the module's own `world`."""
    visitors = Visitors.of(world)
    yield visitors
    visitors.leave()


@pytest.fixture(scope="module")
def ana(visitors: Visitors) -> Browser:
    """Ana's browser."""
    return visitors.browser(ANA)
