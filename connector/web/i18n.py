"""Languages, dates and numbers as the one who looks is used to them.

Lives here: which languages there are, `gettext`, and how instants, dates and numbers are written. Does not live here:
who looks (`users`), the texts (`locale/`). What the core says (problems, lines of the ledger) is English.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta, get_datetime_format
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import NullTranslations, Translations
from babel.units import format_unit

#: Languages that the package brings, by the name people know them by.
LANGUAGES = {
    "en": "English",
    "ja": "日本語",
    "zh_Hans": "简体中文",
    "sv": "Svenska",
    "fr": "Français",
    "ko": "한국어",
}
_FOLDER = Path(__file__).parent / "locale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """How somebody reads a page."""

    locale: str = "en"
    zone: tzinfo = UTC


_VIEWING: ContextVar[Viewing] = ContextVar("connector_viewing", default=Viewing())  # noqa: B039 - frozen


def viewing() -> Viewing:
    """Return how the page of this request is read."""
    return _VIEWING.get()


def view_as(locale: str, zone: tzinfo) -> None:
    """Have the rest of this request be read so."""
    _VIEWING.set(Viewing(locale=locale, zone=zone))


def preferred(accept_language: str) -> str:
    """Return the language of ours that a browser's Accept-Language asks for first, or English."""
    wanted: list[tuple[float, str]] = []
    for entry in accept_language.split(",")[:20]:
        name, _, quality = entry.partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.strip().replace("-", "_")))
        except ValueError:
            continue
    for _, name in sorted(wanted, key=lambda one: one[0]):
        language, _, rest = name.lower().partition("_")
        # Traditional Chinese is another script: who reads it is better served by English than by Simplified.
        if language == "zh" and not any(part in ("hant", "tw", "hk", "mo") for part in rest.split("_")):
            return "zh_Hans"
        if language in LANGUAGES:
            return language
    return "en"


@cache
def _texts(locale: str) -> NullTranslations:
    """Return the texts of a language, from the file that translators write: nothing is built when this is installed."""
    file = _FOLDER / f"{locale}.po"
    if not file.is_file():
        return NullTranslations()  # English is what the texts are written in
    built = BytesIO()
    with file.open("rb") as opened:
        write_mo(built, read_po(opened, locale=locale))
    built.seek(0)
    return Translations(built)


def gettext(message: str, **values: object) -> str:
    """Return a text in the language of the one who looks, with values filled in (`%(name)s`)."""
    text = _texts(viewing().locale).gettext(message)
    return text % values if values else text


def ngettext(singular: str, plural: str, num: int, **values: object) -> str:
    """Return a text for one or for several; `%(num)s` is the number, written in the language's way."""
    text = _texts(viewing().locale).ngettext(singular, plural, num)
    return text % {"num": number(num), **values}


def when(instant: datetime) -> str:
    """Write an instant as date and time in the zone of the one who looks."""
    local, locale = instant.astimezone(viewing().zone), viewing().locale
    joined = get_datetime_format("medium", locale=locale)
    return str(joined).format(format_time(local, "short", locale=locale), format_date(local, "medium", locale=locale))


def clock(instant: datetime) -> str:
    """Write the time of day of an instant in the zone of the one who looks."""
    return format_time(instant.astimezone(viewing().zone), "short", locale=viewing().locale)


def day(value: date) -> str:
    """Write a date; an instant by its date in the zone of the one who looks."""
    local = value.astimezone(viewing().zone).date() if isinstance(value, datetime) else value
    return format_date(local, "medium", locale=viewing().locale)


def ago(instant: datetime, now: datetime) -> str:
    """Write how long ago an instant was, or how far ahead it is."""
    span: timedelta = instant - now
    return format_timedelta(span, add_direction=True, locale=viewing().locale)


def number(value: float) -> str:
    """Write a number."""
    return format_decimal(value, locale=viewing().locale)


def size(count: int) -> str:
    """Write a number of bytes in kB or MB."""
    large = count >= 100_000
    value, unit = (count / 1_000_000, "megabyte") if large else (max(count / 1000, 0.1), "kilobyte")
    return format_unit(value, f"digital-{unit}", "short", format="#,##0.#", locale=viewing().locale)


def percent(ratio: float) -> str:
    """Write a ratio as a percentage."""
    return format_percent(ratio, locale=viewing().locale)


def tag() -> str:
    """Return the language of the page as HTML names it, such as zh-Hans."""
    return str(Locale.parse(viewing().locale)).replace("_", "-")
