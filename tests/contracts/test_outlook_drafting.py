"""What the Outlook adapter asks for to place a draft: plain, as an answer, with files, together with others."""

from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from graph_line import KEY
from outlook_world import BOX, NOTHING, a_mail, graph_refusal, keys, message, outlook_sandbox, sent_body, trace

from adapters.outlook import messages, parcels
from adapters.outlook.messages import MARK, STAMP
from adapters.sandbox import graph_upload
from adapters.sandbox.letter import open_letter
from connector.errors import OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import Address, Attachment, DraftRef, Thread, Whereabouts


@pytest.fixture(scope="module")
def sandbox():
    with outlook_sandbox() as running:
        yield running


def a_file(name, size=4):
    return Attachment(name=name, media_type="application/octet-stream", content=bytes(size))


def lying_in(sandbox, place, rep="max@acme.example", key=None):
    mails = sandbox.world.boxes[rep].mails.values()
    return [one for one in mails if one.place == place and key in (None, one.stamp)]


# ---------------------------------------------------------------------------------------- in one request


def test_a_draft_is_stamped_and_carries_the_unsubscribe_address():
    properties = messages.message_body(a_mail(), mailbox="max@acme.example")["singleValueExtendedProperties"]
    assert properties == [
        {"id": "String {f16ba6a9-2c07-453e-a761-9535c45ec249} Name ConnectorIntentId", "value": KEY},
        {"id": "String 0x1045", "value": "<https://acme.example/u/1>"},
    ]


def test_another_sender_is_named_only_for_an_alias():
    assert "from" not in messages.message_body(a_mail(), mailbox="MAX@acme.example")
    body = messages.message_body(a_mail(sender=Address(email="m@acme.example")), mailbox="max@acme.example")
    assert body["from"] == {"emailAddress": {"address": "m@acme.example"}}


def test_a_draft_is_one_request(wire, outlook):
    wire.post(f"{BOX}/messages", json=message(), status=201)
    draft = outlook.create_draft(a_mail())
    assert draft == DraftRef(
        draft_id="AAk=", provider_id="AAk=", thread_id="C1", internet_message_id="<d@acme.example>"
    )
    (call,) = wire.calls
    assert call.request.headers["Authorization"] == "Bearer token-of-max"
    assert 'IdType="ImmutableId"' in call.request.headers["Prefer"]
    assert outlook.calls == 1


def test_too_large_attachments_are_refused_before_any_call(outlook):
    files = (a_file("a.png", 80_000_000), a_file("b.png", 70_100_000))
    with pytest.raises(Unsupported, match=r"come to 150\.1 MB, and Outlook takes 150 MB: make them smaller"):
        outlook.create_draft(a_mail(attachments=files))
    assert outlook.calls == 0


# ------------------------------------------------------------------------------------------ follow-ups

PREVIOUS = Thread(internet_message_id="<1'@acme.example>", provider_id="OLD=", mailbox="max@acme.example")
STAMPED = {"id": STAMP, "value": KEY}


def test_a_follow_up_is_a_reply_made_ours(wire, outlook):
    """Until its last request it is addressed as Graph does it, to the rep themselves."""
    wire.post(f"{BOX}/messages/OLD%3D/createReply", json=message(subject="RE: Hello"), status=201)
    wire.post(f"{BOX}/messages/AAk%3D/attachments", json={"id": "A"}, status=201)
    wire.patch(f"{BOX}/messages/AAk%3D", json=message())
    assert outlook.create_draft(a_mail(thread=PREVIOUS)).thread_id == "C1"
    begun, attached, finished = (sent_body(call.request) for call in wire.calls)
    unsubscribe = {"id": "String 0x1045", "value": "<https://acme.example/u/1>"}
    properties = [STAMPED, {"id": MARK, "value": "begun"}, unsubscribe]
    assert begun == {"message": {"singleValueExtendedProperties": properties}}
    assert attached["name"] == "a.pdf"
    assert finished["subject"] == "Hello"
    assert finished["body"] == {"contentType": "html", "content": "<p>Hello</p>"}
    assert [to["emailAddress"]["address"] for to in finished["toRecipients"]] == ["ann@north.example"]
    assert finished["singleValueExtendedProperties"] == [STAMPED, {"id": MARK, "value": "0"}, unsubscribe]


