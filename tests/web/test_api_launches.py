"""The API: launches as their page has them, from the CRM, with first emails in other words, and confirmed by a digest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connector.people import Person
from connector.sync import actions
from tests.web.programs import Programs, programs_of
from tests.web.site import CALL
from tests.web.visitors import ANA, BOB, MAY
from tests.world import CAMPAIGN, people

LENA = Person(email="lena@lead.example", first_name="Lena", last_name="Lead", company="Leads & Co")
[BOBS] = people(1, domain="bobs")
WORDS = {"subject": "  Quite\n other words", "body": "Hello you,\r\nall well?"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which Lena is a lead of Salesforce, and Bob has somebody in a campaign."""
    files = {"outreach": CAMPAIGN, "call": CALL}
    with programs_of(tmp_path_factory.mktemp("launches"), campaign=files) as programs:
        programs.world.seed([LENA])
        programs.world.launch([BOBS], rep=BOB, campaign="outreach")
        yield programs


def launch(api: Programs, campaign: str = "outreach", *, user: str = ANA, status: int = 200, **asked: Any) -> Any:
    answer = api.ask(user, "POST", f"/campaigns/{campaign}/launch", {"rep": ANA, **asked})
    assert answer.status_code == status, answer.text
    return answer.json()


def lead(api: Programs) -> str:
    """Return the id of Lena's record."""
    records = (*api.world.records("Lead"), *api.world.records("Contact"))
    return str(next(one["Id"] for one in records if one["Email"] == LENA.email))


def test_people_come_from_salesforce_with_first_emails_in_other_words_as_they_were_shown(api: Programs) -> None:
    asked: dict[str, Any] = {"source": {"ids": [lead(api)]}, "people": ["plain@client.example", BOBS.email]}
    shown = launch(api, **asked, dry_run=True)
    assert (shown["enrolled"], shown["dry_run"]) == (2, True)
    assert [one["person"] for one in shown["left_out"]] == [BOBS.email]
    said = {one["person"]: one for one in shown["first_emails"]}
    assert (said[LENA.email]["edited"], said[LENA.email]["problem"]) == (False, None)
    assert "Lena" in said[LENA.email]["html"]
    again = launch(api, **asked, first_emails={LENA.email: WORDS}, dry_run=True)
    assert again["digest"] != shown["digest"]
    mine = next(one for one in again["first_emails"] if one["person"] == LENA.email)
    assert (mine["subject"], mine["body"], mine["edited"]) == ("Quite other words", "Hello you,\nall well?", True)
    assert LENA.email not in api.world.enrollments
    launch(api, **asked, first_emails={LENA.email: WORDS}, digest=shown["digest"], status=409)
    assert LENA.email not in api.world.enrollments
    done = launch(api, **asked, first_emails={LENA.email: WORDS}, digest=again["digest"])
    assert (done["enrolled"], [one["person"] for one in done["left_out"]]) == (2, [BOBS.email])
    assert {LENA.email, "plain@client.example"} <= set(api.world.enrollments)
    api.world.sync()
    sent = {mail["to"][0]: mail["subject"] for mail in api.world.mails(ANA, "sent")}
    assert sent[LENA.email] == "Quite other words"
    assert sent["plain@client.example"] != "Quite other words"


def test_a_launch_that_was_shown_is_not_another_one(api: Programs) -> None:
    (new,) = people(1, domain="changed")
    actions.import_people(api.world.office, [new])
    shown = launch(api, people=[new.email], dry_run=True)
    launch(api, people=[new.email, "more@client.example"], digest=shown["digest"], status=409)
    assert launch(api, people=[new.email], digest=shown["digest"])["enrolled"] == 1
    # Who is in it now was not when it was shown.
    launch(api, people=[new.email], digest=shown["digest"], status=409)


@pytest.mark.parametrize(
    ("asked", "campaign", "status", "said"),
    [
        ({}, "outreach", 422, "nobody was named"),
        ({"source": {}}, "outreach", 422, "name one source"),
        ({"source": {"report": "Leads", "list_view": "x"}}, "outreach", 422, "name one source"),
        ({"source": {"report": None}}, "outreach", 422, "name one source"),
        ({"source": {"report": "No such report"}}, "outreach", 422, "not the id of a report"),
        ({"source": {"soql": "SELECT Id FROM Lead"}}, "outreach", 403, "another role"),
        ({"people": ["a@b.example"], "first_emails": {"c@b.example": WORDS}}, "outreach", 422, "is not among those"),
        ({"people": ["a@b.example"], "first_emails": {"a@b.example": WORDS}}, "call", 422, "there is no first email"),
        ({"people": [f"p{n}@b.example" for n in range(1001)], "digest": "x"}, "outreach", 422, "takes 1,000 people"),
    ],
)
def test_what_cannot_be_launched_so_is_told(
    api: Programs, asked: dict[str, Any], campaign: str, status: int, said: str
) -> None:
    assert said in launch(api, campaign, **asked, status=status)["detail"]


def test_a_query_is_for_those_who_see_more_than_their_own(api: Programs) -> None:
    asked: dict[str, Any] = {
        "source": {"soql": "SELECT Id, Email, FirstName, LastName, Company FROM Lead"},
        "dry_run": True,
    }
    shown = launch(api, "call", **asked, user=MAY)
    assert (shown["enrolled"] >= 1, shown["first_emails"]) == (True, [])
