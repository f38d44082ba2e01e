"""Leads, contacts and users: found in bulk, listed from where a user points, marked as opted out.

Lives here: the queries, and how a row becomes a `CrmPerson`. Does not live here: which of several matches is meant
(`connector.tasks`).

- Contacts come before leads; a converted lead is read-only for good, so its id leads to its contact.
- A field that an object lacks or hides loses the field, not the lookup; a hidden opt-out is "not known", never "no".
- Values enter SOQL through `format_soql` only; names of fields are checked against a pattern first.
Source: spec delivery 3 and 6, reference apis 1.9 and 1.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simple_salesforce.format import format_soql

from adapters.salesforce.account import FIELD_PATH
from adapters.salesforce.errors import MissingField, from_item
from adapters.salesforce.session import Org, chunks
from adapters.salesforce.values import is_id, long_id
from connector.errors import AdapterError, Refused
from connector.ports import CrmPerson, PeopleSource, Written

#: Values in one IN list: at most so many, and so many characters, because a query travels in the address.
LIST_LENGTH = 200
LIST_CHARACTERS = 6_000

#: Rows of one page of a list view.
PAGE = 2_000

OPT_OUT = "HasOptedOutOfEmail"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One of the two objects a prospect can be."""

    name: str
    prefix: str
    #: Always selected; without these nothing can be found.
    needed: tuple[str, ...]
    #: Selected as long as the org has them and shows them.
    wanted: tuple[str, ...]


_WANTED = ("FirstName", "LastName", "Title", "Phone", "OwnerId", OPT_OUT)
CONTACT = _Kind(name="Contact", prefix="003", needed=("Id", "Email"), wanted=(*_WANTED, "AccountId", "Account.Name"))
LEAD = _Kind(
    name="Lead", prefix="00Q", needed=("Id", "Email", "IsConverted", "ConvertedContactId"), wanted=(*_WANTED, "Company")
)
_KINDS = {kind.prefix: kind for kind in (CONTACT, LEAD)}


