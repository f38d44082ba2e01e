"""The house itself: generated pages are up to date, every room is declared, nothing leaks a path or a host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connector.app import load_adapters

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], check=False)
    assert done.returncode == 0, "run python docs/generate.py"


def test_every_adapter_of_this_house_is_registered() -> None:
    folders = {path.parent.name for path in (ROOT / "adapters").glob("*/__init__.py")} - {"sandbox"}
    assert set(load_adapters()) == folders


@pytest.mark.parametrize(
    "path", sorted((ROOT / "connector").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_core_reads_no_clock(path: Path) -> None:
    if path.name == "app.py":
        pytest.skip("the composition root makes the clock")
    calls = re.findall(r"\b(?:datetime\.now|datetime\.today|date\.today|time\.time|utcnow)\(", path.read_text())
    assert calls == [], "time is an argument here"


def test_the_lock_file_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert all(re.match(r"^[A-Za-z0-9._-]+==[^ ]+( ; .+)?$", line) for line in text.splitlines() if line)
