"""Records through the REST API: one at a time, and collections of up to 200.

Lives here: what an address and a body of these resources may say, results item by item. Does not live here: what the
org accepts (`org`), queries (`salesforce_queries`).
Source: reference apis 1.4 and 1.5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from adapters.sandbox.org import Org
from adapters.sandbox.org_values import Refusal
from adapters.sandbox.salesforce_faults import Faults
from adapters.sandbox.salesforce_wire import COLLECTION, NOT_THERE, Answer, Call, Resources, as_json, attributes
from adapters.sandbox.sobjects import INTENT_FIELD, Field, Record, SObject, full_id

A = TypeVar("A")


class RecordResources:
    """What answers `sobjects/...` for records, and `composite/sobjects`."""

    def __init__(self, org: Org, faults: Faults) -> None:
        self._org = org
        self._faults = faults

    def resources(self) -> Resources:
        """Return what answers which path."""
        return {
            "sobjects *": {"POST": self._create},
            "sobjects * *": {"GET": self._read, "PATCH": self._update, "DELETE": self._delete},
            "sobjects * * *": {"GET": self._read_by, "PATCH": self._upsert, "DELETE": self._delete_by},
            "composite sobjects": {
                "POST": self._create_many,
                "PATCH": self._update_many,
                "DELETE": self._delete_many,
            },
            "composite sobjects * *": {"PATCH": self._upsert_many},
        }

    # ------------------------------------------------------------------------------------------- records

    def _external(self, sobject: SObject, name: str) -> Field:
        found = sobject.field(name)
        if found is None or not (found.external_id or found.type in ("id", "email")):
            message = f"Provided external ID field does not exist or is not accessible: {name}"
            raise Refusal("NOT_FOUND", message, status=404)
        return found

    def _existing(self, sobject: SObject, record_id: str) -> Record:
        """Find a record named by an address: what the other calls refuse with 400 is a 404 here."""
        try:
            return self._org.live(sobject, record_id)
        except Refusal as refusal:
            if refusal.code == "MALFORMED_ID":
                message = f"Provided external ID field does not exist or is not accessible: {record_id}"
                raise Refusal("NOT_FOUND", message, status=404) from refusal
            if refusal.code == "INVALID_CROSS_REFERENCE_KEY":
                raise Refusal("NOT_FOUND", NOT_THERE, status=404) from refusal
            raise

    def _matching(self, name: str, field_name: str, value: str) -> Record:
        sobject = self._org.sobject(name)
        external = self._external(sobject, field_name)
        row = self._org.find_by(sobject, external, value)
        if row is None:
            raise Refusal("NOT_FOUND", NOT_THERE, status=404)
        return row

    def _shown(self, call: Call, row: Record) -> Answer:
        sobject = self._org.sobjects[row.object]
        names = [name for name in call.query.get("fields", "").split(",") if name] or list(sobject.fields)
        body: dict[str, Any] = {"attributes": attributes(call, row)}
        for name in names:
            found = sobject.field(name)
            if found is None:
                raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            body[found.name] = as_json(self._org.value(row, found.name))
        return Answer(status=200, body=body)

    def _read(self, call: Call, name: str, record_id: str) -> Answer:
        return self._shown(call, self._existing(self._org.sobject(name), record_id))

    def _read_by(self, call: Call, name: str, field_name: str, value: str) -> Answer:
        return self._shown(call, self._matching(name, field_name, value))

    def _create(self, call: Call, name: str) -> Answer:
        row = self._org.create(name, _values(call.json()), user=call.user)
        at = f"{call.base}/sobjects/{row.object}/{row.id}"
        return Answer(status=201, body={"id": row.id, "success": True, "errors": []}, headers={"Location": at})

    def _update(self, call: Call, name: str, record_id: str) -> Answer:
        sobject = self._org.sobject(name)
        row = self._existing(sobject, record_id)
        values = _values(call.json())
        _without_id(values)
        self._org.update(sobject.name, row.id, values, user=call.user)
        return Answer(status=204)

    def _delete(self, call: Call, name: str, record_id: str) -> Answer:
        row = self._existing(self._org.sobject(name), record_id)
        self._org.delete(row.id, user=call.user)
        return Answer(status=204)

    def _delete_by(self, call: Call, name: str, field_name: str, value: str) -> Answer:
        self._org.delete(self._matching(name, field_name, value).id, user=call.user)
        return Answer(status=204)

    def _upsert(self, call: Call, name: str, field_name: str, value: str) -> Answer:
        sobject = self._org.sobject(name)
        external = self._external(sobject, field_name)
        values = _values(call.json())
        _without_id(values, external.name)
        if external.type == "id":
            return self._update(call, name, value)
        matches = self._org.all_by(sobject, external, value)
        if len(matches) > 1:
            return Answer(status=300, body=[attributes(call, row)["url"] for row in matches])
        row, created = self._org.upsert(
            sobject.name, external, value, values, update_only=call.flag("updateOnly"), user=call.user
        )
        body = {"id": row.id, "success": True, "errors": [], "created": created}
        return Answer(status=201 if created else 200, body=body)

    # --------------------------------------------------------------------------------------- collections

    def _records(self, call: Call) -> tuple[list[dict[str, Any]], bool]:
        body = call.json()
        records = body.get("records")
        if not isinstance(records, list) or not records or not all(isinstance(each, dict) for each in records):
            raise Refusal("INVALID_INPUT", "The records parameter must be a list of at least one record")
        if len(records) > COLLECTION:
            message = f"record limit reached. cannot submit more than {COLLECTION} records into this call"
            raise Refusal("EXCEEDED_ID_LIMIT", message)
        for each in records:
            if not isinstance(each.get("attributes"), dict) or not each["attributes"].get("type"):
                raise Refusal("INVALID_INPUT", "Include entity type information in attributes of each record")
        return records, body.get("allOrNone") is True

    def _names(self, record: Mapping[str, Any]) -> list[Any]:
        """Return what a record of a collection is known by: its id, its intent key, its email address."""
        if not self._faults.items_fail:
            return []
        given = {name.lower(): value for name, value in record.items()}
        record_id = given.get("id")
        row = self._org.found(full_id(record_id)) if isinstance(record_id, str) else None
        stored = row.values if row is not None else {}
        known = [stored.get(INTENT_FIELD), stored.get("Email"), stored.get("Id")]
        return [record_id, given.get(INTENT_FIELD.lower()), given.get("email"), *known]

    def _collect(
        self,
        steps: Sequence[Callable[[], dict[str, Any]]],
        *,
        all_or_none: bool,
        failed: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Do each step by itself; with `all_or_none` one failure takes all of them back. HTTP 200 either way."""
        results: list[dict[str, Any]] = []
        refused = False
        try:
            with self._org.writing():
                for step in steps:
                    try:
                        results.append(step())
                    except Refusal as refusal:
                        if refusal.code == "JSON_PARSER_ERROR":
                            raise
                        refused = True
                        results.append(_failure(refusal, failed))
                if refused and all_or_none:
                    raise _RolledBack  # noqa: TRY301 - leaving `writing` by an exception is what takes it back
        except _RolledBack:
            results = [_failure(_ROLLED_BACK, failed) if result["success"] else result for result in results]
        return Answer(status=200, body=results)

    def _create_many(self, call: Call) -> Answer:
        records, all_or_none = self._records(call)

        def step(record: Mapping[str, Any]) -> dict[str, Any]:
            self._faults.check_item(self._names(record))
            row = self._org.create(_type_of(record, self._org), _values(record), user=call.user)
            return {"id": row.id, "success": True, "errors": []}

        return self._collect([_bound(step, record) for record in records], all_or_none=all_or_none)

    def _update_many(self, call: Call) -> Answer:
        records, all_or_none = self._records(call)

        def step(record: Mapping[str, Any]) -> dict[str, Any]:
            self._faults.check_item(self._names(record))
            values = _values(record)
            record_id = values.pop("Id", values.pop("id", None))
            if not isinstance(record_id, str) or not record_id:
                raise Refusal("MISSING_ARGUMENT", "Id not specified in an update call")
            row = self._org.update(_type_of(record, self._org), record_id, values, user=call.user)
            return {"id": row.id, "success": True, "errors": []}

        return self._collect([_bound(step, record) for record in records], all_or_none=all_or_none)

    def _delete_many(self, call: Call) -> Answer:
        ids = [each for each in call.query.get("ids", "").split(",") if each]
        if not ids:
            raise Refusal("MISSING_ARGUMENT", "The ids parameter is required")
        if len(ids) > COLLECTION:
            message = f"record limit reached. cannot submit more than {COLLECTION} records into this call"
            raise Refusal("EXCEEDED_ID_LIMIT", message)

        def step(record_id: str) -> dict[str, Any]:
            self._faults.check_item(self._names({"Id": record_id}))
            return {"id": self._org.delete(record_id, user=call.user), "success": True, "errors": []}

        all_or_none = call.flag("allOrNone")
        return self._collect([_bound(step, record_id) for record_id in ids], all_or_none=all_or_none)

    def _upsert_many(self, call: Call, name: str, field_name: str) -> Answer:
        sobject = self._org.sobject(name)
        external = self._external(sobject, field_name)
        records, all_or_none = self._records(call)
        update_only = call.flag("updateOnly")
        keys = [_key(record, external) for record in records]
        twice = {key for key, count in Counter(keys).items() if key is not None and count > 1}

        def step(record: Mapping[str, Any]) -> dict[str, Any]:
            self._faults.check_item(self._names(record))
            if str(record["attributes"]["type"]).lower() != sobject.name.lower():
                message = f"Record type must match the type in the address: {sobject.name}"
                raise Refusal("INVALID_TYPE", message)
            values = _values(record)
            key = _key(record, external)
            found = next((n for n in values if n.lower() == external.name.lower()), "")
            value = values.pop(found, None)
            if external.type == "id":
                return self._upsert_by_id(call, sobject, value, values)
            _without_id(values)
            if not isinstance(value, str) or not value:
                raise Refusal("MISSING_ARGUMENT", f"{external.name} not specified")
            if key in twice:
                raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", external.name)
            row, created = self._org.upsert(
                sobject.name, external, value, values, update_only=update_only, user=call.user
            )
            return {"id": row.id, "success": True, "errors": [], "created": created}

        steps = [_bound(step, record) for record in records]
        return self._collect(steps, all_or_none=all_or_none, failed={"created": False})

    def _upsert_by_id(self, call: Call, sobject: SObject, value: Any, values: dict[str, Any]) -> dict[str, Any]:
        if value is None:
            row = self._org.create(sobject.name, values, user=call.user)
        else:
            row = self._org.update(sobject.name, str(value), values, user=call.user)
        return {"id": row.id, "success": True, "errors": [], "created": value is None}


