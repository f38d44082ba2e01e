"""The judge of runs on the sandbox tells what is wrong from what is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.faults import judge

ANA, BOB = "ana@acme.example", "bob@acme.example"


def effect(effect: str, key: str, at: str = "2026-11-23T09:00:00+00:00", **more: Any) -> dict[str, Any]:
    return {"effect": effect, "key": key, "at": at, "mailbox": ANA, "by": "api", **more}


def span(begun: float, ended: float, who: str = "one", mailbox: str = ANA) -> dict[str, Any]:
    return {"service": "gmail", "mailbox": mailbox, "who": who, "begun": begun, "ended": ended}


def log(effects: Sequence[Mapping[str, Any]] = (), spans: Sequence[Mapping[str, Any]] = ()) -> judge.Log:
    return {"effects": effects, "spans": spans, "faults": ()}


@pytest.mark.parametrize(
    ("effects", "found"),
    [
        ([effect("mail_sent", "a"), effect("mail_sent", "b")], {}),
        ([effect("mail_sent", "a"), effect("mail_sent", "a")], {"mail_sent": {"a": 2}}),
        ([effect("task_created", "a")] * 3, {"task_created": {"a": 3}}),
        ([effect("draft_created", "a"), effect("draft_created", "a")], {"draft_created": {"a": 2}}),
        ([effect("draft_created", "a"), effect("draft_purged", "a"), effect("draft_created", "a")], {}),
        ([effect("draft_created", "a"), effect("mail_sent", "a"), effect("task_created", "a")], {}),
        ([effect("mail_sent", ""), effect("mail_sent", "")], {}),
    ],
)
def test_what_happened_twice_is_told(effects: list[dict[str, Any]], found: dict[str, Any]) -> None:
    assert judge.duplicates(log(effects)) == found


@pytest.mark.parametrize(
    ("spans", "between", "within"),
    [
        ([span(0, 1), span(1, 2, "two")], 0, 0),
        ([span(0, 1.5), span(1, 2, "two")], 1, 1),
        ([span(0, 1.5), span(1, 2)], 0, 1),
        ([span(0, 9), span(1, 2, "two"), span(3, 4, "two")], 2, 2),
        ([span(0, 1.5), span(1, 2, "two", mailbox=BOB)], 0, 0),
    ],
)
def test_calls_that_overlap_are_told(spans: list[dict[str, Any]], between: int, within: int) -> None:
    assert len(judge.overlaps(log(spans=spans))) == between
    assert len(judge.overlaps(log(spans=spans[::-1]), within_one=True)) == within


def test_who_took_a_mailbox_over_is_counted() -> None:
    spans = [span(0, 1), span(2, 3, "two"), span(4, 5, "two"), span(6, 7), span(0, 1, mailbox=BOB)]
    assert judge.takeovers(log(spans=spans)) == {ANA: 2, BOB: 0}


def test_how_many_sends_a_day_has_is_told() -> None:
    sent = log(
        [
            effect("mail_sent", "a", "2026-11-23T22:30:00+00:00"),
            effect("mail_sent", "b", "2026-11-23T22:31:30+00:00"),
            effect("mail_sent", "c", "2026-11-23T23:30:00+00:00"),
            effect("mail_sent", "d", "2026-11-23T23:30:01+00:00", by="rep:web"),
            effect("mail_sent", "e", "2026-11-23T23:30:01+00:00", mailbox=BOB),
        ]
    )
    assert judge.busiest_day(sent, UTC) == {ANA: 3, BOB: 1}
    assert judge.busiest_day(sent, ZoneInfo("Europe/Madrid")) == {ANA: 2, BOB: 1}
