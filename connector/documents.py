"""YAML files that remember their lines, so that every complaint about one can point at its place.

Lives here: reading text as UTF-8, YAML 1.2 to plain values with a line for each, and "did you mean".
Does not live here: what a campaign or a settings file may say (`campaigns.reading`, `settings`).

YAML 1.2 is what the files are (spec sequencing 1): an unquoted 12:30 is the text "12:30", never the number 750;
`on` and `no` are words; a date stays the text it was written as. JSON is read too, being a part of YAML.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from connector.errors import BadInput, Fault

#: Where a value stands in its document: keys and list positions from the top.
Place = tuple[str | int, ...]

#: A document with more values than this is refused: aliases can make a small file endless.
_MOST_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_PARSED_SCALARS = frozenset(_TAG + name for name in ("int", "float", "bool", "null"))
_TEXT_SCALARS = frozenset(_TAG + name for name in ("str", "timestamp", "merge", "value"))
_OTHER_YAML = re.compile(r"^%YAML +(?!1\.2\b)", re.MULTILINE)
_QUOTING = "text that holds '{{', ': ' or ' #', or begins with one of @ % & * ! | > [ { needs quotes around it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML document as plain dicts, lists, texts, numbers, booleans and None."""

    #: The file as the user named it.
    file: str
    data: Any
    _lines: Mapping[Place, int] = field(repr=False)

    def line(self, place: Place) -> int:
        """Return the line (from 1) of the key or list item at a place, else of the nearest thing around it."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def fault(self, place: Place, sentence: str, *, where: str | None = None) -> Fault:
        """Build a fault about what stands at a place."""
        return Fault(sentence=sentence, file=self.file, line=self.line(place), where=where)


def read_text(path: Path) -> str:
    """Return a file's text; a byte order mark is dropped. Raise `BadInput` when it cannot be read or is not UTF-8."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(Fault(sentence="there is no such file", file=str(path))) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(Fault(sentence=f"the file cannot be read: {reason}", file=str(path))) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        sentence = f"byte {error.object[error.start]:#04x} is not UTF-8: save the file as UTF-8"
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadInput(Fault(sentence=sentence, file=str(path), line=line)) from error


def read_document(path: Path) -> Document:
    """Read a YAML 1.2 file; raise `BadInput` with file and line for broken UTF-8, syntax or doubled keys."""
    return parse_document(read_text(path), str(path))


def parse_document(text: str, file: str) -> Document:
    """Read YAML 1.2 text that came from `file`; raise `BadInput` for broken syntax or doubled keys."""
    if other := _OTHER_YAML.search(text):
        line = text.count("\n", 0, other.start()) + 1
        raise BadInput(Fault(sentence="only YAML 1.2 is read: remove the %YAML line", file=file, line=line))
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except YAMLError as error:
        raise BadInput(_syntax_fault(error, text, file)) from error
    plain = _Plain(yaml, file)
    data = plain.value(node, ()) if node is not None else None
    if plain.faults:
        raise BadInput.of(plain.faults)
    return Document(file=file, data=data, _lines=plain.lines)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest known word, or `` when none is close."""
    close = closest(word, known)
    return f"; did you mean '{close}'?" if close else ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is closest, or `` when none is close."""
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.6)
    return names[close[0]] if close else ""


def _syntax_fault(error: YAMLError, text: str, file: str) -> Fault:
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, int(error.position)) + 1
        return Fault(
            sentence=f"the character U+{ord(text[error.position]):04X} may not stand in a text file: remove it",
            file=file,
            line=line,
        )
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return Fault(sentence=f"this is not YAML: {error}", file=file)
    line = error.problem_mark.line + 1
    began = error.context_mark.line + 1 if error.context_mark is not None else line
    within = f", in what begins on line {began}" if began != line else ""
    if "another document" in (error.problem or ""):
        return Fault(sentence="a second document begins here: keep one document in a file", file=file, line=line)
    return Fault(sentence=f"this is not YAML: {error.problem}{within}; {_QUOTING}", file=file, line=line)


def _text(node: ScalarNode) -> str:
    # JSON writes a character beyond U+FFFF as two escapes; YAML reads them as two halves.
    return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Plain:
    """Turn composed nodes into plain values, noting the line of each."""

    def __init__(self, yaml: YAML, file: str) -> None:
        self._yaml = yaml
        self._file = file
        self._open: set[int] = set()
        self.lines: dict[Place, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if id(node) in self._open:
            self._refuse(node, "an alias (*) may not stand inside its own anchor (&): write the value out")
            return None
        if len(self.lines) > _MOST_VALUES:
            if not self.faults:
                self._refuse(
                    node, f"the file holds more than {_MOST_VALUES:,} values: split it, or use fewer aliases (*)"
                )
            return None
        self._open.add(id(node))
        try:
            return self._unwrapped(node, place)
        finally:
            self._open.discard(id(node))

    def _unwrapped(self, node: Node, place: Place) -> Any:
        match node:
            case MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, place)
            case SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self.value(item, (*place, position)) for position, item in enumerate(node.value)]
            case ScalarNode():
                return self._scalar(node)
        self._refuse(node, f"the tag {node.tag} is not known here: remove it")
        return None

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._refuse(key_node, f"a key must be a word: {_QUOTING}")
                continue
            key = _text(key_node)
            if key in result:
                first = self.lines[(*place, key)]
                self._refuse(key_node, f"the key '{key}' stands twice, first on line {first}: keep one of them")
                continue
            self.lines[(*place, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*place, key))
        return result

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag in _TEXT_SCALARS:
            return _text(node)
        if node.tag in _PARSED_SCALARS:
            try:
                return self._yaml.constructor.construct_object(node)
            except (ValueError, YAMLError):
                self._refuse(node, f"'{node.value}' cannot be read as {node.tag.removeprefix(_TAG)}: put it in quotes")
                return None
        self._refuse(node, f"the tag {node.tag} is not known here: remove it")
        return None

    def _refuse(self, node: Node, sentence: str) -> None:
        self.faults.append(Fault(sentence=sentence, file=self._file, line=node.start_mark.line + 1))
