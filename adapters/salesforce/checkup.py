"""Whether an org has everything the connector needs, said line by line with the way to mend what is missing.

Lives here: `Checkup`. Does not live here: what is deployed (`metadata`), the refusal of a push (`tasks`).

What `describe` says of an object is asked anew, never taken from the cache: whoever looks has just changed something.
A missing field and one hidden from the user look the same in it. Trouble becomes a line; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from simple_salesforce.format import format_soql

from adapters.salesforce.account import SalesforceAccount, SalesforceOptions
from adapters.salesforce.describe import FieldShape, Shape, Shapes
from adapters.salesforce.facts import Facts
from adapters.salesforce.metadata import PERMISSION_SET
from adapters.salesforce.session import Org, Orgs
from adapters.salesforce.tasks import Tasks
from adapters.salesforce.users import Users
from adapters.salesforce.values import is_id, long_id
from connector.errors import AdapterError, Reconnect, Refused
from connector.ports import ActivityFact, Cache, Check, RollupFact, Verdict

#: Part of a day's calls from which an administrator should know.
NEARLY_USED = 0.9

_DEPLOY = (
    f"deploy the folder that 'connector salesforce setup' writes, and assign its permission set {PERMISSION_SET} to "
    "the user"
)
_GRANT = "let the user see and edit the field, by a permission set or in Setup"
_ASSIGN = f"assign the permission set {PERMISSION_SET} of 'connector salesforce setup' to the user"

#: Fact -> length that its texts may need (reference marketo 4); longer ones are cut.
_LENGTHS: Mapping[str, int] = {
    ActivityFact.CAMPAIGN: 255,
    ActivityFact.STEP_NAME: 255,
    ActivityFact.TEMPLATE: 255,
    ActivityFact.EMAIL_STATUS: 11,
    ActivityFact.CALL_OUTCOME: 50,
    ActivityFact.CALL_REASON: 50,
    RollupFact.CURRENT_CAMPAIGN: 255,
}

#: Fields that a task is of no use without, beside the intent field.
_TASK_FIELDS = ("Subject", "Status", "OwnerId", "WhoId", "ActivityDate", "Description")

#: Field of Task -> how to have it written, where that is a matter of its own.
_TASK_MENDS: Mapping[str, str] = {
    "Type": "add the value in Setup, or deploy the folder task-type that 'connector salesforce setup' writes",
    "Priority": "add the value to the picklist in Setup",
    "TaskSubtype": "nothing: an org that lacks a subtype makes a plain task of it",
}

#: Field of Lead and Contact -> what is lost without it.
_PERSON_FIELDS: Mapping[str, str] = {
    "HasOptedOutOfEmail": "an opt-out here does not reach Salesforce",
    "EmailBouncedReason": "a bounce here does not reach Salesforce",
    "EmailBouncedDate": "a bounce here does not reach Salesforce",
}

#: What an org says of an object that it has not, or hides from the user.
_NO_OBJECT = frozenset({"NOT_FOUND", "INVALID_TYPE"})

SIGN_IN, SETUP, USERS, LIMITS = "sign-in", "setup", "users", "limits"


def _ok(area: str, sentence: str) -> Check:
    return Check(area=area, verdict=Verdict.OK, sentence=sentence)


def _warning(area: str, sentence: str, mend: str) -> Check:
    return Check(area=area, verdict=Verdict.WARNING, sentence=sentence, mend=mend)


def _fault(area: str, sentence: str, mend: str) -> Check:
    return Check(area=area, verdict=Verdict.FAULT, sentence=sentence, mend=mend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """One look at one org."""

    orgs: Orgs
    cache: Cache
    #: As the connector's own user sees them.
    shapes: Shapes
    tasks: Tasks
    facts: Facts
    users: Users
    account: SalesforceAccount
    options: SalesforceOptions

    def lines(self, owners: Mapping[str, str]) -> list[Check]:
        """Return what was found; only the sign-in when that fails. `owners`: rep -> user who owns their tasks."""
        found = list(self._guarded(SIGN_IN, "the sign-in", self._sign_in))
        if any(check.verdict is Verdict.FAULT for check in found):
            return found
        self.users.forget()
        for rep, user in owners.items() if self.account.per_rep else ():
            found += self._guarded(SIGN_IN, f"the sign-in of {rep}", partial(self._rep, rep, user))
        for area, what, look in (
            (SETUP, "Task", self._task),
            (SETUP, "contacts and leads", self._prospects),
            (USERS, "the owners of tasks", partial(self._owners, sorted({user for user in owners.values() if user}))),
            (LIMITS, "the day's calls", self._budget),
        ):
            found += self._guarded(area, what, look)
        return found

    def _guarded(self, area: str, what: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
        try:
            yield from look()
        except AdapterError as error:
            yield Check(
                area=area,
                verdict=Verdict.FAULT,
                sentence=f"{what} could not be looked at: {error}",
                mend=error.advice,
                reconnect=isinstance(error, Reconnect),
            )

    # ----------------------------------------------------------------------------------------- sign-in

    def _sign_in(self) -> Iterator[Check]:
        version = self.account.api_version
        try:
            user = self._name(self.orgs.own, _identity(self.orgs.own))
        except Refused as error:
            if error.code != "NOT_FOUND":
                raise
            yield _fault(
                SIGN_IN,
                f"this org does not serve version {version} of the API",
                "leave accounts.salesforce.api_version out, or name a version the org serves",
            )
            return
        who = f" as {user}" if user else ""
        yield _ok(SIGN_IN, f"signed in{who}{self._organization()}; version {version} of the API")
        for sentence in self.account.warnings:
            yield _warning(SIGN_IN, sentence, "change accounts.salesforce.auth")

    def _rep(self, rep: str, user: str) -> Iterator[Check]:
        org = self.orgs.of(rep)
        identity = _identity(org)
        name = self._name(org, identity)
        if user and identity and self.users.find([user]).get(user) not in (None, identity):
            mend = f"let {user} sign in: connector auth salesforce --rep {rep}; or correct their salesforce_user"
            yield _warning(SIGN_IN, f"{rep} is signed in as {name or identity}", mend)
        else:
            yield _ok(SIGN_IN, f"{rep} is signed in as {name or 'a user of the org'}")
        if self.options.tasks != "off":
            Shapes(org, self.cache).forget("Task")
            try:
                self.tasks.check_ready(rep)
            except Refused as error:
                yield _fault(SETUP, f"{rep}: {error}", error.advice)

    def _name(self, org: Org, user: str) -> str:
        """Return the name of a user; empty when the org does not tell."""
        rows = self._seen(org, format_soql("SELECT Username FROM User WHERE Id = {}", user)) if user else []
        return str(rows[0]["Username"]) if rows else ""

    def _organization(self) -> str:
        rows = self._seen(self.orgs.own, "SELECT Name, IsSandbox FROM Organization")
        if not rows:
            return ""
        return f" to {rows[0]['Name']} ({'a sandbox' if rows[0]['IsSandbox'] else 'production'})"

    def _seen(self, org: Org, soql: str) -> list[Mapping[str, object]]:
        """Return the records of a query that only makes a sentence fuller: none when the user may not ask it."""
        try:
            return list(org.query(soql))
        except Refused:
            return []

    # ------------------------------------------------------------------------------------------- tasks

    def _anew(self, name: str) -> Shape:
        self.shapes.forget(name)
        return self.shapes.of(name)

    def _task(self) -> Iterator[Check]:
        if self.options.tasks == "off":
            yield _ok(SETUP, "salesforce.tasks is off: no tasks are written, and nothing is needed for them")
            return
        task = self._anew("Task")
        yield from self._rights(task)
        try:
            self.tasks.check_ready()
        except Refused as error:
            yield _fault(SETUP, str(error), error.advice)
            return
        yield from self._intent_field(task)
        for name, why in self.tasks.left_out().items():
            yield _warning(
                SETUP,
                f"the field {name} of tasks goes unwritten where it does not fit: {why}",
                _TASK_MENDS.get(name, _GRANT),
            )
        yield from _short(task, self.options.activity_fields, "activity_fields")
        chosen = self.shapes.statuses()
        yield _ok(SETUP, f"open tasks get the status '{chosen.open}', completed ones '{chosen.closed}'")

    def _intent_field(self, task: Shape) -> Iterator[Check]:
        name = self.options.intent_field
        field = task.get(name)
        if field is not None and not field.case_sensitive:
            yield _warning(SETUP, f"the field {name} of Activity does not tell upper from lower case", _DEPLOY)
        else:
            yield _ok(SETUP, f"the field {name} of Activity is an external id, unique, and can be written")

    def _rights(self, task: Shape) -> Iterator[Check]:
        denied = [may for may, allowed in (("create", task.createable), ("change", task.updateable)) if not allowed]
        if denied:
            yield _fault(SETUP, f"the user may not {' or '.join(denied)} tasks", f"{_ASSIGN}: it has Edit Tasks")
        elif not task.deletable:
            yield _warning(SETUP, "the user may not delete tasks", "grant it, or leave salesforce.on_end at complete")
        else:
            yield _ok(SETUP, "the user may create, change and delete tasks")
        for name in _TASK_FIELDS:
            if not _written(task.get(name)):
                yield _fault(SETUP, f"the user may not write the field {name} of tasks", _GRANT)

    # ------------------------------------------------------------------------------------------ people

    def _prospects(self) -> Iterator[Check]:
        shapes = {name: self._shape_of(name) for name in ("Contact", "Lead")}
        if not any(shape is not None and shape.get("Email") for shape in shapes.values()):
            yield _fault(SETUP, "the user sees neither contacts nor leads with their addresses", _ASSIGN)
            return
        for name, shape in shapes.items():
            if shape is None or shape.get("Email") is None:
                yield _warning(SETUP, f"the user does not see {name}, or not its Email: nobody is found there", _ASSIGN)
            else:
                yield from self._person(shape)

    def _shape_of(self, name: str) -> Shape | None:
        try:
            return self._anew(name)
        except Refused as error:
            if error.code not in _NO_OBJECT:
                raise
            return None

    def _person(self, person: Shape) -> Iterator[Check]:
        left_out = {name: why for name, why in self.facts.left_out().items() if name.startswith(f"{person.name}.")}
        for name, why in left_out.items():
            lost = _PERSON_FIELDS.get(name.partition(".")[2], "it is not rolled up")
            yield _warning(SETUP, f"{lost}: {why}", "where the field is a matter of permissions, " + _ASSIGN)
        if not left_out:
            yield _ok(SETUP, f"opt-outs, bounces and roll-ups can be written to {person.name}")
        yield from _short(person, self.options.rollup, "rollup")

    def _owners(self, users: Sequence[str]) -> Iterator[Check]:
        if not users:
            yield _warning(
                USERS,
                "no rep has a salesforce_user: every task belongs to the connector's own user",
                "set salesforce_user of each rep in connector.yaml",
            )
            return
        active = self.users.find(users)
        for name in sorted({*users} - {*active}):
            yield _fault(
                USERS,
                f"'{name}' is not the name or id of an active user of the org",
                "correct salesforce_user in connector.yaml, or activate the user",
            )
        if active:
            yield _ok(USERS, f"owners of tasks: {', '.join(sorted(active))}")

    def _budget(self) -> Iterator[Check]:
        if self.orgs.budget is None:
            return
        used, allowed = self.orgs.budget
        sentence = f"{used} of the day's {allowed} API calls are used"
        if used < NEARLY_USED * allowed:
            yield _ok(LIMITS, sentence)
        else:
            yield _warning(LIMITS, sentence, "until calls come back, only what is due now is sent; look who else calls")


def _identity(org: Org) -> str:
    """Return the id of the user who is signed in; empty when the org does not tell."""
    resources = org.call("GET", "")
    identity = str(resources.get("identity") or "") if isinstance(resources, Mapping) else ""
    user = identity.rpartition("/")[2]
    return long_id(user) if is_id(user) else ""


def _written(field: FieldShape | None) -> bool:
    return field is not None and field.createable and field.updateable


def _short(shape: Shape, fields: Mapping[ActivityFact, str] | Mapping[RollupFact, str], key: str) -> Iterator[Check]:
    """Say which mapped fields hold less than a fact may need."""
    for fact, name in fields.items():
        field, length = shape.get(name), _LENGTHS.get(fact, 0)
        if field is not None and 0 < field.length < length:
            yield _warning(
                SETUP,
                f"the field {field.name} of {shape.name} (salesforce.{key}: {fact}) holds {field.length} characters",
                f"make it {length} characters long; longer texts are cut",
            )
