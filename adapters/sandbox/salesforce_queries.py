"""Looking into the org through the REST API: describes, queries and their pages, list views, reports.

Lives here: the shape of these answers. Does not live here: the query language (`soql`), records (`salesforce_records`).
Source: reference apis 1.2, 1.5 and 1.8.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from adapters.sandbox import soql
from adapters.sandbox.org import Org
from adapters.sandbox.org_values import Refusal
from adapters.sandbox.salesforce_wire import (
    COLLECTION,
    NOT_THERE,
    Answer,
    Call,
    Resources,
    as_json,
    as_text,
    attributes,
)
from adapters.sandbox.sobject_describe import describe, describe_briefly
from adapters.sandbox.sobjects import Record, full_id, new_id

#: Rows a list view and a report give at most.
MOST_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A list view or a tabular report: a name over a query."""

    name: str
    query: str


class QueryResources:
    """What answers `query`, `queryAll`, describes, list views and reports."""

    def __init__(self, org: Org) -> None:
        self._org = org
        #: Rows of one page of a query (`Sforce-Query-Options: batchSize=` asks for fewer).
        self.page_size = 2000
        #: The queries that arrived, the newest last.
        self.asked: deque[str] = deque(maxlen=20_000)
        self._pages: dict[str, soql.Result] = {}
        self._list_views: dict[str, tuple[str, _View]] = {}
        self._reports: dict[str, _View] = {}

    def resources(self) -> Resources:
        """Return what answers which path."""
        return {
            "query": {"GET": self._query},
            "query *": {"GET": self._query_more},
            "queryAll": {"GET": self._query_all},
            "queryAll *": {"GET": self._query_more},
            "sobjects": {"GET": self._list_objects},
            "sobjects *": {"GET": self._show_object},
            "sobjects * describe": {"GET": self._describe},
            "sobjects * listviews": {"GET": self._list_views_of},
            "sobjects * listviews * results": {"GET": self._list_view},
            "analytics reports *": {"GET": self._report},
        }

    def add_list_view(self, name: str, query: str) -> str:
        """Add a list view over a query and return its id."""
        result = soql.run(query, self._org)
        view_id = new_id("00B", len(self._list_views) + 1)
        self._list_views[view_id] = (result.sobject.name, _View(name=name, query=query))
        return view_id

    def add_report(self, name: str, query: str) -> str:
        """Add a tabular report over a query whose first field is Id; return its id."""
        soql.run(query, self._org)
        report_id = new_id("00O", len(self._reports) + 1)
        self._reports[report_id] = _View(name=name, query=query)
        return report_id

    # -------------------------------------------------------------------------------------------- describing

    def _list_objects(self, call: Call) -> Answer:
        objects = [describe_briefly(each, call.base) for each in self._org.sobjects.values()]
        return Answer(status=200, body={"encoding": "UTF-8", "maxBatchSize": COLLECTION, "sobjects": objects})

    def _show_object(self, call: Call, name: str) -> Answer:
        brief = describe_briefly(self._org.sobject(name), call.base)
        return Answer(status=200, body={"objectDescribe": brief, "recentItems": []})

    def _describe(self, call: Call, name: str) -> Answer:
        return Answer(status=200, body=describe(self._org.sobject(name), call.base))

    # ------------------------------------------------------------------------------------------- queries

    def _query(self, call: Call) -> Answer:
        return self._run_query(call, everything=False)

    def _query_all(self, call: Call) -> Answer:
        return self._run_query(call, everything=True)

    def _run_query(self, call: Call, *, everything: bool) -> Answer:
        if "q" not in call.query:
            raise Refusal("MALFORMED_QUERY", "A query string has to be specified")
        self.asked.append(call.query["q"])
        result = soql.run(call.query["q"], self._org, everything=everything)
        if not result.columns:
            return Answer(status=200, body={"totalSize": len(result.records), "done": True, "records": []})
        return self._page(call, result, 0, new_id("01g", len(self._pages) + 1))

    def _page(self, call: Call, result: soql.Result, start: int, locator: str) -> Answer:
        asked = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
        size = min(max(int(asked[1]), 200), 2000, self.page_size) if asked else self.page_size
        shown = result.records[start : start + size]
        body: dict[str, Any] = {"totalSize": len(result.records), "done": start + size >= len(result.records)}
        if not body["done"]:
            self._pages[locator] = result
            body["nextRecordsUrl"] = f"{call.base}/query/{locator}-{start + size}"
        body["records"] = [self._row(call, result, row) for row in shown]
        return Answer(status=200, body=body)

    def _query_more(self, call: Call, place: str) -> Answer:
        locator, _, start = place.rpartition("-")
        if locator not in self._pages or not (start.isascii() and start.isdigit()):
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(call, self._pages[locator], int(start), locator)

    def _row(self, call: Call, result: soql.Result, row: Record) -> dict[str, Any]:
        shown: dict[str, Any] = {"attributes": attributes(call, row)}
        for column in result.columns:
            at, here = shown, row
            for parent in column.parents:
                target = self._org.record(self._org.value(here, parent.name))
                name = str(parent.relationship)
                if target is None:
                    at[name] = None
                    break
                at = at.setdefault(name, {"attributes": attributes(call, target)})
                here = target
            else:
                at[column.field.name] = as_json(self._org.value(here, column.field.name))
        return shown

    # ----------------------------------------------------------------------------- list views and reports

    def _list_views_of(self, call: Call, name: str) -> Answer:
        sobject = self._org.sobject(name)
        at = f"{call.base}/sobjects/{sobject.name}/listviews"
        found = [(place, view) for place, (kind, view) in self._list_views.items() if kind == sobject.name]
        views = [
            {
                "describeUrl": f"{at}/{view_id}/describe",
                "developerName": re.sub(r"\W+", "_", view.name),
                "id": view_id,
                "label": view.name,
                "resultsUrl": f"{at}/{view_id}/results",
                "url": f"{at}/{view_id}",
            }
            for view_id, view in found
        ]
        body = {
            "done": True,
            "listviews": views,
            "nextRecordsUrl": None,
            "size": len(views),
            "sobjectType": sobject.name,
        }
        return Answer(status=200, body=body)

    def _list_view(self, call: Call, name: str, view_id: str) -> Answer:
        sobject = self._org.sobject(name)
        found = self._list_views.get(full_id(view_id) or "")
        if found is None or found[0] != sobject.name:
            raise Refusal("NOT_FOUND", NOT_THERE, status=404)
        view = found[1]
        result = soql.run(view.query, self._org)
        names = [".".join([*(str(p.relationship) for p in c.parents), c.field.name]) for c in result.columns]
        limit = min(call.number("limit", 25), MOST_ROWS)
        offset = call.number("offset", 0)
        shown = result.records[offset : offset + limit]
        body = {
            "columns": [
                {
                    "fieldNameOrPath": path,
                    "label": column.field.label,
                    "hidden": path == "Id",
                    "type": column.field.type,
                }
                for path, column in zip(names, result.columns, strict=True)
            ],
            "developerName": re.sub(r"\W+", "_", view.name),
            "done": offset + limit >= len(result.records),
            "id": full_id(view_id),
            "label": view.name,
            "records": [
                {
                    "columns": [
                        {"fieldNameOrPath": path, "value": as_text(column.read(self._org, row))}
                        for path, column in zip(names, result.columns, strict=True)
                    ]
                }
                for row in shown
            ],
            "size": len(shown),
        }
        return Answer(status=200, body=body)

    def _report(self, call: Call, report_id: str) -> Answer:
        report = self._reports.get(full_id(report_id) or "")
        if report is None:
            raise Refusal("NOT_FOUND", NOT_THERE, status=404)
        result = soql.run(report.query, self._org)
        kind = result.sobject.name
        columns = [_report_column(kind, column) for column in result.columns]
        rows = [
            {"dataCells": [{"label": as_text(value) or "-", "value": value} for value in self._cells(result, row)]}
            for row in result.records[:MOST_ROWS]
        ]
        details = call.flag("includeDetails")
        count = len(result.records)
        cells: dict[str, Any] = {"aggregates": [{"label": str(count), "value": count}]}
        body = {
            "attributes": {"reportId": full_id(report_id), "reportName": report.name, "type": "Report"},
            "allData": count <= MOST_ROWS,
            "factMap": {"T!T": {**cells, "rows": rows} if details else cells},
            "groupingsAcross": {"groupings": []},
            "groupingsDown": {"groupings": []},
            "hasDetailRows": details,
            "reportExtendedMetadata": {
                "detailColumnInfo": {
                    name: {"dataType": column.field.type, "label": column.field.label}
                    for name, column in zip(columns, result.columns, strict=True)
                }
            },
            "reportMetadata": {
                "detailColumns": columns,
                "id": full_id(report_id),
                "name": report.name,
                "reportFormat": "TABULAR",
                "reportType": {"label": f"{kind}s", "type": f"{kind}List"},
            },
        }
        return Answer(status=200, body=body)

    def _cells(self, result: soql.Result, row: Record) -> list[Any]:
        return [as_json(column.read(self._org, row)) for column in result.columns]


def _report_column(kind: str, column: soql.Column) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.field.name).upper()
    return f"{kind.upper()}_ID" if name == "ID" else name
