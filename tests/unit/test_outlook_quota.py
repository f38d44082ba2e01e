"""Outlook's quota: the ten minutes of one mailbox, and the pace of sending that its default keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.outlook.quota import REQUESTS, SPAN, Quota
from connector.errors import Retry
from connector.settings import DEFAULT_PACING
from connector.store.lanes import Pacing
from connector.sync.office import PacingRule
from connector.sync.pacing import after_send, seconds_to_wait

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REP = "max@acme.example"


class Clock:
    """Moves when it is told to; an adapter's wait goes up to the lane."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the quota never waits by itself")


def test_within_the_quota_nothing_is_said_and_over_it_the_time_it_takes():
    clock = Clock()
    quota = Quota(clock, mailbox=REP, requests=8)
    quota.take(4)
    clock.at += timedelta(minutes=1)
    quota.take(4)
    with pytest.raises(Retry, match=r"max@acme\.example") as raised:
        quota.take(1)
    assert (raised.value.after, raised.value.code) == (timedelta(minutes=9), "requests_per_10_minutes")
    clock.at += timedelta(minutes=9)
    quota.take(4)


def test_a_batch_waits_for_all_of_its_parts():
    clock = Clock()
    quota = Quota(clock, mailbox=REP, requests=8)
    quota.take(2)
    clock.at += timedelta(minutes=1)
    quota.take(6)
    for parts, minutes in ((1, 9), (2, 9), (3, 10)):
        with pytest.raises(Retry) as raised:
            quota.take(parts)
        assert raised.value.after == timedelta(minutes=minutes)


def test_a_refused_call_has_used_nothing():
    clock = Clock()
    quota = Quota(clock, mailbox=REP, requests=1)
    quota.take(1)
    for _ in range(5):
        with pytest.raises(Retry):
            quota.take(1)
    clock.at += SPAN
    quota.take(1)


def test_ten_thousand_requests_are_what_microsoft_takes():
    assert (10_000, timedelta(minutes=10)) == (REQUESTS, SPAN)
    quota = Quota(Clock(), mailbox=REP)
    for _ in range(2_500):
        quota.take(4)
    with pytest.raises(Retry, match="10,000 requests"):
        quota.take(1)


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0, 300)), max_size=60))
def test_no_ten_minutes_ever_hold_more_than_the_quota(calls):
    clock = Clock()
    quota = Quota(clock, mailbox=REP, requests=8)
    taken: list[tuple[datetime, int]] = []
    for parts, pause in calls:
        clock.at += timedelta(seconds=pause)
        try:
            quota.take(parts)
        except Retry as retry:
            clock.at += retry.after
            quota.take(parts)
        taken.append((clock.at, parts))
    for at, _ in taken:
        assert sum(parts for when, parts in taken if at - SPAN < when <= at) <= 8


def test_a_clock_that_was_set_back_does_not_hold_the_mailbox_for_as_long():
    clock = Clock()
    quota = Quota(clock, mailbox=REP, requests=1)
    quota.take(1)
    clock.at -= timedelta(hours=1)
    quota.take(1)


def test_at_its_default_pace_an_outlook_mailbox_never_sends_more_than_thirty_mails_in_a_minute():
    """Exchange holds back what is over thirty a minute (reference apis 3.1)."""
    default = DEFAULT_PACING["outlook"]
    rule = PacingRule(per_second=default.per_second, per_minute=default.per_minute, per_day=default.per_day)
    now, pacing = START, Pacing()
    sent: list[datetime] = []
    while len(sent) < 200:
        now += timedelta(seconds=seconds_to_wait(pacing, rule, now))
        pacing = after_send(pacing, rule, now)
        sent.append(now)
    most = max(sum(at <= other < at + timedelta(minutes=1) for other in sent) for at in sent)
    assert 20 <= most <= 30
