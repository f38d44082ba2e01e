"""The SOAP `login()` call, for orgs where nothing newer is set up.

Lives here: the envelope and what its answer means. Does not live here: the OAuth ways (`oauth`).
Off in orgs made since Winter '26, not in API 65.0 and later, retired in Summer '27 (reference apis 1.1).
"""

from __future__ import annotations

from html import escape
from xml.etree.ElementTree import Element, ParseError

import requests
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from adapters.http import ServiceSession
from adapters.salesforce.account import SalesforceAccount
from adapters.salesforce.errors import from_requests
from adapters.salesforce.oauth import Granted, api_address, failed, password_of
from connector.errors import AdapterError, Retry

#: The last version that knows `login()`.
VERSION = "64.0"

_ENVELOPE = """<?xml version="1.0" encoding="utf-8"?>
<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" xmlns:p="urn:partner.soap.sforce.com">
<env:Body><p:login><p:username>{username}</p:username><p:password>{password}</p:password></p:login></env:Body>
</env:Envelope>"""

#: Code of a fault -> what to do.
_FAULTS = {
    "INVALID_LOGIN": "user name, password or security token are wrong, or the user is locked out",
    "LOGIN_MUST_USE_SECURITY_TOKEN": "set security_token: Salesforce does not know this network",
    "PASSWORD_LOCKOUT": "the user is locked out: ask the administrator",
    "INVALID_OPERATION": "SOAP login() is off in this org: use auth: jwt or client_credentials",
    "UNSUPPORTED_API_VERSION": "SOAP login() is retired: use auth: jwt or client_credentials",
    "API_DISABLED_FOR_ORG": "the API is off for this org or user: ask the administrator",
    "ORG_LOCKED": "the org is locked: ask Salesforce",
    "LOGIN_DURING_RESTRICTED_DOMAIN": "the user may not sign in from this network: ask the administrator",
    "LOGIN_DURING_RESTRICTED_TIME": "the user may not sign in at this hour: ask the administrator",
    "REQUIRES_MY_DOMAIN": "set domain to the org's My Domain, such as 'acme.my'",
}


def by_soap_login(account: SalesforceAccount) -> Granted:
    """Sign in with user name and password; raise `Reconnect` with the next move."""
    body = _ENVELOPE.format(username=escape(account.username or ""), password=escape(password_of(account)))
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
    with ServiceSession() as http:
        try:
            response = http.post(
                f"{account.sign_in_url}/services/Soap/u/{VERSION}", data=body.encode("utf-8"), headers=headers
            )
        except requests.exceptions.RequestException as error:
            raise from_requests(error) from error
    try:
        answer: Element = fromstring(response.content)
    except (ParseError, DefusedXmlException):
        raise _unclear(response) from None  # the cause may quote the answer
    fault = _text(answer, "faultcode").rpartition(":")[2]
    if fault:
        raise failed(_FAULTS.get(fault, f"it answered {fault}"), code=fault)
    token = _text(answer, "sessionId")
    if response.status_code != 200 or not token:
        raise _unclear(response)
    if _text(answer, "passwordExpired") == "true":
        raise failed("the password has expired: set a new one in Salesforce", code="PASSWORD_EXPIRED")
    return Granted(
        access_token=token,
        instance_url=api_address(account, _text(answer, "serverUrl")),
        user_id=_text(answer, "userId"),
    )


def _text(answer: Element, name: str) -> str:
    """Return the text of the first element of that name, in whatever namespace."""
    found = next((one for one in answer.iter() if one.tag.rpartition("}")[2] == name), None)
    return (found.text or "").strip() if found is not None else ""


def _unclear(response: requests.Response) -> AdapterError:
    if response.status_code in (404, 410):
        return failed("there is no SOAP login() here: use auth: jwt or client_credentials", code="retired")
    return Retry(
        f"the Salesforce sign-in answered {response.status_code} without saying more; it will be tried again",
        code=str(response.status_code),
    )
