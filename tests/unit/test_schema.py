"""The JSON Schema of campaign files agrees with the reader about everything a schema can say."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connector.campaigns.reading import CAMPAIGN_KEYS, DAY_KEYS, EMAIL_KEYS, SETTING_KEYS, TASK_KEYS
from connector.campaigns.schema import campaign_schema
from connector.documents import parse_document
from tests.unit.test_campaign_reading import REFUSALS, SPEC

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
