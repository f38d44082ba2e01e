"""A Salesforce org on the wire, for tests: it answers describe, query, queryAll and composite from rows it is given.

For wire cases that the sandbox's honest org does not show. It filters no more than `IN`, `SystemModstamp >=`,
`IsConverted = false` and deletion.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import responses

URL = "https://acme.my.salesforce.com"
BASE = f"{URL}/services/data/v66.0"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

_PERSON = {
    "Id": "id", "IsDeleted": "boolean", "MasterRecordId": "reference", "SystemModstamp": "datetime", "Email": "email",
    "FirstName": "string", "LastName": "string", "Title": "string", "Phone": "phone", "OwnerId": "reference",
    "HasOptedOutOfEmail": "boolean", "EmailBouncedDate": "datetime", "EmailBouncedReason": "string",
}  # fmt: skip
FIELDS = {
    "Contact": {**_PERSON, "AccountId": "reference"},
    "Lead": {**_PERSON, "Company": "string", "IsConverted": "boolean", "ConvertedContactId": "reference"},
    "Task": {
        "Id": "id", "Subject": "combobox", "Status": "picklist", "IsClosed": "boolean", "Priority": "picklist",
        "ActivityDate": "date", "Description": "textarea", "OwnerId": "reference", "WhoId": "reference",
        "IsDeleted": "boolean", "IsRecurrence": "boolean", "SystemModstamp": "datetime",
        "CompletedDateTime": "datetime", "Connector_Intent_Id__c": "string",
    },
}  # fmt: skip

_INTENT = "Connector_Intent_Id__c"
_LENGTHS = {"string": 64, "textarea": 255}


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def record(kind: str, number: int, at: datetime = NOW, **values: Any) -> dict[str, Any]:
    """Return a row as the org holds it; what is not given is null."""
    prefix = {"Contact": "003", "Lead": "00Q", "Task": "00T"}[kind]
    suffix = "EAA" if kind == "Lead" else "AAA"
    own = {"IsConverted": False} if kind == "Lead" else {}
    return {
        **dict.fromkeys(FIELDS[kind]), "attributes": {"type": kind}, "Id": f"{prefix}{number:012d}{suffix}",
        "IsDeleted": False, "SystemModstamp": instant(at), **own, **values,
    }  # fmt: skip


class _Refusal(Exception):  # noqa: N818 - it is an answer
    """What the org says no with."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.answer = status, [{"errorCode": code, "message": message}]


