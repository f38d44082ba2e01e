"""Fixtures: the web app of a world, and the browser at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.site import CAMPAIGN, Site, Sites
from tests.world import WorldMaker


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
