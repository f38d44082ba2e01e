"""What Exchange makes of mails with a calendar in them, and deleting for good, in the simulated Graph."""

import pytest
from graph_client import BOB, KEY, fresh_sandbox, graph_of, message


@pytest.fixture
def graph(front):
    with graph_of(fresh_sandbox(front)) as client:
        yield client


@pytest.mark.parametrize("select", [{}, {"$select": "subject"}])
def test_an_answer_to_an_invitation_is_named_by_its_type(graph, select):
    graph("POST", f"/messages/{graph('POST', '/messages', message())['id']}/send")
    answer = graph.sandbox.act("prospect_answers_invitation", person=BOB)
    shown = graph("GET", f"/messages/{answer['id']}", params=select)
    assert shown["@odata.type"] == "#microsoft.graph.eventMessageResponse"
    (sent,) = graph("GET", "/mailFolders/sentitems/messages")["value"]
    assert "@odata.type" not in sent


def test_what_is_deleted_for_good_lies_in_no_bin(graph):
    draft = graph("POST", "/messages", message())
    graph("POST", f"/messages/{draft['id']}/permanentDelete", status=204)
    assert graph("GET", "/messages")["value"] == []
    assert [one["effect"] for one in graph.sandbox.log.effects] == ["draft_created", "draft_purged"]
    assert graph.sandbox.log.effects[-1]["key"] == KEY
