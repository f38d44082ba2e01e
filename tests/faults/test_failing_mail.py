"""A service that fails with one mail alone, each time, and says no time for another try: other mail goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.line import Answer, Asked, Line
from tests.world import BOB, TEMPLATES, WorldMaker, people

CAMPAIGN = """\
name: One
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""
LARGE = "---\nsubject: With a file\nattachments: [large.txt]\n---\nHello {{first_name}}\n"
TEXTS = {**TEMPLATES, "large.md": LARGE, "large.txt": "word " * 650_000}


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    opened: list[Line] = []
    yield opened
    for line in opened:
        line.close()


def test_a_mail_that_always_fails_holds_up_no_other(make_world: WorldMaker, lines: list[Line]) -> None:
    def reach(url: str) -> str:
        lines.append(Line(url))
        return lines[-1].url

    campaigns = {"one": CAMPAIGN, "large": CAMPAIGN.replace("One", "Large").replace("last", "large")}
    world = make_world(campaign=campaigns, templates=TEXTS, reps=[BOB], salesforce={"tasks": "off"}, line=reach)
    first, second = people(2)
    world.launch([first], rep=BOB["email"], campaign="Large")
    world.after(minutes=1)
    world.launch([second], rep=BOB["email"], campaign="One")
    failed = Answer(status=500, body={"error": {"code": "ErrorInternalServerError", "message": "Sorry."}})

    def fails_with_files(asked: Asked) -> Answer | None:
        return failed if asked.path.endswith("/createUploadSession") else None

    lines[0].fault = fails_with_files
    for _ in range(2):
        world.sync()
        world.after(minutes=1)
    assert [mail["to"] for mail in world.mails(BOB["email"], "drafts")] == [[second.email]]
    lines[0].fault = lambda _: None
    world.sync()
    assert len(world.mails(BOB["email"], "drafts")) == 2
