"""The feed: who sees which lines, and that a dropped line is taken up where it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from threading import Event as Flag
from typing import Any

import pytest
import requests

from connector.events import Event, EventKind
from connector.store.ledger import append
from connector.sync import actions
from connector.sync.feed import TOPICS, read_after
from connector.web import broadcast
from connector.web import feed as feed_routes
from connector.web.broadcast import Broadcast
from tests.web.visitors import ANA, BOB, MAY, ROOT, WEB, Visitors
from tests.world import World, people

PAT, QUE = people(2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Pat is in a campaign of Ana, Que in one of Bob."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broadcast, "_BEAT", 1.0)
        world = World.make(tmp_path_factory.mktemp("feed") / "world", patch, web=WEB)
        world.launch([PAT], rep=ANA)
        world.launch([QUE], rep=BOB)
        world.sync()
        yield world
        world.close()


def told(world: World, rep: str, person: str, subject: str, **more: Any) -> None:
    """Let a line of a rep's person be written."""
    kind = more.pop("kind", EventKind.REPLIED)
    with world.database.write() as tx:
        append(tx, [Event(at=world.now, kind=kind, person=person, rep=rep, data={"subject": subject}, **more)])


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as a browser hands it on."""

    name: str
    data: dict[str, Any]
    last: str


class Line:
    """A browser's line to the feed."""

    def __init__(self, visitors: Visitors, user: str, query: str = "", last: str = "") -> None:
        headers = {"Last-Event-ID": last} if last else {}
        address, cookies = f"{visitors.url}/feed/stream{query}", visitors.cookies(user)
        self.answer = requests.get(address, stream=True, headers=headers, cookies=cookies, timeout=20)
        assert self.answer.status_code == 200
        self.last = last
        self._lines = self.answer.iter_lines(chunk_size=1)
        assert next(self._lines) == b"retry: 2000"
        if not (last or "after=" in query):
            assert next(self.messages()).name == "beat"  # from here on it listens

    def messages(self) -> Iterator[Message]:
        """Yield what is told, as the standard has it read; fail when nothing is told for long."""
        name = data = ""
        beats = 0
        for raw in self._lines:
            field, _, value = raw.decode().partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = value
            elif field == "id":
                self.last = value
            elif not field and data:
                beats = beats + 1 if name == "beat" else 0
                assert beats < 8, "nothing is told"
                yield Message(name=name, data=json.loads(data), last=self.last)
                name = data = ""

    def hear(self, name: str) -> Message:
        """Return the next message of a name."""
        return next(one for one in self.messages() if one.name == name)

    def batch(self) -> list[str]:
        """Return the names of what is told at once."""
        names: list[str] = []
        for one in self.messages():
            if one.name != "beat":
                names.append(one.name)
            elif names:
                break
        return names

    def drop(self) -> None:
        """Lose the line."""
        self.answer.close()


def test_a_line_that_dropped_is_taken_up_where_it_was(world: World, visitors: Visitors) -> None:
    """Over real HTTP: nothing is told twice, nothing is missed, nothing is told of another rep's people."""
    line = Line(visitors, ANA)
    told(world, BOB, QUE.email, "not for Ana")
    told(world, ANA, PAT.email, "first")
    first = line.hear("feed")
    assert (first.data["person"], first.data["topic"]) == (PAT.email, "replied")
    assert "p0@client0.example replied: first." in first.data["html"]
    assert int(first.last) == first.data["seq"]
    line.drop()
    told(world, ANA, PAT.email, "second")
    told(world, BOB, QUE.email, "not for Ana either")
    told(world, ANA, PAT.email, "third")
    again = Line(visitors, ANA, "?after=1", last=first.last)
    assert ["second" in again.hear("feed").data["html"], "third" in again.hear("feed").data["html"]] == [True, True]
    told(world, ANA, PAT.email, "fourth")
    fourth = again.hear("feed")
    assert "fourth" in fourth.data["html"]
    again.drop()
    # The page itself says where its list ends.
    by_address = Line(visitors, ANA, f"?after={int(fourth.last) - 1}")
    assert by_address.hear("feed").data == fourth.data
    by_address.drop()


