"""Who a session of the simulated Salesforce belongs to.

Lives here: `/services/oauth2/userinfo` and `/id/...`. Does not live here: sessions (`salesforce_login`).
Source: Salesforce help, identity URLs and the UserInfo endpoint.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from adapters.sandbox.org import ORG, Org
from adapters.sandbox.sobjects import Record


class Identities:
    """What a user is told about themselves."""

    def __init__(self, org: Org, signed_in: Callable[[Request], Record | None]) -> None:
        self._org = org
        self._signed_in = signed_in

    def userinfo(self, request: Request, _: bytes) -> Response:
        """Answer `/services/oauth2/userinfo`."""
        user = self._signed_in(request)
        if user is None:
            return PlainTextResponse("Bad_OAuth_Token", status_code=403)
        url = str(request.base_url).rstrip("/")
        return JSONResponse(
            {
                "sub": f"{url}/id/{ORG}/{user.id}",
                "user_id": user.id,
                "organization_id": ORG,
                "preferred_username": user.values["Username"],
                "name": self._org.value(user, "Name"),
                "email": user.values["Email"],
                "email_verified": True,
                "given_name": user.values.get("FirstName"),
                "family_name": user.values["LastName"],
                "zoneinfo": user.values.get("TimeZoneSidKey"),
                "urls": _urls(url),
                "active": user.values.get("IsActive"),
                "user_type": "STANDARD",
            }
        )

    def identity(self, request: Request, _: bytes) -> Response:
        """Answer the address a token names as `id`; it tells of its own user only."""
        user = self._signed_in(request)
        if user is None:
            return PlainTextResponse("Bad_OAuth_Token", status_code=403)
        url = str(request.base_url).rstrip("/")
        if (request.path_params["org"], request.path_params["user"]) != (ORG, user.id):
            return PlainTextResponse("Bad_Id", status_code=403)
        return JSONResponse(
            {
                "id": f"{url}/id/{ORG}/{user.id}",
                "asserted_user": True,
                "user_id": user.id,
                "organization_id": ORG,
                "username": user.values["Username"],
                "nick_name": user.values["Username"].partition("@")[0],
                "display_name": self._org.value(user, "Name"),
                "email": user.values["Email"],
                "first_name": user.values.get("FirstName"),
                "last_name": user.values["LastName"],
                "timezone": user.values.get("TimeZoneSidKey"),
                "urls": _urls(url),
                "active": user.values.get("IsActive"),
                "user_type": "STANDARD",
                "is_app_installed": True,
            }
        )


def _urls(url: str) -> dict[str, str]:
    return {
        "rest": f"{url}/services/data/v{{version}}/",
        "sobjects": f"{url}/services/data/v{{version}}/sobjects/",
        "query": f"{url}/services/data/v{{version}}/query/",
        "partner": f"{url}/services/Soap/u/{{version}}/{ORG[:15]}",
    }
