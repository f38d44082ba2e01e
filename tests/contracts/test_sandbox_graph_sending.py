"""Answering, forwarding and sending in the simulated Graph: who is written to, when it goes, what arrives."""

import base64
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from graph_client import BEN, BOB, BOSS, IMMUTABLE, KEY, fresh_sandbox, graph_of, message


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def graph(sandbox):
    with graph_of(sandbox) as client:
        yield client


def people(*addresses):
    return [{"emailAddress": {"address": one}} for one in addresses]


def addresses(shown, name="toRecipients"):
    return [one["emailAddress"]["address"] for one in shown[name]]


def lying(graph, folder, **query):
    return graph("GET", f"/mailFolders/{folder}/messages", params=query, headers=IMMUTABLE)["value"]


def drafted(graph, **parts):
    return graph("POST", "/messages", message(**parts), status=201, headers=IMMUTABLE)


def sent(graph, **parts):
    draft = drafted(graph, **parts)
    graph("POST", f"/messages/{draft['id']}/send", status=202, headers=IMMUTABLE)
    return draft


def mime_of(graph, shown):
    return message_from_bytes(graph("GET", f"/messages/{shown['id']}/$value", headers=IMMUTABLE), policy=policy.default)


# ----------------------------------------------------------------------------------------- answers and forwards

FILE = {
    "@odata.type": "#microsoft.graph.fileAttachment",
    "name": "plan.pdf",
    "contentType": "application/pdf",
    "contentBytes": base64.b64encode(b"%PDF").decode(),
}


def test_a_forward_goes_to_nobody_yet_and_takes_the_files_along(graph):
    first = sent(graph, attachments=[FILE])
    path = f"/messages/{first['id']}"
    empty = graph("POST", f"{path}/createForward", {"comment": "See below"}, status=201, headers=IMMUTABLE)
    assert (empty["subject"], empty["toRecipients"]) == ("FW: Quarterly plan", [])
    assert empty["conversationId"] == first["conversationId"]
    assert empty["hasAttachments"] is True
    assert "See below" in empty["body"]["content"]
    to_boss = graph("POST", f"{path}/createForward", {"toRecipients": people(BOSS)}, headers=IMMUTABLE)
    assert addresses(to_boss) == [BOSS]
    both = {"toRecipients": people(BOSS), "message": {"toRecipients": people(BOB)}}
    assert graph.refused("POST", f"{path}/createForward", both, headers=IMMUTABLE) == (400, "ErrorInvalidArgument")


@pytest.mark.parametrize(
    ("action", "body", "to", "subject"),
    [
        ("reply", {"comment": "More"}, [BOB], "Re: Quarterly plan"),
        ("replyAll", {"comment": "More"}, [BOB, BOSS], "Re: Quarterly plan"),
        ("reply", {"message": {"toRecipients": people(BOSS)}, "comment": "More"}, [BOSS], "Re: Quarterly plan"),
        ("forward", {"toRecipients": people(BOSS), "comment": "More"}, [BOSS], "FW: Re: Quarterly plan"),
    ],
)
def test_an_answer_can_be_sent_at_once(graph, sandbox, action, body, to, subject):
    first = sent(graph)
    received = sandbox.act("prospect_replies", person=BOB, cc=BOSS)
    path = f"/messages/{received['id']}/{action}"
    assert graph("POST", path, body, status=202) == b""
    answer = next(one for one in lying(graph, "sentitems") if one["id"] != first["id"])
    assert (addresses(answer) + addresses(answer, "ccRecipients"), answer["subject"]) == (
        to,
        subject,
    )
    assert answer["conversationId"] == first["conversationId"]
    assert mime_of(graph, answer)["In-Reply-To"] == received["message_id"]


def test_a_forward_to_nobody_is_not_sent(graph):
    first = sent(graph)
    path = f"/messages/{first['id']}/forward"
    assert graph.refused("POST", path, {"comment": "x"}, headers=IMMUTABLE) == (400, "ErrorInvalidRecipients")


