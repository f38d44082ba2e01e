"""The pull cursor, whatever happens: no change is lost and none comes twice."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.salesforce.pull import OVERLAP, Pull

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FIELD = "Connector_Intent_Id__c"


class FakeOrg:
    """An org whose changes become visible a while after their stamp, and whose clock is not ours."""

    def __init__(self, ahead):
        self.at = START
        self.ahead = ahead
        self.answered_at = None
        #: id -> (visible at, row) in the order they happened.
        self.history = []
        self.versions = {}

    def now(self):
        return self.at + self.ahead

    def change(self, number, delay):
        self.versions[number] = self.versions.get(number, 0) + 1
        stamp = self.at.replace(microsecond=0)
        row = {
            "Id": f"00T{number:012d}AAA", FIELD: f"{number:032x}", "Subject": str(self.versions[number]),
            "Status": "Not Started", "IsClosed": False, "Priority": "Normal", "ActivityDate": None, "Description": None,
            "OwnerId": None, "WhoId": None, "IsDeleted": False, "IsArchived": False, "CompletedDateTime": None,
            "SystemModstamp": stamp.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        }  # fmt: skip
        self.history.append((self.at + delay, row))

    def query(self, soql, *, deleted_too):
        assert deleted_too
        start = datetime.fromisoformat(soql.split("SystemModstamp >= ")[1].split(" ")[0])
        self.answered_at = self.at.replace(microsecond=0)
        newest = {row["Id"]: row for visible, row in self.history if visible <= self.at}
        rows = [row for row in newest.values() if datetime.fromisoformat(row["SystemModstamp"]) >= start]
        return iter(sorted(rows, key=lambda row: (row["SystemModstamp"], row["Id"])))


CHANGE = st.tuples(st.just("change"), st.integers(1, 4))
WAIT = st.tuples(st.just("wait"), st.sampled_from([0.2, 1, 30, 250, 400, 4000]))
PULL = st.tuples(st.just("pull"), st.just(0))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(CHANGE, WAIT, PULL), max_size=40),
    st.sampled_from([-7200, -30, 0, 30, 7200]),
    st.sampled_from([0, 1, 290]),
)
def test_every_change_arrives_exactly_once(acts, ahead, delay):
    org = FakeOrg(timedelta(seconds=ahead))
    pulling = Pull(org, FIELD)
    cursor = pulling.since(None).cursor
    org.at += timedelta(seconds=1)
    arrived = []

    def pull():
        nonlocal cursor
        got = pulling.since(cursor)
        assert pulling.since(cursor) == got  # a crash before the cursor was stored changes nothing
        arrived.extend((task.remote_id, task.subject) for task in got.tasks)
        cursor = got.cursor

    for act, value in acts:
        match act:
            case "change":
                org.change(value, timedelta(seconds=delay))
            case "wait":
                org.at += timedelta(seconds=value)
            case "pull":
                pull()
    org.at += OVERLAP
    pull()
    assert len(arrived) == len(set(arrived))
    newest = {row["Id"]: row["Subject"] for _, row in org.history}
    assert newest.items() <= set(arrived)
