"""The pages' texts: each language of the package has each of them, with the same values in it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

from connector.web.i18n import LANGUAGES

WEB = Path(__file__).parents[2] / "connector" / "web"
LOCALES = WEB / "locale"
#: English is what the texts are written in.
TRANSLATED = [locale for locale in LANGUAGES if locale != "en"]
_VALUE = re.compile(r"%\(\w+\)[sd]")
_NUMBER = {"%(num)s", "%(num)d"}


@cache
def texts() -> frozenset[str | tuple[str, ...]]:
    """Return every text of the pages; (singular, plural) of those that count."""
    with (LOCALES / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    found = extract_from_dir(str(WEB), method_map=methods, options_map=options)
    return frozenset(message if isinstance(message, str) else tuple(message) for _, _, message, _, _ in found)


def catalog(locale: str) -> Catalog:
    with (LOCALES / f"{locale}.po").open("rb") as file:
        return read_po(file, locale=locale)


def said(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


@pytest.mark.parametrize("locale", TRANSLATED)
def test_every_text_is_there_and_none_that_is_used_no_more(locale: str) -> None:
    there = {message.id for message in catalog(locale) if message.id and all(said(message)) and not message.fuzzy}
    assert (sorted(map(str, texts() - there)), sorted(map(str, there - texts()))) == ([], [])


@pytest.mark.parametrize("locale", TRANSLATED)
def test_every_text_holds_the_values_of_the_original(locale: str) -> None:
    wrong: list[tuple[object, str]] = []
    for message in catalog(locale):
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        wanted = {value for one in ids for value in _VALUE.findall(one)}
        forms = said(message) if message.id else []
        # The number itself may be a word of its own: "one person".
        wrong += [(ids, form) for form in forms if wanted - _NUMBER != set(_VALUE.findall(form)) - _NUMBER]
    assert wrong == []


@pytest.mark.parametrize("locale", TRANSLATED)
def test_every_language_has_as_many_forms_as_it_counts_by(locale: str) -> None:
    forms = catalog(locale).num_plurals
    assert all(len(said(message)) == forms for message in catalog(locale) if message.pluralizable)
