"""Google's discovery document for Gmail as a judge of bodies: of what a client sends and of what a server answers.

Lives here: the document inside the installed google-api-python-client, its schemas as JSON Schema that refuses
unknown names, and its methods by address. Does not live here: any server or client.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

DISCOVERY: Mapping[str, Any] = json.loads(
    importlib.resources.files("googleapiclient.discovery_cache.documents").joinpath("gmail.v1.json").read_text()
)

#: Type of a query parameter -> what its text looks like.
_TEXTS = {"integer": re.compile(r"-?\d+"), "boolean": re.compile(r"true|false")}


def _schema(node: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    kind = node.get("type")
    out: dict[str, Any] = {"type": kind} if kind and kind != "any" else {}
    if node.get("format") in ("int64", "uint64"):
        out["pattern"] = r"^-?\d+$"
    if node.get("format") == "byte":
        out["pattern"] = r"^[A-Za-z0-9_-]*={0,2}$"
    if "enum" in node:
        out["enum"] = node["enum"]
    if kind == "array":
        out["items"] = _schema(node["items"])
    if kind == "object":
        out["properties"] = {name: _schema(inner) for name, inner in node.get("properties", {}).items()}
        more = node.get("additionalProperties")
        out["additionalProperties"] = _schema(more) if more else False
    return out


_DEFINITIONS = {name: _schema(node) for name, node in DISCOVERY["schemas"].items()}
_VALIDATORS = {name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _DEFINITIONS}) for name in _DEFINITIONS}


def _methods(resource: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for method in resource.get("methods", {}).values():
        yield method["id"], method
    for inner in resource.get("resources", {}).values():
        yield from _methods(inner)


#: Method id ("gmail.users.drafts.create") -> Google's description of it.
METHODS: Mapping[str, Mapping[str, Any]] = dict(_methods(DISCOVERY))


def judge(name: str, body: Any) -> None:
    """Refuse with an `AssertionError` what Google's schema `name` does not describe, unknown names included."""
    errors = [f"{error.json_path}: {error.message}" for error in _VALIDATORS[name].iter_errors(body)]
    assert not errors, f"not a {name}: {errors}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A request, recognised as a call of one method."""

    id: str
    method: Mapping[str, Any]
    upload: bool


def find_method(http: str, path: str) -> Called:
    """Return the method of an HTTP method and a path without host; raise `AssertionError` when there is none.

    Literal paths win over those with a variable: `drafts/send` is not a draft's id.
    """
    bare = re.sub(r"^/(?:(?:resumable/)?upload/)?", "", path)
    upload = bare != path.removeprefix("/")
    found = []
    for name, method in METHODS.items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", method["path"])
        if method["httpMethod"] == http and re.fullmatch(pattern, bare):
            found.append(Called(id=name, method=method, upload=upload))
    assert found, f"Google documents no {http} {path}"
    best = min(found, key=lambda one: one.method["path"].count("{"))
    assert not upload or "mediaUpload" in best.method, f"{best.id} takes no upload"
    return best


def judge_request(http: str, url: str, body: Any = None) -> Called:
    """Judge a call by its HTTP method, its URL (with query) and its JSON body (None: there is none)."""
    parts = urlsplit(url)
    called = find_method(http, parts.path)
    documented = {**DISCOVERY["parameters"], **called.method["parameters"]}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        about = documented.get(name)
        assert about is not None, f"{called.id} takes no query parameter '{name}'"
        assert about["location"] == "query", f"{called.id} takes '{name}' in its path, not in the query"
        assert "enum" not in about or value in about["enum"], f"{called.id}: {name} is one of {about['enum']}"
        text = _TEXTS.get(about["type"])
        assert text is None or text.fullmatch(value), f"{called.id}: {name} is {about['type']}, not '{value}'"
    if "request" in called.method:
        judge(called.method["request"]["$ref"], {} if body is None else body)
    else:
        assert body is None, f"{called.id} takes no body"
    return called


def judge_answer(called: Called, body: Any) -> None:
    """Judge the JSON of a successful answer (None: it is empty) of a method."""
    if "response" in called.method:
        judge(called.method["response"]["$ref"], body)
    else:
        assert body in (None, {}), f"{called.id} answers nothing"
