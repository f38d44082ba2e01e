"""The objects of the simulated org as they are, and as the API's user sees them.

Lives here: adding, changing, hiding fields. Does not live here: the objects of a new org (`sobjects`), records (`org`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapters.sandbox.org_values import Refusal
from adapters.sandbox.sobjects import INTENT, INTENT_FIELD, Field, SObject, standard_objects


class Schema:
    """Objects and fields of one org."""

    def __init__(self) -> None:
        #: The objects as the API's user sees them: without fields hidden from it.
        self.sobjects = standard_objects()
        #: The objects as they are.
        self.whole = dict(self.sobjects)

    def reindexed(self, name: str) -> None:
        """Take up what changed in the fields of an object."""
        raise NotImplementedError

    def sobject(self, name: str) -> SObject:
        """Find an object as the API's user sees it; names do not tell upper from lower case."""
        return self.sobjects[self.whole_object(name).name]

    def whole_object(self, name: str) -> SObject:
        """Find an object as it is."""
        found = self.whole.get(name) or next((s for key, s in self.whole.items() if key.lower() == name.lower()), None)
        if found is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        return found

    def add_field(self, name: str, field: Field, *, required: bool = False) -> None:
        """Put a field on an object, or another in its place."""
        sobject = self.whole_object(name)
        needed = tuple(each for each in sobject.required if each != field.name)
        whole = replace(sobject.with_field(field), required=(*needed, field.name) if required else needed)
        self._refit(whole, self.sobjects[sobject.name].with_field(field))

    def remove_field(self, name: str, field: str) -> None:
        """Take a field and its values away."""
        sobject = self.whole_object(name)
        self._refit(sobject.without_field(field), self.sobjects[sobject.name].without_field(field))

    def change_field(self, name: str, field: str, **facets: Any) -> None:
        """Change facets of a field, for everybody."""
        sobject = self.whole_object(name)
        seen = self.sobjects[sobject.name]
        changed = replace(_named(sobject, field), **facets)
        self._refit(sobject.with_field(changed), seen.with_field(changed) if field in seen.fields else seen)

    def hide_field(self, name: str, field: str) -> None:
        """Hide a field from the API's user."""
        sobject = self.whole_object(name)
        found = _named(sobject, field)
        self._refit(sobject, self.sobjects[sobject.name].without_field(found.name))

    def show_field(self, name: str, field: str, *, writable: bool = True) -> None:
        """Show a hidden field to the API's user again, to write or only to read."""
        sobject = self.whole_object(name)
        found = _named(sobject, field)
        seen = found if writable else replace(found, createable=False, updateable=False)
        self._refit(sobject, self.sobjects[sobject.name].with_field(seen))

    def set_intent_field(
        self,
        *,
        present: bool,
        unique: bool = True,
        external_id: bool = True,
        case_sensitive: bool = True,
        length: int = 64,
    ) -> None:
        """Put the external-id field on Task as described, or take it and its values away."""
        if not present:
            self.remove_field("Task", INTENT_FIELD)
            return
        field = replace(INTENT, unique=unique, external_id=external_id, case_sensitive=case_sensitive, length=length)
        self.add_field("Task", field)

    def _refit(self, whole: SObject, seen: SObject) -> None:
        self.whole[whole.name], self.sobjects[whole.name] = whole, replace(seen, required=whole.required)
        self.reindexed(whole.name)


def _named(sobject: SObject, name: str) -> Field:
    found = sobject.field(name)
    if found is None:
        raise ValueError(f"{sobject.name} has no field {name}")
    return found
