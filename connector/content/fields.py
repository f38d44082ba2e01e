"""The fields a template may use, and what happens when one has no value.

Lives here: names of fields, their values for one person and rep, the few that may be empty, `Unresolved`.
Does not live here: the template language (`language`), who the person is (`people`). Source: spec sequencing 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from connector.errors import BadInput, Fault
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

#: Most characters of a value in a mail; Gmail hides what is beyond 102 kB of a mail.
LONGEST_VALUE = 50_000

#: Half of a character that UTF-16 writes as two: JSON can carry one, and no mail can.
_HALF = re.compile("[\ud800-\udfff]")
_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
#: HTML reads some of these as other characters: 0x80 as the euro sign.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")


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
    fields = {
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
    return {name: _readable(value) for name, value in fields.items()}


def _readable(value: Any) -> Any:
    """Return a value with one kind of line break, spaces for control characters, and whole characters."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", _CONTROL.sub(" ", _BREAK.sub("\n", value)))
    return {name: _readable(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def check_lengths(fields: Mapping[str, Any], used: Iterable[str], where: str) -> None:
    """Raise `BadInput` naming each field that is used and too long for a mail; `where` is "person ann@..."."""
    faults: list[Fault] = []
    for path in sorted(used):
        group, _, name = path.partition(".")
        inside = fields.get(group)
        value = inside.get(name) if isinstance(inside, Mapping) else inside
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            sentence = f"the field {path} has {len(value):,} characters, and a mail takes {LONGEST_VALUE:,}: shorten it"
            faults.append(Fault(sentence=sentence, where=where))
    if faults:
        raise BadInput.of(faults)
