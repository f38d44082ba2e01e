"""What the Gmail API answers when it refuses, in Google's words.

Lives here: `GoogleError` and each refusal the sandbox knows. Does not live here: when one is due (`gmail_request`,
`gmail_quota`, `gmail_mails`, ...).
Source: Google's guide to resolving Gmail errors, and bodies quoted in issue threads; reference apis 2.7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: Number of the project all clients of the sandbox belong to.
PROJECT = "100000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer."""

    status: int = 200
    content: bytes = b""
    media_type: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class GoogleError(Exception):
    """An error as Google's servers say it."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str,
        status: str,
        short: str = "",
        domain: str = "global",
        more: Mapping[str, str] | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = dict(headers or {})
        item = {"message": short or message, "domain": domain, "reason": reason, **(more or {})}
        self.body: dict[str, Any] = {
            "error": {"code": code, "message": message, "errors": [item], "status": status}
            | ({"details": list(details)} if details else {})
        }

    def answer(self) -> Answer:
        """Return it as an HTTP answer."""
        return Answer(status=self.code, content=json.dumps(self.body).encode(), headers=self.headers)


def no_page() -> Answer:
    """Return what Google answers at an address it does not know: a page, not JSON."""
    return Answer(
        status=404,
        content=b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>",
        media_type="text/html; charset=UTF-8",
    )


def bad(message: str, reason: str = "invalidArgument") -> GoogleError:
    """Return a 400 in plain words."""
    return GoogleError(400, message, reason=reason, status="INVALID_ARGUMENT")


def bad_json(message: str, where: str) -> GoogleError:
    """Return a 400 about one field of the request."""
    violation = {"field": where, "description": message} if where else {"description": message}
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    return GoogleError(400, message, reason="badRequest", status="INVALID_ARGUMENT", details=details)


def bad_fields(path: str) -> GoogleError:
    """Return the 400 for a name in `fields` that the answer does not have."""
    about = f"Error expanding 'fields' parameter. Cannot find matching fields for path '{path}'."
    violation = {"field": path, "description": about}
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    message = "Request contains an invalid argument."
    return GoogleError(400, message, reason="badRequest", status="INVALID_ARGUMENT", details=details)


def not_found() -> GoogleError:
    """Return the 404 for what is not in the mailbox."""
    return GoogleError(404, "Requested entity was not found.", reason="notFound", status="NOT_FOUND")


def forbidden(message: str) -> GoogleError:
    """Return a 403 that no waiting mends."""
    return GoogleError(403, message, reason="forbidden", status="PERMISSION_DENIED")


def too_large() -> GoogleError:
    """Return the 413 for a message or upload over its limit."""
    return GoogleError(413, "Request Entity Too Large", reason="uploadTooLarge", status="INVALID_ARGUMENT")


def wrong_media(given: str) -> GoogleError:
    """Return the 400 for an upload that is no message."""
    message = f"Media type '{given}' is not supported. Valid media types: [message/*]"
    return GoogleError(400, message, reason="badContent", status="INVALID_ARGUMENT")


def unauthenticated() -> GoogleError:
    """Return the 401 for a token that is missing, unknown or expired."""
    return GoogleError(
        401,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential.",
        reason="authError",
        status="UNAUTHENTICATED",
        short="Invalid Credentials",
        more={"location": "Authorization", "locationType": "header"},
        headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'},
    )


def too_narrow(rpc: str, scopes: Sequence[str]) -> GoogleError:
    """Return the 403 for a token without any of the method's scopes."""
    return GoogleError(
        403,
        "Request had insufficient authentication scopes.",
        reason="insufficientPermissions",
        status="PERMISSION_DENIED",
        short="Insufficient Permission",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                "domain": "googleapis.com",
                "metadata": {
                    "service": "gmail.googleapis.com",
                    "method": f"caribou.api.proto.MailboxService.{rpc}",
                },
            }
        ],
        headers={
            "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="insufficient_scope", '
            f'scope="{" ".join(scopes)}"'
        },
    )


def api_disabled() -> GoogleError:
    """Return the 403 for a project in which nobody has switched the Gmail API on."""
    page = f"https://console.developers.google.com/apis/api/gmail.googleapis.com/overview?project={PROJECT}"
    return GoogleError(
        403,
        f"Gmail API has not been used in project {PROJECT} before or it is disabled. Enable it by visiting {page} then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and "
        "retry.",
        reason="accessNotConfigured",
        status="PERMISSION_DENIED",
        domain="usageLimits",
        more={"extendedHelp": "https://console.developers.google.com"},
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": "gmail.googleapis.com",
                    "serviceTitle": "Gmail API",
                    "consumer": f"projects/{PROJECT}",
                    "containerInfo": PROJECT,
                    "activationUrl": page,
                },
            }
        ],
    )


def domain_policy() -> GoogleError:
    """Return the 403 for a domain whose administrators allow no Gmail apps."""
    message = "The domain administrators have disabled Gmail apps."
    return GoogleError(403, message, reason="domainPolicy", status="PERMISSION_DENIED")


def no_mail_service() -> GoogleError:
    """Return the 400 for an account without Gmail."""
    return GoogleError(400, "Mail service not enabled", reason="failedPrecondition", status="FAILED_PRECONDITION")


def units_spent(code: int) -> GoogleError:
    """Return the refusal of a mailbox that has used its units of this minute: 403 or 429, both are seen."""
    message = (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service "
        f"'gmail.googleapis.com' for consumer 'project_number:{PROJECT}'."
    )
    status = "RESOURCE_EXHAUSTED" if code == 429 else "PERMISSION_DENIED"
    return GoogleError(code, message, reason="rateLimitExceeded", status=status, domain="usageLimits")


def too_many_at_once() -> GoogleError:
    """Return the 429 for more requests of one user at the same time than Gmail serves."""
    message = "Too many concurrent requests for user"
    return GoogleError(429, message, reason="rateLimitExceeded", status="RESOURCE_EXHAUSTED")


def sending_limit(until: datetime) -> GoogleError:
    """Return the 429 for a mailbox at its daily sending limit; only the message tells it from other 429s."""
    instant = until.strftime("%Y-%m-%dT%H:%M:%S.") + f"{until.microsecond // 1000:03d}Z"
    message = f"User-rate limit exceeded.  Retry after {instant}"
    return GoogleError(429, message, reason="rateLimitExceeded", status="RESOURCE_EXHAUSTED")


def too_many_parts(count: int, limit: int) -> GoogleError:
    """Return the 400 for a batch with too many calls in it."""
    message = f"Inner request count exceeds the limit. Received: {count}, Limit: {limit}"
    return GoogleError(400, message, reason="badRequest", status="INVALID_ARGUMENT")


def bad_batch(why: str) -> GoogleError:
    """Return the 400 for a batch that cannot be read."""
    return bad(f"Failed to parse batch request, error: {why}", "badRequest")
