"""Campaign versions: the content an enrollment is pinned to, and what changed between two (spec sequencing 6).

Lives here: the canonical document of a campaign with the text of its templates, its hash, and the difference of two
in sentences. Does not live here: moving enrollments from one to another (`app`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import time
from enum import StrEnum
from typing import Any

from connector.campaigns.model import (
    Campaign,
    CampaignSettings,
    OnReply,
    SameAccount,
    SendOption,
    SendWindow,
    Step,
)
from connector.content.templates import Template, parse_template
from connector.intents import Priority, StepType

#: How documents are laid out; a number that is not known is refused rather than guessed at.
LAYOUT = 1


class ChangeKind(StrEnum):
    """What a change is about."""

    STEP_ADDED = "step_added"
    STEP_REMOVED = "step_removed"
    STEP_CHANGED = "step_changed"
    SETTING_CHANGED = "setting_changed"
    TEMPLATE_CHANGED = "template_changed"
    CAMPAIGN_CHANGED = "campaign_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between two versions."""

    kind: ChangeKind
    #: What it is about: "3.1" for a step, else the name of the setting, template or key.
    subject: str
    #: For people.
    sentence: str


def to_document(campaign: Campaign, templates: Mapping[str, Template]) -> dict[str, Any]:
    """Return the campaign and the templates it uses as JSON; raise `KeyError` for a template that is not there."""
    used = sorted({step.template for step in campaign.steps if step.template is not None})
    return {
        "layout": LAYOUT,
        "name": campaign.name,
        "category": campaign.category,
        "settings": _settings_document(campaign.settings),
        "steps": [_step_document(step) for step in campaign.steps],
        "templates": {name: {"format": templates[name].format, "source": templates[name].source} for name in used},
    }


def from_document(document: Mapping[str, Any]) -> tuple[Campaign, dict[str, Template]]:
    """Return the campaign and templates of a document; raise `ValueError` when another program wrote it."""
    if document.get("layout") != LAYOUT:
        raise ValueError(f"a campaign version of layout {document.get('layout')!r} cannot be read")
    templates = {
        name: parse_template(name, content["source"], content["format"])
        for name, content in document["templates"].items()
    }
    campaign = Campaign(
        name=document["name"],
        category=document["category"],
        settings=_settings(document["settings"]),
        steps=tuple(_step(step) for step in document["steps"]),
    )
    return campaign, templates


def version_of(document: Mapping[str, Any]) -> str:
    """Return the 16 lower-case hex digits that name this content; file names and layout of files play no part."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what changed from one document to another, in the order of the campaign; empty for the same content."""
    changes = [
        Change(kind=ChangeKind.CAMPAIGN_CHANGED, subject=key, sentence=_became(key, old[key], new[key]))
        for key in ("name", "category")
        if old[key] != new[key]
    ]
    changes += [
        Change(kind=ChangeKind.SETTING_CHANGED, subject=key, sentence=_became(key, old["settings"][key], value))
        for key, value in new["settings"].items()
        if old["settings"][key] != value
    ]
    changes += _step_changes(old["steps"], new["steps"])
    changes += [
        Change(kind=ChangeKind.TEMPLATE_CHANGED, subject=name, sentence=_template_change(name, before, after))
        for name, after in sorted(new["templates"].items())
        if (before := old["templates"].get(name)) is not None and before != after
    ]
    return tuple(changes)


# ------------------------------------------------------------------------------------------ documents


def _settings_document(settings: CampaignSettings) -> dict[str, Any]:
    window = settings.send_window
    document = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return {
        **document,
        "holidays": list(settings.holidays),
        "send_window": f"{_clock(window.opens)}-{_clock(window.closes)}" if window is not None else None,
        "on_reply": str(settings.on_reply),
        "same_account": str(settings.same_account),
    }


def _settings(document: Mapping[str, Any]) -> CampaignSettings:
    window = document["send_window"]
    opens, _, closes = (window or "").partition("-")
    return CampaignSettings(
        **{
            **document,
            "holidays": tuple(document["holidays"]),
            "send_window": (
                SendWindow(opens=time.fromisoformat(opens), closes=time.fromisoformat(closes)) if window else None
            ),
            "on_reply": OnReply(document["on_reply"]),
            "same_account": SameAccount(document["same_account"]),
        }
    )


