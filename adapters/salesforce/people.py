"""Leads and contacts: found in bulk by address or id, and listed from where a user points.

Lives here: how matches are put in order, and how a row becomes a `CrmPerson`. Does not live here: which of several
matches is meant (`connector.tasks`), reading rows (`records`), where a list comes from (`sources`), writing (`facts`).

- Contacts come before leads; a converted lead's id leads to its contact, a merged record's to the one that stayed.
- A hidden opt-out is "not known", never "no".
- Values enter SOQL through `format_soql` only; names of fields are checked against a pattern first.
Source: spec delivery 3 and 6, reference apis 1.9 and 1.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.salesforce.account import FIELD_PATH
from adapters.salesforce.queries import Row
from adapters.salesforce.records import BOUNCED_AT, BOUNCED_REASON, OPT_OUT, PEOPLE, Records, by_email
from adapters.salesforce.session import Org
from adapters.salesforce.sources import read_source
from adapters.salesforce.values import is_id, long_id, read_instant
from connector.errors import Refused
from connector.ports import CrmPerson, PeopleSource


class People:
    """Leads and contacts of one org."""

    def __init__(self, org: Org, records: Records) -> None:
        """Take the org; nothing is called."""
        self._org = org
        self._records = records

    def find(
        self, *, ids: Sequence[str] = (), emails: Sequence[str] = (), fields: Sequence[str] = ()
    ) -> dict[str, tuple[CrmPerson, ...]]:
        """Return every asked id and lower-case email -> its matches, contacts first; none gives an empty tuple."""
        for name in fields:
            if not FIELD_PATH.fullmatch(name):
                raise Refused(f"'sfdc.{name}' is not the name of a Salesforce field", code="field_name")
        fields = tuple(dict.fromkeys(fields))
        found: dict[str, list[CrmPerson]] = {one: [] for one in (*ids, *(email.lower() for email in emails))}
        asked = {one: long_id(one) for one in ids if is_id(one)}
        wanted = [email for email in dict.fromkeys(email.lower() for email in emails) if email]
        also = [ask for kind in PEOPLE.values() for ask in by_email(kind, wanted, fields)]
        stands, answers = self._records.standing(dict.fromkeys(asked.values()), fields, also=also)
        if wanted:
            self._records.need_addresses()
        for one, long in asked.items():
            if long in stands and (row := stands[long].row) is not None:
                found[one] = [to_person(row, fields)]
        for row in (row for rows in answers for row in rows):
            # Letters that an org folds and we do not are no match.
            if (matches := found.get(str(row["Email"]).lower())) is not None:
                matches.append(to_person(row, fields))
        return {one: tuple(matches) for one, matches in found.items()}

    def list_from(self, source: PeopleSource) -> list[CrmPerson]:
        """Return the people of a source, each once, in its order."""
        ids = list(dict.fromkeys(long_id(one) for one in read_source(self._org, source)))
        found = self.find(ids=ids)
        unknown = [one for one in source.ids if not found[long_id(one)]]
        if unknown:
            raise Refused(
                f"Salesforce shows no lead or contact with the id {', '.join(unknown[:20])}: leave it out, or ask the "
                "administrator for access",
                code="source",
            )
        # Two leads may have become one contact.
        people = {person.id: person for one in ids for person in found[one]}
        return list(people.values())


def to_person(row: Row, fields: Sequence[str]) -> CrmPerson:
    """Return a row as a value; of `fields`, those the org lacks or hides are None, as if they were empty."""
    bounced: str | None = row.get(BOUNCED_AT)
    return CrmPerson(
        id=long_id(row["Id"]),
        kind=PEOPLE[row["Id"][:3]].name.lower(),
        email=row.get("Email") or "",
        first_name=row.get("FirstName") or "",
        last_name=row.get("LastName") or "",
        title=row.get("Title") or "",
        company=row.get("Company") or _walk(row, "Account.Name") or "",
        phone=row.get("Phone") or "",
        account_id=long_id(row["AccountId"]) if row.get("AccountId") else None,
        owner=long_id(row["OwnerId"]) if row.get("OwnerId") else None,
        opted_out=row.get(OPT_OUT),
        bounced_at=read_instant(bounced) if bounced else None,
        bounced_reason=(row.get(BOUNCED_REASON) or "") if bounced else "",
        fields={name: _walk(row, name) for name in fields},
    )


def _walk(row: Row, path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = next((inner for key, inner in value.items() if key.lower() == name.lower()), None)
    return value