class _RolledBack(Exception):  # noqa: N818 - it takes work back, it is no fault
    pass


_ROLLED_BACK = Refusal(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)


def _bound(step: Callable[[A], dict[str, Any]], argument: A) -> Callable[[], dict[str, Any]]:
    return lambda: step(argument)


def _failure(refusal: Refusal, more: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a failed item of a collection; it has no id, and says `statusCode` where other errors say `errorCode`."""
    error = {"statusCode": refusal.code, "message": refusal.message, "fields": list(refusal.fields)}
    return {"success": False, "errors": [error], **(more or {})}


def _values(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "attributes"}


def _type_of(record: Mapping[str, Any], org: Org) -> str:
    name = str(record["attributes"]["type"])
    try:
        return org.sobject(name).name
    except Refusal:
        raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.") from None


def _without_id(values: Mapping[str, Any], *more: str) -> None:
    forbidden = {name.lower() for name in ("Id", *more)}
    for name in values:
        if name.lower() in forbidden:
            raise Refusal("INVALID_FIELD", f"The {name} field should not be specified in the sobject data.")


def _key(record: Mapping[str, Any], external: Field) -> str | None:
    """Return the external id of a record as it is compared."""
    value = next((v for n, v in record.items() if n.lower() == external.name.lower()), None)
    return None if not isinstance(value, str) else value if external.case_sensitive else value.lower()