def test_a_mail_goes_to_five_hundred_people_at_most(graph):
    crowd = [f"p{number}@buyer.example" for number in range(501)]
    draft = drafted(graph, toRecipients=people(*crowd))
    path = f"/messages/{draft['id']}"
    assert graph.refused("POST", f"{path}/send", headers=IMMUTABLE) == (400, "ErrorInvalidRecipients")
    graph("PATCH", path, {"toRecipients": people(*crowd[:500])}, headers=IMMUTABLE)
    graph("POST", f"{path}/send", status=202, headers=IMMUTABLE)


def test_nobody_sends_as_somebody_else(graph, sandbox):
    draft = drafted(graph, **{"from": people(BOSS)[0]})
    assert addresses({"from": [draft["from"]]}, "from") == [BOSS]
    assert graph.refused("POST", f"/messages/{draft['id']}/send", headers=IMMUTABLE) == (403, "ErrorSendAsDenied")
    body = {"message": message(**{"from": people(BOSS)[0]})}
    assert graph.refused("POST", "/sendMail", body) == (403, "ErrorSendAsDenied")
    sandbox.act("add_alias", rep=BEN, alias=BOSS)
    graph("POST", f"/messages/{draft['id']}/send", status=202, headers=IMMUTABLE)


def test_a_mime_draft_that_answers_a_mail_is_in_its_conversation(graph):
    first = sent(graph)
    mail = f"To: {BOB}\r\nSubject: Re: Quarterly plan\r\nIn-Reply-To: {first['internetMessageId']}\r\n\r\nAgain\r\n"
    body = base64.b64encode(mail.encode())
    made = graph.raw("POST", f"{graph.owner}/messages", data=body, headers={"Content-Type": "text/plain"}).json()
    assert made["conversationId"] == first["conversationId"]
    assert mime_of(graph, made)["In-Reply-To"] == first["internetMessageId"]
    stranger = drafted(graph, subject="Re: Quarterly plan")
    assert stranger["conversationId"] != first["conversationId"]


# ------------------------------------------------------------------------------------------------ when it goes


def deferred(at):
    return {"singleValueExtendedProperties": [{"id": "SystemTime 0x3FEF", "value": at}]}


def test_a_deferred_mail_waits_in_drafts_and_then_goes_once(graph, sandbox):
    draft = drafted(graph, **deferred("2026-11-24T13:00:00Z"))
    path = f"/messages/{draft['id']}/send"
    graph("POST", path, status=202, headers=IMMUTABLE)
    graph("POST", path, status=202, headers=IMMUTABLE)
    assert [one["id"] for one in lying(graph, "drafts")] == [draft["id"]]
    sandbox.clock.advance(timedelta(minutes=59))
    assert lying(graph, "sentitems") == []
    sandbox.clock.advance(timedelta(minutes=2))
    assert [one["id"] for one in lying(graph, "sentitems")] == [draft["id"]]
    assert lying(graph, "drafts") == []
    assert [one["effect"] for one in sandbox.log.effects].count("mail_sent") == 1


def test_a_deferred_mail_is_cancelled_by_deleting_it_and_a_past_time_is_now(graph, sandbox):
    dropped = drafted(graph, **deferred("2026-11-24T13:00:00Z"))
    graph("POST", f"/messages/{dropped['id']}/send", status=202, headers=IMMUTABLE)
    graph("DELETE", f"/messages/{dropped['id']}", status=204, headers=IMMUTABLE)
    sandbox.clock.advance(timedelta(hours=2))
    assert lying(graph, "sentitems") == []
    late = sent(graph, **deferred("2026-11-24T13:00:00Z"))
    assert [one["id"] for one in lying(graph, "sentitems")] == [late["id"]]
    wrong = drafted(graph, **deferred("tomorrow"))
    assert graph.refused("POST", f"/messages/{wrong['id']}/send", headers=IMMUTABLE) == (400, "ErrorInvalidProperty")


def test_send_mail_can_be_deferred_too(graph, sandbox):
    body = {"message": message(**deferred("2026-11-24T13:00:00Z"))}
    graph("POST", "/sendMail", body, status=202)
    assert len(lying(graph, "drafts")) == 1
    sandbox.clock.advance(timedelta(hours=1))
    assert (len(lying(graph, "drafts")), len(lying(graph, "sentitems"))) == (0, 1)