def test_what_happens_to_a_task_is_told_before_its_line(world: World, visitors: Visitors) -> None:
    """So that a line that drops between the two is taken up before both."""
    (task, *_) = [one for one in world.tasks if one.stored.intent.rep == ANA]
    key = task.stored.intent.key
    line = Line(visitors, ANA)
    queue = Line(visitors, ANA, "?only=task")
    actions.snooze(world.office, key, world.now.date())
    before, after = line.hear("task"), line.hear("feed")
    assert (before.data["key"], before.data["kind"], before.data["rep"]) == (key, "snoozed", ANA)
    assert before.last != after.last
    assert queue.batch() == ["task"]
    # Given to Bob, it is news in his queue too, though the line is Ana's.
    bobs = Line(visitors, BOB)
    told(world, ANA, PAT.email, "", kind=EventKind.TASK_REASSIGNED, intent=key)
    with world.database.write() as tx:
        data = {"owner": BOB}
        append(tx, [Event(at=world.now, kind=EventKind.TASK_REASSIGNED, rep=ANA, intent=key, data=data)])
    assert bobs.batch() == ["task"]
    for one in (line, queue, bobs):
        one.drop()


def test_a_filter_holds_for_the_stream_as_for_the_page(world: World, visitors: Visitors) -> None:
    line = Line(visitors, ROOT, f"?kind=bounced&rep={BOB}")
    told(world, BOB, QUE.email, "a reply")
    told(world, ANA, PAT.email, "", kind=EventKind.BOUNCED)
    told(world, BOB, QUE.email, "", kind=EventKind.BOUNCED)
    assert line.hear("feed").data["person"] == QUE.email
    line.drop()


