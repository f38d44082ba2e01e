"""What `connector doctor` says of a Salesforce org, over real HTTP against the sandbox's org."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters.salesforce import SalesforceCrm, adapter
from adapters.salesforce.metadata import PicklistValue
from adapters.salesforce.signin import Kept
from adapters.sandbox import Sandbox
from connector.ports import Check, Verdict
from tests.doubles import MemoryCache, MemoryVault

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ANA = "ana@acme.example"

OK, WARNING, FAULT = Verdict.OK, Verdict.WARNING, Verdict.FAULT


class World:
    """A sandbox that has everything the connector needs, and ways to open it."""

    def __init__(self, sandbox: Sandbox, section: dict) -> None:
        self.sandbox = sandbox
        self.org = sandbox.salesforce
        self.section = section
        self.cache = MemoryCache(sandbox.clock)
        self.vault = MemoryVault()
        self.opened: list[SalesforceCrm] = []
        self.org.add_user(Username=ANA, LastName="Diaz", Email=ANA)
        self.change("Task", "Type", values=("Call", "Email", "Reply"))

    def change(self, name: str, field: str, **facets) -> None:
        """Change facets of a field."""
        self.org.org.change_field(name, field, **facets)

    def make(self, name: str, field: str, **facets) -> None:
        """Make a field."""
        like = self.org.org.whole[name].fields["Description"]
        self.org.org.add_field(name, replace(like, **{"name": field, **facets}))

    def drop(self, name: str, field: str = "") -> None:
        """Hide a field, or take a whole object away: the user cannot tell the one from the other."""
        if field:
            self.org.org.hide_field(name, field)
        else:
            del self.org.org.sobjects[name], self.org.org.whole[name]

    def freeze(self, name: str) -> None:
        """Let the user look at an object only."""
        self.org.org.sobjects[name] = replace(self.org.org.sobjects[name], writable=False)

    def open(self, options: dict | None = None, **account) -> SalesforceCrm:
        crm = adapter.open_crm(
            adapter.account_model.model_validate({**self.section, **account}),
            adapter.options_model.model_validate(options or {}),
            clock=self.sandbox.clock,
            vault=self.vault,
            cache=self.cache,
        )
        assert isinstance(crm, SalesforceCrm)
        self.opened.append(crm)
        return crm

    def check(self, options: dict | None = None, users=(ANA,), **account) -> list[Check]:
        return list(self.open(options, **account).check({f"rep{place}": user for place, user in enumerate(users)}))


@pytest.fixture
def world(front, tmp_path, monkeypatch) -> Iterator[World]:
    sandbox = front.fresh(START)
    told = sandbox.accounts(tmp_path)
    for name, value in told["environment"].items():
        monkeypatch.setenv(name, value)
    world = World(sandbox, told["accounts"]["salesforce"])
    yield world
    for crm in world.opened:
        crm.close()


def troubles(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.verdict is not OK]


def test_an_org_with_everything_has_no_trouble_and_says_what_was_looked_at(world):
    checks = world.check()
    assert troubles(checks) == []
    assert [check.area for check in checks] == [
        "sign-in",
        "setup",
        "setup",
        "setup",
        "setup",
        "setup",
        "users",
        "limits",
    ]
    assert "signed in as integration@sandbox.example" in checks[0].sentence
    assert "to Sandbox (production)" in checks[0].sentence
    assert "version 66.0" in checks[0].sentence
    assert ANA in checks[-2].sentence


def test_a_sandbox_org_is_called_one(world):
    (organization,) = world.org.org.table("Organization")
    organization.values["IsSandbox"] = True
    assert "to Sandbox (a sandbox)" in world.check()[0].sentence


def test_looking_writes_nothing(world):
    world.check({"activity_fields": {"campaign": "MSE_Campaign__c"}, "rollup": {"last_replied": "Replied__c"}})
    assert world.sandbox.log.effects == []


MAPPED = {"activity_fields": {"campaign": "MSE_Campaign__c"}}
ROLLED = {"rollup": {"last_replied": "Last_Replied__c"}}
INTENT = "Connector_Intent_Id__c"

Change = Callable[[World], object]

#: What is wrong -> (how it came about, options, verdict, what is said, how it is mended).
WRONG: dict[str, tuple[Change, dict, Verdict, str, str]] = {
    "the intent field is missing": (
        lambda w: w.org.set_intent_field(present=False), {}, FAULT, INTENT, "connector salesforce setup",
    ),
    "the intent field has another name": (
        lambda w: None, {"intent_field": "Other__c"}, FAULT, "Other__c", "connector salesforce setup",
    ),
    "the intent field is not unique": (
        lambda w: w.change("Task", INTENT, unique=False), {}, FAULT, "unique", "connector salesforce setup",
    ),
    "the intent field is no external id": (
        lambda w: w.change("Task", INTENT, external_id=False), {}, FAULT, "external", "connector salesforce setup",
    ),
    "the intent field is read-only": (
        lambda w: w.change("Task", INTENT, createable=False, updateable=False), {}, FAULT, INTENT, "",
    ),
    "the intent field does not tell case": (
        lambda w: w.change("Task", INTENT, case_sensitive=False), {}, WARNING, "upper from lower", "deploy",
    ),
    "tasks may only be looked at": (lambda w: w.freeze("Task"), {}, FAULT, "may not create or change tasks", "Edit Tasks"),
    "tasks are hidden": (lambda w: w.drop("Task"), {}, FAULT, "Task", ""),
    "the subject is read-only": (
        lambda w: w.change("Task", "Subject", updateable=False), {}, FAULT, "the field Subject", "let the user",
    ),
    "the owner is read-only": (
        lambda w: w.change("Task", "OwnerId", createable=False, updateable=False), {}, FAULT, "OwnerId", "let the user",
    ),
    "nothing is closed": (
        lambda w: w.org.set_task_statuses(("Open", True, False)), {}, FAULT, "no closed task status", "",
    ),
    "a priority is missing": (
        lambda w: w.change("Task", "Priority", values=("Hot", "Normal")), {}, WARNING, "'High'", "add the value",
    ),
    "a type is missing": (
        lambda w: w.change("Task", "Type", values=("Call", "Email")), {}, WARNING, "'Reply'", "task-type",
    ),
    "the type is hidden": (lambda w: w.drop("Task", "Type"), {}, WARNING, "the field Type", ""),
    "a mapped field is missing": (lambda w: None, MAPPED, WARNING, "MSE_Campaign__c", "let the user see"),
    "a mapped field is a checkbox": (
        lambda w: w.make("Task", "MSE_Campaign__c", type="boolean", length=0), MAPPED, WARNING, "checkbox", "",
    ),
    "a mapped field is short": (
        lambda w: w.make("Task", "MSE_Campaign__c", type="string", length=80), MAPPED, WARNING, "80 characters", "255",
    ),
    "a roll-up is missing on leads": (
        lambda w: w.make("Contact", "Last_Replied__c", type="datetime"), ROLLED, WARNING, "Lead.Last_Replied__c", "",
    ),
    "leads are hidden": (lambda w: w.drop("Lead"), {}, WARNING, "does not see Lead", "permission set"),
    "addresses of contacts are hidden": (lambda w: w.drop("Contact", "Email"), {}, WARNING, "Contact", "permission set"),
    "nobody is seen": (
        lambda w: (w.drop("Lead"), w.drop("Contact")), {}, FAULT, "neither contacts nor leads", "permission set",
    ),
    "opt-out is hidden": (
        lambda w: w.drop("Lead", "HasOptedOutOfEmail"), {}, WARNING, "an opt-out here does not reach", "permission set",
    ),
    "opt-out is read-only": (
        lambda w: w.change("Contact", "HasOptedOutOfEmail", updateable=False), {}, WARNING, "opt-out", "permission set",
    ),
    "bounces are read-only": (
        lambda w: w.change("Lead", "EmailBouncedDate", updateable=False), {}, WARNING, "a bounce here does not reach", "",
    ),
    "nearly all calls are used": (lambda w: w.org.use_calls(14_000), {}, WARNING, "of the day's 15000", "due now"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_the_way_to_mend_it(world, name):
    change, options, verdict, said, mend = WRONG[name]
    change(world)
    found = troubles(world.check(options))
    assert any(
        check.verdict is verdict and said in check.sentence and mend in check.mend and (check.mend or verdict is FAULT)
        for check in found
    ), found
    assert all(check.verdict is WARNING for check in found) == (verdict is WARNING), found


def test_an_owner_who_is_unknown_or_left_is_a_fault_each(world):
    world.org.add_user(Username="gone@acme.example", LastName="Gone", Email="gone@acme.example", IsActive=False)
    checks = world.check(users=[ANA, "gone@acme.example", "005000000000000AAA"])
    assert [(check.area, check.verdict) for check in troubles(checks)] == [("users", FAULT)] * 2
    assert "'gone@acme.example'" in troubles(checks)[1].sentence
    assert "salesforce_user" in troubles(checks)[0].mend


def test_without_owners_the_connectors_own_user_is_named(world):
    (check,) = troubles(world.check(users=()))
    assert (check.verdict, check.area) == (WARNING, "users")


def test_where_reps_sign_in_one_by_one_each_has_a_line(world):
    ben = "ben@acme.example"
    world.org.add_user(Username=ben, LastName="Ray", Email=ben)
    world.org.register_app("app", secret=None, users=[ANA, ben])
    for name, user in (("salesforce", ANA), ("salesforce:rep0", ANA), ("salesforce:rep1", ANA)):
        token = world.org.issue_refresh_token(user, "app")
        world.vault.save(name, Kept(refresh_token=token).text)
    section = {"auth": "refresh_token", "per_rep": True, "client_id": "app", "client_secret": None}
    first, second, third, fourth, *_ = world.check(users=[ANA, ben, ben], **section)
    assert (first.verdict, f"signed in as {ANA}" in first.sentence) == (OK, True)
    assert (second.verdict, second.sentence) == (OK, f"rep0 is signed in as {ANA}")
    assert (third.verdict, third.sentence) == (WARNING, f"rep1 is signed in as {ANA}")
    assert "connector auth salesforce --rep rep1" in third.mend
    # Nobody has signed in for this one yet.
    assert (fourth.verdict, fourth.reconnect, "rep2" in fourth.sentence) == (FAULT, True, True)


def test_what_was_remembered_is_asked_anew(world):
    """Whoever looks has just changed something."""
    world.org.set_intent_field(present=False)
    assert any(check.verdict is FAULT for check in world.check())
    world.org.set_intent_field(present=True)
    assert troubles(world.check()) == []
    world.org.set_intent_field(present=False)
    assert any(check.verdict is FAULT for check in world.check())


def test_nothing_is_needed_of_tasks_while_they_are_off(world):
    world.org.set_intent_field(present=False)
    assert troubles(world.check({"tasks": "off"})) == []


def test_a_refused_sign_in_is_the_only_line_and_asks_for_a_person(world):
    (check,) = world.check(client_id="somebody else")
    assert (check.area, check.verdict, check.reconnect) == ("sign-in", FAULT, True)
    assert check.mend


def test_an_org_that_cannot_be_reached_asks_for_nobody(world):
    (check,) = world.check(instance_url="http://127.0.0.1:9", login_url="http://127.0.0.1:9")
    assert (check.area, check.verdict, check.reconnect) == ("sign-in", FAULT, False)


def test_a_version_that_is_not_served_is_named(world):
    (check,) = world.check(api_version="99.0")
    assert (check.area, check.verdict) == ("sign-in", FAULT)
    assert "99.0" in check.sentence
    assert "api_version" in check.mend


def test_trouble_in_the_middle_is_a_line_and_the_rest_is_looked_at(world):
    world.drop("User")
    checks = world.check()
    (trouble,) = troubles(checks)
    assert (trouble.area, trouble.verdict) == ("users", FAULT)
    assert checks[-1].area == "limits"


def test_the_setup_files_hold_the_orgs_own_task_types(world):
    world.change("Task", "Type", values=("Call", "Meeting"))
    crm = world.open()
    assert crm.task_types() == (
        PicklistValue(value="Call", label="Call"),
        PicklistValue(value="Meeting", label="Meeting"),
    )
    files = adapter.setup_files(adapter.options_model.model_validate({}), crm)
    (name,) = [name for name in files if name.endswith("TaskType.standardValueSet-meta.xml")]
    assert [word in files[name] for word in ("Meeting", "Email", "Reply")] == [True] * 3


def test_the_setup_files_leave_task_types_out_without_an_org_and_where_they_are_hidden(world):
    world.drop("Task", "Type")
    options = adapter.options_model.model_validate({})
    assert adapter.setup_files(options, world.open()) == adapter.setup_files(options)
    assert not any("TaskType" in name for name in adapter.setup_files(options))