def test_a_previous_mail_that_moved_is_found_by_its_message_id(wire, outlook):
    wire.post(f"{BOX}/messages/OLD%3D/createReply", status=404, json=graph_refusal("ErrorItemNotFound"))
    wire.get(f"{BOX}/messages", json={"value": [{"id": "DRAFT", "isDraft": True}, {"id": "NEW", "isDraft": False}]})
    wire.post(f"{BOX}/messages/NEW/createReply", json=message(), status=201)
    wire.patch(f"{BOX}/messages/AAk%3D", json=message())
    outlook.create_draft(a_mail(thread=PREVIOUS, attachments=()))
    query = parse_qs(urlsplit(wire.calls[1].request.url).query)
    assert query["$filter"] == ["internetMessageId eq '<1''@acme.example>'"]


@pytest.mark.parametrize("thread", [PREVIOUS, Thread(provider_id="OLD=", mailbox="eva@acme.example")])
def test_a_previous_mail_that_is_not_here_is_not_replied_to(wire, outlook, thread):
    if thread is PREVIOUS:
        wire.post(f"{BOX}/messages/OLD%3D/createReply", status=404, json=graph_refusal("ErrorItemNotFound"))
        wire.get(f"{BOX}/messages", json=NOTHING)
    wire.post(f"{BOX}/messages", json=message(), status=201)
    assert outlook.create_draft(a_mail(thread=thread)).draft_id == "AAk="


GONE = {"status": 404, "json": graph_refusal("ErrorItemNotFound")}


@pytest.mark.parametrize(
    ("failure", "removal", "raised"),
    [
        ({"status": 400, "json": graph_refusal("ErrorInvalidRecipients")}, {"status": 204}, Refused),
        ({"status": 400, "json": graph_refusal("ErrorInvalidRecipients")}, GONE, Refused),
        ({"status": 504}, {"status": 204}, Retry),
        ({"body": requests.ConnectionError()}, {"status": 204}, Retry),
        (GONE, GONE, Retry),
        ({"status": 504}, {"body": requests.ConnectionError()}, OutcomeUnknown),
        ({"status": 413, "json": graph_refusal("ErrorMessageSizeExceeded")}, {"status": 503}, OutcomeUnknown),
    ],
)
def test_a_draft_that_cannot_be_finished_is_removed(wire, outlook, failure, removal, raised):
    """Once nothing is left of it nothing is unknown; where it may lie there still, it must be looked up."""
    wire.post(f"{BOX}/messages/OLD%3D/createReply", json=message(), status=201)
    wire.post(f"{BOX}/messages/AAk%3D/attachments", **failure)
    wire.post(f"{BOX}/messages/AAk%3D/permanentDelete", **removal)
    with pytest.raises(raised) as caught:
        outlook.create_draft(a_mail(thread=PREVIOUS))
    assert issubclass(type(caught.value), raised)
    assert "PATCH" not in [call.request.method for call in wire.calls], "it was never addressed"


@pytest.mark.parametrize("failure", [{"status": 504}, {"body": requests.ConnectionError()}])
def test_a_draft_whose_last_answer_is_lost_is_left_to_a_look(wire, outlook, failure):
    """It is whole, perhaps: its rep may send it while we ask again, and what is sent must not be removed."""
    wire.post(f"{BOX}/messages/OLD%3D/createReply", json=message(), status=201)
    for _ in range(3):
        wire.patch(f"{BOX}/messages/AAk%3D", **failure)
    with pytest.raises(OutcomeUnknown) as caught:
        outlook.create_draft(a_mail(thread=PREVIOUS, attachments=()))
    assert caught.value.key == KEY
    assert [call.request.method for call in wire.calls] == ["POST", "PATCH", "PATCH", "PATCH"]


def test_a_removal_whose_answer_is_lost_is_asked_for_again(wire, outlook):
    marked = [STAMPED, {"id": MARK, "value": "begun"}]
    wire.get(f"{BOX}/messages/AAk%3D", json=message(singleValueExtendedProperties=marked))
    wire.post(f"{BOX}/messages/AAk%3D/permanentDelete", status=504)
    wire.post(f"{BOX}/messages/AAk%3D/permanentDelete", **GONE)
    outlook.delete_draft(DraftRef(draft_id="AAk=", provider_id="AAk="))


