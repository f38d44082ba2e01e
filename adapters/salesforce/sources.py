"""Where people are pulled from: a query, a list view, a report, the members of a campaign, or ids.

Lives here: `read_source`, which turns each of them into ids of leads and contacts. Does not live here: reading the
people themselves (`people`).

What Salesforce gives out of a list view or a report has an end; beyond it the source is refused rather than cut.
Source: issue 3, reference apis 1.6; Salesforce REST API guide (List View Results), Reports REST API (fact map).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from simple_salesforce.format import format_soql

from adapters.salesforce.queries import Query, Row, rows_of, run_together
from adapters.salesforce.records import CONTACT, LEAD, PEOPLE
from adapters.salesforce.session import Org
from adapters.salesforce.values import is_id
from connector.errors import Refused
from connector.ports import PeopleSource

#: Rows of one page of a list view, and the last row a page may start at.
PAGE = 2_000
LAST_OFFSET = 2_000

_COUNTS = re.compile(r"\s*SELECT\s+COUNT\s*\(\s*\)", re.IGNORECASE)


def read_source(org: Org, source: PeopleSource) -> list[str]:
    """Return the ids of leads and contacts that a source names, in its order; one may come twice."""
    if source.soql is not None:
        return _of_query(org, source.soql)
    if source.list_view is not None:
        return _of_list_view(org, source.list_view)
    if source.report is not None:
        return _of_report(org, source.report)
    if source.campaign is not None:
        return _of_campaign(org, source.campaign)
    if source.ids:
        return _given(source.ids)
    raise Refused(
        "say where to take people from: a query, a list view, a report, a campaign, or their ids", code="source"
    )


def _given(ids: tuple[str, ...]) -> list[str]:
    for one in ids:
        if not is_id(one) or one[:3] not in PEOPLE:
            raise Refused(
                f"'{one}' is not the id of a lead or contact: it starts with 00Q or 003 and has 15 or 18 characters",
                code="source",
            )
    return list(ids)


def _of_query(org: Org, soql: str) -> list[str]:
    if _COUNTS.match(soql):
        # It answers with a number and no rows, as if nobody had been found.
        raise Refused("the query must select Id from Lead or Contact, not count them", code="source")
    rows = rows_of(run_together(org, [Query(soql.strip())])[0])
    ids = [str(row["Id"]) for row in rows if str(row.get("Id") or "")[:3] in PEOPLE]
    if len(ids) < len(rows):
        raise Refused("the query must select Id from Lead or Contact", code="source")
    return ids


# --------------------------------------------------------------------------------------------- list views


def _of_list_view(org: Org, name: str) -> list[str]:
    kind, _, view = name.rpartition("/")
    if kind not in ("", CONTACT.name, LEAD.name):
        raise Refused("a list view is named by its id, or as Lead/<id> or Contact/<id>", code="source")
    _check_id(view, "00B", "list view")
    for one in (kind,) if kind else (CONTACT.name, LEAD.name):
        # The id does not say of which object the view is.
        try:
            return _pages(org, one, view)
        except Refused as refusal:
            if refusal.code not in ("NOT_FOUND", "INVALID_TYPE"):
                raise
    raise Refused(
        "Salesforce shows no such list view of contacts or leads: check its id, or have it shared with the user",
        code="source",
    )


def _pages(org: Org, kind: str, view: str) -> list[str]:
    ids: list[str] = []
    for offset in range(0, LAST_OFFSET + 1, PAGE):
        params = {"limit": str(PAGE), "offset": str(offset)}
        answer = org.call("GET", f"sobjects/{kind}/listviews/{view}/results", params=params)
        for record in answer["records"]:
            cells = {cell["fieldNameOrPath"]: cell["value"] for cell in record["columns"]}
            ids.append(str(cells["Id"]))
        if len(answer["records"]) < PAGE or answer.get("done") is True:
            return ids
    raise Refused(
        f"the list view has more than the {LAST_OFFSET + PAGE:,} rows Salesforce gives out; narrow it, or use a query",
        code="source",
    )


# ------------------------------------------------------------------------------------------------ reports


def _of_report(org: Org, report: str) -> list[str]:
    _check_id(report, "00O", "report")
    answer = org.call("GET", f"analytics/reports/{report}", params={"includeDetails": "true"})
    if not answer.get("allData", True):
        raise Refused(
            "the report has more than the 2,000 rows Salesforce gives out; narrow it, or use a query", code="source"
        )
    if answer.get("hasDetailRows") is False:
        raise Refused("the report shows sums only: turn on its detail rows", code="source")
    rows = list(_rows(answer["factMap"]))
    ids = [one for row in rows if (one := _person_of(row))]
    if rows and not ids:
        raise Refused("the report names no lead or contact: add its column Lead ID or Contact ID", code="source")
    return ids


def _rows(facts: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the detail rows: of the whole of a tabular report, each group of a summary or matrix, each joined block."""
    for part in facts.values():
        if isinstance(part, Mapping):
            yield from part["rows"] or () if "rows" in part else _rows(part)


def _person_of(row: Row) -> str | None:
    """Return the first lead or contact of a row, which may also name its owner or account."""
    values = [str(cell.get("recordId") or cell.get("value")) for cell in row["dataCells"]]
    return next((one for one in values if is_id(one) and one[:3] in PEOPLE), None)


# ---------------------------------------------------------------------------------------------- campaigns


def _of_campaign(org: Org, campaign: str) -> list[str]:
    _check_id(campaign, "701", "campaign")
    found, members = run_together(
        org,
        [
            Query(format_soql("SELECT Id FROM Campaign WHERE Id = {}", campaign)),
            Query(format_soql("SELECT ContactId, LeadId FROM CampaignMember WHERE CampaignId = {}", campaign)),
        ],
    )
    if not rows_of(found):
        raise Refused("Salesforce shows no such campaign: check its id, or ask the administrator", code="source")
    # A converted lead's member names both. One that names neither is an account.
    return [str(row["ContactId"] or row["LeadId"]) for row in rows_of(members) if row["ContactId"] or row["LeadId"]]


def _check_id(text: str, prefix: str, what: str) -> None:
    if not (is_id(text) and text.startswith(prefix)):
        raise Refused(
            f"that is not the id of a {what}: it starts with {prefix} and has 15 or 18 characters", code="source"
        )
