"""Microsoft's own client of Graph (`msgraph-sdk`), opened on our simulated Graph.

Lives here: opening it, and what of it the tests need. Does not live here: the tests. Importing this takes seconds, and
needs the package, which is not in the dev extra: `make nightly` brings it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kiota_abstractions.authentication import AllowedHostsValidator, BaseBearerTokenAuthenticationProvider
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.attachment_item import AttachmentItem
from msgraph.generated.models.attachment_type import AttachmentType
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.message import Message
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.models.single_value_legacy_extended_property import SingleValueLegacyExtendedProperty
from msgraph.generated.users.item.messages.item.attachments.create_upload_session.create_upload_session_post_request_body import (
    CreateUploadSessionPostRequestBody,
)
from msgraph.generated.users.item.messages.item.create_reply.create_reply_post_request_body import (
    CreateReplyPostRequestBody,
)
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem
from msgraph_core.tasks.page_iterator import PageIterator

__all__ = [
    "AttachmentItem",
    "AttachmentType",
    "BatchRequestContent",
    "BatchRequestItem",
    "CreateReplyPostRequestBody",
    "CreateUploadSessionPostRequestBody",
    "FileAttachment",
    "Message",
    "ODataError",
    "PageIterator",
    "a_message",
    "asking",
    "run",
    "stamp",
]


class _Token:
    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._token = token

    async def get_authorization_token(self, uri: str, additional_authentication_context: object = None) -> str:
        # Microsoft's upload addresses are on a host that the client gives no token; here it is the same one.
        return self._token if uri.startswith(f"{self._base}/") else ""

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        return AllowedHostsValidator([])


def run(base: str, token: str, act: Callable[[Any], Awaitable[None]]) -> None:
    """Let something act with a client of the Graph at this address, `http://127.0.0.1:1/v1.0`."""

    async def acting() -> None:
        adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(_Token(base, token)))
        adapter.base_url = base
        try:
            await act(GraphServiceClient(request_adapter=adapter))
        finally:
            # Closing the client closes its middleware, and no connection.
            await adapter._http_client._transport.transport.aclose()

    asyncio.run(acting())


def a_message(key: str, property_id: str, to: str) -> Message:
    return Message(
        subject="Quarterly plan",
        body=ItemBody(content_type=BodyType.Html, content="<p>Hello <b>Bob</b></p>"),
        to_recipients=[Recipient(email_address=EmailAddress(name="Bob Buyer", address=to))],
        single_value_extended_properties=stamp(key, property_id),
    )


def stamp(key: str, property_id: str) -> list[SingleValueLegacyExtendedProperty]:
    return [SingleValueLegacyExtendedProperty(id=property_id, value=key)]


def asking(builder: Any, **options: Any) -> RequestConfiguration[Any]:
    """Return a request with these OData options, and small pages, for the GET of a builder."""
    kind = next(one for name, one in vars(type(builder)).items() if name.endswith("GetQueryParameters"))
    asked = RequestConfiguration(query_parameters=kind(**options))
    asked.headers.add("Prefer", "odata.maxpagesize=2")
    return asked
