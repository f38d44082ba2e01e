"""The mailbox contract's harness for Outlook."""

from __future__ import annotations

import os

from mailbox_contract import MailboxHarness

from adapters.outlook import MicrosoftAccount


class Harness(MailboxHarness):
    name = "outlook"
    kind = "outlook"

    def account(self, base: str, *, good: bool = True) -> MicrosoftAccount:
        variable = f"CONTRACT_OUTLOOK_{self.rep.email.partition('@')[0].upper()}_{'GOOD' if good else 'BAD'}"
        os.environ[variable] = self.sandbox.token("graph", self.rep.email) if good else "wrong-token"
        return MicrosoftAccount.model_validate(
            {"auth": "access_token", "token": f"${{env:{variable}}}", "endpoint": f"{base}/v1.0"}
        )

    def expire_cursor(self) -> None:
        self.act("outlook_expires_delta")
