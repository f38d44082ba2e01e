"""JSON Schema of a campaign file, for editors.

Lives here: the shape of the file with a sentence for each key (spec sequencing 1). Does not live here: the rules
about order and about what must exist elsewhere, which no schema can say (`reading` is the judge).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from connector.campaigns.model import CampaignSettings, OnReply, SameAccount
from connector.campaigns.reading import CLOCK_TIME, LAST_DAY, SEND_WORDS
from connector.intents import Priority, StepType

_TEXT = {"type": "string", "pattern": r"\S"}


def campaign_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a campaign file."""
    steps = {
        "type": "array",
        "minItems": 1,
        "description": "Done in this order; a task must be completed before the next step begins.",
        "items": {"$ref": "#/$defs/step"},
    }
    day = _object(
        {
            "day": {
                "type": "integer",
                "minimum": 1,
                "maximum": LAST_DAY,
                "description": "Position in the campaign: 3 is its third day, whatever came before. The first is 1.",
            },
            "steps": steps,
        },
        required=("day", "steps"),
        description="A day of the campaign.",
    )
    # prefixItems takes its item away from `items`, so the first day names both rules.
    first_day = {"allOf": [{"$ref": "#/$defs/day"}, {"properties": {"day": {"const": 1}}}]}
    campaign = _object(
        {
            "name": {"type": "string", "pattern": r"^[^\n]*\S[^\n]*$", "description": "What the campaign is called."},
            "category": {"type": ["string", "null"], "description": "A word to sort campaigns by."},
            "settings": _settings(),
            "days": {
                "type": "array",
                "minItems": 1,
                "description": "In order; day numbers rise.",
                "prefixItems": [first_day],
                "items": {"$ref": "#/$defs/day"},
            },
        },
        required=("name", "days"),
        description="A campaign: days with ordered steps.",
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Campaign",
        **campaign,
        "$defs": {"day": day, "step": _step()},
    }


def _settings() -> dict[str, Any]:
    defaults = CampaignSettings()
    properties: dict[str, dict[str, Any]] = {
        "time_zone": {
            "type": ["string", "null"],
            "description": "Whose clock counts: sender, recipient, or an IANA name such as Europe/Paris.",
            "examples": ["sender", "recipient", "Europe/Paris"],
        },
        "skip_weekends": _flag("Saturdays and Sundays are not counted as days."),
        "holidays": {
            "type": ["array", "null"],
            "items": {"type": "string", "pattern": r"^(\d{4}-\d{2}-\d{2}|[A-Z][A-Za-z]*(-.+)?)$"},
            "description": "Dates (2026-12-24) and country codes (US, DE-BY) that are not counted as days.",
        },
        "send_window": {
            "type": ["string", "null"],
            "pattern": f"^{CLOCK_TIME}-{CLOCK_TIME}$",
            "description": 'Automatic emails leave only then, such as "08:00-18:00".',
        },
        "on_reply": _words(OnReply, "What a reply does: end the campaign, end it as a success, or nothing."),
        "ignore_out_of_office": _flag("An automatic reply is no reply."),
        "remove_on_bounce": _flag("A bounced mail ends the campaign for that person."),
        "same_account": _words(SameAccount, "What a reply does to the other people of the same account."),
    }
    for key, value in properties.items():
        default = getattr(defaults, key)
        value["default"] = list(default) if isinstance(default, tuple) else default
    settings = _object(properties, description="How the campaign runs; every key may be left out.")
    return {**settings, "type": ["object", "null"]}


def _step() -> dict[str, Any]:
    email = _object(
        {
            "template": {**_TEXT, "description": "A file of the folder templates, without its ending."},
            "send": {
                "description": "When it goes out; task: the rep sends it.",
                "anyOf": [
                    {"enum": [str(word) for word in SEND_WORDS]},
                    {"type": "string", "pattern": f"^{CLOCK_TIME}$"},
                ],
            },
            "follow_up": {**_flag("Append the email directly before it, in its thread."), "default": False},
        },
        required=("template", "send"),
        description="An email, sent by the connector or by the rep.",
    )
    kinds: dict[str, dict[str, Any]] = {str(StepType.EMAIL): email}
    for kind, description in (
        (StepType.CALL, "A call the rep makes."),
        (StepType.INMAIL, "A message the rep writes on LinkedIn."),
        (StepType.CUSTOM, "Anything else the rep does."),
    ):
        kinds[str(kind)] = _object(
            {
                "name": {**_TEXT, "description": "What the rep is to do; Liquid fields such as {{first_name}}."},
                "notes": {"type": ["string", "null"], "description": "Details for the rep; Liquid fields."},
                "priority": {**_words(Priority, "Priority of the task."), "default": str(Priority.NORMAL)},
            },
            required=("name",),
            description=description,
        )
    step = _object(kinds, description="One step: email, call, inmail or custom.")
    return {**step, "minProperties": 1, "maxProperties": 1}


def _object(properties: Mapping[str, Any], *, description: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _flag(description: str) -> dict[str, Any]:
    return {"type": ["boolean", "null"], "description": description}


def _words(words: type[StrEnum], description: str) -> dict[str, Any]:
    return {"enum": [*map(str, words), None], "description": description}
