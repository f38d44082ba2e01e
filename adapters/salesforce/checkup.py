"""Whether an org has everything the connector needs, said line by line with the way to mend what is missing.

Lives here: `Checkup`. Does not live here: what is deployed (`metadata`), the refusal of a push (`tasks`).

What `describe` says of an object is asked anew, never taken from the cache: whoever looks has just changed something.
A missing field and one hidden from the user look the same in it. Trouble becomes a line; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from simple_salesforce.format import format_soql

from adapters.salesforce.account import SalesforceAccount, SalesforceOptions
from adapters.salesforce.describe import FieldShape, Shape, Shapes
from adapters.salesforce.metadata import ACTIVITY_TYPES, PERMISSION_SET
from adapters.salesforce.session import Org
from adapters.salesforce.values import is_id
from connector.errors import AdapterError, Reconnect, Refused
from connector.ports import ActivityFact, Check, RollupFact, Verdict

#: Length of an intent key (spec interfaces 3).
KEY_LENGTH = 32

#: Part of a day's calls from which an administrator should know.
NEARLY_USED = 0.9

_DEPLOY = (
    f"deploy the folder that 'connector salesforce setup' writes, and assign its permission set {PERMISSION_SET} to "
    "the user"
)
_ASSIGN = f"assign the permission set {PERMISSION_SET} of 'connector salesforce setup' to the user"

_TEXT = frozenset({"string", "textarea", "picklist", "combobox"})
_NUMBER = frozenset({"int", "double", "currency"})
_INSTANT = frozenset({"datetime", "date"})

#: Fact -> kinds of fields that can hold it, and the length a text should have (reference marketo 4).
_FACTS: Mapping[ActivityFact | RollupFact, tuple[frozenset[str], int]] = {
    ActivityFact.CAMPAIGN: (_TEXT, 255),
    ActivityFact.DAY: (_TEXT | _NUMBER, 3),
    ActivityFact.STEP: (_TEXT | _NUMBER, 3),
    ActivityFact.STEP_NAME: (_TEXT, 255),
    ActivityFact.TEMPLATE: (_TEXT, 255),
    ActivityFact.EMAIL_STATUS: (_TEXT, 11),
    ActivityFact.REPLIED: (frozenset({"boolean"}), 0),
    ActivityFact.CALL_OUTCOME: (_TEXT, 50),
    ActivityFact.CALL_REASON: (_TEXT, 50),
    RollupFact.CURRENT_CAMPAIGN: (_TEXT, 255),
    RollupFact.LAST_ACTIVITY: (_INSTANT, 0),
    RollupFact.LAST_REPLIED: (_INSTANT, 0),
}

#: Field of Task -> whether tasks are of no use without it.
_TASK_FIELDS: Mapping[str, bool] = {
    "Subject": True,
    "Status": True,
    "OwnerId": True,
    "WhoId": True,
    "Priority": False,
    "ActivityDate": False,
    "ReminderDateTime": False,
    "Description": False,
}

#: Field of Lead and Contact -> what is lost without it.
_PERSON_FIELDS: Mapping[str, str] = {
    "HasOptedOutOfEmail": "an opt-out on either side does not reach the other",
    "EmailBouncedReason": "bounces are not noted in Salesforce",
    "EmailBouncedDate": "bounces are not noted in Salesforce",
}

#: Those of them that are a matter of permission sets.
_PERMITTED = frozenset({"HasOptedOutOfEmail"})

#: What an org says of an object that it has not, or hides from the user.
_NO_OBJECT = frozenset({"NOT_FOUND", "INVALID_TYPE"})

#: Picklist of Task -> the values the connector writes.
_VALUES: Mapping[str, tuple[str, ...]] = {
    "Priority": ("High", "Normal"),
    "TaskSubtype": ("Task", "Email", "Call", "LinkedIn"),
    "Type": ACTIVITY_TYPES,
}

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

    org: Org
    shapes: Shapes
    find_users: Callable[[Sequence[str]], Mapping[str, str]]
    account: SalesforceAccount
    options: SalesforceOptions

    def lines(self, users: Sequence[str]) -> list[Check]:
        """Return what was found; only the sign-in when that fails."""
        found = list(self._guarded(SIGN_IN, "the sign-in", self._sign_in))
        if any(check.verdict is Verdict.FAULT for check in found):
            return found
        for area, what, look in (
            (SETUP, "Task", self._task),
            (SETUP, "the task statuses", self._statuses),
            (SETUP, "contacts and leads", self._prospects),
            (USERS, "the owners of tasks", lambda: self._owners(users)),
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
            resources = self.org.call("GET", "")
        except Refused as error:
            if error.code != "NOT_FOUND":
                raise
            yield _fault(
                SIGN_IN,
                f"this org does not serve version {version} of the API",
                "leave accounts.salesforce.api_version out, or name a version the org serves",
            )
            return
        yield _ok(SIGN_IN, f"signed in{self._user(resources)}{self._organization()}; version {version} of the API")
        for sentence in self.account.warnings:
            yield _warning(SIGN_IN, sentence, "change accounts.salesforce.auth")

    def _user(self, resources: object) -> str:
        identity = str(resources.get("identity") or "") if isinstance(resources, Mapping) else ""
        user = identity.rpartition("/")[2]
        if not is_id(user):
            return ""
        rows = self._seen(format_soql("SELECT Username FROM User WHERE Id = {}", user))
        return f" as {rows[0]['Username']}" if rows else ""

    def _organization(self) -> str:
        rows = self._seen("SELECT Name, IsSandbox FROM Organization")
        if not rows:
            return ""
        return f" to {rows[0]['Name']} ({'a sandbox' if rows[0]['IsSandbox'] else 'production'})"

    def _seen(self, soql: str) -> list[Mapping[str, object]]:
        """Return the records of a query that only makes a sentence fuller: none when the user may not ask it."""
        try:
            return list(self.org.query(soql))
        except Refused:
            return []

    # ------------------------------------------------------------------------------------------- tasks

    def _anew(self, name: str) -> Shape:
        self.shapes.forget(name)
        return self.shapes.of(name)

    def _task(self) -> Iterator[Check]:
        task = self._anew("Task")
        yield intent_check(task, self.options.intent_field)
        denied = [may for may, allowed in (("create", task.createable), ("change", task.updateable)) if not allowed]
        if denied:
            yield _fault(SETUP, f"the user may not {' or '.join(denied)} tasks", f"{_ASSIGN}: it has Edit Tasks")
        elif not task.deletable:
            yield _warning(SETUP, "the user may not delete tasks", "grant it, or leave salesforce.on_end at complete")
        else:
            yield _ok(SETUP, "the user may create, change and delete tasks")
        for name, needed in _TASK_FIELDS.items():
            if not _written(task.get(name)):
                say = _fault if needed else _warning
                yield say(SETUP, f"the user may not write the field {name} of tasks", f"{_ASSIGN}, or grant the field")
        yield from self._picklists(task)
        yield from _mapped(task, self.options.activity_fields, "activity_fields")

    def _picklists(self, task: Shape) -> Iterator[Check]:
        for name, wanted in _VALUES.items():
            field = task.get(name)
            missing = [value for value in wanted if field is None or value not in field.picklist]
            if field is None:
                yield _warning(
                    SETUP, f"the field {name} of tasks is hidden from the user", "grant it; tasks go without it"
                )
            elif missing:
                yield _warning(
                    SETUP,
                    f"the field {name} of tasks has no value {' and no value '.join(missing)}",
                    "add it in Setup; tasks that would have it go without",
                )
            else:
                yield _ok(SETUP, f"the field {name} of tasks has the values {', '.join(wanted)}")

    def _statuses(self) -> Iterator[Check]:
        chosen = self.shapes.statuses()
        yield _ok(SETUP, f"open tasks get the status '{chosen.open}', completed ones '{chosen.closed}'")

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
        lost = [field for field in _PERSON_FIELDS if not person.updateable or not _written(person.get(field))]
        for field in lost:
            what = f"the user may not write the field {field} of {person.name}: {_PERSON_FIELDS[field]}"
            yield _warning(
                SETUP, what, _ASSIGN if field in _PERMITTED else "grant it in Setup, where the org lets it be"
            )
        if not lost:
            yield _ok(SETUP, f"opt-outs and bounces of {person.name} can be read and written")
        yield from _mapped(person, self.options.rollup, "rollup")

    def _owners(self, users: Sequence[str]) -> Iterator[Check]:
        if not users:
            yield _warning(
                USERS,
                "no rep has a salesforce_user: every task belongs to the connector's own user",
                "set salesforce_user of each rep in connector.yaml",
            )
            return
        active = self.find_users(users)
        for name in sorted({*users} - {*active}):
            yield _fault(
                USERS,
                f"'{name}' is not the name or id of an active user of the org",
                "correct salesforce_user in connector.yaml, or activate the user",
            )
        if active:
            yield _ok(USERS, f"owners of tasks: {', '.join(sorted(active))}")

    def _budget(self) -> Iterator[Check]:
        if self.org.budget is None:
            return
        used, allowed = self.org.budget
        sentence = f"{used} of the day's {allowed} API calls are used"
        if used < NEARLY_USED * allowed:
            yield _ok(LIMITS, sentence)
        else:
            yield _warning(LIMITS, sentence, "until calls come back, only what is due now is sent; look who else calls")


def intent_check(task: Shape, name: str) -> Check:
    """Return what is to be said of the field that carries the intent key."""
    field = task.get(name)
    if field is None:
        return _fault(SETUP, f"Activity has no field {name}, or it is hidden from the user", _DEPLOY)
    lacks = [
        what
        for what, there in (
            ("not an external id", field.external_id),
            ("not unique", field.unique),
            ("not a text", field.kind == "string"),
            (f"shorter than {KEY_LENGTH} characters", field.length >= KEY_LENGTH),
        )
        if not there
    ]
    if lacks:
        return _fault(SETUP, f"the field {name} of Activity is {' and '.join(lacks)}", _DEPLOY)
    if not _written(field):
        return _fault(SETUP, f"the user may not write the field {name} of Activity", _ASSIGN)
    if not field.case_sensitive:
        return _warning(SETUP, f"the field {name} of Activity does not tell upper from lower case", _DEPLOY)
    return _ok(SETUP, f"the field {name} of Activity is there, unique, and an external id")


def _written(field: FieldShape | None) -> bool:
    return field is not None and field.createable and field.updateable


def _mapped(shape: Shape, fields: Mapping[ActivityFact, str] | Mapping[RollupFact, str], key: str) -> Iterator[Check]:
    for fact, name in fields.items():
        kinds, length = _FACTS[fact]
        field = shape.get(name)
        place = f"the field {name} of {shape.name} (salesforce.{key}: {fact})"
        if field is None:
            yield _warning(
                SETUP, f"{place} is missing or hidden from the user", f"create it, or take {fact} out of {key}"
            )
        elif field.kind not in kinds:
            yield _warning(
                SETUP,
                f"{place} is of type {field.kind}",
                f"make it one of {', '.join(sorted(kinds))}",
            )
        elif not _written(field):
            yield _warning(SETUP, f"{place} may not be written by the user", _ASSIGN)
        elif 0 < field.length < length:
            yield _warning(SETUP, f"{place} holds {field.length} characters", f"make it {length}; longer texts are cut")
        else:
            yield _ok(SETUP, f"{place} is there")
