"""placeholder being written"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.routing import BaseRoute

from adapters.sandbox.service import SandboxClock, SandboxLog, Tokens


class SalesforceService:
    """Simulated Salesforce REST API (being written)."""

    def __init__(self, clock: SandboxClock, tokens: Tokens, log: SandboxLog) -> None:
        self.clients: dict[str, str] = {}

    def register_client(self, client_id: str, secret: str) -> str:
        """Register."""
        self.clients[client_id] = secret
        return secret

    def add_account(self, **fields: Any) -> str:
        """Add."""
        raise ValueError("not written yet")

    add_user = add_lead = add_contact = add_account

    def routes(self) -> Sequence[BaseRoute]:
        """Routes."""
        return ()

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Actions."""
        return {}

    def state(self) -> dict[str, Any]:
        """State."""
        return {}