def test_where_nothing_can_be_deleted_for_good_it_goes_into_the_bin(wire, outlook):
    unknown = {"status": 400, "json": graph_refusal("BadRequest")}
    wire.post(f"{BOX}/messages/OLD%3D/createReply", json=message(), status=201)
    wire.post(f"{BOX}/messages/AAk%3D/attachments", status=504)
    wire.post(f"{BOX}/messages/AAk%3D/permanentDelete", **unknown)
    wire.delete(f"{BOX}/messages/AAk%3D", status=204)
    with pytest.raises(Retry):
        outlook.create_draft(a_mail(thread=PREVIOUS))


def test_a_follow_up_carries_our_words_once_and_its_file(sandbox, office):
    box = office()
    first = a_mail(key=next(keys))
    sent = box.send_draft(box.create_draft(first), first.key)
    previous = Thread(
        internet_message_id=sent.internet_message_id, provider_id=sent.provider_id, mailbox="max@acme.example"
    )
    quoted = "<p>Again</p><blockquote>Hello</blockquote>"
    second = a_mail(key=next(keys), subject="Re: Hello", html=quoted, thread=previous)
    draft = box.create_draft(second)
    assert draft.thread_id == sent.thread_id
    (stored,) = lying_in(sandbox, "drafts", key=second.key)
    letter = open_letter(stored.raw)
    assert (letter.subject, letter.to) == ("Re: Hello", (("Ann O'Hara", "ann@north.example"),))
    assert letter.html.count("Hello") == 1
    assert [(file.name, file.content) for file in letter.enclosures] == [("a.pdf", b"%PDF")]


# -------------------------------------------------------------------------------------------- large files

BIG, MIDDLE = a_file("big.bin", 12_000), tuple(a_file(f"{name}.bin", 7_000) for name in "abc")


@pytest.fixture
def low_limits(monkeypatch):
    """Let some thousand bytes be too large for a request; how Graph's own limits are shared out by is tested by unit."""
    monkeypatch.setattr(parcels, "_REQUEST_BYTES", 24_000)
    monkeypatch.setattr(parcels, "LARGEST_IN_JSON", 10_000)
    monkeypatch.setattr(graph_upload, "LEAST", 0)


FILES = {
    "small ones": (a_file("a.pdf"), a_file("b.pdf")),
    "one that needs an upload": (BIG, a_file("a.pdf")),
    "more than a request holds": MIDDLE,
}


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_a_draft_has_all_its_files_and_its_making_is_no_edit(low_limits, sandbox, office, files):
    box, mail = office(), a_mail(key=next(keys), attachments=files)
    draft = box.create_draft(mail)
    (stored,) = lying_in(sandbox, "drafts", key=mail.key)
    letter = open_letter(stored.raw)
    assert sorted((one.name, len(one.content)) for one in letter.enclosures) == sorted(
        (one.name, len(one.content)) for one in files
    )
    assert (letter.to, letter.subject) == ((("Ann O'Hara", "ann@north.example"),), "Hello")
    found = box.find(trace(mail, draft, sandbox))
    assert (found.where, found.edited, found.draft.draft_id) == (Whereabouts.DRAFT, False, draft.draft_id)


def test_files_that_took_long_to_arrive_are_no_edit():
    made = "2026-11-24T08:00:00Z"
    took_a_minute = message(createdDateTime=made, lastModifiedDateTime="2026-11-24T08:01:05Z")
    marked = {"singleValueExtendedProperties": [{"id": MARK, "value": "60"}]}
    assert messages.was_edited(took_a_minute)
    assert not messages.was_edited(took_a_minute | marked)
    assert messages.was_edited(took_a_minute | marked | {"lastModifiedDateTime": "2026-11-24T08:01:30Z"})


