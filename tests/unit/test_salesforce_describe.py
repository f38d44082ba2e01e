"""What an org says of itself is asked for once a day, remembered for the right org and user, and thrown away when wrong."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.salesforce.account import SalesforceAccount
from adapters.salesforce.describe import EXPIRY, Shapes, choose_statuses
from adapters.salesforce.session import Org
from connector.errors import Refused, Retry
from tests.doubles import MemoryCache, MemoryVault

RECORDED = json.loads((Path(__file__).parents[1] / "data/salesforce-recordings/describes.json").read_text())
CONTACT = next(one["response"] for one in RECORDED if one["response"]["name"] == "Contact")
ROWS = [
    {"ApiName": "Open", "IsClosed": False, "IsDefault": True, "SortOrder": 1},
    {"ApiName": "Done", "IsClosed": True, "IsDefault": False, "SortOrder": 2},
]


class Clock:
    def __init__(self):
        self.at = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def now(self):
        return self.at


class TalkingOrg:
    """An org that counts how often it is asked."""

    def __init__(self, scope="https://acme.example app", said=CONTACT, clock=None):
        self.scope = scope
        self.now = (clock or Clock()).now
        self.said = said
        self.asked = []

    def call(self, method, path):
        assert method == "GET"
        self.asked.append(path)
        return self.said

    def query(self, soql):
        self.asked.append(soql.split(" FROM ")[1])
        return iter(ROWS)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return MemoryCache(clock)


def test_a_real_answer_is_read_field_by_field(cache):
    shape = Shapes(TalkingOrg(), cache).of("Contact")
    assert set(shape.fields) == {field["name"].lower() for field in CONTACT["fields"]}
    for said in CONTACT["fields"]:
        field = shape.get(said["name"].upper())
        assert (field.name, field.kind, field.length) == (said["name"], said["type"], said["length"])
        assert (field.createable, field.updateable) == (said["createable"], said["updateable"])
        assert field.picklist == tuple(value["value"] for value in said["picklistValues"] if value["active"])
    assert shape.get("Nothing__c") is None


def test_a_value_that_is_no_longer_in_use_is_left_out(cache):
    values = [{"value": "Old", "active": False}, {"value": "New", "active": True}]
    field = {**CONTACT["fields"][0], "name": "Kind__c", "type": "picklist", "picklistValues": values}
    shape = Shapes(TalkingOrg(said={**CONTACT, "fields": [field]}), cache).of("Contact")
    assert shape.get("kind__c").picklist == ("New",)


def test_it_is_asked_for_once_in_a_process_and_once_for_many_processes(cache):
    org, other = TalkingOrg(), TalkingOrg()
    shapes = Shapes(org, cache)
    first = shapes.of("Contact")
    assert shapes.of("Contact") is first
    assert shapes.statuses() == shapes.statuses()
    next_process = Shapes(other, cache)
    assert next_process.of("Contact") == first
    assert next_process.statuses() == shapes.statuses()
    assert org.asked == ["sobjects/Contact/describe", "TaskStatus"]
    assert other.asked == []


@pytest.mark.parametrize(("age", "asked"), [(EXPIRY - timedelta(seconds=1), 0), (EXPIRY, 2)])
def test_it_is_asked_for_anew_after_a_day(cache, clock, age, asked):
    old = Shapes(TalkingOrg(), cache)
    old.of("Contact")
    old.statuses()
    clock.at += age
    org = TalkingOrg()
    shapes = Shapes(org, cache)
    shapes.of("Contact")
    shapes.statuses()
    assert len(org.asked) == asked


def test_a_process_that_runs_for_days_asks_anew_like_any_other(cache, clock):
    org = TalkingOrg(clock=clock)
    shapes = Shapes(org, cache)
    for _ in range(50):
        shapes.of("Contact")
        clock.at += timedelta(hours=1)
    assert len(org.asked) == 3  # on each of three days


def test_a_process_hears_within_the_hour_what_another_one_forgot(cache, clock):
    org = TalkingOrg(clock=clock)
    shapes = Shapes(org, cache)
    shapes.of("Contact")
    Shapes(TalkingOrg(), cache).forget("Contact")
    clock.at += timedelta(hours=1)
    shapes.of("Contact")
    assert len(org.asked) == 2


def test_what_is_forgotten_is_asked_for_anew_the_statuses_with_the_task(cache):
    org = TalkingOrg()
    shapes = Shapes(org, cache)
    shapes.of("Task")
    shapes.of("Contact")
    shapes.statuses()
    shapes.forget("Task")
    Shapes(org, cache).of("Contact")
    shapes.of("Task")
    shapes.statuses()
    assert [path.split("/")[1] if "/" in path else path for path in org.asked] == [
        "Task", "Contact", "TaskStatus", "Task", "TaskStatus",
    ]  # fmt: skip


@pytest.mark.parametrize("scope", ["https://other.example app", "https://acme.example another"])
def test_two_orgs_and_two_users_never_share_an_answer(cache, scope):
    Shapes(TalkingOrg(), cache).of("Contact")
    org = TalkingOrg(scope)
    Shapes(org, cache).of("Contact")
    assert len(org.asked) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", '{"name": "Contact", "fields": {"id": {"name": "Id"}}}'])
def test_a_damaged_memory_is_thrown_away(cache, text):
    Shapes(TalkingOrg(), cache).of("Contact")
    (name,) = cache.texts
    cache.save(name, text)
    org = TalkingOrg()
    assert Shapes(org, cache).of("Contact").get("Email") is not None
    assert len(org.asked) == 1
    assert cache.texts[name][1] != text


def test_an_answer_that_is_not_a_description_is_not_believed(cache):
    with pytest.raises(Retry, match="did not describe Contact"):
        Shapes(TalkingOrg(said={"name": "Contact"}), cache).of("Contact")
    assert cache.texts == {}


def scope_of(monkeypatch, clock, **account):
    monkeypatch.setenv("SF_SECRET", account.pop("secret", "s3cret"))
    return Org(SalesforceAccount.model_validate(account), clock=clock, vault=MemoryVault()).scope


def test_the_name_of_what_is_remembered_tells_org_and_user_and_no_secret(monkeypatch, clock):
    app = {"auth": "client_credentials", "domain": "acme.my", "client_id": "app", "client_secret": "${env:SF_SECRET}"}
    given = {"auth": "access_token", "token": "${env:SF_SECRET}", "instance_url": "https://acme.my.salesforce.com"}
    scopes = [
        scope_of(monkeypatch, clock, **app),
        scope_of(monkeypatch, clock, **{**app, "client_id": "other"}),
        scope_of(monkeypatch, clock, **{**app, "domain": "box.my"}),
        scope_of(monkeypatch, clock, **given),
        scope_of(monkeypatch, clock, **given, secret="another-s3cret"),
    ]
    assert len(set(scopes)) == len(scopes)
    assert not any("s3cret" in scope for scope in scopes)


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
