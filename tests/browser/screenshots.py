"""Pictures of the six main pages for the docs, by day and by night: `python -m tests.browser.screenshots`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.browser.center import PEOPLE, REP, happened, open_center, task_of
from tests.browser.window import Window, chromium

_FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"


def take_pictures(folder: Path) -> None:
    """Write `<page>-<light or dark>.png`, 1280 x 800."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as made,
        chromium() as browser,
        open_center(browser, Path(made), prepare=happened) as center,
    ):
        pages = {
            "tasks": "/tasks",
            "compose": f"/tasks/{task_of(center.world, PEOPLE[3].email).intent.key}/compose",
            "feed": "/feed",
            "campaign": "/campaigns/Autumn%20outreach",
            "person": f"/people/{PEOPLE[1].email}",
            "numbers": "/numbers",
        }
        for scheme in ("light", "dark"):
            window = Window.of(browser, center.url, center.visitors.cookies(REP), color_scheme=scheme)
            for name, path in pages.items():
                window.open(path)
                window.page.wait_for_timeout(500)
                window.page.screenshot(path=folder / f"{name}-{scheme}.png")
            window.close()


if __name__ == "__main__":
    take_pictures(_FOLDER)
