"""What the Outlook adapter asks for to send, open and delete a draft."""

import pytest
from graph_line import KEY, START
from outlook_world import BOX, NOTHING, answers_batches, graph_refusal, message, stamped

from connector.errors import OutcomeUnknown, Refused
from connector.ports import DraftRef


def test_accepted_is_sent_even_with_retry_after(wire, outlook):
    wire.post(f"{BOX}/messages/AAk%3D/send", status=202, headers={"Retry-After": "10"})
    answers_batches(wire, lambda path, query: message(isDraft=False) if path.endswith("AAk=") else NOTHING)
    mail_ = outlook.send_draft(DraftRef(draft_id="AAk="), KEY)
    assert (mail_.provider_id, mail_.internet_message_id, mail_.thread_id) == ("AAk=", "<d@acme.example>", "C1")
    assert outlook.calls == 2


def test_a_sent_copy_under_another_id_is_found_by_its_stamp(wire, outlook):
    wire.post(f"{BOX}/messages/AAk%3D/send", status=202)
    copy = stamped("NEW=", isDraft=False, internetMessageId="<s@acme.example>")
    found = {"value": [copy]}
    answers_batches(
        wire, lambda path, query: found if "sentitems" in path else (404, graph_refusal("ErrorItemNotFound"))
    )
    assert outlook.send_draft(DraftRef(draft_id="AAk="), KEY).internet_message_id == "<s@acme.example>"


@pytest.mark.parametrize(
    "look", [(200, NOTHING), (403, graph_refusal("ErrorAccessDenied")), (400, graph_refusal("BadRequest"))]
)
def test_accepted_is_sent_though_the_copy_cannot_be_seen(wire, outlook, look):
    wire.post(f"{BOX}/messages/AAk%3D/send", status=202)
    answers_batches(wire, lambda path, query: look)
    mail_ = outlook.send_draft(DraftRef(draft_id="AAk=", thread_id="C1", internet_message_id="<d@acme.example>"), KEY)
    assert (mail_.provider_id, mail_.at, mail_.internet_message_id) == ("AAk=", START, "<d@acme.example>")


def test_no_draft_to_send(wire, outlook):
    wire.post(f"{BOX}/messages/AAk%3D/send", status=404, json=graph_refusal("ErrorItemNotFound"))
    with pytest.raises(Refused) as raised:
        outlook.send_draft(DraftRef(draft_id="AAk="), KEY)
    assert raised.value.code == "draft_gone"


def test_a_lost_send_is_not_repeated(wire, outlook):
    wire.post(f"{BOX}/messages/AAk%3D/send", status=504)
    with pytest.raises(OutcomeUnknown):
        outlook.send_draft(DraftRef(draft_id="AAk="), KEY)
    assert len(wire.calls) == 1


# ------------------------------------------------------------------------------- looking and deleting


def test_a_draft_that_became_a_sent_mail_is_not_deleted(wire, outlook):
    wire.get(f"{BOX}/messages/AAk%3D", json={"id": "AAk=", "isDraft": False})
    outlook.delete_draft(DraftRef(draft_id="AAk="))
    assert [call.request.method for call in wire.calls] == ["GET"]


def test_deleting_what_is_gone_is_no_error(wire, outlook):
    wire.get(f"{BOX}/messages/AAk%3D", status=404, json=graph_refusal("ErrorItemNotFound"))
    outlook.delete_draft(DraftRef(draft_id="AAk="))


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ({"json": message()}, False),
        ({"json": message(parentFolderId="F-deleteditems")}, True),
        ({"json": message(isDraft=False)}, True),
        ({"json": graph_refusal("ErrorItemNotFound"), "status": 404}, True),
    ],
)
def test_the_address_of_a_draft_is_read_now(wire, outlook, answer, gone):
    wire.get(f"{BOX}/messages/AAk%3D", **answer)
    if "id" in answer["json"]:
        answers_batches(wire, lambda path, query: NOTHING)
    if not gone:
        assert outlook.draft_address(DraftRef(draft_id="AAk=")) == "https://outlook.office365.com/owa/?ItemID=AAk%3D"
        return
    with pytest.raises(Refused) as raised:
        outlook.draft_address(DraftRef(draft_id="AAk="))
    assert raised.value.code == "draft_gone"