class WireOrg:
    """The org; `refuse` maps a piece of a query to the (status, code, message) it is refused with, once."""

    def __init__(self, wire: responses.RequestsMock) -> None:
        self.rows: list[dict[str, Any]] = []
        self.fields = {name: dict(fields) for name, fields in FIELDS.items()}
        #: (object, field): hidden from queries, although an old description may show it.
        self.hidden: set[tuple[str, str]] = set()
        #: (object, field) or (object, "") that may not be written.
        self.read_only: set[tuple[str, str]] = set()
        #: Values of the picklists that take no other.
        self.picklists: dict[str, list[str]] = {}
        self.refuse: dict[str, tuple[int, str, str]] = {}
        self.page_size = 2_000
        self.date: datetime | None = None
        #: Queries in the order they were asked, and how many composite calls carried them.
        self.asked: list[str] = []
        self.composites = 0
        self.described: list[str] = []
        self._pages: dict[str, list[dict[str, Any]]] = {}
        wire.add_callback(responses.POST, f"{BASE}/composite", callback=self._composite)
        wire.add_callback(responses.GET, re.compile(f"{BASE}/(query|queryAll)/.*"), callback=self._get)
        wire.add_callback(responses.GET, re.compile(f"{BASE}/sobjects/\\w+/describe"), callback=self._describe)

    def _headers(self) -> dict[str, str]:
        return {} if self.date is None else {"Date": self.date.strftime("%a, %d %b %Y %H:%M:%S GMT")}

    def _describe(self, request: Any) -> tuple[int, dict[str, str], str]:
        name = urlsplit(request.url).path.split("/")[-2]
        self.described.append(name)
        if name not in self.fields:
            return 404, {}, json.dumps([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])
        fields = [
            {
                "name": field, "type": kind, "length": _LENGTHS.get(kind, 0), "createable": True,
                "updateable": not {(name, field), (name, "")} & self.read_only, "unique": field == _INTENT,
                "externalId": field == _INTENT, "caseSensitive": field == _INTENT, "nillable": True, "restrictedPicklist": field in self.picklists,
                "picklistValues": [{"value": value, "active": True} for value in self.picklists.get(field, ())],
            }
            for field, kind in self.fields[name].items()
        ]  # fmt: skip
        said = {"name": name, "fields": fields, "createable": True, "updateable": True, "deletable": True}
        return 200, self._headers(), json.dumps(said)

    def _get(self, request: Any) -> tuple[int, dict[str, str], str]:
        status, body = self._answer(request.url)
        return status, self._headers(), json.dumps(body)

    def _composite(self, request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        assert body["allOrNone"] is False
        assert len(body["compositeRequest"]) <= 5
        self.composites += 1
        parts = []
        for one in body["compositeRequest"]:
            assert one["method"] == "GET"
            status, answer = self._answer(one["url"])
            parts.append(
                {"referenceId": one["referenceId"], "httpStatusCode": status, "httpHeaders": {}, "body": answer}
            )
        # Collated subrequests may come back in another order.
        return 200, self._headers(), json.dumps({"compositeResponse": parts[::-1]})

    def _answer(self, address: str) -> tuple[int, Any]:
        parts = urlsplit(address)
        resource, place = parts.path.removeprefix("/services/data/v66.0/").split("/")
        if place:
            return 200, self._page(place)
        soql = parse_qs(parts.query)["q"][0]
        assert len(soql) <= 100_000
        self.asked.append(soql)
        try:
            rows = self._select(soql, deleted_too=resource == "queryAll")
        except _Refusal as refusal:
            return refusal.answer
        self._pages[name := f"01g{len(self._pages)}"] = rows
        return 200, self._page(f"{name}-0")

    def _page(self, place: str) -> dict[str, Any]:
        name, start = place.rsplit("-", 1)
        rows, end = self._pages[name], int(start) + self.page_size
        page = {"totalSize": len(rows), "done": end >= len(rows), "records": rows[int(start) : end]}
        more = {} if page["done"] else {"nextRecordsUrl": f"/services/data/v66.0/query/{name}-{end}"}
        return {**page, **more}

    def _select(self, soql: str, *, deleted_too: bool) -> list[dict[str, Any]]:
        for piece, (status, code, message) in list(self.refuse.items()):
            if piece in soql:
                del self.refuse[piece]
                raise _Refusal(status, code, message)
        head, rest = soql.removeprefix("SELECT ").split(" FROM ", 1)
        kind = rest.split(" ")[0]
        if kind not in self.fields:
            raise _Refusal(400, "INVALID_TYPE", f"sObject type '{kind}' is not supported.")
        columns = head.split(", ")
        assert len({column.lower() for column in columns}) == len(columns)
        known = {name.lower() for name in self.fields[kind]} - {f.lower() for k, f in self.hidden if k == kind}
        for column in columns:
            inner = column.split(".")[0] if "." in column else column
            missing = (kind, column) in self.hidden if "." in column else column.lower() not in known
            if missing:
                told = f"\n{soql[:40]}\nERROR at Row:1:Column:8\nNo such column '{inner}' on entity '{kind}'."
                raise _Refusal(400, "INVALID_FIELD", told)
        found = [
            row for row in self.rows if row["attributes"]["type"] == kind and (deleted_too or not row["IsDeleted"])
        ]
        for field, values in re.findall(r"(Id|Email|Username) IN \(('[^)]*')\)", rest):
            wanted = {value.replace("\\'", "'").lower() for value in re.findall(r"'((?:[^'\\]|\\.)*)'", values)}
            found = [row for row in found if str(row[field]).lower() in wanted]
        if since := re.search(r"SystemModstamp >= (\S+)", rest):
            start = datetime.fromisoformat(since[1])
            found = [row for row in found if datetime.fromisoformat(row["SystemModstamp"]) >= start]
        if "IsConverted = false" in rest:
            found = [row for row in found if not row["IsConverted"]]
        if "ORDER BY SystemModstamp, Id" in rest:
            found.sort(key=lambda row: (row["SystemModstamp"], row["Id"]))
        inner_columns = {column.split(".")[0].lower() for column in columns} | {"attributes"}
        return [{name: row[name] for name in row if name.lower() in inner_columns} for row in found]
