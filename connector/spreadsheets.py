"""What spreadsheets make of the cells of a CSV file.

Lives here: `as_cell`. Does not live here: which files there are (`cli.project`, `web.numbers`), people files that are
read (`campaigns.people_file`).
"""

from __future__ import annotations

import re

#: What a spreadsheet takes for a formula, in half and full width and behind what it trims; and what may divide a cell.
_FORMULA = re.compile(r"[\x00\t\r\n]|\s*[=+\-@＝＋－＠]")  # noqa: RUF001 - full width is meant


def as_cell(value: object) -> object:
    """Return a cell; text that a spreadsheet would take for a formula begins with an apostrophe, and is text."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
