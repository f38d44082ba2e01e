"""The JSON Schema of campaign files agrees with the reader about everything a schema can say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from connector.campaigns.reading import (
    CAMPAIGN_KEYS,
    DAY_KEYS,
    EMAIL_KEYS,
    SETTING_KEYS,
    TASK_KEYS,
    read_campaign_text,
)
from connector.campaigns.schema import campaign_schema
from connector.campaigns.versions import from_document, to_document
from connector.documents import parse_document
from tests.unit.test_campaign_reading import REFUSALS, SPEC, TEMPLATES

DATA = Path(__file__).parents[1] / "data"

#: Refusals that only the reader can make: rules about order, and about what exists elsewhere.
BEYOND_A_SCHEMA = {
    "day twice", "days fall", "choose at launch later on day 1", "choose at launch on another day",
    "same time on the first step", "time before the window", "time when the window closes", "window closes first",
    "follow up on the first step", "follow up after a call", "unknown template", "unknown template with nothing near",
    "template that does not parse", "prompt in an automatic step", "prompt in a chosen step", "name that is not Liquid",
    "notes with an unknown filter", "unknown time zone", "unknown country", "unknown part of a country",
    "holiday that is no date", "name without quotes", "doubled key", "broken YAML",
}  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = campaign_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", [name for name in REFUSALS if name not in BEYOND_A_SCHEMA])
def test_it_refuses_what_the_reader_refuses(name: str, validator: Draft202012Validator) -> None:
    assert not validator.is_valid(parse_document(REFUSALS[name][0], "c.yaml").data)


def test_what_is_beyond_it_is_named_rightly(validator: Draft202012Validator) -> None:
    """A row that the schema does refuse must not hide among those it cannot."""
    unreadable = {"name without quotes", "doubled key", "broken YAML"}
    hidden = [
        name
        for name in sorted(BEYOND_A_SCHEMA - unreadable)
        if not validator.is_valid(parse_document(REFUSALS[name][0], "c.yaml").data)
    ]
    assert hidden == []
    assert set(REFUSALS) >= BEYOND_A_SCHEMA


def test_it_accepts_the_campaign_of_the_spec(validator: Draft202012Validator) -> None:
    assert list(validator.iter_errors(parse_document(SPEC, "c.yaml").data)) == []


def test_it_accepts_every_worked_case(validator: Draft202012Validator) -> None:
    for case in json.loads((DATA / "calendar.json").read_text(encoding="utf-8")):
        assert list(validator.iter_errors(case["campaign"])) == []


def test_it_knows_the_keys_the_reader_knows_and_says_what_each_is() -> None:
    schema: dict[str, Any] = campaign_schema()
    assert tuple(schema["properties"]) == CAMPAIGN_KEYS
    assert tuple(schema["properties"]["settings"]["properties"]) == SETTING_KEYS
    assert tuple(schema["$defs"]["day"]["properties"]) == DAY_KEYS
    steps = schema["$defs"]["step"]["properties"]
    assert tuple(steps["email"]["properties"]) == EMAIL_KEYS
    assert {tuple(steps[kind]["properties"]) for kind in ("call", "inmail", "custom")} == {TASK_KEYS}
    for part in (schema["properties"]["settings"], schema["$defs"]["day"], *steps.values()):
        assert all(prop.get("description") for prop in part["properties"].values())


def test_it_is_plain_json() -> None:
    assert json.loads(json.dumps(campaign_schema())) == campaign_schema()


def _places(data: object, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place, *(found for key, value in inside for found in _places(value, (*place, key)))]


def _replaced(data: Any, place: tuple[str | int, ...], value: object) -> Any:
    if not place:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[place[0]] = _replaced(data[place[0]], place[1:], value)
    return copy


_SCALARS = st.none() | st.booleans() | st.integers(-2, 5000) | st.floats(allow_nan=False, allow_infinity=False)
_WORDS = st.sampled_from(["", " ", "12:30", "08:00-18:00", "end", "task", "US", "2026-12-24", "sender", "{{x", "a\nb"])
_ANYTHING = st.recursive(
    _SCALARS | _WORDS | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORDS, inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
@settings(deadline=None)
def test_whatever_stands_in_the_file_the_reader_answers_and_accepts_no_more_than_the_schema(
    validator: Draft202012Validator, data: st.DataObject
) -> None:
    spec = parse_document(SPEC, "c.yaml").data
    for _ in range(data.draw(st.integers(1, 2))):
        spec = _replaced(spec, data.draw(st.sampled_from(_places(spec))), data.draw(_ANYTHING))
    read = read_campaign_text(json.dumps(spec), "c.json", TEMPLATES)
    assert (read.campaign is None) == bool(read.faults)
    assert all(fault.line for fault in read.faults)
    if read.campaign is not None:
        assert validator.is_valid(spec)
        document = to_document(read.campaign, TEMPLATES)
        assert from_document(document)[0] == read.campaign
