"""People files: a table of prospects as CSV.

Lives here: which columns mean what, and what makes a row bad (spec interfaces 1). Does not live here: whether a
person may be enrolled (opted out, in the campaign already), and people from a CRM.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from connector.documents import closest, did_you_mean, read_text
from connector.errors import BadInput, Fault
from connector.people import Person, is_address, time_zones

#: Columns with a meaning of their own; any other becomes `custom.<column>`.
COLUMNS = (
    "email",
    "first_name",
    "last_name",
    "title",
    "company",
    "phone",
    "time_zone",
    "salesforce_id",
    "linkedin_url",
)

_SEPARATORS = (",", ";", "\t")
_SALESFORCE_ID = re.compile(r"^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$")


def read_people(path: Path) -> tuple[list[Person], list[Fault]]:
    """Read a people file; return the good people and a fault for each bad row.

    Raises `BadInput` when the file as a whole cannot be used: no email column, doubled columns, broken UTF-8.
    """
    return read_people_text(read_text(path), str(path))


def read_people_text(text: str, file: str) -> tuple[list[Person], list[Fault]]:
    """Read a table of people, as `read_people` does; `file` names it in faults."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(Fault(sentence="this is no text: save the table as CSV in UTF-8", file=file, line=line))
    rows = _rows(text, file)
    header_line, header = next(rows, (1, []))
    columns = _columns(header, header_line, file)
    people: list[Person] = []
    faults: list[Fault] = []
    first_line: dict[str, int] = {}
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        values = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
        email = values.get("email", "").lower()
        wrong = _wrong_cells(values, email, cells, columns)
        if not wrong and email in first_line:
            wrong = [f"{email} stands on line {first_line[email]} already: that line is kept, this one is left out"]
        if wrong:
            where = f"person {email}" if email else None
            faults.extend(Fault(sentence=sentence, file=file, line=line, where=where) for sentence in wrong)
            continue
        first_line[email] = line
        people.append(_person(values, email))
    return people, faults


def _rows(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line a row begins on, and its cells."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        sentence = f"the table cannot be read from here on ({error}): check the quotes"
        raise BadInput(Fault(sentence=sentence, file=file, line=begins)) from error


def _columns(header: Sequence[str], line: int, file: str) -> list[str]:
    """Return the columns by the names the program uses."""
    names = [cell.strip() for cell in header]
    known = {column: column for column in COLUMNS}
    columns = [known.get(name.lower().replace(" ", "_"), name) for name in names]
    faults = []
    if "email" not in columns:
        near = closest("email", [name for name in names if name not in COLUMNS])
        move = f"rename '{near}', or add one" if near else "the first line must name the columns, 'email' among them"
        faults.append(f"there is no column 'email': {move}")
    for position, name in enumerate(columns):
        if name and name in columns[:position]:
            faults.append(f"the column '{name}' stands twice: keep one of them")
    if faults:
        raise BadInput.of([Fault(sentence=sentence, file=file, line=line) for sentence in faults])
    return columns


def _wrong_cells(values: Mapping[str, str], email: str, cells: Sequence[str], columns: Sequence[str]) -> list[str]:
    wrong = []
    if any(cell.strip() for cell in cells[len(columns) :]):
        wrong.append(
            f"the row has {len(cells)} cells and the header {len(columns)}: put quotes around a cell that holds the "
            "separator"
        )
    if not email:
        wrong.append("the row has no email: fill it in or remove the row")
    elif not is_address(email):
        wrong.append(f"'{email}' is not a mail address: write one such as ann@acme.example")
    zone = values.get("time_zone", "")
    if zone and zone not in time_zones():
        hint = did_you_mean(zone, sorted(time_zones()))
        wrong.append(f"there is no time zone '{zone}': write a name such as Europe/Paris, or leave it empty{hint}")
    crm_id = values.get("salesforce_id", "")
    if crm_id and not _SALESFORCE_ID.match(crm_id):
        wrong.append(f"'{crm_id}' is not a Salesforce id: it has 15 or 18 letters and digits")
    return wrong


def _person(values: Mapping[str, str], email: str) -> Person:
    known = {column: values.get(column, "") for column in COLUMNS if column != "email"}
    custom = {column: value for column, value in values.items() if column and column not in COLUMNS}
    return Person(email=email, custom=custom, **known)
