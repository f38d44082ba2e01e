"""The paper model of docs/capacity.md: its formulas against the simulation, the simulation against the limits."""

from dataclasses import replace
from datetime import timedelta

import capacity
import pytest
import quotas

LOAD, ASSUMED = capacity.Load(), capacity.Assumed()

#: How far a formula and its simulation may lie apart: the formulas know no mail that just does not fit into a span.
TENTH, SECONDS = 0.1, 10.0


@pytest.mark.parametrize(
    ("kind", "sends", "drafts", "incoming", "answer"),
    [
        ("gmail", 1, 0, 0, 0.2),
        ("gmail", 75, 50, 50, 0.2),
        ("gmail", 75, 50, 50, 2.0),
        ("gmail", 300, 0, 0, 0.1),
        ("gmail", 300, 300, 200, 0.2),
        ("gmail", 1500, 0, 0, 0.2),
        ("outlook", 1, 0, 0, 0.2),
        ("outlook", 75, 50, 50, 0.2),
        ("outlook", 75, 50, 50, 2.0),
        ("outlook", 1500, 500, 0, 0.2),
    ],
)
def test_the_formula_of_a_mailbox_agrees_with_its_simulation(kind, sends, drafts, incoming, answer):
    kind = quotas.KINDS[kind]

    day = quotas.simulate(kind, sends=sends, drafts=drafts, incoming=incoming, answer=answer)

    assert day.sends == sends
    assert kind.seconds(sends, drafts, incoming, answer) == pytest.approx(day.seconds, rel=TENTH, abs=SECONDS)


@pytest.mark.parametrize("kind", quotas.KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize(("sends", "drafts"), [(75, 50), (1500, 0), (500, 1000)])
def test_no_quota_of_a_mailbox_is_exceeded_whatever_is_due_at_once(kind, sends, drafts):
    day = quotas.simulate(kind, sends=sends, drafts=drafts, incoming=50, answer=0.05)

    assert day.sends == sends
    assert day.peak <= kind.limit
    assert day.peak_sends <= kind.a_minute
    assert day.refused == 0


def test_the_simulation_would_show_a_quota_exceeded():
    class Careless:
        def take(self, amount, /):
            pass

    gmail = replace(quotas.KINDS["gmail"], quota=lambda clock: Careless())

    day = quotas.simulate(gmail, sends=100, drafts=0, incoming=0, answer=0.05)

    assert day.peak > gmail.limit


def test_more_sends_than_the_pace_of_a_day_are_no_day():
    with pytest.raises(ValueError, match="no such day"):
        quotas.simulate(quotas.KINDS["gmail"], sends=1501, drafts=0, incoming=0, answer=0.05)


def test_mailboxes_that_share_a_project_are_held_to_its_quota_and_all_done_when_the_formula_says():
    mailboxes, sends, units = 20, 50, 5_000

    day = quotas.simulate(
        quotas.KINDS["gmail"], sends=sends, drafts=0, incoming=0, answer=0.2, mailboxes=mailboxes, project=units
    )

    assert day.sends == mailboxes * sends
    assert day.peak <= units
    assert day.refused > 0
    # What is refused is asked for again, and looked for before.
    assert quotas.project_seconds(mailboxes, sends, 0, units) == pytest.approx(day.seconds, rel=TENTH)


def test_most_in_counts_what_lies_less_than_a_span_apart():
    at = quotas.MORNING
    asked = [(at, 3), (at + timedelta(seconds=59), 4), (at + timedelta(seconds=60), 5)]

    assert quotas.most_in(asked, timedelta(seconds=60)) == 9


def test_what_limits_first_stands_at_the_top_and_moves_with_the_load():
    usual = capacity.limits(LOAD, capacity.MEASURED, ASSUMED)
    no_tasks = capacity.limits(replace(LOAD, calls=0, drafts=0, sends=30), capacity.MEASURED, ASSUMED)

    assert [limit.used for limit in usual] == sorted((limit.used for limit in usual), reverse=True)
    at_google = next(
        limit for limit in no_tasks if limit.name.startswith("Gmail: units of the Google project in a day")
    )
    assert at_google.used > 1


def test_the_page_holds_what_the_model_says():
    page = capacity.PAGE.read_text(encoding="utf-8")

    assert capacity.made() in page, "run 'python bench/capacity.py --write'"