class People:
    """Leads, contacts and users of one org."""

    def __init__(self, org: Org) -> None:
        """Take the org; nothing is called."""
        self._org = org
        #: Object -> fields found missing or hidden, so that each is asked for once.
        self._missing: dict[str, set[str]] = {CONTACT.name: set(), LEAD.name: set()}

    # -------------------------------------------------------------------------------------------- find

    def find(
        self, *, ids: Sequence[str] = (), emails: Sequence[str] = (), fields: Sequence[str] = ()
    ) -> dict[str, tuple[CrmPerson, ...]]:
        """Return every asked id and lower-case email -> its matches, contacts first; none gives an empty tuple."""
        for name in fields:
            if not FIELD_PATH.fullmatch(name):
                raise Refused(f"'sfdc.{name}' is not the name of a Salesforce field", code="field_name")
        fields = tuple(dict.fromkeys(fields))
        found: dict[str, list[CrmPerson]] = {one: [] for one in (*ids, *(email.lower() for email in emails))}
        self._by_id(ids, fields, found)
        self._by_email([email.lower() for email in emails], fields, found)
        return {asked: tuple(matches) for asked, matches in found.items()}

    def _by_id(self, ids: Sequence[str], fields: Sequence[str], found: dict[str, list[CrmPerson]]) -> None:
        asked: dict[str, list[str]] = {}
        for one in ids:
            if is_id(one):
                asked.setdefault(long_id(one), []).append(one)
        contacts = {one: one for one in asked if one.startswith(CONTACT.prefix)}
        leads = [one for one in asked if one.startswith(LEAD.prefix)]
        people: dict[str, CrmPerson] = {}
        for row in self._select(LEAD, fields, "Id IN {values}", leads):
            if row["IsConverted"] and row["ConvertedContactId"]:
                contacts[long_id(row["Id"])] = long_id(row["ConvertedContactId"])
            else:
                people[long_id(row["Id"])] = to_person(row, LEAD, fields)
        for row in self._select(CONTACT, fields, "Id IN {values}", sorted(set(contacts.values()))):
            people[long_id(row["Id"])] = to_person(row, CONTACT, fields)
        for one, forms in asked.items():
            person = people.get(contacts.get(one, one))
            for form in forms:
                found[form] = [person] if person else []

    def _by_email(self, emails: Sequence[str], fields: Sequence[str], found: dict[str, list[CrmPerson]]) -> None:
        wanted = [email for email in dict.fromkeys(emails) if email]
        for kind, where in ((CONTACT, "Email IN {values}"), (LEAD, "Email IN {values} AND IsConverted = false")):
            for row in self._select(kind, fields, where, wanted):
                matches = found.get(str(row["Email"]).lower())
                if matches is not None:
                    matches.append(to_person(row, kind, fields))

    def _select(
        self, kind: _Kind, fields: Sequence[str], where: str, values: Sequence[str]
    ) -> Iterator[Mapping[str, Any]]:
        for some in _short_lists(values):
            yield from self._select_shown(kind, fields, where, some)

    def _select_shown(
        self, kind: _Kind, fields: Sequence[str], where: str, values: Sequence[str]
    ) -> Sequence[Mapping[str, Any]]:
        """Query, leaving out one by one the fields the org does not show."""
        while True:
            # Salesforce does not tell upper from lower case, and refuses a column named twice.
            once = {name.lower(): name for name in (*self._shown(kind, fields), *self._shown(kind, kind.wanted))}
            columns = tuple({**once, **{name.lower(): name for name in kind.needed}}.values())
            head = format_soql(
                "SELECT {columns:literal} FROM {object:literal} WHERE ",
                columns=", ".join(columns),
                object=kind.name,
            )
            try:
                return list(self._org.query(head + format_soql(where, values=values)))
            except MissingField as error:
                one = error.field.lower()
                lost = {name for name in (*kind.wanted, *fields) if one in name.lower().split(".")}
                if not lost or lost <= self._missing[kind.name]:
                    raise
                self._missing[kind.name] |= lost

    def _shown(self, kind: _Kind, fields: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in fields if name not in self._missing[kind.name])

    # -------------------------------------------------------------------------------------------- list

    def list_from(self, source: PeopleSource) -> list[CrmPerson]:
        """Return the people of a query, list view, report or campaign, each once, in its order."""
        if source.soql is not None:
            ids = self._ids_of_query(source.soql)
        elif source.list_view is not None:
            ids = self._ids_of_list_view(source.list_view)
        elif source.report is not None:
            ids = self._ids_of_report(source.report)
        elif source.campaign is not None:
            ids = self._ids_of_campaign(source.campaign)
        else:
            raise Refused("say where to take people from: a query, a list view, a report or a campaign", code="source")
        ids = list(dict.fromkeys(long_id(one) for one in ids))
        found = self.find(ids=ids)
        # Two leads may have become one contact.
        people = {person.id: person for one in ids for person in found[one]}
        return list(people.values())

    def _ids_of_query(self, soql: str) -> list[str]:
        rows = list(self._org.query(soql))
        ids = [str(row["Id"]) for row in rows if str(row.get("Id") or "")[:3] in _KINDS]
        if len(ids) < len(rows):
            raise Refused("the query must select Id from Lead or Contact", code="source")
        return ids

    def _ids_of_list_view(self, name: str) -> list[str]:
        kind, _, view = name.rpartition("/")
        if kind not in ("", CONTACT.name, LEAD.name):
            raise Refused("a list view is named by its id, or as Lead/<id> or Contact/<id>", code="source")
        _check_id(view, "00B", "list view")
        if kind:
            return self._pages_of_list_view(kind, view)
        try:
            return self._pages_of_list_view(CONTACT.name, view)
        except Refused:
            # The id does not say of which object the view is.
            return self._pages_of_list_view(LEAD.name, view)

    def _pages_of_list_view(self, kind: str, view: str) -> list[str]:
        ids: list[str] = []
        while True:
            params = {"limit": str(PAGE), "offset": str(len(ids))}
            answer = self._org.call("GET", f"sobjects/{kind}/listviews/{view}/results", params=params)
            for record in answer["records"]:
                cells = {cell["fieldNameOrPath"]: cell["value"] for cell in record["columns"]}
                ids.append(str(cells["Id"]))
            if len(answer["records"]) < PAGE:
                return ids

    def _ids_of_report(self, report: str) -> list[str]:
        _check_id(report, "00O", "report")
        answer = self._org.call("GET", f"analytics/reports/{report}", params={"includeDetails": "true"})
        if not answer.get("allData", True):
            raise Refused(
                "the report has more than the 2,000 rows Salesforce gives out; narrow it, or use a query", code="source"
            )
        ids: list[str] = []
        for part in answer["factMap"].values():
            for row in part.get("rows") or ():
                values = [cell.get("recordId") or cell.get("value") for cell in row["dataCells"]]
                # A row may name several records (owner, account): the first that is a person is its person.
                ids += [str(one) for one in values if is_id(str(one)) and str(one)[:3] in _KINDS][:1]
        return ids

    def _ids_of_campaign(self, campaign: str) -> list[str]:
        _check_id(campaign, "701", "campaign")
        soql = format_soql("SELECT ContactId, LeadId FROM CampaignMember WHERE CampaignId = {}", campaign)
        rows = list(self._org.query(soql))
        return [str(row["ContactId"] or row["LeadId"]) for row in rows if row["ContactId"] or row["LeadId"]]

    # ------------------------------------------------------------------------------------------- users

    def find_users(self, names: Sequence[str]) -> dict[str, str]:
        """Return user name or 005 id, as asked -> id of the active user."""
        asked: dict[str, list[str]] = {}
        for name in names:
            is_user = is_id(name) and name.startswith("005")
            asked.setdefault(long_id(name) if is_user else name.lower(), []).append(name)
        by_name = [one for one in asked if "@" in one]
        by_id = [one for one in asked if is_id(one) and one.startswith("005")]
        found: dict[str, str] = {}
        for where, values in (("Username IN {values}", by_name), ("Id IN {values}", by_id)):
            for some in _short_lists(values):
                head = "SELECT Id, Username FROM User WHERE IsActive = true AND "
                for row in self._org.query(head + format_soql(where, values=some)):
                    user = long_id(row["Id"])
                    for name in asked.get(str(row["Username"]).lower(), []) + asked.get(user, []):
                        found[name] = user
        return found

    # ----------------------------------------------------------------------------------------- opt-out

    def push_opt_out(self, person_ids: Sequence[str]) -> list[Written]:
        """Mark leads and contacts as opted out of email, 200 a call; one bad record does not hold up the others."""
        done: dict[str, Written] = {}
        for kind in (CONTACT, LEAD):
            ours = [one for one in dict.fromkeys(person_ids) if is_id(one) and one.startswith(kind.prefix)]
            for some in chunks(ours, LIST_LENGTH):
                try:
                    done |= self._opt_out(kind, some)
                except Refused as error:
                    # The object lacks the field: that loses these records only.
                    done |= {one: Written(key=one, error=error) for one in some}
                except AdapterError as error:
                    if not done:
                        raise
                    done |= {one: Written(key=one, error=error) for one in some}
        for one in person_ids:
            wrong = Refused("that is not the id of a lead or contact", code="MALFORMED_ID")
            done.setdefault(one, Written(key=one, error=wrong))
        return [done[one] for one in person_ids]

    def _opt_out(self, kind: _Kind, ids: Sequence[str]) -> dict[str, Written]:
        records = [{"attributes": {"type": kind.name}, "id": one, OPT_OUT: True} for one in ids]
        body = {"allOrNone": False, "records": records}
        results = self._org.call_each("PATCH", "composite/sobjects", len(ids), json=body)
        return {
            one: Written(key=one, remote_id=long_id(one), error=None if result.get("success") else from_item(result))
            for one, result in zip(ids, results, strict=True)
        }