def test_what_is_over_the_pace_waits_in_the_outbox(graph, sandbox):
    sandbox.act("mail_settings", outlook_sends_per_minute=2)
    for number in range(5):
        sent(graph, subject=f"Plan {number}")
    counts = []
    for _ in range(3):
        counts.append((len(lying(graph, "sentitems")), len(lying(graph, "outbox")), len(lying(graph, "drafts"))))
        sandbox.clock.advance(timedelta(minutes=1))
    assert counts == [(2, 3, 0), (4, 1, 0), (5, 0, 0)]


# ------------------------------------------------------------------------------------------------- what arrives


def test_the_unsubscribe_property_is_a_header_however_it_is_sent(graph):
    properties = [{"id": "String 0x1045", "value": "<https://acme.example/u/1>"}]
    graph("POST", "/sendMail", {"message": message(singleValueExtendedProperties=properties)}, status=202)
    (one,) = lying(graph, "sentitems")
    assert mime_of(graph, one)["List-Unsubscribe"] == "<https://acme.example/u/1>"


@pytest.mark.parametrize(("via", "kept"), [("web", True), ("desktop", False)])
def test_classic_outlook_sends_without_the_x_headers(graph, sandbox, via, kept):
    draft = drafted(graph, internetMessageHeaders=[{"name": "X-Own", "value": "1"}])
    sandbox.act("rep_sends_draft", key=KEY, via=via)
    parsed = mime_of(graph, draft)
    assert (parsed["X-Own"] == "1", parsed["Message-ID"] == draft["internetMessageId"]) == (kept, kept)


@pytest.mark.parametrize("shares", [False, True])
def test_mails_of_one_subject_may_share_a_conversation(graph, sandbox, shares):
    sandbox.act("mail_settings", outlook_shares_conversations=shares)
    first, second = drafted(graph), drafted(graph, toRecipients=people(BOSS))
    stranger = sandbox.act("prospect_writes", person=BOSS, rep=BEN, subject="Re: Quarterly plan")
    other = drafted(graph, subject="Another plan")
    threads = [second["conversationId"], stranger["thread"]]
    assert [one == first["conversationId"] for one in threads] == [shares, shares]
    assert other["conversationId"] != first["conversationId"]


def test_a_rule_puts_an_answer_past_the_inbox_where_delta_does_not_see_it(graph, sandbox):
    first = sent(graph)
    inbox = graph("GET", "/mailFolders/inbox/messages/delta")
    archive = graph("GET", "/mailFolders/archive/messages/delta")
    sandbox.act("rep_makes_rule", rep=BEN, person=BOB, folder="archive")
    answer = sandbox.act("prospect_replies", person=BOB)
    sandbox.act("prospect_replies", person=BOB, from_=BOSS)
    inbox, archive = (graph.follow(one["@odata.deltaLink"]) for one in (inbox, archive))
    assert [addresses({"from": [one["from"]]}, "from") for one in inbox["value"]] == [[BOSS]]
    assert [one["id"] for one in archive["value"]] == [answer["id"]]
    query = {"$filter": f"conversationId eq '{first['conversationId']}'"}
    assert answer["id"] in [one["id"] for one in graph("GET", "/messages", params=query)["value"]]
    with pytest.raises(Exception, match="a rule puts mails into"):
        sandbox.act("rep_makes_rule", rep=BEN, folder="sent")


def test_a_mail_that_moves_is_removed_here_and_new_there(graph, sandbox):
    sent(graph)
    received = sandbox.act("prospect_replies", person=BOB)
    links = {folder: graph("GET", f"/mailFolders/{folder}/messages/delta") for folder in ("inbox", "junkemail")}
    moved = graph("POST", f"/messages/{received['id']}/move", {"destinationId": "junkemail"}, status=201)
    inbox, junk = (graph.follow(one["@odata.deltaLink"])["value"] for one in links.values())
    assert inbox == [{"@removed": {"reason": "deleted"}, "id": received["id"]}]
    assert [one["id"] for one in junk] == [moved["id"]]
    assert moved["id"] != received["id"]
    assert graph("GET", f"/messages/{received['second_id']}", headers=IMMUTABLE)["id"] == received["second_id"]
