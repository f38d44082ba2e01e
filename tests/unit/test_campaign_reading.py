"""Campaign files: everything spec sequencing 1 refuses, each with its line, place and what to do."""

import json
import textwrap
from datetime import time
from pathlib import Path

import pytest

from connector.campaigns.model import CampaignSettings, OnReply, SameAccount, SendOption, SendWindow
from connector.campaigns.reading import ReadCampaign, load_campaigns, read_campaign, read_campaign_text
from connector.content.templates import parse_template
from connector.intents import Mode, Priority, StepType

DATA = Path(__file__).parents[1] / "data"

TEMPLATES = {
    name: parse_template(name, source, "md")
    for name, source in {
        "intro": "---\nsubject: Hello\n---\nHi {{first_name}}",
        "nudge": "Any news?",
        "asking": "---\nsubject: Hello\n---\n{{! say how you met }}",
        "t": "---\nsubject: Hello\n---\nHi",
    }.items()
}

SPEC = """\
name: Q4 outreach
category: Outbound
settings:
  time_zone: sender
  skip_weekends: false
  holidays: []
  send_window: null
  on_reply: end
  ignore_out_of_office: true
  remove_on_bounce: true
  same_account: continue
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
      - call:  {name: "Call {{first_name}}", notes: "Ask about {{company}}"}
  - day: 3
    steps:
      - email: {template: nudge, send: same_time_as_previous}
  - day: 5
    steps:
      - email:  {template: asking, send: task}
      - inmail: {name: "Connect on LinkedIn", notes: "..."}
      - custom: {name: "Invite to the webinar", priority: high}
"""


def read(text: str) -> ReadCampaign:
    return read_campaign_text(textwrap.dedent(text), "c.yaml", TEMPLATES, broken={"half-done"})


def campaign(*, settings: str = "{}", days: str) -> str:
    """Return a campaign of four lines and then its days, so that rows can count lines from 5."""
    return (
        f"name: C\ncategory: x\nsettings: {settings}\ndays:\n{textwrap.indent(textwrap.dedent(days).strip(), '  ')}\n"
    )


def step(line: str, *, settings: str = "{}") -> str:
    """Return a campaign whose first step stands on line 7."""
    return campaign(settings=settings, days=f"- day: 1\n  steps:\n    - {line}")


def two_days(first: str, second: str) -> str:
    """Return a campaign whose first step stands on line 7 and whose day 2 has its step on line 10."""
    return campaign(days=f"- day: 1\n  steps:\n    - {first}\n- day: 2\n  steps:\n    - {second}")


INTRO = "email: {template: intro, send: choose_at_launch}"
CALL = "call: {name: Call}"

