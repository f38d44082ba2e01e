"""Campaign files: what they may say, and every fault of one told at once.

Lives here: the shape of a campaign file, the rules that refuse one, and reading a folder of them
(spec sequencing 1). Does not live here: YAML and lines (`documents`), what a template may say
(`content.templates`), the same shape for editors (`schema`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import holidays as holiday_calendars

from connector.campaigns.model import (
    RECIPIENT_ZONE,
    SENDER_ZONE,
    Campaign,
    CampaignSettings,
    OnReply,
    SameAccount,
    SendOption,
    SendWindow,
    Step,
)
from connector.content.templates import Template, parse_text
from connector.documents import Document, Place, did_you_mean, parse_document, read_text
from connector.errors import BadInput, Fault, Severity
from connector.intents import Priority, StepType
from connector.people import time_zones

#: Keys of a campaign file, by part; the order is the one errors and editors list them in.
CAMPAIGN_KEYS = ("name", "category", "settings", "days")
SETTING_KEYS = tuple(CampaignSettings.__dataclass_fields__)
DAY_KEYS = ("day", "steps")
EMAIL_KEYS = ("template", "send", "follow_up")
TASK_KEYS = ("name", "notes", "priority")

#: Words of `send`; a clock time "HH:MM" is the fourth way.
SEND_WORDS = (SendOption.CHOOSE_AT_LAUNCH, SendOption.TASK, SendOption.SAME_TIME_AS_PREVIOUS)

#: Nobody works on a prospect for longer; a day beyond this is a slip of the pen.
LAST_DAY = 3650

CLOCK_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_CLOCK = re.compile(rf"^{CLOCK_TIME}$")
_SHORT_CLOCK = re.compile(r"^[0-9]:[0-5][0-9]$")
_WINDOW = re.compile(rf"^({CLOCK_TIME})-({CLOCK_TIME})$")
_ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")

_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCampaign:
    """What became of one campaign file."""

    file: str
    #: None when the file has faults.
    campaign: Campaign | None
    #: Errors, in the order of their lines.
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCampaigns:
    """What became of a folder of campaign files."""

    #: The good ones, by campaign name.
    campaigns: Mapping[str, Campaign]
    #: Campaign name -> the file it came from.
    files: Mapping[str, Path]
    #: Errors of all files together.
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


def load_campaigns(folder: Path, templates: Mapping[str, Template], *, broken: Collection[str] = ()) -> LoadedCampaigns:
    """Read every `*.yaml` and `*.yml` file of a folder; one bad file does not hide the others.

    `broken` names templates that exist but have faults of their own.
    """
    if not folder.is_dir():
        missing = Fault(sentence="the folder of the campaigns does not exist; make it", file=str(folder))
        return LoadedCampaigns(campaigns={}, files={}, faults=(missing,))
    campaigns: dict[str, Campaign] = {}
    files: dict[str, Path] = {}
    faults: list[Fault] = []
    warnings: list[Fault] = []
    twice: set[str] = set()
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".yaml", ".yml"} and not p.name.startswith(".")):
        read = read_campaign(path, templates, broken=broken)
        faults.extend(read.faults)
        warnings.extend(read.warnings)
        if read.campaign is None:
            continue
        name = read.campaign.name
        if name in campaigns:
            sentence = f"{files[name].name} holds a campaign of this name already: rename one of the two"
            faults.append(Fault(sentence=sentence, file=read.file, where=f"campaign '{name}'"))
            twice.add(name)
            continue
        campaigns[name] = read.campaign
        files[name] = path
    for name in twice:  # which of the two is meant, nobody can tell
        del campaigns[name], files[name]
    return LoadedCampaigns(campaigns=campaigns, files=files, faults=tuple(faults), warnings=tuple(warnings))


def read_campaign(path: Path, templates: Mapping[str, Template], *, broken: Collection[str] = ()) -> ReadCampaign:
    """Read and check one campaign file; never raises for what the file says."""
    try:
        text = read_text(path)
    except BadInput as error:
        return ReadCampaign(file=str(path), campaign=None, faults=error.faults)
    return read_campaign_text(text, str(path), templates, broken=broken)


def read_campaign_text(
    text: str, file: str, templates: Mapping[str, Template], *, broken: Collection[str] = ()
) -> ReadCampaign:
    """Read and check a campaign from its YAML or JSON text; `file` names it in faults."""
    try:
        document = parse_document(text, file)
    except BadInput as error:
        return ReadCampaign(file=file, campaign=None, faults=error.faults)
    reading = _Reading(document, templates, broken)
    campaign = reading.campaign()
    faults = tuple(sorted(reading.faults, key=lambda fault: fault.line or 0))
    errors = tuple(fault for fault in faults if fault.severity is Severity.ERROR)
    return ReadCampaign(
        file=file,
        campaign=None if errors else campaign,
        faults=errors,
        warnings=tuple(fault for fault in faults if fault.severity is Severity.WARNING),
    )


@cache
def holiday_codes() -> Mapping[str, frozenset[str]]:
    """Return country code -> codes of its parts, as the `holidays` package knows them."""
    listing = holiday_calendars.list_supported_countries(include_aliases=True)
    return {country: frozenset(parts) for country, parts in listing.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """A mapping of the file, with what is needed to complain about it."""

    document: Document
    faults: list[Fault]
    place: Place
    #: "an email step", for sentences.
    what: str
    where: str
    values: Mapping[str, Any]

    def note(self, sentence: str, *keys: str | int, severity: Severity = Severity.ERROR) -> None:
        fault = self.document.fault((*self.place, *keys), sentence, where=self.where)
        self.faults.append(
            Fault(sentence=sentence, file=fault.file, line=fault.line, where=self.where, severity=severity)
        )

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def text(self, key: str, *, required: str = "") -> str:
        """Return a text; `required` is what to do when it is missing."""
        value = self.get(key)
        if value is None or value == "" or (isinstance(value, str) and not value.strip()):
            if required:
                self.note(f"{self.what} needs a '{key}': {required}", key)
            return ""
        if isinstance(value, str):
            return value.strip()
        hint = "; text that begins with {{ must stand in quotes" if isinstance(value, dict) else ""
        self.note(f"'{key}' must be text: put it in quotes{hint}", key)
        return ""

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.note(f"'{key}' is {_shown(value)}: write true or false", key)
        return default

    def word(self, key: str, words: type[_Word], default: _Word) -> _Word:
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value in set(words):
            return words(value)
        choices = [str(word) for word in words]
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        self.note(f"'{key}' is {_shown(value)}: write {_either(choices)}{hint}", key)
        return default


@dataclass(slots=True, kw_only=True)
class _StepDraft:
    """A step as far as it could be read, for the rules about order."""

    section: _Section
    type: StepType | None = None
    send: SendOption | None = None
    at: time | None = None
    follow_up: bool = False
    step: Step | None = None
    day: int


class _Reading:
    """One pass over one document, collecting faults."""

    def __init__(self, document: Document, templates: Mapping[str, Template], broken: Collection[str]) -> None:
        self._document = document
        self._templates = templates
        self._broken = broken
        self._title = ""
        self.faults: list[Fault] = []

    def campaign(self) -> Campaign | None:
        data = self._document.data
        name = data.get("name") if isinstance(data, dict) else None
        self._title = f"campaign '{name}'" if isinstance(name, str) and name.strip() else "campaign"
        top = self._section(data, (), CAMPAIGN_KEYS, "a campaign", self._title)
        if top is None:
            return None
        title = top.text("name", required="say what the campaign is called")
        if "\n" in title:
            top.note("'name' must be one line", "name")
        category = top.text("category")
        settings = self._settings(top)
        drafts = self._days(top)
        self._check_order(drafts, settings)
        steps = tuple(draft.step for draft in drafts if draft.step is not None)
        if not steps:
            return None
        return Campaign(name=title, category=category, settings=settings, steps=steps)

    def _section(self, value: Any, place: Place, keys: Sequence[str], what: str, where: str) -> _Section | None:
        """Return a mapping with its unknown keys complained about; None when it is no mapping."""
        if not isinstance(value, dict):
            said = "is empty" if value is None else f"is {_shown(value)}"
            sentence = f"{what} {said}: write the keys {', '.join(keys)}"
            self.faults.append(self._document.fault(place, sentence, where=where))
            return None
        section = _Section(
            document=self._document, faults=self.faults, place=place, what=what, where=where, values=value
        )
        for key in value:
            if key not in keys:
                hint = did_you_mean(key, keys) or f"; there are {', '.join(keys)}"
                section.note(f"there is no key '{key}' in {what}{hint}", key)
        return section

    # ------------------------------------------------------------------------------------- settings

    def _settings(self, top: _Section) -> CampaignSettings:
        defaults = CampaignSettings()
        if top.get("settings") is None:
            return defaults
        section = self._section(top.get("settings"), ("settings",), SETTING_KEYS, "the settings", self._title)
        if section is None:
            return defaults
        return CampaignSettings(
            time_zone=_time_zone(section, defaults.time_zone),
            skip_weekends=section.flag("skip_weekends", default=defaults.skip_weekends),
            holidays=_holidays(section),
            send_window=_send_window(section),
            on_reply=section.word("on_reply", OnReply, defaults.on_reply),
            ignore_out_of_office=section.flag("ignore_out_of_office", default=defaults.ignore_out_of_office),
            remove_on_bounce=section.flag("remove_on_bounce", default=defaults.remove_on_bounce),
            same_account=section.word("same_account", SameAccount, defaults.same_account),
        )

    # ----------------------------------------------------------------------------------------- days

    def _days(self, top: _Section) -> list[_StepDraft]:
        days = top.get("days")
        if not isinstance(days, list) or not days:
            top.note("the campaign has no days: list at least '- day: 1' with its steps under 'days'", "days")
            return []
        drafts: list[_StepDraft] = []
        previous: int | None = None
        for position, value in enumerate(days):
            number = value.get("day") if isinstance(value, dict) else None
            known = number if isinstance(number, int) and not isinstance(number, bool) else None
            shown = f"day {known}" if known is not None else f"day entry {position + 1}"
            where = f"{self._title}, {shown}"
            section = self._section(value, ("days", position), DAY_KEYS, "a day", where)
            if section is None:
                drafts.append(self._unread(("days", position), position + 1, where))
                continue
            self._check_day(section, known, previous, first=position == 0)
            previous = max(known, previous or 0) if known is not None else previous
            drafts.extend(self._steps(section, known if known is not None else position + 1))
        return drafts

    @staticmethod
    def _check_day(section: _Section, number: int | None, previous: int | None, *, first: bool) -> None:
        if number is None or not 1 <= number <= LAST_DAY:
            said = "has no number" if section.get("day") is None else f"has the number {_shown(section.get('day'))}"
            section.note(f"the day {said}: write a whole number from 1 to {LAST_DAY}", "day")
        elif first and number != 1:
            section.note(f"the first day is {number}: the first day must be day 1", "day")
        elif previous is not None and number <= previous:
            sentence = f"day {number} comes after day {previous}: day numbers must rise, and each may stand once"
            section.note(sentence, "day")

    def _steps(self, day: _Section, number: int) -> list[_StepDraft]:
        steps = day.get("steps")
        if not isinstance(steps, list) or not steps:
            day.note("the day has no steps: list at least one email, call, inmail or custom under 'steps'", "steps")
            return [self._unread(day.place, number, day.where)]
        return [
            self._step(
                value, (*day.place, "steps", position), number, position + 1, f"{day.where}, step {position + 1}"
            )
            for position, value in enumerate(steps)
        ]

    def _step(self, value: Any, place: Place, day: int, step: int, where: str) -> _StepDraft:
        types = [str(kind) for kind in StepType]
        draft = self._unread(place, day, where)
        section = draft.section
        if not isinstance(value, dict) or len(value) != 1:
            said = f"has {len(value)} keys" if isinstance(value, dict) else f"is {_shown(value)}"
            section.note(f"a step {said}: write one of {_either(types)} with its keys below it")
            return draft
        ((kind, content),) = value.items()
        if kind not in types:
            hint = did_you_mean(kind, types) or f"; write {_either(types)}"
            section.note(f"there is no step type '{kind}'{hint}", kind)
            return draft
        draft.type = StepType(kind)
        keys = EMAIL_KEYS if draft.type is StepType.EMAIL else TASK_KEYS
        what = "an email step" if draft.type is StepType.EMAIL else f"a step of type {kind}"
        if content is None:
            content = {}
        inner = self._section(content, (*place, kind), keys, what, where)
        if inner is None:
            return draft
        draft.section = inner
        if draft.type is StepType.EMAIL:
            self._email(draft, inner, day, step)
        else:
            self._task(draft, inner, day, step)
        return draft

    def _unread(self, place: Place, day: int, where: str) -> _StepDraft:
        """Return a step nothing is known of yet: the rules about order look past it."""
        section = _Section(
            document=self._document, faults=self.faults, place=place, what="a step", where=where, values={}
        )
        return _StepDraft(section=section, day=day)

    def _email(self, draft: _StepDraft, section: _Section, day: int, step: int) -> None:
        name = section.text("template", required="name a file of the folder templates without its ending")
        draft.send, draft.at = _send(section)
        draft.follow_up = section.flag("follow_up", default=False)
        template = self._template(section, name)
        automatic = draft.send not in {SendOption.TASK, None}
        if template is not None and template.prompts and automatic:
            sentence = (
                f"template '{name}' asks the rep to fill in '{template.prompts[0]}', but this step is sent without "
                "the rep: remove the prompt {{! ... }} or write 'send: task'"
            )
            section.note(sentence, "template")
        if template is not None and not template.subject and not draft.follow_up:
            sentence = f"template '{name}' has no subject and this step follows no email up: give it a subject"
            section.note(sentence, "template", severity=Severity.WARNING)
        draft.step = Step(
            day=day,
            step=step,
            type=StepType.EMAIL,
            template=name,
            send=draft.send,
            at=draft.at,
            follow_up=draft.follow_up,
        )

    def _template(self, section: _Section, name: str) -> Template | None:
        if not name or name in self._templates:
            return self._templates.get(name)
        if name in self._broken:
            section.note(f"template '{name}' has faults of its own: mend them first", "template")
        else:
            hint = did_you_mean(name, self._templates) or ": add it to the folder templates"
            section.note(f"there is no template '{name}'{hint}", "template")
        return None

    @staticmethod
    def _task(draft: _StepDraft, section: _Section, day: int, step: int) -> None:
        kind = draft.type or StepType.CUSTOM
        name = section.text("name", required="say what the rep is to do")
        notes = section.text("notes")
        for key, text in (("name", name), ("notes", notes)):
            try:
                parse_text(text)
            except BadInput as error:
                for fault in error.faults:
                    section.note(f"in '{key}', {fault.sentence}", key)
        priority = section.word("priority", Priority, Priority.NORMAL)
        draft.step = Step(day=day, step=step, type=kind, name=name, notes=notes, priority=priority)

    # ---------------------------------------------------------------------------------------- order

    @staticmethod
    def _check_order(drafts: Sequence[_StepDraft], settings: CampaignSettings) -> None:
        """Check the rules about where in the campaign a send option may stand."""
        for position, draft in enumerate(drafts):
            before = drafts[position - 1] if position else None
            note = draft.section.note
            match draft.send:
                case SendOption.CHOOSE_AT_LAUNCH if before is not None:
                    sentence = (
                        "'choose_at_launch' may stand on the first step of the campaign only: "
                        "write a time such as \"09:30\", 'task' or 'same_time_as_previous'"
                    )
                    note(sentence, "send")
                case SendOption.SAME_TIME_AS_PREVIOUS if before is None:
                    sentence = (
                        "'same_time_as_previous' has no email before it on the first step: "
                        "write 'choose_at_launch', a time such as \"09:30\" or 'task'"
                    )
                    note(sentence, "send")
                case SendOption.SAME_TIME_AS_PREVIOUS if draft.day == 1:
                    sentence = (
                        "'same_time_as_previous' on day 1 sends as soon as the step before it is done: "
                        'write a time such as "09:30" if that is not meant'
                    )
                    note(sentence, "send", severity=Severity.WARNING)
                case SendOption.FIXED_TIME if draft.at is not None and _is_outside(draft.at, settings.send_window):
                    sentence = f"{draft.at:%H:%M} lies outside send_window: choose a time inside it or widen it"
                    note(sentence, "send")
            if not draft.follow_up:
                continue
            if before is None:
                note("'follow_up' has no email before it: remove it from the first step", "follow_up")
            elif before.type not in {StepType.EMAIL, None}:
                sentence = (
                    f"'follow_up' needs an email directly before it, and the step before is of type {before.type}: "
                    "move this step up behind the email, or remove 'follow_up'"
                )
                note(sentence, "follow_up")


def _send(section: _Section) -> tuple[SendOption | None, time | None]:
    value = section.get("send")
    words = [str(word) for word in SEND_WORDS]
    choices = f'{", ".join(words)}, or a time such as "09:30"'
    if value is None:
        section.note(f"an email step needs a 'send': write {choices}", "send")
    elif isinstance(value, str) and value in words:
        return SendOption(value), None
    elif isinstance(value, str) and _CLOCK.match(value):
        return SendOption.FIXED_TIME, time.fromisoformat(value)
    elif isinstance(value, str) and _SHORT_CLOCK.match(value):
        section.note(f"'send' is {_shown(value)}: write \"0{value}\"", "send")
    else:
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        section.note(f"'send' is {_shown(value)}: write {choices}{hint}", "send")
    return None, None


def _time_zone(section: _Section, default: str) -> str:
    value = section.get("time_zone")
    if value is None:
        return default
    if isinstance(value, str) and (value in {SENDER_ZONE, RECIPIENT_ZONE} or value in time_zones()):
        return value
    hint = did_you_mean(value, [SENDER_ZONE, RECIPIENT_ZONE, *sorted(time_zones())]) if isinstance(value, str) else ""
    sentence = f"there is no time zone {_shown(value)}: write sender, recipient or a name such as Europe/Paris{hint}"
    section.note(sentence, "time_zone")
    return default


def _holidays(section: _Section) -> tuple[str, ...]:
    value = section.get("holidays")
    if value is None:
        return ()
    if not isinstance(value, list):
        section.note('\'holidays\' must be a list, such as ["2026-12-24", "US", "DE-BY"]', "holidays")
        return ()
    for position, item in enumerate(value):
        if fault := _holiday_fault(item):
            section.note(fault, "holidays", position)
    return tuple(item for item in value if isinstance(item, str))


def _holiday_fault(item: Any) -> str:
    """Return what is wrong with one entry of `holidays`, or ``."""
    if not isinstance(item, str):
        return f"the holiday {_shown(item)} is neither a date nor a country: write 2026-12-24 or a code such as US"
    if item[:1].isdigit():
        try:
            known = bool(_ISO_DATE.match(item)) and date.fromisoformat(item) is not None
        except ValueError:
            known = False
        return "" if known else f"the holiday {_shown(item)} is not a date: write it as 2026-12-24"
    country, _, part = item.partition("-")
    codes = holiday_codes()
    if country not in codes:
        near = f"; did you mean '{item.upper()}'?" if country.upper() in codes else ""
        return f"there is no country {_shown(country)}: write its two letters, such as US or DE-BY{near}"
    if "-" in item and part not in codes[country]:
        parts = ", ".join(sorted(codes[country])) or "none: write the country alone"
        return f"the country {country} has no part {_shown(part)}; its parts are {parts}"
    return ""


def _send_window(section: _Section) -> SendWindow | None:
    value = section.get("send_window")
    if value is None:
        return None
    found = _WINDOW.match(value) if isinstance(value, str) else None
    if found is None:
        section.note(f"'send_window' is {_shown(value)}: write it as \"08:00-18:00\"", "send_window")
        return None
    opens, closes = time.fromisoformat(found[1]), time.fromisoformat(found[2])
    if opens >= closes:
        section.note(f"'send_window' is {_shown(value)}: it must open before it closes", "send_window")
        return None
    return SendWindow(opens=opens, closes=closes)


def _is_outside(at: time, window: SendWindow | None) -> bool:
    return window is not None and not window.opens <= at < window.closes


def _shown(value: Any) -> str:
    """Return a value of the file as a sentence shows it."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a group of keys"
        case list():
            return "a list"
        case str():
            return f"'{value}'" if len(value) <= 60 else f"'{value[:60]}...'"
    return str(value)


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
