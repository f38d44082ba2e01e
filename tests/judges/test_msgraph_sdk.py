"""Microsoft's own client on our simulated Graph: what it sends is taken, and what is answered it can read.

It is heavy (half a gigabyte), so it is no part of the dev extra: `make nightly` installs it and runs this.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
import requests

from adapters.outlook.messages import STAMP
from adapters.sandbox import Sandbox

pytestmark = [
    pytest.mark.nightly,
    # Of the client's own making.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

BEN, BOB = "ben@acme.example", "bob@buyer.example"
KEY = "0123456789abcdef0123456789abcdef"
FILE = bytes(range(256)) * 20
LARGE, PIECE = FILE * 800, 2 * 1024 * 1024
WITH_STAMP = [f"singleValueExtendedProperties($filter=id eq '{STAMP}')"]
BY_STAMP = f"singleValueExtendedProperties/Any(ep: ep/id eq '{STAMP}' and ep/value eq '{KEY}')"

Act = Callable[[Any], Awaitable[None]]


@pytest.fixture(scope="module")
def sdk() -> ModuleType:
    """Return Microsoft's client, which takes seconds to import: these tests are seldom run."""
    pytest.importorskip("msgraph", reason="msgraph-sdk is not installed: 'make nightly' does it")
    return importlib.import_module("tests.judges.msgraph_client")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(datetime(2026, 11, 24, 12, tzinfo=UTC)) as running:
        running.world.add_mailbox("outlook", BEN, "Ben Ode")
        yield running


@pytest.fixture
def run(sdk: ModuleType, sandbox: Sandbox) -> Callable[..., None]:
    """Let something act with the client of an application that may do this."""

    def run(act: Act, *scopes: str, subject: str = "") -> None:
        token = sandbox.token("graph", subject, scopes=list(scopes or ("Mail.ReadWrite", "Mail.Send")))
        sdk.run(f"{sandbox.url}/v1.0", token, act)

    return run


@pytest.fixture
def message(sdk: ModuleType) -> Callable[[], Any]:
    return lambda: sdk.a_message(KEY, STAMP, BOB)


def test_a_draft_is_made_changed_sent_and_found_by_its_stamp(sdk, sandbox, run, message):
    async def act(graph):
        box = graph.users.by_user_id(BEN)
        made = await box.messages.post(message())
        assert (made.is_draft, made.to_recipients[0].email_address.address) == (True, BOB)
        assert made.web_link.startswith("https://")
        assert made.internet_message_id.startswith("<")
        draft = box.messages.by_message_id(made.id)
        changed = await draft.patch(sdk.Message(subject="Yearly plan"))
        assert (changed.id, changed.subject) == (made.id, "Yearly plan")
        read = await draft.get(sdk.asking(draft, select=["subject", "isDraft"], expand=WITH_STAMP))
        assert (read.subject, read.body) == ("Yearly plan", None)
        assert [(held.id, held.value) for held in read.single_value_extended_properties] == [(STAMP, KEY)]
        await draft.send.post()
        sent = box.mail_folders.by_mail_folder_id("sentitems").messages
        (mail,) = (await sent.get(sdk.asking(sent, filter=BY_STAMP, expand=WITH_STAMP))).value
        assert (mail.is_draft, mail.internet_message_id) == (False, made.internet_message_id)
        assert mail.sent_date_time == sandbox.clock.now()
        assert b"Subject: Yearly plan" in await box.messages.by_message_id(mail.id).content.get()

    run(act)


def test_a_reply_is_addressed_and_stays_in_the_conversation(sdk, sandbox, run, message):
    async def act(graph):
        box = graph.users.by_user_id(BEN)
        made = await box.messages.post(message())
        await box.messages.by_message_id(made.id).send.post()
        sandbox.act("prospect_replies", person=BOB)
        inbox = box.mail_folders.by_mail_folder_id("inbox").messages
        (came,) = (await inbox.get(sdk.asking(inbox, orderby=["receivedDateTime desc"]))).value
        assert (came.from_.email_address.address, came.conversation_id) == (BOB, made.conversation_id)
        body = sdk.CreateReplyPostRequestBody(
            message=sdk.Message(single_value_extended_properties=sdk.stamp("f" * 32, STAMP))
        )
        reply = await box.messages.by_message_id(came.id).create_reply.post(body)
        assert (reply.is_draft, reply.conversation_id) == (True, made.conversation_id)
        assert reply.to_recipients[0].email_address.address == BOB
        assert reply.subject == "Re: Quarterly plan"
        await box.messages.by_message_id(reply.id).send.post()

    run(act)


def test_files_are_attached_read_and_taken_off(sdk, run, message):
    async def act(graph):
        box = graph.users.by_user_id(BEN)
        files = box.messages.by_message_id((await box.messages.post(message())).id).attachments
        put = await files.post(sdk.FileAttachment(name="a.bin", content_type="x/y", content_bytes=FILE))
        (listed,) = (await files.get()).value
        assert isinstance(listed, sdk.FileAttachment)
        assert (listed.id, listed.name, listed.content_bytes) == (put.id, "a.bin", FILE)
        await files.by_attachment_id(put.id).delete()
        assert (await files.get()).value == []

    run(act)


