"""YAML files with lines: what stays text, what is refused, and where each refusal points."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.documents import did_you_mean, parse_document, read_document
from connector.errors import BadInput


def _fault(text: str) -> tuple[int | None, str]:
    with pytest.raises(BadInput) as caught:
        parse_document(text, "x.yaml")
    (fault,) = caught.value.faults
    assert fault.file == "x.yaml"
    return fault.line, fault.sentence


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12:30", "12:30"),
        ("09:05", "09:05"),
        ("12:30:45", "12:30:45"),
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("2026-11-26", "2026-11-26"),
        ("2026-13-45", "2026-13-45"),
        ("2026-11-26T10:00:00Z", "2026-11-26T10:00:00Z"),
        ("'true'", "true"),
        ("true", True),
        ("17", 17),
        ("1.5", 1.5),
        ("null", None),
        ("", None),
        ("[1, a]", [1, "a"]),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_values_mean_what_yaml_1_2_says(written: str, value: object) -> None:
    data = parse_document(f"a: {written}\n", "x.yaml").data
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice, first on line 1"),
        ("a:\n  - b: 1\n    b: 2\n", 3, "'b' stands twice, first on line 2"),
        ("a: 1\nb: [1\nc: 2\n", 3, "in what begins on line 2"),
        ("name: {{first_name}} x\n", 1, "needs quotes"),
        ("a: 'x\nb: 2", 2, "in what begins on line 1"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: *gone\n", 1, "undefined alias"),
        ("a:\n  &x [*x]\n", 2, "inside its own anchor"),
        ("a: 1\nb: x\x07y\n", 2, "U+0007"),
        ("a: !python 1\n", 1, "tag !python"),
        ("a: !!binary aGk=\n", 1, "is not known here"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("%YAML 1.1\n---\na: 12:30\n", 1, "only YAML 1.2"),
        ("a: 1\n? [b]\n: 2\n", 2, "a key must be a word"),
        ("a: !!int x\n", 1, "cannot be read as int"),
    ],
)
def test_what_is_not_such_a_file_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    at, sentence = _fault(text)
    assert at == line
    assert words in sentence


def test_doubled_keys_are_told_all_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        parse_document("a: 1\na: 2\nb: {c: 1, c: 2}\n", "x.yaml")
    assert [fault.line for fault in caught.value.faults] == [2, 3]


def test_aliases_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    _, sentence = _fault("\n".join(lines))
    assert "more than 100,000 values" in sentence


def test_lines_point_at_keys_and_items_and_fall_back_to_what_is_around() -> None:
    document = parse_document("a: 1\nb:\n  - c: 1\n    d:\n      - x\n  - e\n", "x.yaml")
    assert document.line(("b",)) == 2
    assert document.line(("b", 0, "c")) == 3
    assert document.line(("b", 0, "d", 0)) == 5
    assert document.line(("b", 1)) == 6
    assert document.line(("b", 0, "missing", "deeper")) == 3
    assert document.line(("missing",)) == 1
    assert str(document.fault(("b", 0, "d"), "is wrong", where="here")) == "x.yaml:4: here: is wrong"


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: \xc3\x89t\xc3\xa9\r\nother: 1\r\n")
    document = read_document(path)
    assert document.data == {"name": "Été", "other": 1}
    assert document.line(("other",)) == 2


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [(b"a: 1\nb: caf\xe9\n", 2, "0xe9 is not UTF-8"), (None, None, "no such file")],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, line: int | None, words: str) -> None:
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_document(path)
    (fault,) = caught.value.faults
    assert (fault.file, fault.line) == (str(path), line)
    assert words in fault.sentence


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_document(tmp_path)


def test_an_empty_file_holds_nothing() -> None:
    assert parse_document("# only a comment\n", "x.yaml").data is None


#: YAML's keys have at most 1,024 characters, and JSON may write one as twelve.
_KEY = st.text(st.characters(codec="utf-8"), max_size=80)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEY, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(data=_JSON, indent=st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_it_was_written(data: object, indent: int | str | None) -> None:
    assert parse_document(json.dumps({"data": data}, indent=indent), "x.json").data == {"data": data}


@pytest.mark.parametrize(
    ("word", "known", "answer"),
    [
        ("tmplate", ["send", "template"], "; did you mean 'template'?"),
        ("TEMPLATE", ["template"], "; did you mean 'template'?"),
        ("europe/madrid", ["Europe/Madrid", "Europe/Paris"], "; did you mean 'Europe/Madrid'?"),
        ("zzz", ["template"], ""),
    ],
)
def test_the_closest_word_is_offered(word: str, known: list[str], answer: str) -> None:
    assert did_you_mean(word, known) == answer
