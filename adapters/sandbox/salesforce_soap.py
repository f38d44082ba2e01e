"""Signing in to the simulated Salesforce by SOAP: `login` of the partner API, up to version 64.0, and its faults.

Lives here: that one operation. Does not live here: users, passwords and sessions (`salesforce_login`).
Source: reference apis 1.1; Salesforce SOAP API guide, login() and its end of life.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from xml.sax.saxutils import escape

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapters.sandbox.org import ORG, Org
from adapters.sandbox.salesforce_faults import Faults
from adapters.sandbox.salesforce_login import SalesforceLogin
from adapters.sandbox.service import SandboxLog

#: The last version that knows `login`.
LAST_VERSION = 64

_VERSION = re.compile(r"^(\d\d)\.0$")
_MESSAGES = {
    "INVALID_LOGIN": "Invalid username, password, security token; or user locked out.",
    "LOGIN_MUST_USE_SECURITY_TOKEN": (
        "Invalid username, password, security token; or user locked out. Are you at a new location? When accessing "
        "Salesforce--either via a desktop client or the API--from outside of your company’s trusted networks, you "  # noqa: RUF001
        "must add a security token to your password to log in. To get your new security token, log in to Salesforce. "
        "From your personal settings, enter Reset My Security Token in the Quick Find box, then select Reset My "
        "Security Token."
    ),
    "INVALID_OPERATION": "SOAP API login() is disabled by default in this org.",
}
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" {}xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    "<soapenv:Body>{}</soapenv:Body></soapenv:Envelope>"
)


class SoapLogin:
    """The one SOAP operation anybody still needs."""

    def __init__(
        self, org: Org, login: SalesforceLogin, log: SandboxLog, lock: threading.RLock, faults: Faults
    ) -> None:
        self._org = org
        self._login = login
        self._log = log
        self._lock = lock
        self._faults = faults
        #: Off by default in orgs made from Winter '26 on.
        self.allowed = True

    def routes(self) -> Sequence[BaseRoute]:
        """Return its HTTP routes."""
        return (Route("/services/Soap/u/{version}", self._serve, methods=["POST"]),)

    async def _serve(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._answer, request, body)

    def _answer(self, request: Request, body: bytes) -> Response:
        self._log.call("salesforce:token", request.method, request.url.path)
        with self._lock:
            failed = self._faults.check_call(request.url.path)
            if failed is not None:
                return failed
            version = _VERSION.match(request.path_params["version"])
            if version is None:
                return _fault("UNSUPPORTED_API_VERSION", "Invalid Api version specified on URL")
            asked = _read(body)
            if asked is None:
                return _written(_client_fault("Unable to find an action in the request"), 500)
            if int(version[1]) > LAST_VERSION:
                message = "No operation available for request {urn:partner.soap.sforce.com}login, please check the WSDL"
                return _written(_client_fault(f"{message} for the service."), 500)
            if not self.allowed:
                return _fault("INVALID_OPERATION", _MESSAGES["INVALID_OPERATION"])
            username, password = asked
            code = self._login.check_password(username, password)
            if code:
                return _fault(code, _MESSAGES[code])
            url = str(request.base_url).rstrip("/")
            return _written(self._result(username, url, version[0]), 200, 'xmlns="urn:partner.soap.sforce.com" ')

    def _result(self, username: str, url: str, version: str) -> str:
        user = self._login.user(username)
        row = self._org.record(user)
        name = str(self._org.value(row, "Name")) if row is not None else ""
        return (
            f"<loginResponse><result><metadataServerUrl>{url}/services/Soap/m/{version}/{ORG[:15]}</metadataServerUrl>"
            "<passwordExpired>false</passwordExpired><sandbox>false</sandbox>"
            f"<serverUrl>{url}/services/Soap/u/{version}/{ORG[:15]}</serverUrl>"
            f"<sessionId>{self._login.open_session(username)}</sessionId><userId>{user}</userId>"
            f"<userInfo><organizationId>{ORG}</organizationId><userFullName>{escape(name)}</userFullName>"
            f"<userId>{user}</userId><userName>{escape(username)}</userName></userInfo></result></loginResponse>"
        )


def _read(body: bytes) -> tuple[str, str] | None:
    """Return user name and password of a `login` request, or None when it is none."""
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, DefusedXmlException):
        return None
    found = next((each for each in root.iter() if each.tag.rpartition("}")[2] == "login"), None)
    if found is None:
        return None
    texts = {each.tag.rpartition("}")[2]: each.text or "" for each in found}
    return texts.get("username", ""), texts.get("password", "")


def _fault(code: str, message: str) -> Response:
    text = escape(message)
    body = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring><detail>"
        f'<sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{text}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"
    )
    return _written(body, 500, 'xmlns:sf="urn:fault.partner.soap.sforce.com" ')


def _client_fault(message: str) -> str:
    return (
        "<soapenv:Fault><faultcode>soapenv:Client</faultcode>"
        f"<faultstring>{escape(message)}</faultstring></soapenv:Fault>"
    )


def _written(body: str, status: int, namespace: str = "") -> Response:
    return Response(_ENVELOPE.format(namespace, body), status_code=status, media_type="text/xml;charset=UTF-8")
