"""A refusal whose reason was lost on the way is asked for again: it decides about nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests
from googleapiclient.errors import HttpError
from httplib2 import Response
from simple_salesforce.exceptions import SalesforceError

from adapters.gmail.errors import answered as gmail_answered
from adapters.outlook.errors import Owner
from adapters.outlook.errors import answered as outlook_answered
from adapters.salesforce.errors import from_vendor
from connector.errors import AdapterError, Refused, Retry

ANA = "ana@acme.example"
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
JSON, PAGE = "application/json; charset=UTF-8", "text/html"


class SignedIn:
    """A sign-in that is good."""

    renewal = widening = stranger = ""


def gmail(status: int, media_type: str, content: str) -> AdapterError:
    refused = HttpError(Response({"status": status, "content-type": media_type}), content.encode())
    return gmail_answered(refused, method="GET", mailbox=ANA, renewal="", key="k", now=NOW)


def outlook(status: int, media_type: str, content: str) -> AdapterError:
    response = requests.Response()
    response.status_code, response._content = status, content.encode()
    response.headers["Content-Type"] = media_type
    return outlook_answered(response, Owner(rep=ANA, sign_in=SignedIn(), clock=None), key="k")  # type: ignore[arg-type]


def salesforce(status: int, _: str, content: str) -> AdapterError:
    return from_vendor(SalesforceError("http://org", status, "Task", content))


@pytest.mark.parametrize("service", [gmail, outlook, salesforce])
@pytest.mark.parametrize(
    ("status", "media_type", "content", "kind"),
    [
        (404, JSON, '{"error": {"code": 404, "mess', Retry),
        (404, JSON, '[{"message": "The requested re', Retry),
        (400, JSON, '{"error": {"co', Retry),
        (403, JSON, "{", Retry),
        (404, PAGE, "<!DOCTYPE html><title>Error 404", Refused),
    ],
)
def test_a_refusal_without_its_reason_is_asked_for_again(service, status, media_type, content, kind) -> None:
    assert type(service(status, media_type, content)) is kind