#: text, line, where, words of the sentence
REFUSALS: dict[str, tuple[str, int, str, str]] = {
    # unknown keys
    "key of the campaign": (step(CALL) + "dayz: 1\n", 8, "campaign 'C'", "no key 'dayz' in a campaign; did you mean 'days'?"),
    "key of the settings": (step(CALL, settings="{skip_weekend: true}"), 3, "campaign 'C'", "did you mean 'skip_weekends'?"),
    "key with nothing near": (step(CALL, settings="{zzz: 1}"), 3, "campaign 'C'", "there are time_zone, skip_weekends"),
    "key of a day": (campaign(days=f"- day: 1\n  step: 1\n  steps:\n    - {CALL}"), 6, "campaign 'C', day 1", "did you mean 'steps'?"),
    "key of an email": (step("email: {template: intro, sent: task, send: task}"), 7, "campaign 'C', day 1, step 1", "no key 'sent' in an email step; did you mean 'send'?"),
    "send on a call": (step("call: {name: Call, send: task}"), 7, "campaign 'C', day 1, step 1", "no key 'send' in a step of type call"),
    "priority on an email": (step("email: {template: intro, send: task, priority: high}"), 7, "campaign 'C', day 1, step 1", "no key 'priority' in an email step"),
    "step type": (step("emial: {template: intro}"), 7, "campaign 'C', day 1, step 1", "no step type 'emial'; did you mean 'email'?"),
    "step type with nothing near": (step("fax: {}"), 7, "campaign 'C', day 1, step 1", "write email, call, inmail or custom"),
    # shape
    "no campaign at all": ("# nothing\n", 1, "campaign", "is empty: write the keys name, category, settings, days"),
    "a list": ("- a\n", 1, "campaign", "a campaign is a list"),
    "no name": ("days: [{day: 1, steps: [{call: {name: x}}]}]", 1, "campaign", "needs a 'name'"),
    "name of two lines": ('name: "a\\nb"\ndays: [{day: 1, steps: [{call: {name: x}}]}]', 1, "campaign 'a\nb'", "one line"),
    "name is a number": ("name: 2026\ndays: [{day: 1, steps: [{call: {name: x}}]}]", 1, "campaign", "'name' must be text"),
    "settings no mapping": (step(CALL, settings="[]"), 3, "campaign 'C'", "the settings is a list"),
    "no days": ("name: C\n", 1, "campaign 'C'", "has no days"),
    "empty days": ("name: C\n\ndays: []\n", 3, "campaign 'C'", "has no days"),
    "days no list": ("name: C\n\ndays: {day: 1}\n", 3, "campaign 'C'", "has no days"),
    "day no mapping": (campaign(days="- 1"), 5, "campaign 'C', day entry 1", "a day is 1"),
    "no steps": (campaign(days="- day: 1"), 5, "campaign 'C', day 1", "has no steps"),
    "empty steps": (campaign(days="- day: 1\n  steps: []"), 6, "campaign 'C', day 1", "has no steps"),
    "step of two types": (step("call: {name: x}\n      inmail: {name: y}"), 7, "campaign 'C', day 1, step 1", "has 2 keys"),
    "step is a word": (step("email"), 7, "campaign 'C', day 1, step 1", "a step is 'email'"),
    "step content is a word": (step("call: Call her"), 7, "campaign 'C', day 1, step 1", "is 'Call her': write the keys name, notes, priority"),
    # day numbers
    "first day is 2": (campaign(days=f"- day: 2\n  steps:\n    - {CALL}"), 5, "campaign 'C', day 2", "the first day must be day 1"),
    "day 0": (campaign(days=f"- day: 0\n  steps:\n    - {CALL}"), 5, "campaign 'C', day 0", "a whole number from 1"),
    "day is negative": (campaign(days=f"- day: -1\n  steps:\n    - {CALL}"), 5, "campaign 'C', day -1", "a whole number from 1"),
    "day is a text": (campaign(days=f"- day: one\n  steps:\n    - {CALL}"), 5, "campaign 'C', day entry 1", "has the number 'one'"),
    "day is a flag": (campaign(days=f"- day: true\n  steps:\n    - {CALL}"), 5, "campaign 'C', day entry 1", "has the number true"),
    "day is a fraction": (campaign(days=f"- day: 1.5\n  steps:\n    - {CALL}"), 5, "campaign 'C', day entry 1", "has the number 1.5"),
    "day is missing": (campaign(days=f"- steps:\n    - {CALL}"), 5, "campaign 'C', day entry 1", "has no number"),
    "day beyond reason": (campaign(days=f"- day: 1\n  steps:\n    - {CALL}\n- day: 99999\n  steps:\n    - {CALL}"), 8, "campaign 'C', day 99999", "from 1 to 3650"),
    "day twice": (campaign(days=f"- day: 1\n  steps:\n    - {CALL}\n- day: 1\n  steps:\n    - {CALL}"), 8, "campaign 'C', day 1", "day 1 comes after day 1"),
    "days fall": (campaign(days="\n".join(f"- day: {n}\n  steps:\n    - {CALL}" for n in (1, 3, 2))), 11, "campaign 'C', day 2", "day 2 comes after day 3"),
    # send options
    "no send": (step("email: {template: intro}"), 7, "campaign 'C', day 1, step 1", "needs a 'send'"),
    "unknown send": (step("email: {template: intro, send: choose_at_lunch}"), 7, "campaign 'C', day 1, step 1", "did you mean 'choose_at_launch'?"),
    "send is no time": (step('email: {template: intro, send: "24:00"}'), 7, "campaign 'C', day 1, step 1", "'send' is '24:00': write choose_at_launch"),
    "send is a short time": (step("email: {template: intro, send: 9:30}"), 7, "campaign 'C', day 1, step 1", 'write "09:30"'),
    "send is a number": (step("email: {template: intro, send: 930}"), 7, "campaign 'C', day 1, step 1", "'send' is 930"),
    "choose at launch later on day 1": (campaign(days=f"- day: 1\n  steps:\n    - {CALL}\n    - {INTRO}"), 8, "campaign 'C', day 1, step 2", "first step of the campaign only"),
    "choose at launch on another day": (two_days(CALL, INTRO), 10, "campaign 'C', day 2, step 1", "first step of the campaign only"),
    "same time on the first step": (step("email: {template: intro, send: same_time_as_previous}"), 7, "campaign 'C', day 1, step 1", "has no email before it on the first step"),
    "time before the window": (step("email: {template: intro, send: 07:59}", settings='{send_window: "08:00-18:00"}'), 7, "campaign 'C', day 1, step 1", "07:59 lies outside send_window"),
    "time when the window closes": (step("email: {template: intro, send: 18:00}", settings='{send_window: "08:00-18:00"}'), 7, "campaign 'C', day 1, step 1", "18:00 lies outside send_window"),
    # follow-ups
    "follow up on the first step": (step("email: {template: intro, send: task, follow_up: true}"), 7, "campaign 'C', day 1, step 1", "no email before it"),
    "follow up after a call": (two_days(CALL, "email: {template: intro, send: task, follow_up: true}"), 10, "campaign 'C', day 2, step 1", "the step before is of type call"),
    "follow up is a word": (step("email: {template: intro, send: task, follow_up: yes}"), 7, "campaign 'C', day 1, step 1", "'follow_up' is 'yes': write true or false"),
    # templates
    "no template": (step("email: {send: task}"), 7, "campaign 'C', day 1, step 1", "needs a 'template'"),
    "unknown template": (step("email: {template: intor, send: task}"), 7, "campaign 'C', day 1, step 1", "no template 'intor'; did you mean 'intro'?"),
    "unknown template with nothing near": (step("email: {template: zzz, send: task}"), 7, "campaign 'C', day 1, step 1", "no template 'zzz': add it"),
    "template that does not parse": (step("email: {template: half-done, send: task}"), 7, "campaign 'C', day 1, step 1", "has faults of its own"),
    "prompt in an automatic step": (step("email: {template: asking, send: 09:30}"), 7, "campaign 'C', day 1, step 1", "asks the rep to fill in 'say how you met'"),
    "prompt in a chosen step": (step("email: {template: asking, send: choose_at_launch}"), 7, "campaign 'C', day 1, step 1", "'send: task'"),
    # the other steps
    "no name of a call": (step("call: {notes: x}"), 7, "campaign 'C', day 1, step 1", "a step of type call needs a 'name'"),
    "empty step": (step("inmail:"), 7, "campaign 'C', day 1, step 1", "a step of type inmail needs a 'name'"),
    "name without quotes": (step("call: {name: {{first_name}}}"), 7, "", "a key must be a word"),
    "name that is not Liquid": (step('call: {name: "Call {{first_name"}'), 7, "campaign 'C', day 1, step 1", "in 'name', the Liquid is not right"),
    "notes with an unknown filter": (step('call: {name: x, notes: "{{company | shout}}"}'), 7, "campaign 'C', day 1, step 1", "in 'notes', there is no filter 'shout'"),
    "unknown priority": (step("custom: {name: x, priority: hihg}"), 7, "campaign 'C', day 1, step 1", "write normal or high; did you mean 'high'?"),
    # settings
    "unknown time zone": (step(CALL, settings="{time_zone: Europe/Pari}"), 3, "campaign 'C'", "no time zone 'Europe/Pari': write sender, recipient or a name such as Europe/Paris; did you mean 'Europe/Paris'?"),
    "time zone is a number": (step(CALL, settings="{time_zone: 2}"), 3, "campaign 'C'", "no time zone 2"),
    "unknown country": (step(CALL, settings="{holidays: [QQ]}"), 3, "campaign 'C'", "no country 'QQ'"),
    "country in lower case": (step(CALL, settings="{holidays: [de-by]}"), 3, "campaign 'C'", "did you mean 'DE-BY'?"),
    "unknown part of a country": (step(CALL, settings="{holidays: [DE-XX]}"), 3, "campaign 'C'", "the country DE has no part 'XX'; its parts are"),
    "holiday that is no date": (step(CALL, settings="{holidays: [2026-02-30]}"), 3, "campaign 'C'", "'2026-02-30' is not a date"),
    "holiday with a time": (step(CALL, settings="{holidays: [2026-02-03T10:00:00Z]}"), 3, "campaign 'C'", "is not a date"),
    "holiday is a number": (step(CALL, settings="{holidays: [7]}"), 3, "campaign 'C'", "neither a date nor a country"),
    "holidays no list": (step(CALL, settings="{holidays: US}"), 3, "campaign 'C'", "must be a list"),
    "window misspelt": (step(CALL, settings='{send_window: "8-18"}'), 3, "campaign 'C'", 'write it as "08:00-18:00"'),
    "window closes first": (step(CALL, settings='{send_window: "18:00-08:00"}'), 3, "campaign 'C'", "must open before it closes"),
    "on_reply": (step(CALL, settings="{on_reply: stop}"), 3, "campaign 'C'", "'on_reply' is 'stop': write end, end_as_success or continue"),
    "same_account": (step(CALL, settings="{same_account: ends}"), 3, "campaign 'C'", "did you mean 'end'?"),
    "flag that is a word": (step(CALL, settings="{skip_weekends: on}"), 3, "campaign 'C'", "'skip_weekends' is 'on': write true or false"),
    "flag that is a number": (step(CALL, settings="{remove_on_bounce: 1}"), 3, "campaign 'C'", "'remove_on_bounce' is 1: write true or false"),
    # the file itself
    "doubled key": (step(CALL) + "name: D\n", 8, "", "the key 'name' stands twice, first on line 1"),
    "broken YAML": ("name: C\ndays: [\n", 3, "", "not YAML"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "where", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_each_refusal_names_its_line_and_place_and_what_to_do(text: str, line: int, where: str, words: str) -> None:
    result = read(text)
    assert result.campaign is None
    (fault,) = (f for f in result.faults if words in f.sentence)
    assert (fault.file, fault.line, fault.where or "") == ("c.yaml", line, where)


#: These say two things about one mistake, because either may be the one that was meant.
_TWO_FAULTS = {"key of an email", "name without quotes"}


@pytest.mark.parametrize("name", [name for name in REFUSALS if name not in _TWO_FAULTS])
def test_one_mistake_is_told_once(name: str) -> None:
    faults = read(REFUSALS[name][0]).faults
    assert len(faults) == 1, "\n".join(map(str, faults))


def test_all_faults_of_a_file_are_told_together_in_the_order_of_their_lines() -> None:
    result = read(
        """\
        nmae: C
        settings: {time_zone: Mars, on_reply: x}
        days:
          - day: 2
            steps:
              - email: {template: gone, send: same_time_as_previous, follow_up: true}
              - call: {}
          - day: 2
            steps: []
        """
    )
    assert [fault.line for fault in result.faults] == [1, 1, 2, 2, 4, 6, 6, 6, 7, 8, 9]
    assert result.campaign is None


def test_what_could_not_be_read_does_not_make_its_neighbours_wrong() -> None:
    result = read(two_days("fax: {}", "email: {template: nudge, send: same_time_as_previous, follow_up: true}"))
    assert [fault.line for fault in result.faults] == [7]
    result = read(
        campaign(
            days="- 1\n- day: 2\n  steps:\n    - email: {template: nudge, send: same_time_as_previous, follow_up: true}"
        )
    )
    assert [fault.line for fault in result.faults] == [5]


def test_the_campaign_of_the_spec_is_read() -> None:
    result = read(SPEC)
    assert result.faults == ()
    read_one = result.campaign
    assert read_one is not None
    assert (read_one.name, read_one.category, read_one.settings) == ("Q4 outreach", "Outbound", CampaignSettings())
    assert [(s.place, s.type, s.mode, s.send) for s in read_one.steps] == [
        ("1.1", StepType.EMAIL, Mode.SEND, SendOption.CHOOSE_AT_LAUNCH),
        ("1.2", StepType.CALL, Mode.TASK, None),
        ("3.1", StepType.EMAIL, Mode.SEND, SendOption.SAME_TIME_AS_PREVIOUS),
        ("5.1", StepType.EMAIL, Mode.TASK, SendOption.TASK),
        ("5.2", StepType.INMAIL, Mode.TASK, None),
        ("5.3", StepType.CUSTOM, Mode.TASK, None),
    ]
    assert read_one.steps[1].name == "Call {{first_name}}"
    assert read_one.steps[1].notes == "Ask about {{company}}"
    assert read_one.steps[5].priority is Priority.HIGH


def test_every_setting_is_read() -> None:
    settings = """{time_zone: America/New_York, skip_weekends: true, holidays: [2026-12-24, "2026-12-31", US, DE-BY],
      send_window: 08:00-18:00, on_reply: end_as_success, ignore_out_of_office: false, remove_on_bounce: false,
      same_account: end}"""
    read_one = read(step("email: {template: intro, send: 08:00}", settings=settings)).campaign
    assert read_one is not None
    assert read_one.settings == CampaignSettings(
        time_zone="America/New_York",
        skip_weekends=True,
        holidays=("2026-12-24", "2026-12-31", "US", "DE-BY"),
        send_window=SendWindow(opens=time(8), closes=time(18)),
        on_reply=OnReply.END_AS_SUCCESS,
        ignore_out_of_office=False,
        remove_on_bounce=False,
        same_account=SameAccount.END,
    )
    assert read_one.steps[0].at == time(8)


@pytest.mark.parametrize("send", ["12:30", '"12:30"', "00:00", "23:59"])
def test_a_clock_time_needs_no_quotes(send: str) -> None:
    read_one = read(step(f"email: {{template: intro, send: {send}}}")).campaign
    assert read_one is not None
    assert read_one.steps[0].send is SendOption.FIXED_TIME
    assert read_one.steps[0].at == time.fromisoformat(send.strip('"'))


@pytest.mark.parametrize("before", [INTRO, "email: {template: asking, send: task}"])
@pytest.mark.parametrize("send", ["task", "11:00", "same_time_as_previous"])
def test_follow_up_goes_with_every_send_option(before: str, send: str) -> None:
    result = read(two_days(before, f"email: {{template: nudge, send: {send}, follow_up: true}}"))
    assert (result.faults, result.warnings) == ((), ())


def test_same_time_as_previous_on_day_1_is_warned_of_and_allowed() -> None:
    result = read(
        campaign(
            days=f"- day: 1\n  steps:\n    - {CALL}\n    - email: {{template: intro, send: same_time_as_previous}}"
        )
    )
    assert result.campaign is not None
    (warning,) = result.warnings
    assert (warning.line, warning.where) == (8, "campaign 'C', day 1, step 2")
    assert "as soon as the step before it is done" in warning.sentence


def test_a_mail_without_a_subject_is_warned_of() -> None:
    result = read(step("email: {template: nudge, send: task}"))
    assert result.campaign is not None
    assert [w.line for w in result.warnings] == [7]
    assert "has no subject" in result.warnings[0].sentence


def test_every_worked_case_is_read_from_json() -> None:
    cases = json.loads((DATA / "calendar.json").read_text(encoding="utf-8"))
    assert len(cases) > 50
    for case in cases:
        result = read(json.dumps(case["campaign"]))
        assert result.faults == ()
        assert result.campaign is not None
        assert [s.day for s in result.campaign.steps] == [
            d["day"] for d in case["campaign"]["days"] for _ in d["steps"]
        ]


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(step(CALL), encoding="utf-8")
    (tmp_path / "b.yml").write_bytes(b"\xef\xbb\xbf" + SPEC.encode())
    (tmp_path / "c.yaml").write_text(step(CALL), encoding="utf-8")
    (tmp_path / "d.yaml").write_text("name: D\n", encoding="utf-8")
    (tmp_path / "e.yaml").write_bytes(b"name: \xff\n")
    (tmp_path / "notes.txt").write_text("not a campaign", encoding="utf-8")
    loaded = load_campaigns(tmp_path, TEMPLATES)
    assert sorted(loaded.campaigns) == ["Q4 outreach"], "of two with one name, neither is taken"
    assert sorted(loaded.files) == ["Q4 outreach"]
    told = [(Path(f.file or "").name, f.line, f.sentence) for f in loaded.faults]
    assert [(name, line) for name, line, _ in told] == [("c.yaml", None), ("d.yaml", 1), ("e.yaml", 1)]
    assert "a.yaml holds a campaign of this name already" in told[0][2]


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (fault,) = load_campaigns(tmp_path / "campaigns", TEMPLATES).faults
    assert "does not exist" in fault.sentence


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (fault,) = read_campaign(tmp_path / "gone.yaml", TEMPLATES).faults
    assert "no such file" in fault.sentence
