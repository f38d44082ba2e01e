"""What only the `links` mailbox does; the rest is in the mailbox contract."""

from __future__ import annotations

import pytest

from adapters.links import adapter
from connector.errors import Unsupported
from connector.ports import DraftRef, MailIdentity
from tests.doubles import MemoryVault


def test_it_has_a_length_for_its_address_because_it_has_no_drafts():
    assert adapter.capabilities.address_length == 2000
    assert adapter.account_name is None


def test_deleting_a_draft_is_refused_because_none_can_exist():
    mailbox = adapter.open_mailbox(
        None, MailIdentity(email="cy@acme.example", name="Cy"), clock=None, vault=MemoryVault()
    )
    with pytest.raises(Unsupported, match="the link in the task"):
        mailbox.delete_draft(DraftRef(draft_id="r1"))
    assert mailbox.pull_mail("kept").cursor == "kept"
