"""The pull: no change is lost and none comes twice, whatever happens; and one call when little changed."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.salesforce import adapter
from adapters.salesforce.account import SalesforceAccount, SalesforceOptions
from adapters.salesforce.cursor import OVERLAP
from adapters.salesforce.pull import Pull
from adapters.salesforce.records import Standing
from connector.errors import Refused
from tests.doubles import MemoryCache, MemoryVault, StillClock
from tests.salesforce_org import NOW, URL, WireOrg, instant, record

FIELD = "Connector_Intent_Id__c"


def key(number):
    return f"{number:032x}"


def task(number, at=NOW, **values):
    given = {FIELD: key(number), "Subject": "Call", "Status": "Not Started", "IsClosed": False, "Priority": "Low"}
    return record("Task", number, at, **{**given, "OwnerId": "005000000000001", "IsRecurrence": False, **values})


# ------------------------------------------------------------------------------- whatever happens (a property)


class FakeOrg:
    """An org whose changes become visible a while after their stamp, and whose clock is not ours."""

    def __init__(self, ahead):
        self.at = NOW
        self.ahead = ahead
        self.answered_at = None
        #: (visible at, row) in the order they happened.
        self.history = []
        self.versions = {}

    def now(self):
        return self.at + self.ahead

    def change(self, kind, number, delay):
        self.versions[kind, number] = version = self.versions.get((kind, number), 0) + 1
        at = self.at.replace(microsecond=0)
        if kind == "Task":
            row = task(number, at, Subject=str(version), IsDeleted=version % 3 == 0)
        else:
            # Odd versions say something of mail, even ones only that the record was touched.
            bounced = instant(at) if version % 2 else None
            row = record(kind, number, at, Email=f"p{version}@x", HasOptedOutOfEmail=True, EmailBouncedDate=bounced)
        self.history.append((self.at + delay, row))

    # What `Pull` uses of `Records`.

    def need(self, *kinds):
        pass

    def shows(self, kind, field):
        return True

    def standing(self, ids):
        return {one: Standing(id=one, row=None) for one in ids}, []

    def select(self, asks):
        self.answered_at = self.at.replace(microsecond=0)
        return [self._rows(ask) for ask in asks]

    def _rows(self, ask):
        assert ask.deleted_too
        start = datetime.fromisoformat(ask.where.split("SystemModstamp >= ")[1].split(" ")[0])
        newest = {row["Id"]: row for visible, row in self.history if visible <= self.at}
        mine = [row for row in newest.values() if row["attributes"]["type"] == ask.kind.name]
        rows = [row for row in mine if datetime.fromisoformat(row["SystemModstamp"]) >= start]
        return sorted(rows, key=lambda row: (row["SystemModstamp"], row["Id"]))


CHANGE = st.tuples(st.just("change"), st.tuples(st.sampled_from(["Task", "Contact", "Lead"]), st.integers(1, 3)))
WAIT = st.tuples(st.just("wait"), st.sampled_from([0.2, 1, 30, 250, 595, 700, 4000]))
PULL = st.tuples(st.just("pull"), st.sampled_from(["stored", "stored", "crashed", "people only"]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(CHANGE, WAIT, PULL), max_size=40),
    st.sampled_from([-7200, -30, 0, 30, 7200]),
    st.sampled_from([0, 1, 590]),
)
def test_every_change_arrives_exactly_once(acts, ahead, delay):
    org = FakeOrg(timedelta(seconds=ahead))
    pulling = Pull(org, org, FIELD)
    cursor = pulling.since(None, tasks=True).cursor
    org.at += timedelta(seconds=1)
    arrived = []

    def pull(how="stored"):
        nonlocal cursor
        got = pulling.since(cursor, tasks=how != "people only")
        if how == "crashed":
            return  # before anything was stored: the same cursor is read again
        arrived.extend(("Task", one.remote_id, one.subject) for one in got.tasks)
        arrived.extend(("person", one.id, one.email) for one in got.people)
        cursor = got.cursor

    for act, value in acts:
        match act:
            case "change":
                org.change(*value, timedelta(seconds=delay))
            case "wait":
                org.at += timedelta(seconds=value)
            case "pull":
                pull(value)
    org.at += OVERLAP
    pull()
    assert len(arrived) == len(set(arrived))
    newest = {row["Id"]: row for _, row in org.history}
    for row in newest.values():
        is_task = row["attributes"]["type"] == "Task"
        assert ("Task" if is_task else "person", row["Id"], row["Subject" if is_task else "Email"]) in arrived


# ------------------------------------------------------------------------------------------------ on the wire


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def org(wire):
    return WireOrg(wire)


@pytest.fixture
def clock():
    return StillClock(NOW)


@pytest.fixture
def cache(clock):
    return MemoryCache(clock)


@pytest.fixture
def crm(monkeypatch, clock, cache):
    monkeypatch.setenv("SF_TOKEN", "given-token")
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": URL}
    )
    opened = adapter.open_crm(account, SalesforceOptions(), clock=clock, vault=MemoryVault(), cache=cache)
    yield opened
    opened.close()


def starts(org, kind="Task"):
    return [
        datetime.fromisoformat(soql.split("SystemModstamp >= ")[1].split(" ")[0])
        for soql in org.asked
        if f"FROM {kind} " in soql
    ]


def test_the_first_pull_starts_now(org, crm, clock):
    old = NOW - timedelta(days=3)
    org.rows = [task(1, old), record("Contact", 1, old, HasOptedOutOfEmail=True)]
    pull = crm.pull(None, tasks=True)
    assert (pull.tasks, pull.people) == ((), ())
    assert starts(org) == starts(org, "Lead") == [NOW]
    clock.sleep(60)
    org.rows.append(task(2, clock.now()))
    assert [one.key for one in crm.pull(pull.cursor, tasks=True).tasks] == [key(2)]


def test_tasks_and_people_come_in_one_call_and_an_idle_pull_is_one_too(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    assert (org.described, crm.calls) == (["Task", "Contact", "Lead"], 4)
    clock.sleep(30)
    org.rows = [
        task(1, clock.now()), task(2, clock.now()),
        record("Contact", 1, clock.now(), Email="ann@acme.example", HasOptedOutOfEmail=True),
    ]  # fmt: skip
    first = crm.pull(cursor, tasks=True)
    assert ([one.key for one in first.tasks], [one.email for one in first.people]) == (
        [key(1), key(2)], ["ann@acme.example"],
    )  # fmt: skip
    again = crm.pull(first.cursor, tasks=True)
    assert (again.tasks, again.people) == ((), ())
    assert crm.calls == 6
    clock.sleep(30)
    org.rows[0] = task(1, clock.now(), IsClosed=True, Status="Completed")
    changed = crm.pull(again.cursor, tasks=True)
    assert [(one.key, one.closed) for one in changed.tasks] == [(key(1), True)]


def test_what_the_org_said_of_its_fields_is_shared_by_processes(org, crm, clock, cache):
    crm.pull(None, tasks=True)
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": URL}
    )
    other = adapter.open_crm(account, SalesforceOptions(), clock=clock, vault=MemoryVault(), cache=cache)
    other.pull(None, tasks=True)
    assert other.calls == 1
    other.close()


def test_a_change_that_became_visible_late_is_still_seen(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    clock.sleep(900)
    org.rows = [task(1, clock.now())]
    cursor = crm.pull(cursor, tasks=True).cursor
    org.rows += [task(2, clock.now() - timedelta(minutes=9)), record("Lead", 1, clock.now(), HasOptedOutOfEmail=True)]
    late = crm.pull(cursor, tasks=True)
    assert ([one.key for one in late.tasks], len(late.people)) == ([key(2)], 1)


def test_two_changes_within_one_second_are_both_seen(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    org.rows = [task(1, clock.now())]
    cursor = crm.pull(cursor, tasks=True).cursor
    org.rows = [task(1, clock.now(), Status="Deferred")]
    assert [one.status for one in crm.pull(cursor, tasks=True).tasks] == ["Deferred"]


def test_the_same_cursor_gives_the_same_changes(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    clock.sleep(30)
    org.rows = [task(1, clock.now()), record("Contact", 1, clock.now(), HasOptedOutOfEmail=True)]
    assert crm.pull(cursor, tasks=True) == crm.pull(cursor, tasks=True)


def test_an_idle_org_empties_the_overlap(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    clock.sleep(30)
    org.rows = [task(n, clock.now()) for n in range(50)]
    cursor = crm.pull(cursor, tasks=True).cursor
    assert len(json.loads(cursor)["tasks"]["seen"]) == 50
    clock.sleep(3600)
    cursor = crm.pull(cursor, tasks=True).cursor
    crm.pull(cursor, tasks=True)
    assert json.loads(cursor)["tasks"]["seen"] == {}
    assert starts(org)[-1] > NOW + timedelta(minutes=49)


def test_a_clock_of_ours_that_is_ahead_hides_nothing(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    org.date = clock.now() + timedelta(minutes=1)
    clock.sleep(7200)
    cursor = crm.pull(cursor, tasks=True).cursor
    org.rows = [task(1, NOW + timedelta(minutes=2))]
    assert [one.key for one in crm.pull(cursor, tasks=True).tasks] == [key(1)]


def test_a_row_at_the_edge_of_the_overlap_comes_once(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    org.rows = [task(1, clock.now()), record("Contact", 1, clock.now(), HasOptedOutOfEmail=True)]
    arrived = []
    for seconds in (0, OVERLAP.total_seconds() - 2, 1, 1, 1, 1):
        clock.sleep(seconds)
        pull = crm.pull(cursor, tasks=True)
        cursor = pull.cursor
        arrived += [*pull.tasks, *pull.people]
    assert len(arrived) == 2


def test_a_clock_of_ours_that_is_set_back_repeats_nothing(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    org.rows = [task(1, clock.now() + timedelta(minutes=5))]
    clock.sleep(600)
    first = crm.pull(cursor, tasks=True)
    clock.sleep(3600)
    later = crm.pull(first.cursor, tasks=True)
    clock.at -= timedelta(hours=1)
    for _ in range(3):
        later = crm.pull(later.cursor, tasks=True)
        assert later.tasks == ()
    assert len(first.tasks) == 1


def test_a_live_task_wins_over_a_deleted_one_with_the_same_key(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    at = clock.now() + timedelta(seconds=5)
    org.rows = [task(1, at), task(1, at, Id="00T000000000099AAA", IsDeleted=True), task(2, at, IsDeleted=True)]
    pulled = crm.pull(cursor, tasks=True)
    assert [(one.key, one.deleted) for one in pulled.tasks] == [(key(1), False), (key(2), True)]
    assert (pulled.tasks[0].owner, pulled.tasks[0].priority) == ("005000000000001AAA", "Low")
    # The deleted twin changes once more: the live one has been delivered, and is still the task.
    org.rows[1] = task(1, at + timedelta(seconds=9), Id="00T000000000099AAA", IsDeleted=True)
    assert crm.pull(pulled.cursor, tasks=True).tasks == ()


def test_a_long_answer_is_read_page_by_page(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    org.page_size = 20
    org.rows = [task(n, clock.now()) for n in range(50)]
    calls = crm.calls
    assert len(crm.pull(cursor, tasks=True).tasks) == 50
    assert crm.calls == calls + 3


def test_a_task_taken_out_of_the_bin_is_a_live_row_again(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    org.rows = [task(1, clock.now(), IsDeleted=True)]
    deleted = crm.pull(cursor, tasks=True)
    clock.sleep(5)
    org.rows = [task(1, clock.now())]
    back = crm.pull(deleted.cursor, tasks=True)
    assert [one.deleted for one in (*deleted.tasks, *back.tasks)] == [True, False]


def test_a_cursor_of_the_release_before_is_read(org, crm, clock):
    clock.sleep(3600)
    at = NOW + timedelta(minutes=5)
    org.rows = [task(1, at), record("Lead", 1, at, HasOptedOutOfEmail=True), task(2, NOW - timedelta(hours=1))]
    old = json.dumps({"stamp": "2026-11-24T09:00:00.000Z", "seen": {"00T000000000007AAA": "0123456789abcdef"}})
    pull = crm.pull(old, tasks=True)
    assert ([one.key for one in pull.tasks], [one.id for one in pull.people]) == ([key(1)], ["00Q000000000001EAA"])


@pytest.mark.parametrize(
    "cursor", ["", "{}", '{"stamp": "yesterday", "seen": {}}', "[]", "7", '{"people": {}, "tasks": null}', "null"]
)
def test_a_cursor_that_cannot_be_read_is_said(crm, cursor):
    with pytest.raises(Refused, match="cursor"):
        crm.pull(cursor, tasks=False)
    assert crm.calls == 0


def test_tasks_are_not_asked_for_when_they_are_off_and_their_place_is_kept(org, crm, clock):
    cursor = crm.pull(None, tasks=True).cursor
    clock.sleep(60)
    org.rows = [task(1, clock.now())]
    asked = len(org.asked)
    for _ in range(3):
        clock.sleep(86_400)
        pull = crm.pull(cursor, tasks=False)
        cursor = pull.cursor
        assert pull.tasks == ()
    assert not any("FROM Task" in soql for soql in org.asked[asked:])
    assert [one.key for one in crm.pull(cursor, tasks=True).tasks] == [key(1)]


def test_tasks_that_were_never_pulled_start_when_they_are_turned_on(org, crm, clock):
    cursor = crm.pull(None, tasks=False).cursor
    org.rows = [task(1, clock.now() + timedelta(hours=1))]
    clock.sleep(86_400)
    assert crm.pull(cursor, tasks=True).tasks == ()


# ----------------------------------------------------------------------------------------------------- hidden


def test_a_hidden_field_of_a_task_is_lost_and_named(org, crm, clock):
    for name in ("Description", "ActivityDate", "IsRecurrence"):
        del org.fields["Task"][name]
    cursor = crm.pull(None, tasks=True).cursor
    org.rows = [task(1, clock.now())]
    (one,) = crm.pull(cursor, tasks=True).tasks
    assert (one.subject, one.hidden) == ("Call", {"description", "due_date"})
    assert not any("IsRecurrence" in soql for soql in org.asked)


def test_the_head_of_a_series_is_left_out_where_there_are_series(org, crm):
    crm.pull(None, tasks=True)
    assert any("FROM Task" in soql and "AND IsRecurrence = false ORDER BY" in soql for soql in org.asked)


def test_a_field_hidden_since_it_was_described_is_lost_at_once(org, crm, clock, cache):
    cursor = crm.pull(None, tasks=True).cursor
    org.hidden |= {("Contact", "HasOptedOutOfEmail"), ("Task", "Description")}
    del org.fields["Contact"]["HasOptedOutOfEmail"]
    del org.fields["Task"]["Description"]
    org.rows = [
        task(1, clock.now()),
        record("Contact", 1, clock.now(), Email="ann@acme.example", EmailBouncedDate=instant(NOW)),
    ]
    pull = crm.pull(cursor, tasks=True)
    assert ([one.hidden for one in pull.tasks], [one.opted_out for one in pull.people]) == ([{"description"}], [False])
    calls = crm.calls
    crm.pull(pull.cursor, tasks=True)
    assert crm.calls == calls + 1
    # Nor is another process refused what this one learned.
    account = SalesforceAccount.model_validate(
        {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": URL}
    )
    other = adapter.open_crm(account, SalesforceOptions(), clock=clock, vault=MemoryVault(), cache=cache)
    other.pull(pull.cursor, tasks=True)
    assert other.calls == 1
    other.close()


def test_a_hidden_opt_out_is_not_asked_for_and_nobody_is_said_to_have_opted_in(org, crm):
    for kind in ("Contact", "Lead"):
        for name in ("HasOptedOutOfEmail", "EmailBouncedDate", "MasterRecordId"):
            del org.fields[kind][name]
    del org.fields["Lead"]["ConvertedContactId"]
    assert crm.pull(None, tasks=True).people == ()
    assert ["FROM Task" in soql for soql in org.asked] == [True]


def test_an_object_that_the_user_may_not_see_loses_its_people_only(org, crm, clock):
    del org.fields["Lead"]
    cursor = crm.pull(None, tasks=True).cursor
    org.rows = [task(1, clock.now()), record("Contact", 1, clock.now(), HasOptedOutOfEmail=True)]
    pull = crm.pull(cursor, tasks=True)
    assert (len(pull.tasks), len(pull.people)) == (1, 1)


def test_without_the_intent_field_or_tasks_the_pull_says_so(org, crm):
    del org.fields["Task"][FIELD]
    org.hidden.add(("Task", FIELD))
    with pytest.raises(Refused, match=f"{FIELD} of Task is missing in the Salesforce org, or hidden"):
        crm.pull(None, tasks=True)
    assert crm.pull(None, tasks=False).tasks == ()


def test_where_tasks_are_hidden_the_pull_says_so(org, crm):
    del org.fields["Task"]
    with pytest.raises(Refused):
        crm.pull(None, tasks=True)


# ----------------------------------------------------------------------------------------------------- people


def test_a_bounce_comes_with_its_reason(org, crm, clock):
    cursor = crm.pull(None, tasks=False).cursor
    org.rows = [
        record(
            "Lead", 1, clock.now(), Email="bob@oak.example", EmailBouncedDate=instant(NOW),
            EmailBouncedReason="550 unknown",
        ),
        record("Contact", 2, clock.now(), Email="eva@oak.example", IsDeleted=True, HasOptedOutOfEmail=True),
    ]  # fmt: skip
    (one,) = crm.pull(cursor, tasks=False).people
    assert (one.id, one.email, one.was) == ("00Q000000000001EAA", "bob@oak.example", "")
    assert (one.opted_out, one.bounced_at, one.bounced_reason) == (False, NOW.astimezone(UTC), "550 unknown")


def test_who_was_converted_or_merged_is_followed_to_the_record_that_stands_for_them(org, crm, clock):
    cursor = crm.pull(None, tasks=False).cursor
    at = clock.now()
    long_ago = NOW - timedelta(days=30)
    org.rows = [
        # Lead 1 became contact 1, which was merged into contact 2, and that into contact 3.
        record("Lead", 1, at, Email="l1@x.example", IsConverted=True, ConvertedContactId="003000000000001"),
        record("Contact", 1, at, Email="c1@x.example", IsDeleted=True, MasterRecordId="003000000000002AAA"),
        record("Contact", 2, long_ago, Email="c2@x.example", IsDeleted=True, MasterRecordId="003000000000003AAA"),
        record("Contact", 3, long_ago, Email="c3@x.example", HasOptedOutOfEmail=True),
        # Contact 9 is not shown to the user.
        record("Lead", 4, at, Email="l4@x.example", IsConverted=True, ConvertedContactId="003000000000009AAA"),
        # Lead 6 was merged, and what it became was deleted.
        record("Lead", 6, at, Email="l6@x.example", IsDeleted=True, MasterRecordId="00Q000000000007EAA"),
        record("Lead", 7, long_ago, Email="l7@x.example", IsDeleted=True),
    ]
    pull = crm.pull(cursor, tasks=False)
    assert {(one.was, one.id, one.email, one.opted_out) for one in pull.people} == {
        ("00Q000000000001EAA", "003000000000003AAA", "c3@x.example", True),
        ("003000000000001AAA", "003000000000003AAA", "c3@x.example", True),
        ("00Q000000000004EAA", "003000000000009AAA", "l4@x.example", False),
    }
    calls = crm.calls
    assert crm.pull(pull.cursor, tasks=False).people == ()
    assert crm.calls == calls + 1
