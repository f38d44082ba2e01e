"""Numbers on a page: whose they are, what is asked for, pictures that say what their tables say, and files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
import requests

from connector import __version__
from connector.intents import IntentEvent, IntentState, StepType
from connector.store.intents import find_intents
from connector.store.lanes import Pacing, save_pacing
from connector.store.mails import change_mail
from connector.sync.actions import end_by_hand
from connector.sync.gauges import read_gauges
from connector.web.charts import ceiling, draw_funnel, draw_time
from connector.web.numbers import as_csv
from tests.web.visitors import ANA, BOB, CY, MAY, ROOT, WEB, Visitors
from tests.world import World, people

PAT, QUE, RAY = people(3)
#: What stands where there is no share of anything.
NONE = "\N{EN DASH}"
#: A name that would be a formula, and markup.
HOSTILE = "=2+5 <script>alert(1)</script>"
STEPS = "days: [{day: 1, steps: [{email: {template: intro, send: choose_at_launch}}, {call: {name: Call}}]}]"
CAMPAIGNS = {"outreach": f"name: Outreach\n{STEPS}\n", "hostile": f'name: "{HOSTILE}"\n{STEPS}\n'}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Ana has written to Pat, who replied twice, and called; Bob has written to Que and Ray."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("numbers") / "world"
        world = World.make(folder, patch, campaign=CAMPAIGNS, web=WEB)
        world.launch([PAT], rep=ANA, campaign="Outreach")
        world.launch([QUE], rep=BOB, campaign="Outreach")
        world.launch([RAY], rep=BOB, campaign="hostile")
        world.sync()
        world.after(minutes=5)
        call = next(task for task in world.tasks if task.stored.intent.person == PAT.email)
        assert call.stored.intent.type is StepType.CALL
        end_by_hand(world.office, call.stored.intent.key, IntentEvent.COMPLETE, by="here")
        for _ in range(2):
            world.act("prospect_replies", person=PAT.email)
            world.after(minutes=2)
            world.sync()
        yield world
        world.close()


def dials(page: str) -> list[str]:
    return re.findall(r'<div class="dial"><b>([^<]*)</b>', page)


def file(visitors: Visitors, user: str, table: str, **query: str) -> list[list[str]]:
    answer = visitors.browser(user).get(f"/numbers/{table}.csv", **query)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{table}-20')
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))


#: Who, asking for what -> sent, replies, bounces, opt-outs, tasks done, in time; and the reps whose rows they see.
SEEN = [
    (ANA, {}, ["1", "2", "0", "0", "1", "100%"], [ANA]),
    (BOB, {}, ["2", "0", "0", "0", "0", NONE], [BOB]),
    (CY, {}, ["0", "0", "0", "0", "0", NONE], []),
    (MAY, {}, ["1", "2", "0", "0", "1", "100%"], [ANA]),
    (ROOT, {}, ["3", "2", "0", "0", "1", "100%"], [ANA, BOB]),
    (ROOT, {"rep": BOB}, ["2", "0", "0", "0", "0", NONE], [BOB]),
    (ROOT, {"campaign": "Outreach"}, ["2", "2", "0", "0", "1", "100%"], [ANA, BOB]),
    (ROOT, {"range": "last_month"}, ["0", "0", "0", "0", "0", NONE], []),
    (ROOT, {"from": "2026-11-23", "to": "2026-11-23"}, ["3", "2", "0", "0", "1", "100%"], [ANA, BOB]),
    (ROOT, {"from": "2026-11-24", "to": "2026-11-24"}, ["0", "0", "0", "0", "0", NONE], []),
    (ANA, {"rep": BOB}, ["0", "0", "0", "0", "0", NONE], []),
    (MAY, {"rep": BOB}, ["0", "0", "0", "0", "0", NONE], []),
]


@pytest.mark.parametrize(("user", "query", "shown", "reps"), SEEN)
def test_each_sees_the_numbers_of_their_own_reps(
    visitors: Visitors, user: str, query: dict[str, str], shown: list[str], reps: list[str]
) -> None:
    answer = visitors.browser(user).get("/numbers", **query)
    assert answer.status_code == 200
    assert dials(answer.text) == shown
    heads, *rows = file(visitors, user, "reps", **query)
    assert heads == ["rep", "sent", "replied", "bounced", "opted_out", "tasks_done", "tasks_done_in_time"]
    assert [row[0] for row in rows] == reps
    if user != ROOT:
        others = {ANA, BOB, CY} - {user} - ({ANA} if user == MAY else set())
        assert [rep for rep in others if rep in answer.text.replace(f'value="{query.get("rep")}"', "")] == []


def test_the_dials_count_every_reply_and_the_tables_each_email_once(visitors: Visitors) -> None:
    page = visitors.browser(ANA).get("/numbers").text
    assert dials(page)[1] == "2"
    assert "These count every event: two replies to one email are two." in page
    assert file(visitors, ANA, "reps")[1] == [ANA, "1", "1", "0", "0", "1", "1"]
    assert file(visitors, ANA, "steps")[1:] == [
        ["Outreach", "1", "1", "email", "1", "1", "0", "0", "0", "0"],
        ["Outreach", "1", "2", "call", "0", "0", "0", "0", "1", "1"],
    ]
    assert file(visitors, ANA, "templates")[1:] == [["intro", "1", "1", "0", "0", "0", "0"]]
    days = file(visitors, ANA, "days")
    assert len(days) == 31
    assert days[-1] == ["2026-11-23", "1", "1", "0", "0", "1", "1"]


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"from": "2026-11-24", "to": "2026-11-01"}, 422, "ends before it begins"),
        ({"from": "2020-01-01"}, 422, "longer than 366 days"),
        ({"to": "0001-01-01"}, 422, "is no date"),
        ({"from": "9999-12-31"}, 422, "is no date"),
        ({"from": "yesterday"}, 422, "is no date"),
        ({"from": "2026-12-30"}, 200, ""),
        ({"to": "2026-01-30"}, 200, ""),
        ({"range": "ever"}, 400, ""),
    ],
)
def test_a_range_that_cannot_be_shown_is_said_calmly(
    visitors: Visitors, query: dict[str, str], status: int, says: str
) -> None:
    answer = visitors.browser(ANA).get("/numbers", **query)
    assert (answer.status_code, says in answer.text) == (status, True)


def test_what_a_campaign_is_called_runs_nowhere(visitors: Visitors) -> None:
    page = visitors.browser(ROOT).get("/numbers", campaign=HOSTILE).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page)
    assert [row[0] for row in file(visitors, ROOT, "campaigns")][1:] == [f"'{HOSTILE}", "Outreach"]


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        (" =1", "' =1"),
        ("\r=1", "'\r=1"),
        ("\nx", "'\nx"),
        ("\x00=1", "'\x00=1"),
        ("\u00a0\u3000@x", "'\u00a0\u3000@x"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        (-1, "-1"),
        ("", ""),
    ],
)
def test_no_cell_of_a_file_is_a_formula(cell: object, written: str) -> None:
    assert next(csv.reader(io.StringIO(as_csv(iter([[cell, "x"]])).decode("utf-8-sig")))) == [written, "x"]


@pytest.mark.parametrize("query", [{}, {"range": "90d"}, {"range": "today"}, {"campaign": "Outreach"}])
def test_every_picture_is_named_and_has_its_bars_within_it(visitors: Visitors, query: dict[str, str]) -> None:
    page = visitors.browser(ROOT).get("/numbers", **query).text
    pictures = [ET.fromstring(one) for one in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    named = [one for one in pictures if one.get("role") == "img"]
    assert len(named) == 4  # over time, step by step, and two reps
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for picture in named:
        assert set((picture.get("aria-labelledby") or "").split()) <= set(ids)
        assert (picture.findtext("title") or "").strip()
        assert (picture.findtext("desc") or "").strip()
        assert picture.findall("rect")
        _, _, width, height = map(float, (picture.get("viewBox") or "").split())
        for bar in picture.findall("rect"):
            x, y, wide, high = (float(bar.get(name) or "") for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + wide <= width
            assert 0 <= y <= y + high <= height + 0.01


@pytest.mark.parametrize(
    ("largest", "top", "step"),
    [
        (0, 1, 1),
        (1, 1, 1),
        (3, 3, 1),
        (4, 4, 1),
        (5, 6, 2),
        (40, 40, 10),
        (41, 60, 20),
        (401, 600, 200),
        (2_001, 3_000, 1_000),
    ],
)
def test_a_scale_is_round_and_just_high_enough(largest: int, top: int, step: int) -> None:
    assert ceiling(largest) == (top, step)


def test_bars_stand_on_the_ground_as_high_as_their_values() -> None:
    picture = draw_time([4, 0, 2], [[2, 0, 1]], width=300, height=108, below=0, top=4)
    tall, none, half = picture.bars
    assert (tall.y, tall.height, none.height) == (1, 107, 0)
    assert half.height == pytest.approx(107 / 2, abs=0.01)
    assert {bar.y + bar.height for bar in picture.bars} == {108}
    assert picture.lines == ["50.0,54.5 150.0,108.0 250.0,81.25"]


def test_the_bars_of_a_funnel_keep_their_ratio() -> None:
    picture = draw_funnel([10, 5], [1, 5], width=500, left=100, right=100)
    assert [bar.width for bar in picture.bars] == [300, 150]
    assert [bar.width for bar in picture.inner] == [30, 150]
    assert all(
        outer.y < inner.y and inner.height < outer.height
        for outer, inner in zip(picture.bars, picture.inner, strict=True)
    )


def test_a_monitor_reads_how_things_stand_without_a_sign_in_or_an_address(world: World, visitors: Visitors) -> None:
    answer = requests.get(f"{visitors.url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    told = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    assert told[f'connector_info{{version="{__version__}"}}'] == 1
    assert told['connector_sent_last_day{by="connector"}'] == 3
    assert told['connector_sent_last_day{by="rep"}'] == 0
    assert told['connector_tasks{state="open"}'] == len(world.tasks) == 2
    assert told['connector_due{work="send"}'] == told['connector_oldest_due_seconds{work="send"}'] == 0
    assert told['connector_lanes{state="free"}'] == 3
    assert "@" not in answer.text
    assert all(re.fullmatch(r'connector_\w+\{\w+="[\w.]+"\} \d+(\.\d+)?', line) for line in lines)
    # What a monitor asks for every second is not asked of the database each time.
    world.after(seconds=9)
    assert requests.get(f"{visitors.url}/metrics", timeout=30).text == answer.text


def test_what_is_due_too_long_and_a_mailbox_that_stands_still_are_told(world: World) -> None:
    with world.database.write() as tx:
        save_pacing(tx, "gmail:ana@acme.example", Pacing(problem="sign in again"))
        save_pacing(tx, "outlook:bob@acme.example", Pacing(sends_blocked_until=world.now + timedelta(hours=1)))
        key = find_intents(tx, states=[IntentState.SENT])[0].intent.key
        change_mail(tx, key, state="wanted", due=world.now - timedelta(minutes=2))
    gauges = {gauge.name: dict(gauge.values) for gauge in read_gauges(world.office)}
    assert gauges["connector_lanes"] == {"free": 1, "waiting": 1, "blocked": 1}
    assert gauges["connector_due"] == {"crm": 0, "draft": 0, "send": 1, "step": 0}
    assert gauges["connector_oldest_due_seconds"] == {"crm": 0, "draft": 0, "send": 120, "step": 0}
