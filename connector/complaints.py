"""Pydantic's complaints about a file of ours, as sentences with file and line.

Lives here: `translated`, and what people call a place in the file (`section_of`). Does not live here: the models
(`settings`, adapters), reading a file (`documents`). Source: spec interfaces 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from connector.documents import Document, Place, did_you_mean
from connector.errors import Fault

#: What a value should have been, by the type of pydantic's error.
_SHOULD_BE = {
    "string_type": "text: put it in quotes",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list: begin each line with '- '",
    "tuple_type": "a list: begin each line with '- '",
    "dict_type": "a group of keys",
    "mapping_type": "a group of keys",
    "model_type": "a group of keys",
    "model_attributes_type": "a group of keys",
    "path_type": "the path of a file",
}


def translated(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Fault]:
    """Return pydantic's errors as faults; what was given is never quoted, for it may be a secret."""
    faults: dict[tuple[Place, str], Fault] = {}
    words: dict[Place, list[str]] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=True):
        loc = tuple(detail["loc"])
        place = _known_place(loc, document.data)
        where = section_of(place, document.data)
        context = detail.get("ctx", {})
        match detail["type"]:
            case "extra_forbidden":
                known = _keys_at(model, loc[:-1])
                hint = did_you_mean(str(loc[-1]), known) or f"; there are {', '.join(known)}"
                sentence = f"there is no key '{loc[-1]}' here{hint}"
            case "missing":
                sentence = f"the key '{loc[-1]}' is missing: add it"
                where = section_of((*place, ""), document.data)
            case "literal_error" | "enum":
                # A choice between groups of words is told once, with the words of all groups.
                words.setdefault(place, []).extend(re.findall(r"'([^']*)'", str(context.get("expected", ""))))
                hint = did_you_mean(str(_value_at(document.data, place)), words[place])
                sentence = f"'{place[-1]}' must be one of {', '.join(words[place])}{hint}"
                faults.pop((place, "words"), None)
                faults[place, "words"] = document.fault(place, sentence, where=where)
                continue
            case "value_error":
                sentence = f"{_named(place)}{context.get('error', detail['msg'])}"
            case "too_short":
                sentence = f"'{place[-1] if place else 'reps'}' is empty: list at least one"
            case "greater_than":
                sentence = f"'{place[-1]}' must be more than {context.get('gt')}"
            case kind if kind in _SHOULD_BE:
                sentence = f"{_named(place).removesuffix(': ')} must be {_SHOULD_BE[kind]}"
            case _:
                message = detail["msg"]
                sentence = f"{_named(place)}{message[:1].lower()}{message[1:]}"
        faults.setdefault((place, sentence), document.fault(place, sentence, where=where))
    return list(faults.values())


def _named(place: Place) -> str:
    return f"'{place[-1]}': " if place and isinstance(place[-1], str) else "this entry: " if place else ""


def _known_place(loc: Sequence[str | int], data: Any) -> Place:
    """Return the part of pydantic's location that is in the file; it appends the names of types to it."""
    place: list[str | int] = []
    for part in loc:
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if not inside:
            break
        place.append(part)
        data = data[part]
    return tuple(place)


def _value_at(data: Any, place: Place) -> Any:
    for part in place:
        data = data[part]
    return data


def section_of(place: Place, data: Mapping[str, Any]) -> str | None:
    """Return the section a place is in, as people call it."""
    if len(place) > 1 and place[0] == "reps" and isinstance(place[1], int):
        entry = data["reps"][place[1]]
        email = entry.get("email") if isinstance(entry, dict) else None
        return f"rep {email}" if isinstance(email, str) else f"rep {place[1] + 1}"
    parts = [str(part) for part in place[:-1] if isinstance(part, str)]
    return ".".join(parts) or None


def _keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that may stand at a location."""
    current: type[BaseModel] | None = model
    for part in loc:
        found = current.model_fields.get(part) if current is not None and isinstance(part, str) else None
        if found is not None:
            current = _model_in(found.annotation)
    return list(current.model_fields) if current is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
