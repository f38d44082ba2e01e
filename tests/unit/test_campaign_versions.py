"""Campaign versions: content in, content out, a name for it, and what changed in sentences."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.campaigns.model import (
    Campaign,
    CampaignSettings,
    OnReply,
    SameAccount,
    SendOption,
    SendWindow,
    Step,
)
from connector.campaigns.reading import read_campaign_text
from connector.campaigns.versions import ChangeKind, diff, from_document, to_document, version_of
from connector.content.templates import Template, parse_template
from connector.intents import Priority, StepType


def template(name: str, body: str = "Hi", format: str = "md") -> Template:  # noqa: A002 - as the model has it
    return parse_template(name, f"---\nsubject: Hello\n---\n{body}\n", format)


TEMPLATES = {name: template(name) for name in ("intro", "nudge", "last")}

BASE = """\
name: C
category: x
settings: {skip_weekends: false}
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call: {name: Call, notes: Ask}
  - day: 3
    steps:
      - email: {template: nudge, send: "09:30"}
"""


def document(text: str, templates: dict[str, Template] = TEMPLATES) -> dict[str, object]:
    read = read_campaign_text(text, "c.yaml", templates)
    assert read.campaign is not None, read.faults
    return to_document(read.campaign, templates)


_words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
_clocks = st.times().map(lambda t: t.replace(second=0, microsecond=0))


@st.composite
def _steps(draw: st.DrawFn, day: int, step: int) -> Step:
    kind = draw(st.sampled_from(StepType))
    if kind is not StepType.EMAIL:
        return Step(
            day=day,
            step=step,
            type=kind,
            name=draw(_words),
            notes=draw(_words),
            priority=draw(st.sampled_from(Priority)),
        )
    send = draw(st.sampled_from(SendOption))
    at = draw(_clocks) if send is SendOption.FIXED_TIME else None
    name = draw(st.sampled_from(sorted(TEMPLATES)))
    return Step(day=day, step=step, type=kind, template=name, send=send, at=at, follow_up=draw(st.booleans()))


@st.composite
def _campaigns(draw: st.DrawFn) -> Campaign:
    days = draw(st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(sorted))
    steps = [draw(_steps(day, step)) for day in days for step in range(1, draw(st.integers(1, 3)) + 1)]
    window = st.tuples(_clocks, _clocks).map(lambda pair: SendWindow(opens=min(pair), closes=max(pair)))
    settings = CampaignSettings(
        time_zone=draw(st.sampled_from(["sender", "recipient", "Europe/Paris"])),
        skip_weekends=draw(st.booleans()),
        holidays=tuple(draw(st.lists(st.sampled_from(["US", "DE-BY", "2026-12-24"]), max_size=3))),
        send_window=draw(st.none() | window),
        on_reply=draw(st.sampled_from(OnReply)),
        ignore_out_of_office=draw(st.booleans()),
        remove_on_bounce=draw(st.booleans()),
        same_account=draw(st.sampled_from(SameAccount)),
    )
    return Campaign(name=draw(_words), category=draw(_words), settings=settings, steps=tuple(steps))


@settings(deadline=None)
@given(_campaigns())
def test_a_document_holds_the_whole_campaign(campaign: Campaign) -> None:
    written = to_document(campaign, TEMPLATES)
    stored = json.loads(json.dumps(written))
    read, templates = from_document(stored)
    assert read == campaign
    assert templates == {name: TEMPLATES[name] for name in {s.template for s in campaign.steps} if name}
    assert version_of(to_document(read, templates)) == version_of(stored) == version_of(written)


@settings(deadline=None)
@given(_campaigns(), _campaigns())
def test_two_versions_are_the_same_just_when_nothing_changed(one: Campaign, other: Campaign) -> None:
    old, new = to_document(one, TEMPLATES), to_document(other, TEMPLATES)
    assert (version_of(old) == version_of(new)) == (old == new) == (diff(old, new) == ())


def test_a_version_is_short_lower_case_hex() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", version_of(document(BASE)))


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + BASE,
        BASE.replace('"09:30"', "09:30"),
        BASE.replace("settings: {skip_weekends: false}", "settings: {on_reply: end}"),
        BASE.replace("settings: {skip_weekends: false}\n", ""),
        BASE.replace("{template: intro, send: choose_at_launch}", "{send: choose_at_launch, template: intro}"),
        BASE.replace("{name: Call, notes: Ask}", "\n          priority: normal\n          notes: Ask\n          name: Call\n"),
        json.dumps({"days": [{"steps": [{"email": {"send": "choose_at_launch", "template": "intro"}}, {"call": {"notes": "Ask", "name": "Call"}}], "day": 1},
                             {"day": 3, "steps": [{"email": {"template": "nudge", "send": "09:30"}}]}], "name": "C", "category": "x"}),
    ],
    ids=["comment", "quotes", "default written", "default left out", "key order", "layout", "JSON"],
)  # fmt: skip
def test_how_the_file_is_written_plays_no_part(text: str) -> None:
    assert version_of(document(text)) == version_of(document(BASE))


def test_templates_that_are_not_used_play_no_part() -> None:
    changed = {**TEMPLATES, "last": template("last", "Bye")}
    assert version_of(document(BASE, changed)) == version_of(document(BASE))


def test_line_ends_play_no_part_and_text_does() -> None:
    windows = {**TEMPLATES, "intro": parse_template("intro", "---\r\nsubject: Hello\r\n---\r\nHi\r\n", "md")}
    assert version_of(document(BASE, windows)) == version_of(document(BASE))
    changed = {**TEMPLATES, "intro": template("intro", "Hi!")}
    assert version_of(document(BASE, changed)) != version_of(document(BASE))


CHANGES = {
    "nothing": (BASE, []),
    "name": (BASE.replace("name: C\n", "name: D\n"), [(ChangeKind.CAMPAIGN_CHANGED, "name", "name was 'C' and is now 'D'")]),
    "flag": (BASE.replace("skip_weekends: false", "skip_weekends: true"), [(ChangeKind.SETTING_CHANGED, "skip_weekends", "skip_weekends was false and is now true")]),
    "list": (BASE.replace("skip_weekends: false", "holidays: [US, 2026-12-24]"), [(ChangeKind.SETTING_CHANGED, "holidays", "holidays was empty and is now US, 2026-12-24")]),
    "window": (BASE.replace("skip_weekends: false", "send_window: 08:00-18:00"), [(ChangeKind.SETTING_CHANGED, "send_window", "send_window was empty and is now '08:00-18:00'")]),
    "time": (BASE.replace('"09:30"', '"10:00"'), [(ChangeKind.STEP_CHANGED, "3.1", "day 3, step 1 (email 'nudge') changed: send was '09:30' and is now '10:00'")]),
    "template": (BASE.replace("template: nudge", "template: last"), [(ChangeKind.STEP_CHANGED, "3.1", "day 3, step 1 (email 'last') changed: template was 'nudge' and is now 'last'")]),
    "notes": (BASE.replace("notes: Ask", "notes: ''"), [(ChangeKind.STEP_CHANGED, "1.2", "day 1, step 2 (call 'Call') changed: notes was 'Ask' and is now empty")]),
    "type": (BASE.replace("call: {name: Call", "inmail: {name: Call"), [(ChangeKind.STEP_CHANGED, "1.2", "day 1, step 2 (inmail 'Call') changed: call 'Call' became inmail 'Call'")]),
    "removed": (BASE.replace("      - call: {name: Call, notes: Ask}\n", ""), [(ChangeKind.STEP_REMOVED, "1.2", "day 1, step 2 was removed: call 'Call'")]),
    "added": (BASE + "  - day: 5\n    steps:\n      - call: {name: Again}\n", [(ChangeKind.STEP_ADDED, "5.1", "day 5, step 1 is new: call 'Again'")]),
    "added in between": (
        BASE.replace("      - call: {name: Call", "      - custom: {name: Look}\n      - call: {name: Call"),
        [(ChangeKind.STEP_ADDED, "1.2", "day 1, step 2 is new: custom 'Look'"), (ChangeKind.STEP_CHANGED, "1.3", "day 1, step 3 (call 'Call') changed: it was step 2 of the day")],
    ),
    "moved to another day": (
        BASE.replace("day: 3", "day: 4"),
        [(ChangeKind.STEP_REMOVED, "3.1", "day 3, step 1 was removed: email 'nudge'"), (ChangeKind.STEP_ADDED, "4.1", "day 4, step 1 is new: email 'nudge'")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_changes_are_told_in_sentences(text: str, expected: list[tuple[ChangeKind, str, str]]) -> None:
    changes = diff(document(BASE), document(text))
    assert [(change.kind, change.subject, change.sentence) for change in changes] == expected


def test_a_changed_text_is_told() -> None:
    changed = {**TEMPLATES, "intro": template("intro", "Hello\nthere", "txt")}
    (change,) = diff(document(BASE), document(BASE, changed))
    assert (change.kind, change.subject) == (ChangeKind.TEMPLATE_CHANGED, "intro")
    assert change.sentence == "the text of template 'intro' changed: from md to txt, 2 lines added, 1 removed"


def test_a_template_must_be_there() -> None:
    campaign, _ = from_document(document(BASE))
    with pytest.raises(KeyError):
        to_document(campaign, {})


def test_a_document_of_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout 2 cannot be read"):
        from_document({**document(BASE), "layout": 2})
