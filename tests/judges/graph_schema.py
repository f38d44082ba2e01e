"""Microsoft's description of Graph's mail as a judge: of what a client asks and of what a server answers.

Lives here: the OpenAPI document made of Microsoft's own metadata, its schemas as JSON Schema that refuses unknown
names, its operations by address, and what the document leaves out (each with its source). Does not live here: any
server or client.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from jsonschema import Draft202012Validator

OPENAPI: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "graph-mail-openapi.json").read_text(encoding="utf-8")
)

_PROPERTY = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "value": {"type": "string"}},
    "required": ["id", "value"],
    "additionalProperties": False,
}

#: Operations the document was trimmed of.
_LEFT_OUT: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("get", "/me"): {"parameters": [{"name": "$select", "in": "query", "schema": {"type": "string"}}]},
    **{
        ("get", f"/me{folder}/messages/{{id_1}}/attachments/{{id_2}}/$value"): {"responses": {"200": {}}}
        for folder in ("", "/mailFolders/{id_0}")
    },
}

#: Query options of delta, which the document leaves out (apis 3.4), and what follows a page of any list.
_DELTA_QUERY = frozenset(("$select", "$filter", "$expand", "$top", "$deltatoken", "$skiptoken", "changeType"))
_LINK_QUERY = frozenset(("$skiptoken", "$expand"))

#: Where a MIME body in base64 may stand for JSON (apis 3.1).
_MIME = re.compile(r"/(messages|sendMail|createReply|createReplyAll|createForward|reply|replyAll|forward)$")

_UPLOAD_SESSION = {
    "type": "object",
    "properties": {
        "uploadUrl": {"type": "string"},
        "expirationDateTime": {"type": "string"},
        "nextExpectedRanges": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["uploadUrl", "expirationDateTime", "nextExpectedRanges"],
    "additionalProperties": False,
    "patternProperties": {r"^@odata\.": {}},
}

#: Type of a query parameter -> what its text looks like.
_TEXTS = {"integer": re.compile(r"\d+"), "boolean": re.compile(r"true|false")}

_BATCH_AT_MOST = 20


def _closed(node: Any) -> Any:
    """Turn an OpenAPI schema into JSON Schema that refuses unknown names; annotations stay allowed."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    out = {name: _closed(value) for name, value in node.items() if name not in ("nullable", "description", "example")}
    if "$ref" in out:
        return {"$ref": out["$ref"].replace("#/components/schemas/", "#/$defs/")}
    if node.get("type") == "object" and "properties" in node:
        out["additionalProperties"] = False
        out["patternProperties"] = {r"^@odata\.|^@removed$": {}}
    if node.get("nullable"):
        out = {"anyOf": [out, {"type": "null"}]}
    return out


def _definitions() -> dict[str, Any]:
    found: dict[str, Any] = _closed(OPENAPI["components"]["schemas"])
    for name, node in found.items():
        if name.startswith("microsoft.graph.message"):
            # The document was trimmed to mail; extended properties are described elsewhere.
            node["properties"]["singleValueExtendedProperties"] = {"type": "array", "items": _PROPERTY}
        if name == "error":
            # The document says innererror, the service innerError.
            node["properties"]["error"]["properties"]["innerError"] = {"type": "object"}
    # Only files are attached here: the derived type's properties are there.
    found["microsoft.graph.attachment"] = found["microsoft.graph.attachment-create"]
    return found


_DEFINITIONS = _definitions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A request, recognised as a call of one operation."""

    http: str
    #: Path as the document writes it, with its variables.
    template: str
    operation: Mapping[str, Any]


def _operations() -> Iterator[Called]:
    for template, item in OPENAPI["paths"].items():
        for http, operation in item.items():
            if http != "parameters":
                yield Called(http=http, template=template, operation=operation)
    for (http, template), operation in _LEFT_OUT.items():
        yield Called(http=http, template=template, operation=operation)


OPERATIONS: tuple[Called, ...] = tuple(_operations())


def judge(schema: Mapping[str, Any], body: Any, what: str) -> None:
    """Refuse with an `AssertionError` what a schema of the document does not allow, unknown names included."""
    whole = {**_closed(schema), "$defs": _DEFINITIONS}
    errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(body)]
    assert not errors, f"{what}: {errors}"


def judge_named(name: str, body: Any) -> None:
    """Judge a body by one schema of the document: `microsoft.graph.message`, `error`."""
    judge({"$ref": f"#/components/schemas/{name}"}, body, name)


def find_operation(http: str, path: str) -> Called:
    """Return the operation of a path after `/v1.0`; raise `AssertionError` when the document has none.

    Literal paths win over those with a variable: `messages/delta` is not a message's id.
    """
    path = re.sub(r"^/users/[^/]+", "/me", path)
    found = [
        one
        for one in OPERATIONS
        if one.http == http.lower()
        and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one.template.replace("$", r"\$")), path)
    ]
    assert found, f"Microsoft describes no {http} {path}"
    return min(found, key=lambda one: one.template.count("{"))


def judge_request(http: str, url: str, body: Any = None, *, mime: bytes | None = None) -> Called:
    """Judge a call by its method, its URL after `/v1.0` (with query) and its body: JSON, or base64 of a mail."""
    parts = urlsplit(url)
    called = find_called(http, parts.path)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        _judge_option(called, name, value)
    described = called.operation.get("requestBody")
    if mime is not None:
        assert _MIME.search(called.template), f"{http} {parts.path} takes no MIME"
        base64.b64decode(mime, validate=True)
    elif described is None:
        assert body is None, f"{http} {parts.path} takes no body"
    elif body is not None:
        judge(_named_either_way(described["content"]["application/json"]["schema"]), body, f"{http} {parts.path}")
    else:
        # Actions take all their parameters as optional; entities must be given.
        assert re.search(r"/(createReply|createReplyAll|createForward|reply|replyAll)$", called.template), (
            f"{http} {parts.path} needs a body"
        )
    return called


def find_called(http: str, path: str) -> Called:
    """Return the operation of a path as it stands in a URL, still quoted."""
    return find_operation(http, re.sub(r"%(?!2[fF])[0-9A-Fa-f]{2}", lambda one: unquote(one[0]), path))


def _named_either_way(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Allow parameters of actions with a small first letter too, as Microsoft's own examples write them."""
    properties = schema.get("properties")
    if not properties or not all(name[:1].isupper() for name in properties):
        return schema
    small = {name[0].lower() + name[1:]: inner for name, inner in properties.items()}
    return {**schema, "properties": {**properties, **small}}