def _step_document(step: Step) -> dict[str, Any]:
    """Return a step with the keys its type has; `send` as the file writes it."""
    place = {"day": step.day, "step": step.step, "type": str(step.type)}
    if step.type is StepType.EMAIL:
        send = _clock(step.at) if step.at is not None else str(step.send)
        return {**place, "template": step.template, "send": send, "follow_up": step.follow_up}
    return {**place, "name": step.name, "notes": step.notes, "priority": str(step.priority)}


def _step(document: Mapping[str, Any]) -> Step:
    kind = StepType(document["type"])
    if kind is not StepType.EMAIL:
        return Step(**{**document, "type": kind, "priority": Priority(document["priority"])})
    send = document["send"]
    fixed = ":" in send
    return Step(
        **{
            **document,
            "type": kind,
            "send": SendOption.FIXED_TIME if fixed else SendOption(send),
            "at": time.fromisoformat(send) if fixed else None,
        }
    )


def _clock(clock: time) -> str:
    return f"{clock:%H:%M}"


# --------------------------------------------------------------------------------------------- changes


def _became(key: str, old: Any, new: Any) -> str:
    return f"{key} was {_shown(old)} and is now {_shown(new)}"


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None | "" | []:
            return "empty"
        case list():
            return ", ".join(map(str, value))
        case str() if len(value) > 60:
            return f"'{value[:60]}...'"
        case str():
            return f"'{value}'"
    return str(value)


def _step_changes(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[Change]:
    """Compare steps by what they are, not by where they stand: a step put in between does not change the others."""
    matcher = difflib.SequenceMatcher(a=[_likeness(s) for s in old], b=[_likeness(s) for s in new], autojunk=False)
    changes: list[Change] = []
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        gone, come = old[old_from:old_to], new[new_from:new_to]
        paired = min(len(gone), len(come))
        if tag == "replace" and [s["day"] for s in gone[:paired]] != [s["day"] for s in come[:paired]]:
            paired = 0
        for before, after in zip(gone[:paired], come[:paired], strict=True):
            changes += _changed_step(before, after)
        for step in gone[paired:]:
            sentence = f"{_place(step)} was removed: {_called(step)}"
            changes.append(Change(kind=ChangeKind.STEP_REMOVED, subject=_key(step), sentence=sentence))
        for step in come[paired:]:
            sentence = f"{_place(step)} is new: {_called(step)}"
            changes.append(Change(kind=ChangeKind.STEP_ADDED, subject=_key(step), sentence=sentence))
    return changes


def _changed_step(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    parts = []
    if before["type"] != after["type"]:
        parts.append(f"{_called(before)} became {_called(after)}")
    elif _key(before) != _key(after):
        parts.append(
            f"it was step {before['step']} of the day"
            if before["day"] == after["day"]
            else f"it was on day {before['day']}"
        )
    if before["type"] == after["type"]:
        parts += [
            _became(key, before[key], after[key])
            for key in after
            if key not in {"day", "step"} and before[key] != after[key]
        ]
    if not parts:
        return []
    sentence = f"{_place(after)} ({_called(after)}) changed: {'; '.join(parts)}"
    return [Change(kind=ChangeKind.STEP_CHANGED, subject=_key(after), sentence=sentence)]


def _likeness(step: Mapping[str, Any]) -> tuple[Any, ...]:
    return (step["day"], step["type"], step.get("template") or step.get("name"))


def _key(step: Mapping[str, Any]) -> str:
    return f"{step['day']}.{step['step']}"


def _place(step: Mapping[str, Any]) -> str:
    return f"day {step['day']}, step {step['step']}"


def _called(step: Mapping[str, Any]) -> str:
    return f"{step['type']} '{step.get('template') or step.get('name')}'"


def _template_change(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    old, new = before["source"].splitlines(), after["source"].splitlines()
    lines = [line for line in difflib.ndiff(old, new) if line[:2] in {"+ ", "- "}]
    added = sum(line.startswith("+ ") for line in lines)
    how = f"{added} lines added, {len(lines) - added} removed"
    if before["format"] != after["format"]:
        how = f"from {before['format']} to {after['format']}, {how}"
    return f"the text of template '{name}' changed: {how}"
