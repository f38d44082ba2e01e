"""A client of the simulated Salesforce without any library between the test and the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import requests

from adapters.sandbox import Sandbox

KEY_FIELD = "Connector_Intent_Id__c"
KEY = "0123456789abcdef0123456789abcdef"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MANY = f"/composite/sobjects/Task/{KEY_FIELD}"


class Caller:
    """Calls the REST API with a token that lasts."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sandbox.token('salesforce')}"

    def __call__(self, method: str, path: str, *, version: str = "v66.0", **more: Any) -> requests.Response:
        return self.session.request(method, f"{self.sandbox.url}/services/data/{version}{path}", timeout=10, **more)

    def soql(self, query: str, *, everything: bool = False) -> list[dict[str, Any]]:
        answer = self("GET", "/queryAll" if everything else "/query", params={"q": query})
        assert answer.status_code == 200, answer.text
        return answer.json()["records"]

    def upsert(self, *records: dict[str, Any], all_or_none: bool = False, query: str = "") -> list[dict[str, Any]]:
        body = {"allOrNone": all_or_none, "records": [{"attributes": {"type": "Task"}, **each} for each in records]}
        answer = self("PATCH", MANY + query, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def composite(self, *wanted: dict[str, Any], all_or_none: bool = False) -> list[dict[str, Any]]:
        answer = self("POST", "/composite", json={"allOrNone": all_or_none, "compositeRequest": list(wanted)})
        assert answer.status_code == 200, answer.text
        return answer.json()["compositeResponse"]


def errors(answer: requests.Response) -> list[tuple[str, str]]:
    return [(each["errorCode"], each["message"]) for each in answer.json()]


def codes(results: list[dict[str, Any]]) -> list[str]:
    """The code of each item of a collection; empty for one that was done."""
    return [each["errors"][0]["statusCode"] if each["errors"] else "" for each in results]
