"""The fields a template may use, and what happens when one has no value.

Lives here: names of fields, their values for one person and rep, the few that may be empty, `Unresolved`.
Does not live here: the template language (`language`), who the person is (`people`). Source: spec sequencing 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector.errors import BadInput
from connector.people import Person, Rep

#: Fields that mark a place in the body rather than hold a text.
SIGNATURE = "my.signature"
UNSUBSCRIBE = "unsubscribe"

#: What stands in for a field that has no value. Every other field without a value blocks the intent.
STAND_INS: Mapping[str, str] = {
    "first_name": "",
    "last_name": "",
    "title": "",
    "company": "your company",
    UNSUBSCRIBE: "",
}


class Unresolved(BadInput):
    """Fields of a template have no value for this person; the intent waits until someone mends it."""

    def __init__(self, template: str, fields: Iterable[str]) -> None:
        """Take the template (or "the name of the call") and the names of the fields."""
        self.template = template
        self.fields = tuple(dict.fromkeys(fields))
        names = ", ".join(self.fields)
        have = "fields without a value: " if len(self.fields) > 1 else "a field without a value: "
        super().__init__(
            f"{template} uses {have}{names}; fill it in for this person, or give it a fallback "
            f'such as {{{{ {self.fields[0] if self.fields else "field"} | default: "..." }}}}'
        )


def fields_of(person: Person, rep: Rep, crm: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return the fields for one person and rep; `crm` holds the lead's or contact's own fields for `sfdc.<Field>`."""
    return {
        "email": person.email,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "title": person.title,
        "company": person.company,
        "phone": person.phone,
        "time_zone": person.time_zone,
        "salesforce_id": person.salesforce_id,
        "linkedin_url": person.linkedin_url,
        "custom": dict(person.custom),
        "sfdc": dict(crm or {}),
        "my": {"name": rep.name, "title": rep.title, "email": rep.email, "signature": rep.signature},
    }
