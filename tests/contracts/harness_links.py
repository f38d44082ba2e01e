"""The mailbox contract's harness for a rep without a connected mailbox."""

from __future__ import annotations

from mailbox_contract import MailboxHarness


class Harness(MailboxHarness):
    name = "links"

    def account(self, base: str, *, good: bool = True) -> None:
        return None