def to_person(row: Mapping[str, Any], kind: _Kind, fields: Sequence[str]) -> CrmPerson:
    """Return a row as a value; of `fields`, those the org lacks or hides are None, as if they were empty."""
    return CrmPerson(
        id=long_id(row["Id"]),
        kind=kind.name.lower(),
        email=row["Email"] or "",
        first_name=row.get("FirstName") or "",
        last_name=row.get("LastName") or "",
        title=row.get("Title") or "",
        company=row.get("Company") or _walk(row, "Account.Name") or "",
        phone=row.get("Phone") or "",
        account_id=long_id(row["AccountId"]) if row.get("AccountId") else None,
        owner=long_id(row["OwnerId"]) if row.get("OwnerId") else None,
        opted_out=row.get(OPT_OUT),
        fields={name: _walk(row, name) for name in fields},
    )


def _walk(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = next((inner for key, inner in value.items() if key.lower() == name.lower()), None)
    return value


def _short_lists(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut values into IN lists that fit an address; an empty list is not valid SOQL, so none comes out."""
    some: list[str] = []
    length = 0
    for value in values:
        if some and (len(some) == LIST_LENGTH or length + len(value) > LIST_CHARACTERS):
            yield some
            some, length = [], 0
        some.append(value)
        length += len(value)
    if some:
        yield some


def _check_id(text: str, prefix: str, what: str) -> None:
    if not (is_id(text) and text.startswith(prefix)):
        raise Refused(
            f"that is not the id of a {what}: it starts with {prefix} and has 15 or 18 characters", code="source"
        )
