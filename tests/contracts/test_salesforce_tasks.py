"""Tasks over real HTTP in orgs of every shape: short fields, hidden ones, other picklists, changed between two passes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from adapters.salesforce import SalesforceCrm, adapter
from adapters.sandbox import Sandbox
from connector.errors import ErrorClass, Reconnect, Refused, Retry, Stale
from connector.intents import Priority, StepType
from connector.ports import ActivityKind, TaskWrite
from tests.doubles import MemoryCache, MemoryVault

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FIELD = "Connector_Intent_Id__c"


class Place:
    """A sandbox with one person in it, and the ways to open its org: each as a new process that shares the cache."""

    def __init__(self, sandbox: Sandbox, section: dict) -> None:
        self.sandbox = sandbox
        self.org = sandbox.salesforce
        self.section = section
        self.cache = MemoryCache(sandbox.clock)
        self.opened: list[SalesforceCrm] = []
        self.ana = self.org.add_user(Username="ana@acme.example", LastName="Diaz", Email="ana@acme.example")
        self.account = self.org.add_account(Name="Birch Ltd")
        self.contact = self.org.add_contact(LastName="Lee", Email="ann@birch.example", AccountId=self.account)
        self.crm = self.open()

    def open(self, **options) -> SalesforceCrm:
        crm = adapter.open_crm(
            adapter.account_model.model_validate(self.section),
            adapter.options_model.model_validate(options),
            clock=self.sandbox.clock,
            vault=MemoryVault(),
            cache=self.cache,
        )
        assert isinstance(crm, SalesforceCrm)
        self.opened.append(crm)
        return crm

    def creation(self, number: int = 1, **change) -> TaskWrite:
        fields = {
            "subject": "Call: Ann",
            "closed": False,
            "priority": Priority.HIGH,
            "due_date": date(2026, 11, 24),
            "reminder_at": datetime(2026, 11, 24, 14, 30, tzinfo=UTC),
            "description": "Ask about the plan.",
            "who": self.contact,
            "owner": self.ana,
            "subtype": StepType.CALL,
        }
        return TaskWrite(key=f"{number:032x}", create=True, fields={**fields, **change}, account=self.account)

    @property
    def tasks(self) -> list[dict]:
        return self.sandbox.state()["salesforce"]["records"]["Task"]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Iterator[Place]:
    with Sandbox(start=START) as sandbox:
        told = sandbox.accounts(tmp_path)
        for name, value in told["environment"].items():
            monkeypatch.setenv(name, value)
        place = Place(sandbox, told["accounts"]["salesforce"])
        yield place
        for crm in place.opened:
            crm.close()


def pushed(crm, *writes):
    """Push, and return the one result, or all."""
    results = crm.push_tasks(writes)
    return results[0] if len(results) == 1 else results


# ------------------------------------------------------------------------------------------ the intent field


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda org: org.set_intent_field(present=False), "missing in the Salesforce org, or hidden"),
        (lambda org: org.hide_field("Task", FIELD), "missing in the Salesforce org, or hidden"),
        (lambda org: org.set_intent_field(present=True, unique=False), "is not unique"),
        (lambda org: org.set_intent_field(present=True, external_id=False), "is not an external id"),
        (
            lambda org: org.set_intent_field(present=True, external_id=False, unique=False),
            "is not an external id and unique",
        ),
        (lambda org: org.readonly_field("Task", FIELD), "may not write the field"),
        (lambda org: org.set_intent_field(present=True, length=31), "holds 31 characters"),
    ],
)
def test_without_a_sound_intent_field_nothing_is_made_and_the_sentence_says_what_to_deploy(place, break_it, words):
    break_it(place.org)
    for act in (
        place.crm.check_ready,
        lambda: place.crm.push_tasks([place.creation()]),
        lambda: place.crm.pull(None, tasks=True),
    ):
        with pytest.raises(Refused, match=words) as caught:
            act()
        assert caught.value.code == "intent_field"
        assert caught.value.category is ErrorClass.ACCESS
        assert FIELD in caught.value.sentence
        assert "connector salesforce setup" in caught.value.sentence
        assert caught.value.advice
    assert place.tasks == []
    # people go on without tasks
    assert place.crm.pull(None, tasks=False).tasks == ()


@pytest.mark.parametrize("options", [{"length": 32}, {"case_sensitive": False}, {}])
def test_a_field_that_holds_a_key_once_is_good_enough(place, options):
    place.org.set_intent_field(present=True, **options)
    place.crm.check_ready()
    assert pushed(place.crm, place.creation()).error is None


def test_once_the_field_is_there_the_next_pass_finds_it(place):
    place.org.set_intent_field(present=False)
    with pytest.raises(Refused):
        place.crm.check_ready()
    place.org.set_intent_field(present=True)
    for crm in (place.crm, place.open()):
        crm.check_ready()


def test_a_field_that_is_taken_away_meanwhile_stops_the_push_with_the_same_sentence(place):
    place.crm.check_ready()
    place.org.set_intent_field(present=False)
    for crm in (place.crm, place.open()):
        with pytest.raises(Refused, match="missing in the Salesforce org, or hidden") as caught:
            crm.push_tasks([place.creation()])
        assert caught.value.code == "intent_field"
    assert place.tasks == []


def test_a_good_field_is_looked_at_once_a_day_over_all_processes(place):
    for number in range(3):
        crm = place.open()
        crm.check_ready()
        crm.push_tasks([place.creation(number)])
    assert sum(crm.calls for crm in place.opened) == 2 + 3  # described and statuses once, then an upsert each


def test_a_user_who_does_not_see_tasks_is_told_so(place):
    place.org.fail_calls(404, "NOT_FOUND", "The requested resource does not exist", path="describe")
    with pytest.raises(Refused, match="does not see tasks") as caught:
        place.crm.check_ready()
    assert caught.value.code == "intent_field"


# --------------------------------------------------------------------------------------- by the org's shape


@pytest.mark.parametrize("hide", ["hide_field", "readonly_field"])
@pytest.mark.parametrize(
    "name", ["ReminderDateTime", "IsReminderSet", "TaskSubtype", "Priority", "ActivityDate", "Description"]
)
def test_an_optional_field_is_lost_and_the_task_is_made(place, name, hide):
    getattr(place.org, hide)("Task", name)
    assert pushed(place.crm, place.creation()).error is None
    (task,) = place.tasks
    assert task["Subject"] == "Call: Ann"
    assert name in place.crm._tasks.left_out()


def test_a_short_field_cuts_and_says_nothing(place):
    place.org.add_field("Task", "MSE_Campaign__c", "string", length=10)
    crm = place.open(activity_fields={"campaign": "MSE_Campaign__c"})
    assert pushed(crm, place.creation(campaign="Q4 outreach, north")).error is None
    assert place.tasks[0]["MSE_Campaign__c"] == "Q4 outreac"


def test_facts_go_to_fields_of_their_own_types(place):
    fields = {
        "campaign": ("MSE_Campaign__c", "string"),
        "day": ("Day__c", "double"),
        "replied": ("MSE_Replied__c", "boolean"),
    }
    for name, kind in fields.values():
        place.org.add_field("Task", name, kind, **({"length": 255} if kind == "string" else {}))
    crm = place.open(activity_fields={fact: name for fact, (name, _) in fields.items()} | {"template": "Nowhere__c"})
    write = place.creation(campaign="Outreach", day=2, replied=True, template="intro")
    assert pushed(crm, write).error is None
    task = place.tasks[0]
    assert (task["MSE_Campaign__c"], task["Day__c"], task["MSE_Replied__c"]) == ("Outreach", 2, True)
    assert "no such field" in crm._tasks.left_out()["Nowhere__c"]


def test_the_type_is_written_when_the_org_has_the_value(place):
    for number, kind in enumerate((ActivityKind.CALL, ActivityKind.REPLY), 1):
        assert pushed(place.crm, place.creation(number, closed=True, kind=kind)).error is None
    assert [task.get("Type") for task in place.tasks] == ["Call", None]
    assert "'Reply'" in place.crm._tasks.left_out()["Type"]


def test_the_orgs_own_priorities_and_statuses_count(place):
    place.org.set_task_priorities(("Hoch", False, True), ("Mittel", True, False))
    place.org.set_task_statuses(("Offen", True, False), ("Erledigt", False, True))
    written = pushed(place.crm, place.creation())
    assert (written.error, written.status) == (None, "Offen")
    assert (place.tasks[0]["Status"], place.tasks[0]["Priority"]) == ("Offen", "Mittel")


# --------------------------------------------------------------------------------- changed since yesterday's look


def hidden_meanwhile(org):
    org.hide_field("Task", "ReminderDateTime")


def shortened_meanwhile(org):
    org.add_field("Task", "MSE_Campaign__c", "string", length=5)


def renamed_meanwhile(org):
    org.set_picklist("Task", "Own__c", "C", restricted=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (hidden_meanwhile, {"MSE_Campaign__c": "Outreach", "Own__c": "intro"}),
        (shortened_meanwhile, {"MSE_Campaign__c": "Outre", "Own__c": "intro"}),
        (renamed_meanwhile, {"MSE_Campaign__c": "Outreach", "Own__c": None}),
    ],
)
def test_an_org_that_has_changed_since_is_asked_anew_and_the_record_written_once_more(place, change, expected):
    place.org.add_field("Task", "MSE_Campaign__c", "string", length=255)
    place.org.add_field("Task", "Own__c", "picklist", length=40, values=("intro", "last"), restricted=True)
    options = {"activity_fields": {"campaign": "MSE_Campaign__c", "template": "Own__c"}}
    place.open(**options).check_ready()
    change(place.org)
    crm = place.open(**options)
    written = pushed(crm, place.creation(campaign="Outreach", template="intro"))
    assert written.error is None
    assert {name: place.tasks[0].get(name) for name in expected} == expected
    assert crm.calls == 5  # statuses, an upsert, described and statuses anew, an upsert


def test_a_status_that_was_renamed_since_is_asked_for_anew(place):
    place.crm.push_tasks([place.creation(1)])
    place.org.set_task_statuses(("Offen", True, False), ("Erledigt", False, True))
    written = pushed(place.open(), place.creation(2))
    assert (written.error, written.status) == (None, "Offen")


def test_a_field_that_is_refused_although_it_is_described_is_lost_and_named(place):
    told = "Unable to create/update fields: Type. Please check the security settings of this field."
    place.org.fail_items("INVALID_FIELD_FOR_INSERT_UPDATE", told, fields=("Type",))
    written = pushed(place.crm, place.creation(closed=True, kind=ActivityKind.CALL))
    assert written.error is None
    assert "Type" not in place.tasks[0]
    assert "may not write a field" in place.crm._tasks.left_out()["Type"]


def test_a_needed_field_that_is_refused_fails_the_record_after_one_look(place):
    place.org.fail_items("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: OwnerId", 9, ("OwnerId",))
    place.crm.check_ready()
    calls = place.crm.calls
    written = pushed(place.crm, place.creation())
    assert written.error.code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert "OwnerId" in written.error.sentence
    assert place.crm.calls == calls + 4  # statuses, the upsert, described and statuses anew; no second upsert


def test_many_refused_records_ask_the_org_anew_once(place):
    place.crm.push_tasks([place.creation(n) for n in range(300)])
    calls = place.crm.calls
    place.org.fail_items("INVALID_FIELD", "No such column 'X' on sobject of type Task", 10_000)
    results = place.crm.push_tasks([place.creation(n, subject="anew") for n in range(300)])
    assert {result.error.code for result in results} == {"INVALID_FIELD"}
    assert place.crm.calls == calls + 4  # two upserts; described and statuses anew


# ------------------------------------------------------------------------------------------- items and calls


def test_a_person_who_was_deleted_must_be_looked_up_anew(place):
    place.sandbox.act("people_are_merged", winner=place.org.add_contact(LastName="Lee"), loser=place.contact)
    error = pushed(place.crm, place.creation()).error
    assert type(error) is Stale
    assert error.code in ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY")
    assert place.tasks == []


def test_an_owner_who_left_is_shown_and_not_tried_again(place):
    place.org.org.update("User", place.ana, {"IsActive": False})
    error = pushed(place.crm, place.creation()).error
    assert (type(error), error.code, error.category) == (Refused, "INACTIVE_OWNER_OR_USER", ErrorClass.ACCESS)
    assert "salesforce_user" in error.sentence


def test_rows_held_by_somebody_else_are_written_once_they_are_free(place):
    place.org.fail_items("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", 2)
    results = place.crm.push_tasks([place.creation(n) for n in range(5)])
    assert [result.error for result in results] == [None] * 5
    assert len(place.tasks) == 5
    place.org.hold_rows(place.account, place.contact)
    error = pushed(place.crm, place.creation(9)).error
    assert (type(error), error.code) == (Retry, "UNABLE_TO_LOCK_ROW")
    place.org.release_rows()
    assert pushed(place.crm, place.creation(9)).error is None


def test_deleting_a_held_task_is_tried_again(place):
    written = pushed(place.crm, place.creation())
    place.org.fail_items("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", 2)
    (deleted,) = place.crm.delete_tasks([written.remote_id])
    assert deleted.error is None
    assert [task["IsDeleted"] for task in place.tasks] == [True]


# ----------------------------------------------------------------------------------------------- which go together


def accounts_of(place, write_many):
    """Return the accounts of each upsert call, in order."""
    seen: list[list[str]] = []
    org = place.crm._tasks._orgs.own
    send = org.call_each

    def watch(method, path, count, **more):
        seen.append([record["Description"] for record in more["json"]["records"]])
        return send(method, path, count, **more)

    org.call_each = watch
    results = place.crm.push_tasks(write_many)
    assert all(result.error is None for result in results)
    return seen


@pytest.mark.parametrize(
    "sizes",
    [[1] * 450, [7] * 60, [150, 120, 80, 50], [199, 199, 2, 1], [3] * 133 + [1], [250, 100, 50], [101] * 4, [60] * 10],
)
def test_rows_of_one_account_share_a_call_wherever_that_costs_no_call_more(place, sizes):
    writes = []
    for account, size in enumerate(sizes):
        for _ in range(size):
            number = len(writes)
            fields = {"subject": "s", "description": str(account)}
            writes.append(TaskWrite(key=f"{number:032x}", create=True, fields=fields, account=f"001{account:012d}AAA"))
    writes.reverse()
    calls = accounts_of(place, writes)
    assert len(calls) == -(-len(writes) // 200)
    assert max(len(call) for call in calls) <= 200
    places = {
        account: [n for n, call in enumerate(calls) if account in call] for account in map(str, range(len(sizes)))
    }
    for account, found in places.items():
        # an account never leaves a call and comes back, and lies in neighbours only where it must
        assert found == list(range(found[0], found[-1] + 1))
        assert all(call == sorted(call, key=call.index) for call in calls)
        assert len(found) <= 1 + -(-sizes[int(account)] // 200)
    if max(sizes) <= 100 and sum(sizes) % 200:
        assert all(len(found) == 1 for found in places.values()) or sizes == [60] * 10


def test_a_session_that_ends_in_the_middle_is_renewed(place):
    place.crm.push_tasks([place.creation(1)])
    place.org.expire_sessions()
    assert pushed(place.crm, place.creation(2)).error is None
    place.org.fail_calls(401, "INVALID_SESSION_ID", "Session expired or invalid", 9, path="composite")
    with pytest.raises(Reconnect):
        place.crm.push_tasks([place.creation(3)])
    assert len(place.tasks) == 2
