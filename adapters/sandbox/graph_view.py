"""A message as one request wants it: $select, $expand, and which kind of id.

Lives here: `shown` for one message, `viewed` for one of a list. Does not live here: every property of a message
(`graph_message`).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from adapters.sandbox.graph_attachments import show_attachments
from adapters.sandbox.graph_errors import Answer, bad
from adapters.sandbox.graph_message import PROPERTIES, show
from adapters.sandbox.graph_request import Call
from adapters.sandbox.mailbox import StoredMail
from adapters.sandbox.odata import property_key


def shown(call: Call, mail: StoredMail, status: int) -> Answer:
    """Answer with one message."""
    root = call.base.partition("/v1.0")[0]
    context = f"{root}/v1.0/$metadata#users('{quote(call.box.guid)}')/messages/$entity"
    headers = {"Preference-Applied": 'IdType="ImmutableId"'} if call.immutable else {}
    return Answer(status=status, body={"@odata.context": context} | viewed(call, mail), headers=headers)


def viewed(call: Call, mail: StoredMail) -> dict[str, Any]:
    """Return a message with the properties that were asked for; raises `GraphError`."""
    every = show(mail, immutable=call.immutable, as_text=call.as_text)
    select = [name.strip() for name in call.query.get("$select", "").split(",") if name.strip()]
    for name in select:
        if name not in PROPERTIES:
            raise bad(
                "Parsing OData Select and Expand failed: Could not find a property named "
                f"'{name}' on type 'microsoft.graph.message'."
            )
    if select:
        kept = {name: every[name] for name in every if name in select or name in ("id", "@odata.etag", "@odata.type")}
    else:
        kept = {name: value for name, value in every.items() if name != "internetMessageHeaders"}
    return kept | _expanded(call.query.get("$expand", ""), mail)


def _expanded(text: str, mail: StoredMail) -> dict[str, Any]:
    if not text:
        return {}
    if text == "attachments":
        return {"attachments": show_attachments(mail)}
    match = re.fullmatch(r"singleValueExtendedProperties\(\$filter=(.*)\)", text)
    wanted = re.findall(r"id eq '((?:[^']|'')*)'", match[1]) if match else []
    if not wanted:
        raise bad(f"Parsing OData Select and Expand failed: the expansion '{text}' is not supported.")
    keys = {property_key(one.replace("''", "'")) for one in wanted}
    found = [{"id": name, "value": value} for name, value in mail.properties.items() if property_key(name) in keys]
    return {"singleValueExtendedProperties": found} if found else {}