@pytest.mark.parametrize("place", ["?after=999999", "?after=0"])
def test_who_cannot_be_told_line_by_line_reads_the_page_anew(
    world: World, visitors: Visitors, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that never was, as after a database was put back, or one that is too long ago."""
    monkeypatch.setattr(broadcast, "REPLAYED", 3)
    line = Line(visitors, ANA, place)
    message = line.hear("reload")
    line.drop()
    told(world, ANA, PAT.email, "later")
    after = Line(visitors, ANA, last=message.last)
    assert "later" in after.hear("feed").data["html"]
    after.drop()


def test_it_ends_with_the_session_and_with_the_process(world: World, visitors: Visitors) -> None:
    line, cookies = Line(visitors, ANA), visitors.cookies(ANA)
    world.after(hours=12, seconds=1)
    told(world, ANA, PAT.email, "too late")
    assert line.batch() == ["end"]
    assert requests.get(f"{visitors.url}/feed/stream", cookies=cookies, timeout=10).status_code == 401
    open_line = Line(visitors, ANA)
    visitors.site.ending.set()
    try:
        assert open_line.batch() == []
    finally:
        visitors.site.ending.clear()


def test_a_line_is_written_once_for_all_who_read_it_alike(
    world: World, visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch of hundreds must not keep everybody waiting while it is told to each who listens."""
    written: list[Any] = []
    plain = feed_routes.fragment

    def counted(*given: Any, **values: Any) -> Any:
        written.append(values["lines"][0].text)
        return plain(*given, **values)

    monkeypatch.setattr(feed_routes, "fragment", counted)
    listening = [Line(visitors, ANA) for _ in range(5)] + [Line(visitors, BOB)]
    for number in range(30):
        told(world, ANA, PAT.email, f"a launch of {number}")
    for one in listening[:5]:
        heard = [one.hear("feed") for _ in range(30)]
        assert [f"a launch of {number}" in message.data["html"] for number, message in enumerate(heard)] == [True] * 30
        one.drop()
    listening[5].drop()
    assert len(written) == len(set(written)) == 30


def test_the_ledger_is_read_once_for_all_who_listen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more when nobody listens; one who cannot keep up takes nothing from the others."""
    looks: list[int] = []

    def counted(office: Any, after: int, most: int) -> Any:
        looks.append(after)
        return read_after(office, after, most)

    monkeypatch.setattr(broadcast, "read_after", counted)

    async def listen(feed: Broadcast, wanted: int) -> list[int]:
        heard: list[int] = []
        async with aclosing(feed.follow(None)) as messages:
            async for one in messages:
                heard += [line.seq for line in one.lines or ()]
                if len(heard) >= wanted:
                    return heard
        return heard

    async def scene() -> None:
        feed = Broadcast(world.office, Flag(), every=0.01)
        listening = [asyncio.create_task(listen(feed, 3)) for _ in range(20)]
        while feed._listeners < 20 or not looks:  # noqa: ASYNC110 - there is nothing that says so
            await asyncio.sleep(0)
        for number in range(3):
            await asyncio.to_thread(told, world, ANA, PAT.email, f"line {number}")
        heard = await asyncio.gather(*listening)
        assert len(heard[0]) == 3
        assert all(one == heard[0] for one in heard)
        assert looks == sorted(looks), "each look goes on where the last one ended"
        looking = feed._looking
        assert looking is not None
        await looking
        assert feed._listeners == 0

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_listeners_end_when_the_ledger_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("secret words of a driver")

    monkeypatch.setattr(broadcast, "read_after", broken)

    async def scene() -> None:
        feed = Broadcast(world.office, Flag(), every=0.01)
        async with aclosing(feed.follow(None)) as messages:
            assert [one async for one in messages if one.lines] == []

    asyncio.run(asyncio.wait_for(scene(), 20))
    assert "the feed cannot be read (OSError)" in caplog.text


# --------------------------------------------------------------------------------------------------------- page

SEEN = {ANA: {PAT.email}, BOB: {QUE.email}, MAY: {PAT.email}, ROOT: {PAT.email, QUE.email}}


@pytest.mark.parametrize("user", SEEN)
def test_each_sees_the_lines_of_their_reps(visitors: Visitors, user: str) -> None:
    page = visitors.browser(user).get("/feed")
    assert page.status_code == 200
    assert {email for email in (PAT.email, QUE.email) if email in page.text} == SEEN[user]
    other = visitors.browser(user).get("/feed", rep=BOB, kind="", campaign="")
    assert (QUE.email in other.text) == (QUE.email in SEEN[user])
    assert PAT.email not in other.text.partition('id="feed-tasks"')[0]


def test_the_page_says_what_and_why_and_leads_there(world: World, visitors: Visitors) -> None:
    key = next(one.stored.intent.key for one in world.tasks if one.stored.intent.rep == ANA)
    hostile = "<script>alert(1)</script>"
    told(world, ANA, PAT.email, hostile, reason="they <b>answered</b>", intent=key, campaign="Outreach")
    page = visitors.browser(ANA).get("/feed").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "They &lt;b&gt;answered&lt;/b&gt;." in page
    for address in (f"/tasks/{key}", "/campaigns/Outreach", f"/people/{PAT.email.replace('@', '%40')}"):
        assert f'href="{address}"' in page
    assert "Pat0 Doe" in page


def test_tasks_that_are_due_stand_beside_it(world: World, visitors: Visitors) -> None:
    """One's own, or those of the rep who is asked for."""
    keys = {
        rep: next(one.stored.intent.key for one in world.tasks if one.stored.intent.rep == rep) for rep in (ANA, BOB)
    }
    own = visitors.browser(ANA).get("/feed/tasks").text
    assert (f"/tasks/{keys[ANA]}/complete" in own, keys[BOB] in own) == (True, False)
    assert keys[BOB] not in visitors.browser(ANA).get("/feed/tasks", rep=BOB).text
    of_all = visitors.browser(ROOT).get("/feed/tasks").text
    assert all(key in of_all for key in keys.values())
    assert keys[BOB] in visitors.browser(ROOT).get("/feed/tasks", rep=BOB).text


def test_steps_that_became_due_are_told_to_who_asks(visitors: Visitors) -> None:
    """What comes of them is told anyhow."""
    browser = visitors.browser(ANA)
    assert "became due" not in browser.get("/feed").text
    assert "became due" in browser.get("/feed", kind="steps").text
    assert "became due" in browser.get(f"/people/{PAT.email}").text


def test_older_lines_are_on_further_pages(world: World, visitors: Visitors) -> None:
    for number in range(120):
        told(world, ANA, PAT.email, f"reply number {number:03}", campaign="Paging")
    address, seen = "/feed?campaign=Paging&kind=replied", []
    while True:
        page = visitors.browser(ANA).get(address).text
        seen.append(sum(f"reply number {number:03}" in page for number in range(120)))
        if 'rel="next"' not in page:
            break
        address = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
        assert "campaign=Paging" in address
        assert "kind=replied" in address
    assert seen == [50, 50, 20]
    assert 'data-stream="' not in page


def test_a_page_looks_through_so_many_lines_and_says_where_to_go_on(
    world: World, visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(world, ANA, PAT.email, "long ago", campaign="Rare")
    for _ in range(12):
        told(world, ANA, PAT.email, "noise")
    monkeypatch.setattr("connector.store.feed.LOOKED_THROUGH", 10)
    page = visitors.browser(ANA).get("/feed?campaign=Rare").text
    assert ("long ago" in page, "just before them" in page, 'rel="next"' in page) == (False, True, True)
    address = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "long ago" in visitors.browser(ANA).get(address).text


def test_every_kind_of_fact_has_its_place_in_the_filter() -> None:
    assert set(TOPICS) == set(EventKind)


def test_a_strange_filter_is_refused_calmly(visitors: Visitors) -> None:
    for query in ("kind=everything", "before=-1", "before=x"):
        assert visitors.browser(ANA).get(f"/feed?{query}").status_code == 400, query
