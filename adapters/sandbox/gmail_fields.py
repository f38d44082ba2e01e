"""Partial answers: the `fields` parameter of Google's APIs.

Lives here: reading a selection such as `id,message(id,threadId),payload/headers` and cutting an answer down to it.
Does not live here: what an answer holds (`gmail_shapes`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.sandbox.gmail_errors import bad_fields
from adapters.sandbox.gmail_shapes import SHAPES

#: Name -> what is kept below it; {} keeps all of it.
Selection = dict[str, Any]

_TOKEN = re.compile(r"[A-Za-z_*][\w*]*|[(),/]")


def cut(answer: Mapping[str, Any], fields: str, shape: str) -> dict[str, Any]:
    """Return the part of an answer of this shape that `fields` selects; a name it cannot have raises a 400."""
    tokens = _TOKEN.findall(fields)
    if "".join(tokens) != fields.replace(" ", ""):
        raise bad_fields(fields)
    selection = _read(tokens, fields)
    if tokens:
        raise bad_fields(fields)
    _check(selection, shape, "")
    kept: dict[str, Any] = _kept(answer, selection)
    return kept


def _read(tokens: list[str], fields: str) -> Selection:
    selection: Selection = {}
    while True:
        _read_path(tokens, selection, fields)
        if not tokens or tokens[0] != ",":
            return selection
        tokens.pop(0)


def _read_path(tokens: list[str], selection: Selection, fields: str) -> None:
    if not tokens or tokens[0] in "(),/":
        raise bad_fields(fields)
    name = tokens.pop(0)
    whole = name in selection and not selection[name]
    inner: Selection = selection.setdefault(name, {})
    after = tokens[0] if tokens else ""
    if after == "/":
        tokens.pop(0)
        _read_path(tokens, inner, fields)
    elif after == "(":
        tokens.pop(0)
        inner.update(_read(tokens, fields))
        if not tokens or tokens.pop(0) != ")":
            raise bad_fields(fields)
    else:
        inner.clear()
    if whole:
        inner.clear()


def _check(selection: Selection, shape: str, where: str) -> None:
    known = SHAPES.get(shape, {})
    for name, inner in selection.items():
        path = f"{where}{name}"
        if name != "*" and name not in known:
            raise bad_fields(path)
        for kind in known.values() if name == "*" else (known[name],):
            if inner:
                _check(inner, kind.removeprefix("[]"), f"{path}.")


def _kept(value: Any, selection: Selection) -> Any:
    if not selection:
        return value
    if isinstance(value, list):
        return [_kept(one, selection) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, inner in value.items():
        wanted = selection.get(name, selection.get("*"))
        if wanted is not None:
            kept[name] = _kept(inner, wanted)
    return kept
