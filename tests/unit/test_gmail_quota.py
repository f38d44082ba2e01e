"""Gmail's quota: what each method costs, and the sliding minute of one mailbox."""

from __future__ import annotations

import importlib.resources
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adapters.gmail
from adapters.gmail.quota import FEWEST_UNITS, UNITS, Quota, units_of
from adapters.sandbox.gmail_methods import METHODS
from connector.errors import Retry

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Clock:
    """Moves when somebody sleeps."""

    def __init__(self) -> None:
        self.at = START
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


def described(node: dict) -> set[str]:
    found = {method["id"] for method in node.get("methods", {}).values()}
    for inner in node.get("resources", {}).values():
        found |= described(inner)
    return found


def test_every_method_that_is_called_has_its_price_and_no_other():
    text = importlib.resources.files("googleapiclient.discovery_cache.documents").joinpath("gmail.v1.json").read_text()
    assert set(UNITS) <= described(json.loads(text))
    code = "".join(path.read_text() for path in Path(adapters.gmail.__file__).parent.glob("*.py"))
    called = {
        "gmail.users." + name
        for name in re.findall(r"api\.(?:users\.)?((?:drafts|messages|history)\.\w+|getProfile)", code)
    }
    assert set(UNITS) == called


def test_the_prices_are_those_that_the_sandbox_read_in_googles_table():
    theirs = {f"gmail.{method.id}": method.units for method in METHODS.values()}
    assert {name: theirs[name] for name in UNITS} == UNITS


def test_what_calls_cost_together_is_the_sum():
    assert units_of(["gmail.users.messages.get"] * 3 + ["gmail.users.history.list"]) == 62


def test_within_the_quota_nobody_waits():
    clock = Clock()
    quota = Quota(clock, mailbox="ana@acme.example", per_minute=600)
    for _ in range(6):
        quota.take(100)
    assert clock.slept == []


@pytest.mark.parametrize(("passed", "slept"), [(0, None), (44, None), (45, [15.0]), (59, [1.0]), (60, [])])
def test_a_short_wait_is_slept_and_a_long_one_goes_up(passed, slept):
    clock = Clock()
    quota = Quota(clock, mailbox="ana@acme.example", per_minute=600)
    quota.take(600)
    clock.at += timedelta(seconds=passed)
    if slept is None:
        with pytest.raises(Retry, match=r"ana@acme\.example") as raised:
            quota.take(20)
        assert raised.value.after == timedelta(seconds=60 - passed)
        assert "units_per_minute" in raised.value.advice
    else:
        quota.take(20)
        assert clock.slept == slept


def test_a_call_waits_for_no_more_units_than_it_needs():
    clock = Clock()
    quota = Quota(clock, mailbox="ana@acme.example", per_minute=600)
    for _ in range(6):
        quota.take(100)
        clock.at += timedelta(seconds=9)
    quota.take(100)
    assert clock.slept == [6.0]  # the first of the six leaves the minute 60 s after it was taken


def test_a_refused_call_has_used_nothing():
    clock = Clock()
    quota = Quota(clock, mailbox="ana@acme.example", per_minute=600)
    quota.take(600)
    for _ in range(5):
        with pytest.raises(Retry):
            quota.take(600)
    clock.at += MINUTE
    quota.take(600)
    assert clock.slept == []


@given(st.lists(st.tuples(st.integers(1, FEWEST_UNITS), st.floats(0, 30)), max_size=60))
def test_no_minute_ever_holds_more_than_the_quota(calls):
    clock = Clock()
    quota = Quota(clock, mailbox="ana@acme.example", per_minute=FEWEST_UNITS)
    taken: list[tuple[datetime, int]] = []
    for units, pause in calls:
        clock.at += timedelta(seconds=pause)
        try:
            quota.take(units)
        except Retry as retry:
            clock.at += retry.after
            quota.take(units)
        taken.append((clock.now(), units))
    for at, _ in taken:
        assert sum(units for when, units in taken if at - MINUTE < when <= at) <= FEWEST_UNITS


def test_a_clock_that_was_set_back_does_not_hold_the_mailbox_for_as_long():
    clock = Clock()
    quota = Quota(clock, mailbox="ana@acme.example", per_minute=FEWEST_UNITS)
    quota.take(FEWEST_UNITS)
    clock.at -= timedelta(hours=1)
    quota.take(FEWEST_UNITS)
    assert clock.slept == []
