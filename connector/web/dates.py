"""Dates as forms and addresses give them.

Lives here: `read_day`, and which dates can be reckoned with in any zone. Does not live here: what is said of one that
is none (the pages), dates in the API's own models (`api.models`).
"""

from __future__ import annotations

from datetime import date

#: At the ends of the calendar there is no day before, or after.
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)


def read_day(text: str) -> date | None:
    """Return the date that a text such as 2026-11-30 names; None when it names none that can be reckoned with."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return None
    return day if FIRST_DAY <= day <= LAST_DAY else None
