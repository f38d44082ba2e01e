"""The API: a task's email as its compose window has it, many tasks at once, and undoing what was done with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.web.programs import Programs, programs_of
from tests.web.site import CALL, CAMPAIGN
from tests.web.visitors import ANA, BOB, MAY
from tests.world import people

_NUMBERS = iter(range(1000))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world with a campaign of one email as a task, and one of a call."""
    with programs_of(tmp_path_factory.mktemp("work"), campaign={"draft": CAMPAIGN, "call": CALL}) as programs:
        yield programs


def _launch(api: Programs, campaign: str, num: int = 1, *, rep: str = ANA) -> list[str]:
    """Put new people into a campaign, and return the keys of their tasks."""
    new = people(num, domain=f"w{next(_NUMBERS)}x")
    api.world.launch(new, rep=rep, campaign=campaign)
    api.world.sync()
    persons = {person.email for person in new}
    return [one.stored.intent.key for one in api.world.tasks if one.stored.intent.person in persons]


def _states(api: Programs, keys: list[str]) -> set[str]:
    return {api.ask(MAY, "GET", f"/tasks/{key}").json()["state"] for key in keys}


# --------------------------------------------------------------------------------------------------- many at once


def test_many_tasks_are_done_at_once_and_undone(api: Programs) -> None:
    keys, [other] = _launch(api, "call", 3), _launch(api, "call", rep=BOB)
    done = api.ask(ANA, "POST", "/tasks/bulk", {"action": "complete", "ids": [*keys, other], "outcome": "spoke"}).json()
    assert (done["done"], sorted(done["ids"]), done["refused"]) == (3, sorted(keys), 1)
    assert _states(api, keys) == {"completed"}
    for stranger in (BOB, MAY):
        assert api.ask(stranger, "POST", f"/undo/{done['undo']}").status_code == 404
    undone = api.ask(ANA, "POST", f"/undo/{done['undo']}").json()
    assert (undone["done"], sorted(undone["ids"]), undone["undo"]) == (3, sorted(keys), None)
    assert _states(api, keys) == {"open"}
    assert api.ask(ANA, "POST", f"/undo/{done['undo']}").status_code == 404


def test_what_cannot_be_undone_is_told(api: Programs) -> None:
    keys = _launch(api, "call", 2)
    until = (api.world.now + timedelta(days=3)).date()
    done = api.ask(ANA, "POST", "/tasks/bulk", {"action": "snooze", "ids": keys, "until": str(until)}).json()
    api.ask(ANA, "POST", f"/tasks/{keys[0]}/snooze", {"until": str(until + timedelta(days=1))})
    undone = api.ask(ANA, "POST", f"/undo/{done['undo']}").json()
    assert (undone["ids"], undone["refused"]) == ([keys[1]], 1)
    assert f"it was moved to {until + timedelta(days=1)} since" in undone["why"][0]


def test_all_that_match_are_done_if_they_are_as_many_as_was_said(api: Programs) -> None:
    (key,) = _launch(api, "call")
    person = api.ask(ANA, "GET", f"/tasks/{key}").json()["person"]
    work: dict[str, Any] = {"action": "skip", "matching": {"search": person}}
    wrong = api.ask(ANA, "POST", "/tasks/bulk", work | {"count": 2})
    assert (wrong.status_code, wrong.json()["detail"]) == (422, "the tasks that match are 1, not 2: look at them again")
    assert api.ask(BOB, "POST", "/tasks/bulk", work | {"matching": {"search": person, "rep": ANA}}).json()["done"] == 0
    assert api.ask(ANA, "POST", "/tasks/bulk", work | {"count": 1}).json()["ids"] == [key]


@pytest.mark.parametrize(
    "which", [{}, {"ids": []}, {"ids": ["0" * 32], "matching": {}}, {"ids": ["0" * 8]}, {"matching": {"stray": 1}}]
)
def test_which_tasks_are_meant_is_said_in_one_way(api: Programs, which: dict[str, Any]) -> None:
    assert api.ask(ANA, "POST", "/tasks/bulk", {"action": "skip", **which}).status_code == 422


# ------------------------------------------------------------------------------------------------ a task's email


def test_an_email_is_read_written_and_sent(api: Programs) -> None:
    (key,) = _launch(api, "draft")
    mail = api.ask(ANA, "GET", f"/tasks/{key}/mail").json()
    assert (mail["standing"], mail["version"], mail["missing"]) == ("in_drafts", 0, [])
    assert mail["template"] in mail["templates"]
    wrote = api.ask(ANA, "PATCH", f"/tasks/{key}/mail", {"subject": "Other words", "version": 0}).json()
    assert (wrote["subject"], wrote["body"], wrote["unsaved"]) == ("Other words", mail["body"], True)
    late = api.ask(ANA, "PATCH", f"/tasks/{key}/mail", {"subject": "Mine", "version": 0})
    assert (late.status_code, "changed it elsewhere" in late.json()["detail"]) == (409, True)
    sent = api.ask(ANA, "POST", f"/tasks/{key}/mail/send", {"version": wrote["version"]}).json()
    assert (sent["standing"], sent["subject"], sent["notes"]) == ("sent", "Other words", [])
    assert api.ask(ANA, "POST", f"/tasks/{key}/mail/send").status_code == 422


def test_an_email_is_sent_later_and_called_off(api: Programs) -> None:
    (key,) = _launch(api, "draft")
    at = (api.world.now + timedelta(hours=3)).isoformat()
    assert api.ask(ANA, "POST", f"/tasks/{key}/mail/send", {"at": at}).json()["standing"] == "to_send"
    assert api.ask(ANA, "POST", f"/tasks/{key}/mail/call-off").json()["standing"] == "in_drafts"
    assert api.ask(ANA, "POST", f"/tasks/{key}/mail/call-off").status_code == 422


def test_an_email_begins_anew_with_another_template(api: Programs) -> None:
    (key,) = _launch(api, "draft")
    other = api.ask(ANA, "POST", f"/tasks/{key}/mail/template", {"template": "nudge"}).json()
    assert other["template"] == "nudge"
    placed = api.ask(ANA, "POST", f"/tasks/{key}/mail/draft", {"version": other["version"]})
    assert (placed.status_code, placed.json()["standing"]) == (200, "in_drafts"), placed.text
    assert api.ask(ANA, "POST", f"/tasks/{key}/mail/template", {"template": "stray"}).status_code == 422


def test_a_call_has_no_email(api: Programs) -> None:
    (key,) = _launch(api, "call")
    assert api.ask(ANA, "GET", f"/tasks/{key}/mail").status_code == 422
