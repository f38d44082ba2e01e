"""What a person or a program sees: sentences, tables, one JSON document, a progress bar, times.

Lives here: `Terminal`, and how times are written for people. Does not live here: what is shown (each command).
With --json nothing but one document goes to stdout; sentences about trouble always go to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from connector.app import Project, find_folder
from connector.errors import Fault, Severity
from connector.sync.office import Progress, no_progress

#: Columns of a table that goes into a file or a pipe: more than any row needs, so that no value is broken.
_PLAIN_WIDTH = 10_000


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Where a command's words go, and what the global options asked for."""

    folder: Path | None = None
    json: bool = False
    verbose: bool = False
    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))

    def project(self) -> Project:
        """Return the project in the folder of -C; raise `BadInput` when there is none."""
        return Project(folder=find_folder(self.folder))

    def say(self, sentence: str, *, style: str = "") -> None:
        """Print a line for people; nothing with --json."""
        if not self.json:
            self.out.print(Text(sentence, style=style), soft_wrap=True)

    def trouble(self, sentence: str) -> None:
        """Print a sentence about what needs attention to stderr."""
        self.err.print(Text(sentence), soft_wrap=True)

    def faults(self, faults: Iterable[Fault]) -> None:
        """Print faults to stderr, warnings marked."""
        for fault in faults:
            self.trouble(marked(fault))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table; nothing with --json, and nothing without rows."""
        cells = [[Text("" if cell is None else str(cell)) for cell in row] for row in rows]
        if self.json or not cells:
            return
        table = Table(header_style="bold")
        for number, column in enumerate(columns):
            # Where there are single words only, such as addresses and ids, other columns are the ones to wrap.
            words = not any(" " in row[number].plain for row in cells)
            table.add_column(column, overflow="fold", no_wrap=words)
        for row in cells:
            table.add_row(*row)
        self.say(title, style="bold")
        unbounded = self.out.options.update(max_width=_PLAIN_WIDTH)
        if self.out.measure(table, options=unbounded).minimum <= self.out.width:
            self.out.print(table)
            return
        # Columns would break words, and nobody can copy half an address: a line for each value instead.
        widest = max(map(len, columns))
        for row in cells:
            for column, cell in zip(columns, row, strict=True):
                if cell.plain:
                    self.say(f"  {column:<{widest}}  {cell}")
            self.say("")

    def document(self, value: Any) -> None:
        """Print the JSON document; nothing without --json."""
        if self.json:
            self.write(value)

    def write(self, value: Any) -> None:
        """Print a JSON document, whatever the options say."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Show a progress bar on a terminal while a command works; elsewhere be silent."""
        if self.json or not self.err.is_terminal:
            yield no_progress
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bar(*columns, console=self.err, transient=True) as bar:
            tasks: dict[str, TaskID] = {}

            def told(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done, total=total)

            yield told


def terminal_of(context: typer.Context) -> Terminal:
    """Return the terminal the global options made."""
    terminal = context.obj
    return terminal if isinstance(terminal, Terminal) else Terminal()


def marked(fault: Fault) -> str:
    """Return a fault as a line: `file:line: where: sentence`, a warning said to be one."""
    sentence = " ".join(str(fault).splitlines())  # a value from a file may hold line breaks
    return f"warning: {sentence}" if fault.severity is Severity.WARNING else sentence


def fault_json(fault: Fault) -> dict[str, Any]:
    """Return a fault as JSON lists show it."""
    return {
        "file": fault.file,
        "line": fault.line,
        "where": fault.where,
        "severity": fault.severity.value,
        "sentence": fault.sentence,
    }


def moment(instant: datetime | None, zone: str = "UTC") -> str:
    """Return an instant for people, on the wall clock of a zone: `Tue 24 Nov 2026 14:30`."""
    return "" if instant is None else f"{instant.astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M}"


def short_moment(instant: datetime, zone: str) -> str:
    """Return an instant near today for people: `Tue 24 Nov 14:30`."""
    return f"{instant.astimezone(ZoneInfo(zone)):%a %d %b %H:%M}"


def in_words(value: object) -> str:
    """Return a setting's value for people: `yes`, `US, DE-BY`, nothing for an empty one."""
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
        case None:
            return ""
    return str(value)


def counted(number: int, one: str, many: str = "") -> str:
    """Return `1 person`, `2 people`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
