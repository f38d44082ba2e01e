"""The mailbox contract's harness for Gmail."""

from __future__ import annotations

import os

from mailbox_contract import MailboxHarness

from adapters.gmail.account import GoogleAccount


class Harness(MailboxHarness):
    name = "gmail"
    kind = "gmail"

    def account(self, base: str, *, good: bool = True) -> GoogleAccount:
        variable = f"CONTRACT_GMAIL_{self.rep.email.partition('@')[0].upper()}_{'GOOD' if good else 'BAD'}"
        os.environ[variable] = self.sandbox.token("gmail", self.rep.email) if good else "wrong-token"
        return GoogleAccount.model_validate({"auth": "access_token", "token": f"${{env:{variable}}}", "endpoint": base})

    def expire_cursor(self) -> None:
        self.act("gmail_expires_history")
