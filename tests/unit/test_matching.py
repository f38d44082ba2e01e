"""Which record a person is: by id, else by exact address, contacts before leads; several are never guessed between."""

from __future__ import annotations

import pytest

from connector.people import Person
from connector.ports import CrmPerson
from connector.tasks.matching import PersonMatch, match_person

ANN = Person(email="ann@bolt.example")


def record(id_: str, kind: str = "contact", email: str = ANN.email) -> CrmPerson:
    return CrmPerson(id=id_, kind=kind, email=email)


CONTACT, OTHER = record("003A"), record("003B")
LEAD, TWIN = record("00QA", "lead"), record("00QB", "lead")


@pytest.mark.parametrize(
    ("salesforce_id", "hits", "found"),
    [
        pytest.param("", {}, None, id="nobody was found"),
        pytest.param("", {ANN.email: (CONTACT,)}, CONTACT, id="by address"),
        pytest.param("", {ANN.email: (LEAD,)}, LEAD, id="a lead by address"),
        pytest.param("", {ANN.email: (LEAD, CONTACT)}, CONTACT, id="a contact before a lead"),
        pytest.param("", {ANN.email: (LEAD, TWIN, CONTACT)}, CONTACT, id="a contact before several leads"),
        pytest.param("", {ANN.email: (CONTACT, CONTACT)}, CONTACT, id="one record found twice"),
        pytest.param("003B", {"003B": (OTHER,), ANN.email: (CONTACT,)}, OTHER, id="the id before the address"),
        pytest.param("00QA", {"00QA": (CONTACT,)}, CONTACT, id="a converted lead's id gives its contact"),
        pytest.param("003B", {"003B": (), ANN.email: (CONTACT,)}, CONTACT, id="the address where the id leads nowhere"),
        pytest.param(
            "003B",
            {"003B": (record("003B", email="a@b.example"),)},
            record("003B", email="a@b.example"),
            id="an id whatever the address",
        ),
        pytest.param(
            "",
            {ANN.email: (record("003A", email="ANN@Bolt.example"),)},
            record("003A", email="ANN@Bolt.example"),
            id="whatever the case",
        ),
        pytest.param(
            "", {ANN.email: (record("003A", email="ann@bolt.example.org"),)}, None, id="a like address is another"
        ),
        pytest.param("", {ANN.email: (record("003A", email=""),)}, None, id="a record without an address"),
    ],
)
def test_a_person_is_one_record(salesforce_id: str, hits: dict, found: CrmPerson | None) -> None:
    person = Person(email=ANN.email, salesforce_id=salesforce_id)
    assert match_person(person, hits) == PersonMatch(found=found)


@pytest.mark.parametrize(
    ("hits", "ambiguous"),
    [
        ((CONTACT, OTHER), ("003A", "003B")),
        ((LEAD, TWIN), ("00QA", "00QB")),
        ((LEAD, CONTACT, OTHER), ("003A", "003B")),
    ],
)
def test_several_records_are_named_and_none_is_taken(hits: tuple[CrmPerson, ...], ambiguous: tuple[str, ...]) -> None:
    assert match_person(ANN, {ANN.email: hits}) == PersonMatch(ambiguous=ambiguous)
