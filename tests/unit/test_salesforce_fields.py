"""How a task of ours becomes a Salesforce record, by the fields that the org has."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.salesforce.describe import FieldShape, Shape, Statuses
from adapters.salesforce.task_fields import CUT, TaskFields, gaps, to_record
from adapters.salesforce.values import cut, is_id, long_id
from connector.errors import Refused
from connector.intents import Priority, StepType
from connector.ports import ActivityFact, ActivityKind, TaskWrite

FIELD = "Connector_Intent_Id__c"
KEY = "0" * 32
STATUSES = Statuses(open="Not Started", closed="Completed")
CONTACT, LEAD, ACCOUNT, USER = "003000000000001AAA", "00Q000000000001AAA", "001000000000001AAA", "005000000000001AAA"


def field(name, kind="string", length=0, **change):
    known = {
        "createable": True, "updateable": True, "unique": False, "external_id": False, "case_sensitive": False,
        "nillable": True, "picklist": (), "restricted": False,
    }  # fmt: skip
    return FieldShape(name=name, kind=kind, length=length, **{**known, **change})


STANDARD = (
    field("Subject", "combobox", 255, picklist=("Call", "Email")),
    field("Status", "picklist", 40, picklist=("Not Started", "Completed")),
    field("Priority", "picklist", 40, picklist=("High", "Normal", "Low")),
    field("ActivityDate", "date"),
    field("ReminderDateTime", "datetime"),
    field("IsReminderSet", "boolean"),
    field("Description", "textarea", 32_000),
    field("WhoId", "reference", 18),
    field("OwnerId", "reference", 18),
    field("TaskSubtype", "picklist", 40, updateable=False, picklist=("Task", "Email", "Call", "LinkedIn")),
    field("Type", "picklist", 40, picklist=("Call", "Email", "Reply")),
    field(FIELD, "string", 64, unique=True, external_id=True),
)


def an_org(*fields, without=(), mapped=None, **change):
    """An org with the standard fields, some changed (`Subject={"length": 80}`), some more, some missing."""
    known = {one.name: one for one in (*STANDARD, *fields) if one.name not in without}
    known |= {name: replace(known[name], **what) for name, what in change.items()}
    shape = Shape(name="Task", fields={name.lower(): one for name, one in known.items()})
    return TaskFields(intent_field=FIELD, mapped=mapped or {}, shape=shape, statuses=STATUSES)


def made(org, create=True, **fields):
    """Return the record without what every record has, and what was left out of it."""
    record = to_record(TaskWrite(key=KEY, create=create, fields=fields), org)
    values = dict(record.values)
    assert values.pop("attributes") == {"type": "Task"}
    assert values.pop(FIELD) == KEY
    return values, record.left_out


def record(create=True, **fields):
    values, left_out = made(an_org(), create, **fields)
    assert left_out == {}
    return values


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
        ({"who": CONTACT}, {"WhoId": CONTACT}),
        ({"who": LEAD}, {"WhoId": LEAD}),
        ({"who": None}, {"WhoId": None}),
        ({"owner": USER}, {"OwnerId": USER}),
        # Salesforce fills these and does not let them be cleared
        ({"owner": None, "priority": None, "subtype": None}, {}),
        ({"priority": "high", "subtype": "call"}, {"Priority": "High", "TaskSubtype": "Call"}),
        # the org's own word, as it was pulled
        ({"priority": "Low"}, {"Priority": "Low"}),
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


@pytest.mark.parametrize("fields", [{"who": "../../User"}, {"owner": "ana"}, {"what": ACCOUNT}, {"colour": "red"}])
def test_what_salesforce_cannot_hold_is_refused_here(fields):
    with pytest.raises(Refused):
        record(**fields)


def test_a_long_description_is_cut_with_a_mark():
    written = record(description="é" * 40_000)["Description"]
    assert written.endswith(CUT)
    assert len(written) == 31_000


@pytest.mark.parametrize(
    ("ours", "theirs", "length"),
    [("subject", "Subject", 80), ("description", "Description", 320), ("campaign", "MSE_Campaign__c", 12)],
)
def test_a_text_is_cut_at_the_length_of_the_orgs_own_field(ours, theirs, length):
    org = an_org(
        field("MSE_Campaign__c"), mapped={ActivityFact.CAMPAIGN: "MSE_Campaign__c"}, **{theirs: {"length": length}}
    )
    values, _ = made(org, **{ours: "\U0001f600" * 400})  # each counts twice
    assert len(values[theirs].encode("utf-16-le")) <= 2 * length
    assert values[theirs].startswith("\U0001f600" * 2)


OPTIONAL = [
    ({"reminder_at": datetime(2026, 11, 24, 14, 30, tzinfo=UTC)}, {"ReminderDateTime", "IsReminderSet"}, "ReminderDateTime"),
    ({"reminder_at": None}, {"ReminderDateTime", "IsReminderSet"}, "IsReminderSet"),
    ({"subtype": StepType.CALL}, {"TaskSubtype"}, "TaskSubtype"),
    ({"priority": Priority.HIGH}, {"Priority"}, "Priority"),
    ({"kind": ActivityKind.CALL, "closed": True}, {"Type"}, "Type"),
    ({"due_date": date(2026, 11, 24)}, {"ActivityDate"}, "ActivityDate"),
    ({"description": "Ask."}, {"Description"}, "Description"),
    ({"campaign": "Outreach"}, {"MSE_Campaign__c"}, "MSE_Campaign__c"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "theirs", "hidden"), OPTIONAL, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("how", ["missing", "read-only"])
def test_an_optional_field_that_the_org_has_not_is_lost_and_the_record_is_not(fields, theirs, hidden, how):
    mapped = {ActivityFact.CAMPAIGN: "MSE_Campaign__c"}
    whole = an_org(field("MSE_Campaign__c", length=255), mapped=mapped)
    values, left_out = made(whole, subject="s", **fields)
    assert theirs <= values.keys()
    assert left_out == {}
    read_only = {hidden: {"createable": False, "updateable": False}}
    poor = an_org(
        field("MSE_Campaign__c", length=255),
        mapped=mapped,
        **({"without": (hidden,)} if how == "missing" else read_only),
    )
    values, left_out = made(poor, subject="s", **fields)
    assert not theirs & values.keys()
    assert values["Subject"] == "s"
    assert hidden in left_out
    assert hidden in gaps(poor)


@pytest.mark.parametrize("needed", ["Subject", "Status", "OwnerId", "WhoId"])
def test_what_a_task_is_of_no_use_without_is_sent_all_the_same(needed):
    given = {"subject": "s", "closed": False, "owner": USER, "who": CONTACT}
    values, left_out = made(an_org(without=(needed,)), **given)
    assert needed in values
    assert left_out == {}


@pytest.mark.parametrize(
    ("fields", "name", "values"),
    [
        ({"priority": Priority.HIGH}, "Priority", ("Hoch", "Normal")),
        ({"priority": "high"}, "Priority", ("Hoch", "Normal")),
        ({"subtype": StepType.INMAIL}, "TaskSubtype", ("Task", "Email", "Call")),
        ({"kind": ActivityKind.REPLY}, "Type", ("Call", "Email", "Meeting")),
    ],
)
def test_a_value_that_the_org_does_not_use_is_left_out_and_told(fields, name, values):
    org = an_org(**{name: {"picklist": values}})
    values, left_out = made(org, **fields)
    assert values == {}
    assert "no active value" in left_out[name]
    assert left_out[name] in gaps(org)[name]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": ActivityKind.EMAIL, "closed": True}, {"Type": "Email", "Status": "Completed"}),
        ({"kind": ActivityKind.REPLY}, {"Type": "Reply"}),
        # One that is open again has none: orgs have rules for those that do.
        ({"kind": None, "closed": False}, {"Type": None, "Status": "Not Started"}),
        ({"kind": None}, {"Type": None}),
    ],
)
def test_a_type_is_written_and_taken_away(fields, expected):
    assert record(**fields) == expected


@pytest.mark.parametrize(
    ("fact", "value", "kind", "expected"),
    [
        ("campaign", "Outreach", {"kind": "string", "length": 255}, "Outreach"),
        ("campaign", None, {"kind": "string", "length": 255}, None),
        ("replied", True, {"kind": "boolean"}, True),
        ("replied", None, {"kind": "boolean"}, False),
        ("replied", True, {"kind": "string", "length": 5}, "true"),
        ("day", 3, {"kind": "double"}, 3),
        ("step", 2, {"kind": "int"}, 2),
        ("day", 3, {"kind": "string", "length": 10}, "3"),
        ("email_status", "Sent", {"kind": "picklist", "length": 40, "picklist": ("Sent",), "restricted": True}, "Sent"),
        ("call_outcome", "Busy", {"kind": "picklist", "length": 40, "picklist": ("Sent",)}, "Busy"),
        # what the field cannot hold is left out
        ("email_status", "Bounced", {"kind": "picklist", "picklist": ("Sent",), "restricted": True}, ...),
        ("campaign", "Outreach", {"kind": "boolean"}, ...),
        ("campaign", "Outreach", {"kind": "double"}, ...),
        ("campaign", "Outreach", {"kind": "date"}, ...),
        ("campaign", "Outreach", {"kind": "reference"}, ...),
        ("replied", True, {"kind": "int"}, ...),
        ("day", 3, {"kind": "boolean"}, ...),
    ],
)
def test_a_fact_of_the_campaign_goes_to_its_field_in_the_fields_own_type(fact, value, kind, expected):
    org = an_org(field("Own__c", **kind), mapped={ActivityFact(fact): "Own__c"})
    values, left_out = made(org, **{fact: value})
    if expected is ...:
        assert values == {}
        assert left_out["Own__c"] in gaps(org)["Own__c"]
    else:
        assert values == {"Own__c": expected}
        assert type(values["Own__c"]) is type(expected)
        assert left_out == {}


def test_a_fact_that_nobody_asked_for_is_not_written():
    assert record(campaign="Outreach", subject="s") == {"Subject": "s"}


def test_an_org_that_has_everything_goes_without_nothing():
    facts = [one for one in ActivityFact if one not in (ActivityFact.DAY, ActivityFact.STEP, ActivityFact.REPLIED)]
    mapped = {one: f"{one}__c" for one in ActivityFact}
    own = [field(f"{one}__c", length=255) for one in facts]
    own += [field("day__c", "double"), field("step__c", "double"), field("replied__c", "boolean")]
    assert gaps(an_org(*own, mapped=mapped)) == {}


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
