"""What `connector doctor` says of this machine's clock beside a service's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import responses

from adapters.clocks import clock_checks
from connector.ports import Verdict
from tests.doubles import StillClock

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
GOOGLE = "https://gmail.example"


def look(headers: dict[str, str], address: str = GOOGLE) -> list[str]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(address, status=404, headers=headers)
        found = clock_checks(address, StillClock(NOW), "Google", costs="mail goes out at the wrong time")
    assert all(check.verdict is Verdict.FAULT for check in found)
    return [check.sentence for check in found]


@pytest.mark.parametrize(
    ("off", "said"), [(10, "10 minutes ahead of"), (-90, "90 minutes behind"), (1, None), (-1, None), (0, None)]
)
def test_a_clock_that_is_off_is_told(off: float, said: str | None) -> None:
    sentence = f"the clock of this machine is {said} Google's: mail goes out at the wrong time"
    date = format_datetime(NOW - timedelta(minutes=off), usegmt=True)
    assert look({"Date": date}) == ([sentence] if said else [])


@pytest.mark.parametrize("headers", [{}, {"Date": "soon"}], ids=["none", "none that can be read"])
def test_a_service_that_tells_no_time_tells_nothing(headers: dict[str, str]) -> None:
    assert look(headers) == []


def test_a_service_of_this_machine_may_have_a_time_of_its_own() -> None:
    far = format_datetime(NOW + timedelta(days=1), usegmt=True)
    assert look({"Date": far}, "http://127.0.0.1:9") == []


def test_a_service_that_cannot_be_reached_tells_nothing() -> None:
    with responses.RequestsMock():
        assert clock_checks(GOOGLE, StillClock(NOW), "Google", costs="") == ()
