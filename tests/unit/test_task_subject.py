"""The subject of a CRM task follows the pattern, on one line of at most 255 characters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.intents import StepType
from connector.tasks.subject import (
    DEFAULT_PATTERN,
    ActivityNames,
    reply_subject,
    says_call_result,
    task_subject,
    unknown_fields,
)

CALL = ActivityNames(
    activity_type=StepType.CALL,
    activity_subject="Call Ann",
    sales_campaign_name="Q4 outreach",
    sales_campaign_day=3,
    sales_campaign_step=2,
    call_outcome="Connected",
    call_reason="Demo",
)
EVERY = (
    "{{activity_type}}|{{activity_subject}}|{{sales_campaign_name}}|{{sales_campaign_day}}"
    "|{{sales_campaign_step}}|{{call_outcome}}|{{call_reason}}"
)


@pytest.mark.parametrize(
    ("pattern", "names", "expected"),
    [
        (DEFAULT_PATTERN, CALL, "Call: Call Ann"),
        (EVERY, CALL, "Call|Call Ann|Q4 outreach|3|2|Connected|Demo"),
        (EVERY, ActivityNames(activity_type=StepType.INMAIL), "InMail||||||"),
        ("{{ Activity_Type }} {{ACTIVITY_SUBJECT}} {{activity subject}}", CALL, "Call Call Ann Call Ann"),
        ("{{nonsense}}{{activity_type}}", CALL, "Call"),
        (DEFAULT_PATTERN, ActivityNames(activity_type=StepType.EMAIL), "Email:"),
        (
            "Task\r\n{{activity_subject}}",
            ActivityNames(activity_type=StepType.CUSTOM, activity_subject="a\nb\tc"),
            "Task a b c",
        ),
        (
            "{{activity_subject}}",
            ActivityNames(activity_type=StepType.EMAIL, activity_subject="{{call_reason}}"),
            "{{call_reason}}",
        ),
        ("{{activity_subject}}", ActivityNames(activity_type=StepType.EMAIL, activity_subject="x" * 300), "x" * 255),
        ("no field at all", CALL, "no field at all"),
    ],
)
def test_the_pattern_is_followed(pattern, names, expected):
    assert task_subject(pattern, names) == expected


def test_a_reply_does_not_follow_the_pattern():
    assert reply_subject("Re: Hello\nthere") == "Reply: Re: Hello there"
    assert len(reply_subject("x" * 300)) == 255


def test_names_that_are_no_fields_are_told():
    assert unknown_fields("{{activity_type}} {{Call_Reason}} {{ Nonsense }} {{first_name}}") == (
        "Nonsense",
        "first_name",
    )


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (DEFAULT_PATTERN, False),
        (EVERY, True),
        ("{{ Call_Outcome }}", True),
        ("{{CALL REASON}}", True),
        ("call_outcome", False),
        ("{{call_outcomes}}", False),
    ],
)
def test_a_pattern_that_says_what_came_of_a_call_is_known(pattern, says):
    assert says_call_result(pattern) is says


@settings(max_examples=100, deadline=None)
@given(pattern=st.text(max_size=300), subject=st.text(max_size=300))
def test_any_text_gives_one_short_line(pattern, subject):
    made = task_subject(
        pattern + "{{activity_subject}}", ActivityNames(activity_type=StepType.EMAIL, activity_subject=subject)
    )
    assert len(made) <= 255
    assert len(made.splitlines()) <= 1
