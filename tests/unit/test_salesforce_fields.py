"""How a task of ours becomes a Salesforce record, and a row becomes a task."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.salesforce.tasks import CUT, Statuses, choose_statuses, to_record
from adapters.salesforce.values import cut, is_id, long_id
from connector.errors import Refused
from connector.intents import Priority, StepType
from connector.ports import TaskWrite

FIELD = "Connector_Intent_Id__c"
KEY = "0" * 32
STATUSES = Statuses(open="Not Started", closed="Completed")
CONTACT, LEAD, ACCOUNT, USER = "003000000000001AAA", "00Q000000000001AAA", "001000000000001AAA", "005000000000001AAA"


def record(create=True, **fields):
    made = to_record(TaskWrite(key=KEY, create=create, fields=fields), FIELD, STATUSES)
    assert made.pop("attributes") == {"type": "Task"}
    assert made.pop(FIELD) == KEY
    return made


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"subject": "Call:\n  Ann\tnow "}, {"Subject": "Call: Ann now"}),
        ({"subject": "x" * 300}, {"Subject": "x" * 255}),
        ({"closed": True}, {"Status": "Completed"}),
        ({"closed": False}, {"Status": "Not Started"}),
        ({"priority": Priority.HIGH}, {"Priority": "High"}),
        ({"priority": Priority.NORMAL}, {"Priority": "Normal"}),
        ({"due_date": date(2026, 11, 24)}, {"ActivityDate": "2026-11-24"}),
        ({"due_date": None}, {"ActivityDate": None}),
        (
            {"reminder_at": datetime(2026, 11, 24, 14, 30, tzinfo=UTC)},
            {"ReminderDateTime": "2026-11-24T14:30:00.000Z", "IsReminderSet": True},
        ),
        ({"reminder_at": None}, {"ReminderDateTime": None, "IsReminderSet": False}),
        ({"description": "Ask."}, {"Description": "Ask."}),
        ({"description": None}, {"Description": None}),
        ({"who": CONTACT, "what": ACCOUNT}, {"WhoId": CONTACT, "WhatId": ACCOUNT}),
        ({"who": LEAD, "what": ACCOUNT}, {"WhoId": LEAD}),
        ({"what": ACCOUNT, "who": LEAD}, {"WhoId": LEAD}),
        ({"who": None}, {"WhoId": None}),
        ({"owner": USER}, {"OwnerId": USER}),
        # Salesforce fills these and does not let them be cleared
        ({"owner": None, "priority": None, "subtype": None}, {}),
        ({"priority": "high", "subtype": "call"}, {"Priority": "High", "TaskSubtype": "Call"}),
        ({"subtype": StepType.EMAIL}, {"TaskSubtype": "Email"}),
        ({"subtype": StepType.CALL}, {"TaskSubtype": "Call"}),
        ({"subtype": StepType.INMAIL}, {"TaskSubtype": "LinkedIn"}),
        ({"subtype": StepType.CUSTOM}, {"TaskSubtype": "Task"}),
    ],
)
def test_each_field_is_written_as_salesforce_names_it(fields, expected):
    assert record(**fields) == expected


def test_an_update_never_carries_a_create_only_field():
    assert record(create=False, subtype=StepType.CALL, subject="s") == {"Subject": "s"}


@pytest.mark.parametrize(
    "fields", [{"who": "../../User"}, {"owner": "ana"}, {"what": "001"}, {"colour": "red"}, {"priority": "urgent"}]
)
def test_what_salesforce_cannot_hold_is_refused_here(fields):
    with pytest.raises(Refused):
        record(**fields)


def test_a_long_description_is_cut_with_a_mark():
    written = record(description="é" * 40_000)["Description"]
    assert written.endswith(CUT)
    assert len(written) <= 32_000


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), st.integers(10, 40))
def test_a_cut_text_fits_and_is_a_beginning(text, length):
    short = cut(text, length, "...")
    assert len(short.encode("utf-16-le")) <= 2 * length
    assert text == short or text.startswith(short.removesuffix("..."))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001D000000IqhSL", "001D000000IqhSLIAZ"),  # a published example
        ("00300000003T2PG", "00300000003T2PGAA0"),
        ("001D000000IqhSLIAZ", "001D000000IqhSLIAZ"),
    ],
)
def test_an_id_of_fifteen_gets_its_three_letters(short, long):
    assert is_id(short)
    assert long_id(short) == long


@pytest.mark.parametrize("text", ["", "003", "003000000000001AA", "003000000000001/AA", "003000000000001AAA\n"])
def test_what_is_no_id(text):
    assert not is_id(text)


def row(name, *, closed, default=False, order=0):
    return {"ApiName": name, "IsClosed": closed, "IsDefault": default, "SortOrder": order}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("Not Started", closed=False), row("Completed", closed=True)], ("Not Started", "Completed")),
        # renamed: the closed flag decides, not the name
        ([row("Completed", closed=False, default=True), row("Erledigt", closed=True)], ("Completed", "Erledigt")),
        # several closed: the customary one, wherever it stands
        (
            [row("Not Started", closed=False), row("Void", closed=True), row("Completed", closed=True)],
            ("Not Started", "Completed"),
        ),
        # no customary names: the default, and the first by the org's order
        (
            [
                row("Offen", closed=False, order=2),
                row("Neu", closed=False, default=True, order=3),
                row("Weg", closed=True, order=9),
                row("Fertig", closed=True, order=5),
            ],
            ("Neu", "Fertig"),
        ),
    ],
)
def test_the_statuses_are_the_orgs_own(rows, expected):
    chosen = choose_statuses(rows)
    assert (chosen.open, chosen.closed) == expected


def test_an_org_without_a_closed_status_is_refused():
    with pytest.raises(Refused, match="no open or no closed task status"):
        choose_statuses([row("Not Started", closed=False)])
