"""People files: good rows go on, bad rows are told, and a file that cannot be used is refused whole."""

from pathlib import Path

import pytest

from connector.campaigns.people_file import read_people
from connector.errors import BadInput, Fault
from connector.people import Person


def read(tmp_path: Path, content: str | bytes) -> tuple[list[Person], list[Fault]]:
    path = tmp_path / "people.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_people(path)


def test_every_column_is_read_and_the_rest_is_custom(tmp_path: Path) -> None:
    people, faults = read(
        tmp_path,
        "Email,First_Name,last name,TITLE,company,phone,time_zone,salesforce_id,linkedin_url,Plan,renewal\n"
        ' Ann@Acme.Example ,Ann,Bo,CTO,"Acme, Inc.",+1 5,Europe/Paris,00QAA0000000001AAA,https://l/ann,Gold,\n',
    )
    assert faults == []
    assert people == [
        Person(
            email="ann@acme.example",
            first_name="Ann",
            last_name="Bo",
            title="CTO",
            company="Acme, Inc.",
            phone="+1 5",
            time_zone="Europe/Paris",
            salesforce_id="00QAA0000000001AAA",
            linkedin_url="https://l/ann",
            custom={"Plan": "Gold", "renewal": ""},
        )
    ]


@pytest.mark.parametrize(
    "content",
    [
        "email,first_name\na@b.example,Zoë\n",
        "\ufeffemail,first_name\r\na@b.example,Zoë\r\n",
        "email;first_name\na@b.example;Zoë\n",
        "email\tfirst_name\na@b.example\tZoë",
        '"email","first_name"\n\n"a@b.example","Zoë"\n,\n',
        "\n\nemail,first_name\na@b.example,Zoë,,\n",
    ],
    ids=["comma", "mark and CRLF", "semicolon", "tab", "quotes and empty rows", "empty lines and cells"],
)
def test_tables_as_programs_write_them(tmp_path: Path, content: str) -> None:
    people, faults = read(tmp_path, content)
    assert faults == []
    assert [(p.email, p.first_name) for p in people] == [("a@b.example", "Zoë")]


def test_a_short_row_leaves_its_last_cells_empty(tmp_path: Path) -> None:
    people, faults = read(tmp_path, "email,first_name,plan\na@b.example\n")
    assert faults == []
    assert (people[0].first_name, people[0].custom) == ("", {})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (",x", "has no email"),
        ("ann.acme.example,x", "'ann.acme.example' is not a mail address"),
        ("ann@acme,x", "'ann@acme' is not a mail address"),
        ("a@b.example d@e.example,x", "is not a mail address"),
        ("good@b.example,x", "good@b.example stands on line 2 already"),
        ("GOOD@b.example ,x", "good@b.example stands on line 2 already"),
        ("c@b.example,x,Europe/Pariss", "no time zone 'Europe/Pariss'"),
        ("c@b.example,x,CET+1", "no time zone 'CET+1'"),
        ("c@b.example,x,,00Q12", "'00Q12' is not a Salesforce id"),
        ("c@b.example,x,,00QAA00000000011", "is not a Salesforce id"),
        ("c@b.example,x,,,extra", "the row has 5 cells and the header 4"),
    ],
)
def test_a_bad_row_is_told_and_the_rest_goes_on(tmp_path: Path, row: str, words: str) -> None:
    header = "email,first_name,time_zone,salesforce_id\n"
    people, faults = read(tmp_path, f"{header}good@b.example,x\n{row}\nlast@b.example,x\n")
    assert [p.email for p in people] == ["good@b.example", "last@b.example"]
    (fault,) = faults
    assert words in fault.sentence
    assert fault.line == 3
    assert fault.file == str(tmp_path / "people.csv")


def test_everything_wrong_with_a_row_is_told(tmp_path: Path) -> None:
    _, faults = read(tmp_path, "email,time_zone,salesforce_id\nann,Mars,1\n")
    assert [f.where for f in faults] == ["person ann"] * 3


def test_lines_are_counted_through_cells_of_several_lines(tmp_path: Path) -> None:
    people, faults = read(tmp_path, 'email,note\na@b.example,"one\ntwo"\nbad,x\n')
    assert people[0].custom == {"note": "one\ntwo"}
    assert [f.line for f in faults] == [4]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", 1, "no column 'email'"),
        (b"e-mail,first_name\na@b.example,x\n", 1, "no column 'email': rename 'e-mail', or add one"),
        (b"a@b.example,Ann\n", 1, "the first line must name the columns"),
        (b"email,plan,Email\n", 1, "'email' stands twice"),
        (b"email,plan,plan\n", 1, "'plan' stands twice"),
        (b"email\na@b.example\ncaf\xe9@b.example\n", 3, "is not UTF-8"),
        (b'email,x\na@b.example,"x\n', 2, "check the quotes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes, line: int, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, content)
    (fault,) = caught.value.faults
    assert words in fault.sentence
    assert fault.line == line