def test_a_large_file_goes_up_in_pieces(sdk, sandbox, run, message):
    async def act(graph):
        box = graph.users.by_user_id(BEN)
        files = box.messages.by_message_id((await box.messages.post(message())).id).attachments
        item = sdk.AttachmentItem(attachment_type=sdk.AttachmentType.File, name="big.bin", size=len(LARGE))
        session = await files.create_upload_session.post(sdk.CreateUploadSessionPostRequestBody(attachment_item=item))
        assert session.expiration_date_time > sandbox.clock.now()
        assert session.next_expected_ranges == ["0-"]
        put_in_pieces(session.upload_url)
        (listed,) = (await files.get()).value
        assert (listed.name, listed.content_bytes == LARGE) == ("big.bin", True)

    run(act)


def put_in_pieces(url: str) -> None:
    """Upload it: the client's own task for that does not understand where Outlook says that the next piece begins."""
    for start in range(0, len(LARGE), PIECE):
        piece = LARGE[start : start + PIECE]
        span = f"bytes {start}-{start + len(piece) - 1}/{len(LARGE)}"
        requests.put(url, data=piece, headers={"Content-Range": span}, timeout=10).raise_for_status()


def test_pages_and_changes_are_followed_to_their_end(sdk, run, message):
    async def act(graph):
        box = graph.users.by_user_id(BEN)
        made = [(await box.messages.post(message())).id for _ in range(5)]
        seen: list[str] = []
        first = await box.messages.get(sdk.asking(box.messages, select=["id"]))
        assert len(first.value) == 2
        await sdk.PageIterator(first, graph.request_adapter).iterate(lambda one: seen.append(one.id) or True)
        assert sorted(seen) == sorted(made)

        drafts = box.mail_folders.by_mail_folder_id("drafts").messages.delta
        page, told = await drafts.get(sdk.asking(drafts, select=["subject"])), []
        while page.odata_next_link:
            told += page.value
            page = await drafts.with_url(page.odata_next_link).get()
        assert sorted(one.id for one in [*told, *page.value]) == sorted(made)
        await box.messages.by_message_id(made[0]).patch(sdk.Message(subject="Other"))
        await box.messages.by_message_id(made[1]).delete()
        page = await drafts.with_url(page.odata_delta_link).get()
        changed = {one.id: (one.subject, "@removed" in one.additional_data) for one in page.value}
        assert changed == {made[0]: ("Other", False), made[1]: (None, True)}
        assert (await drafts.with_url(page.odata_delta_link).get()).value == []

    run(act)


def test_a_batch_gives_each_part_its_answer(sdk, run, message):
    async def act(graph):
        box = graph.users.by_user_id(BEN)
        make = box.messages.to_post_request_information(message())
        look = box.messages.by_message_id("A" * 40).to_get_request_information()
        parts = [sdk.BatchRequestItem(make, id="made"), sdk.BatchRequestItem(look, id="gone", depends_on=["made"])]
        answer = await graph.batch.post(sdk.BatchRequestContent({one.id: one for one in parts}))
        assert answer.get_response_status_codes() == {"made": 201, "gone": 404}
        # The client reads no body of a part that is JSON.
        assert [one.subject for one in (await box.messages.get()).value] == ["Quarterly plan"]

    run(act)


def test_a_rep_is_me_and_has_a_name_to_sign_in_by(run):
    async def act(graph):
        ben = await graph.me.get()
        assert (ben.mail, ben.user_principal_name, ben.display_name) == (BEN, BEN, "Ben Ode")

    run(act, "User.Read", subject=BEN)


@pytest.mark.parametrize(
    ("scopes", "asked", "status", "code"),
    [
        (("Mail.ReadWrite",), "A" * 40, 404, "ErrorItemNotFound"),
        (("Mail.ReadWrite",), "x", 400, "ErrorInvalidIdMalformed"),
        (("Mail.Send",), "A" * 40, 403, "ErrorAccessDenied"),
    ],
)
def test_refusals_are_errors_of_microsofts_kind(sdk, run, scopes, asked, status, code):
    async def act(graph):
        with pytest.raises(sdk.ODataError) as raised:
            await graph.users.by_user_id(BEN).messages.by_message_id(asked).get()
        assert (raised.value.response_status_code, raised.value.error.code) == (status, code)
        assert raised.value.error.inner_error.request_id

    run(act, *scopes)


def test_who_asks_too_often_is_told_how_long_to_wait(sdk, sandbox, run):
    sandbox.act("mail_settings", outlook_requests_per_10_minutes=0)

    async def act(graph):
        with pytest.raises(sdk.ODataError) as raised:
            await graph.users.by_user_id(BEN).messages.get()
        assert raised.value.response_status_code == 429
        assert int(raised.value.response_headers["Retry-After"]) > 0

    run(act)
