"""Node programs of others that judge the simulated services: installing them once, running a script or a server.

They are installed into the user's cache folder, by the lock file beside this module. A test that needs them is skipped
only where there is no node or npm (the dev extra brings both) or no package registry can be reached.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
#: What decides whether an installation is the right one.
_FILES = ("package.json", "package-lock.json", ".npmrc")


def find_program(name: str) -> str:
    """Return the path of node or npm: that of this environment first."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} is needed for programs that judge the sandbox; the dev extra brings it")
    return found


@cache
def install() -> Path:
    """Return the folder of the installed packages; install them when this lock file was not installed yet."""
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in _FILES)).hexdigest()[:16]
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sales-campaign-connector"
    place = cached / f"judges-{digest}"
    if not place.is_dir():
        cached.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached) as folder:
            made = Path(folder) / "judges"
            made.mkdir()
            for name in _FILES:
                shutil.copy(HERE / name, made)
            _npm_ci(made)
            try:
                made.rename(place)
            except OSError:
                assert place.is_dir(), "the packages could not be put into the cache folder"  # another run was first
    return place / "node_modules"


def _npm_ci(folder: Path) -> None:
    try:
        subprocess.run([find_program("npm"), "ci"], cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install the programs that judge the sandbox within five minutes")
    except subprocess.CalledProcessError as error:
        if any(sign in error.stderr for sign in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "E403")):
            pytest.skip("the npm registry cannot be reached to install the programs that judge the sandbox")
        raise AssertionError(error.stderr) from error


def run_script(name: str, given: Any) -> Any:
    """Run one of the scripts beside this module: JSON goes in at its standard input and comes out of it."""
    done = subprocess.run(
        [find_program("node"), str(HERE / name)],
        input=json.dumps(given),
        env={**os.environ, "NODE_PATH": str(install())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def serving(script: Path, *arguments: str, folder: Path | None = None) -> Iterator[str]:
    """Run a server of node until the end of the block, and yield the line by which it says where it listens."""
    with subprocess.Popen(
        [find_program("node"), str(script), *arguments],
        cwd=folder,
        env={**os.environ, "NODE_PATH": str(install())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            assert program.stdout is not None
            # If it ends before it listens, its output ends too.
            line = next((line for line in program.stdout if "http://" in line), None)
            assert line is not None, f"{script.name} ended without having started"
            yield line.strip()
        finally:
            # The environment's node is a script that starts the real one: both must end.
            os.killpg(program.pid, signal.SIGTERM)
