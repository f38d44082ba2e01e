"""Tables: no value is broken where it is to be copied from, however wide the output is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from connector.cli import run
from connector.cli.output import Terminal, marked
from connector.errors import Fault

_ADDRESS = "a-person-with-a-rather-long-name@a-rather-long-domain.example"
_SUBJECT = "Planning the next quarter at Norte Logística"


def _table(width: int) -> str:
    page = io.StringIO()
    terminal = Terminal(out=Console(file=page, width=width, highlight=False, markup=False, emoji=False))
    terminal.table("Tasks", ("id", "person", "subject", "draft"), [("5f838135", _ADDRESS, _SUBJECT, None)])
    return page.getvalue()


@pytest.mark.parametrize("width", [30, 60, 90, 100, 120, 10_000])
def test_an_address_stands_in_one_piece_in_any_width(width: int) -> None:
    shown = _table(width)
    assert _ADDRESS in shown
    assert "5f838135" in shown


@pytest.mark.parametrize("width", [100, 120])
def test_where_it_is_tight_the_words_wrap(width: int) -> None:
    shown = _table(width)
    assert _SUBJECT not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_where_columns_would_break_words_each_value_has_a_line() -> None:
    assert _table(60).splitlines() == [
        "Tasks",
        "  id       5f838135",
        f"  person   {_ADDRESS}",
        f"  subject  {_SUBJECT}",
        "",
    ]


def test_a_fault_is_one_line_though_its_value_has_several() -> None:
    assert marked(Fault(sentence="'a\nb' is not a mail address")) == "'a b' is not a mail address"


def test_without_a_command_the_help_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    shown = capsys.readouterr()
    assert "Usage: connector" in shown.out
    assert not shown.err