@pytest.mark.parametrize("files", [(BIG,), MIDDLE], ids=["upload", "attachment"])
@pytest.mark.parametrize(("lost", "path"), [("POST", "/messages"), ("POST", "attachments"), ("PATCH", "/messages")])
def test_a_draft_whose_making_broke_off_is_made_anew_and_whole(low_limits, sandbox, office, files, lost, path):
    """Whatever answer is lost, and although what lies there cannot be removed: one draft, with all its files."""
    box, mail = office("lost@acme.example"), a_mail(key=next(keys), attachments=files)
    mail = a_mail(key=mail.key, attachments=files, sender=Address(email="lost@acme.example"))
    sandbox.act("outlook_fails_next", fault="gateway_timeout_after_acting", method=lost, path=path, times=3)
    sandbox.act("outlook_fails_next", fault="server_busy", method="POST", path="permanentDelete")
    with pytest.raises(OutcomeUnknown):
        box.create_draft(mail)
    for fault in ("gateway_timeout_after_acting", "server_busy"):
        sandbox.act("outlook_fails_next", fault=fault, times=0)
    found = box.find(trace(mail, None, sandbox))
    for left in found.extra:
        box.delete_draft(left)
    if found.where is Whereabouts.ABSENT:
        found = box.find(trace(mail, box.create_draft(mail), sandbox))
    assert (found.where, found.extra) == (Whereabouts.DRAFT, ())
    (stored,) = lying_in(sandbox, "drafts", "lost@acme.example", mail.key)
    letter = open_letter(stored.raw)
    assert [address for _, address in letter.to] == ["ann@north.example"]
    assert len(letter.enclosures) == len(files)
    assert lying_in(sandbox, "trash", "lost@acme.example") == [], "what was never whole lies in no bin"


# ---------------------------------------------------------------------------------- several drafts together


def test_plain_drafts_go_together_in_one_call(sandbox, office):
    box, mails = office("four@acme.example"), [a_mail(key=next(keys), subject=f"{number}") for number in range(4)]
    mails = [a_mail(key=one.key, subject=one.subject, sender=Address(email="four@acme.example")) for one in mails]
    drafts = box.create_drafts(mails)
    assert box.calls == 1
    stored = {one.second_id: one for one in lying_in(sandbox, "drafts", "four@acme.example")}
    assert [(stored[one.draft_id].head.subject, stored[one.draft_id].stamp) for one in drafts] == [
        (mail.subject, mail.key) for mail in mails
    ]


def test_what_is_not_plain_is_placed_by_itself_and_the_order_kept(low_limits, sandbox, office):
    box = office()
    first = a_mail(key=next(keys))
    sent = box.send_draft(box.create_draft(first), first.key)
    previous = Thread(provider_id=sent.provider_id, mailbox="max@acme.example")
    mails = [
        a_mail(key=next(keys), subject="Re: Hello", thread=previous),
        a_mail(key=next(keys), subject="Plain"),
        a_mail(key=next(keys), subject="Large", attachments=(BIG,)),
        a_mail(key=next(keys), subject="Too large", attachments=(a_file("x", 150_000_001),)),
    ]
    answer, plain, large, refused = box.create_drafts(mails)
    subjects = {one.second_id: one.head.subject for one in lying_in(sandbox, "drafts")}
    assert [subjects[one.draft_id] for one in (answer, plain, large)] == ["Re: Hello", "Plain", "Large"]
    assert answer.thread_id == sent.thread_id
    assert isinstance(refused, Unsupported)


def test_more_than_one_request_holds_goes_in_two(low_limits, sandbox, office):
    box = office()
    mails = [a_mail(key=next(keys), attachments=(a_file("a.bin", 9_000),)) for _ in range(3)]
    before = box.calls
    assert all(isinstance(draft, DraftRef) for draft in box.create_drafts(mails))
    assert box.calls == before + 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": 429, "json": graph_refusal("ApplicationThrottled")}, Retry),
        ({"status": 401, "json": graph_refusal("InvalidAuthenticationToken")}, Reconnect),
    ],
)
def test_once_the_mailbox_must_wait_the_rest_is_not_tried(low_limits, wire, outlook, answer, kind):
    """What was placed before is told all the same."""
    mails = [a_mail(key=next(keys), attachments=(a_file("a.bin", 9_000),)) for _ in range(2)]
    mails.append(a_mail(key=next(keys), thread=PREVIOUS))
    wire.post("https://graph.microsoft.com/v1.0/$batch", json=_made(mails[0].key))
    wire.post("https://graph.microsoft.com/v1.0/$batch", **answer)
    made, *others = outlook.create_drafts(mails)
    assert made.draft_id == "AAk="
    assert [type(one) for one in others] == [kind, kind]
    assert outlook.calls == 2


def _made(key):
    return {"responses": [{"id": key, "status": 201, "body": message()}]}