def _judge_option(called: Called, name: str, value: str) -> None:
    what = f"{called.http.upper()} {called.template}"
    documented = {}
    for one in called.operation.get("parameters", ()):
        about = OPENAPI["components"]["parameters"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        documented[about["name"]] = about
    is_list = called.http == "get" and called.template.endswith(("/messages", "/mailFolders", "/childFolders"))
    extra = _DELTA_QUERY if called.template.endswith("/delta") else _LINK_QUERY if is_list else frozenset()
    about = documented.get(name)
    if about is None:
        assert name in extra, f"{what} takes no query option '{name}'"
        return
    assert about["in"] == "query", f"{what} takes '{name}' in its path, not in the query"
    schema = about["schema"]
    text = _TEXTS.get(schema.get("type", ""))
    assert text is None or text.fullmatch(value), f"{what}: {name} is {schema['type']}, not '{value}'"
    words = schema.get("items", {}).get("enum") or schema.get("enum")
    if words is None or (name == "$expand" and value.startswith("singleValueExtendedProperties(")):
        return
    for word in value.split(",") if schema["type"] == "array" else [value]:
        assert word.strip() in words, f"{what}: {name} knows no '{word}'"


def judge_answer(called: Called, status: int, body: Any) -> None:
    """Judge an answer: its status, and its JSON (None: there is none)."""
    what = f"answer {status} to {called.http.upper()} {called.template}"
    if status >= 400:
        judge_named("error", body)
        return
    if called.template.endswith("/createUploadSession"):
        # The document says 200 and describes no session; Microsoft's guide says 201.
        assert status in (200, 201), what
        judge(_UPLOAD_SESSION, body, what)
        return
    if called.template == "/me":
        assert "id" in body, what
        return
    described = called.operation["responses"].get(str(status))
    assert described is not None, f"{what} is not described"
    content = described.get("content", {}).get("application/json")
    if content is None:
        assert body is None or called.template.endswith("/$value"), f"{what} has a body"
        return
    if called.template.endswith("/delta"):
        assert body.keys() & {"@odata.nextLink", "@odata.deltaLink"}, f"{what} goes on nowhere"
    judge(content["schema"], body, what)


def judge_wire(http: str, target: str, headers: Mapping[str, str], body: bytes) -> list[Called]:
    """Return the calls in one HTTP request, none when it is not for Graph.

    `target` is its path with the query. Raises `AssertionError` for what Microsoft does not describe.
    """
    if not target.startswith("/v1.0/"):
        return []
    target = target.removeprefix("/v1.0")
    if urlsplit(target).path == "/$batch":
        steps = json.loads(body)["requests"]
        assert 0 < len(steps) <= _BATCH_AT_MOST, f"a batch has up to {_BATCH_AT_MOST} requests, not {len(steps)}"
        return [_judge_step(step) for step in steps]
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if body and kind.startswith("text/plain"):
        return [judge_request(http, target, mime=body)]
    assert not body or kind.startswith("application/json"), f"{http} {target}: a body of '{kind}'"
    return [judge_request(http, target, json.loads(body) if body else None)]


def _judge_step(step: Mapping[str, Any]) -> Called:
    unknown = set(step) - {"id", "method", "url", "headers", "body", "dependsOn"}
    assert not unknown, f"a step of a batch has no {unknown}"
    if "body" in step:
        assert any(name.lower() == "content-type" for name in step.get("headers", {})), "a step's body needs its type"
    return judge_request(step["method"], step["url"], step.get("body"))
