"""What reps do in the simulated Gmail, seen through the API by Google's own client."""

import base64
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from gmail_client import (
    ANA,
    BOB,
    KEY,
    draft_body,
    fresh_sandbox,
    gmail_of,
    headers_of,
    run,
    send_stamped,
)
from googleapiclient.errors import HttpError

from connector.errors import BadInput


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def gmail(sandbox):
    with gmail_of(sandbox) as service:
        yield service.users()


def stamped_draft(gmail, **parts):
    return run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY, **parts)))


def places(gmail):
    """Count the mails of each place."""
    wanted = ("drafts", "sent", "scheduled", "trash")
    return {one: run(gmail.messages().list(userId="me", q=f"in:{one}"))["resultSizeEstimate"] for one in wanted}


def only(**counts):
    return {"drafts": 0, "sent": 0, "scheduled": 0, "trash": 0} | counts


def history(gmail, start):
    """Return what happened since, as (kind, labels)."""
    records = run(gmail.history().list(userId="me", startHistoryId=start)).get("history", [])
    return [
        (kind, sorted(one["message"].get("labelIds", [])))
        for record in records
        for kind in ("messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved")
        for one in record.get(kind, [])
    ]


def now_at(gmail):
    return run(gmail.getProfile(userId="me"))["historyId"]


def the_draft(gmail):
    (one,) = run(gmail.drafts().list(userId="me"))["drafts"]
    return run(gmail.drafts().get(userId="me", id=one["id"], format="metadata"))


def the_sent(gmail):
    (one,) = run(gmail.messages().list(userId="me", labelIds=["SENT"]))["messages"]
    return run(gmail.messages().get(userId="me", id=one["id"], format="full"))


def raw_mail(gmail, message_id):
    raw = run(gmail.messages().get(userId="me", id=message_id, format="raw"))["raw"]
    return message_from_bytes(base64.urlsafe_b64decode(raw), policy=policy.default)


def sends(sandbox):
    return [one for one in sandbox.log.effects if one["effect"] == "mail_sent"]


@pytest.mark.parametrize("drops", [False, True])
def test_an_edited_draft_keeps_or_loses_its_stamp(gmail, sandbox, drops):
    sandbox.act("mail_settings", gmail_edit_drops_stamp=drops, gmail_edit_changes_draft_id=True)
    draft = run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    edited = sandbox.act("rep_edits_draft", rep=ANA, person=BOB, subject="Another matter")
    assert edited["key"] == ("" if drops else KEY)
    assert edited["thread"] != draft["message"]["threadId"]
    assert [one["id"] for one in run(gmail.drafts().list(userId="me"))["drafts"]] == [edited["second_id"]]
    assert edited["second_id"] != draft["id"]


def test_a_scheduled_draft_is_neither_draft_nor_sent_until_its_time(gmail, sandbox):
    run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    sandbox.act("rep_schedules_draft", key=KEY, minutes=30)
    places = {"in:drafts": 0, "in:sent": 0, "in:scheduled": 1}
    assert {q: run(gmail.messages().list(userId="me", q=q))["resultSizeEstimate"] for q in places} == places
    sandbox.clock.advance(timedelta(minutes=31))
    places = {"in:drafts": 0, "in:sent": 1, "in:scheduled": 0}
    assert {q: run(gmail.messages().list(userId="me", q=q))["resultSizeEstimate"] for q in places} == places


# ------------------------------------------------------------------------------------------------ ids on edit


@pytest.mark.parametrize("changes_id", [False, True])
@pytest.mark.parametrize("changes_thread", [False, True])
@pytest.mark.parametrize("changes_message_id", [False, True])
@pytest.mark.parametrize("edit", [{"subject": "Another matter"}, {"body": "<p>New</p>"}, {"to": "eve@buyer.example"}])
def test_what_an_edit_changes(gmail, sandbox, changes_id, changes_thread, changes_message_id, edit):
    sandbox.act(
        "mail_settings",
        gmail_edit_changes_draft_id=changes_id,
        gmail_edit_changes_thread=changes_thread,
        gmail_edit_changes_message_id=changes_message_id,
    )
    before = stamped_draft(gmail)
    sandbox.act("rep_edits_draft", key=KEY, **edit)
    after = the_draft(gmail)
    assert after["message"]["id"] != before["message"]["id"], "each save is a new message"
    assert (after["id"] != before["id"]) is changes_id
    moved = changes_thread and "subject" in edit
    assert (after["message"]["threadId"] != before["message"]["threadId"]) is moved
    assert (headers_of(after["message"])["message-id"] != "<ours@acme.example>") is changes_message_id


def test_autosaves_leave_a_trail_of_drafts(gmail, sandbox):
    draft = stamped_draft(gmail)
    start = now_at(gmail)
    told = sandbox.act("rep_autosaves_draft", key=KEY, saves=4, body="<p>All of it</p>")
    assert history(gmail, start) == [("messagesDeleted", ["DRAFT"]), ("messagesAdded", ["DRAFT"])] * 4
    after = the_draft(gmail)
    assert (after["id"], after["message"]["id"]) == (draft["id"], told["id"])
    assert "All of it" in raw_mail(gmail, told["id"]).get_body().get_content()
    # What was saved in between is gone, as the client would find when it is slow to look.
    added = run(gmail.history().list(userId="me", startHistoryId=start, historyTypes=["messageAdded"]))["history"]
    first = added[0]["messagesAdded"][0]["message"]["id"]
    with pytest.raises(HttpError) as gone:
        run(gmail.messages().get(userId="me", id=first))
    assert gone.value.status_code == 404


# ---------------------------------------------------------------------------------------- ways to finish a draft


def test_a_mail_of_the_drafts_text_leaves_the_draft(gmail):
    stamped_draft(gmail)
    run(gmail.messages().send(userId="me", body=draft_body(X_Connector_Intent=KEY)["message"]))
    assert places(gmail) == only(drafts=1, sent=1)


def test_the_api_overwrites_a_message_id_given_when_a_draft_is_sent(gmail):
    draft = stamped_draft(gmail)
    body = {"id": draft["id"], **draft_body(subject="Quarterly plan", text="Newer", X_Connector_Intent=KEY)}
    sent = run(gmail.drafts().send(userId="me", body=body))
    mail = raw_mail(gmail, sent["id"])
    assert mail["Message-ID"].endswith("@mail.gmail.com>")
    assert mail.get_content().strip() == "Newer"
    assert sent["threadId"] == draft["message"]["threadId"]


def test_another_mail_program_keeps_nothing_of_ours(gmail, sandbox):
    draft = stamped_draft(gmail)
    sandbox.clock.advance(timedelta(hours=5))
    sandbox.act("rep_sends_from_phone", key=KEY)
    sent = the_sent(gmail)
    headers = headers_of(sent)
    assert "x-connector-intent" not in headers
    assert headers["message-id"].endswith("@mail.example>"), "SMTP keeps the program's own"
    assert headers["subject"] == "Quarterly plan"
    assert sent["threadId"] != draft["message"]["threadId"]
    assert places(gmail) == only(sent=1)


def test_a_phone_answers_in_the_thread_by_its_references(gmail, sandbox):
    first = send_stamped(gmail)
    sent_id = headers_of(first)["message-id"]
    run(
        gmail.drafts().create(
            userId="me",
            body=draft_body(first["threadId"], subject="Re: Quarterly plan", In_Reply_To=sent_id, References=sent_id),
        )
    )
    told = sandbox.act("rep_sends_from_phone", rep=ANA, person=BOB)
    assert told["thread"] == first["threadId"]
    assert raw_mail(gmail, told["id"])["References"] == sent_id


def test_an_alias_sends(gmail, sandbox):
    stamped_draft(gmail)
    with pytest.raises(BadInput, match=r"sales@acme\.example is no alias of ana@acme\.example: add_alias first"):
        sandbox.act("rep_sends_from_alias", key=KEY, alias="sales@acme.example")
    sandbox.act("add_alias", rep=ANA, alias="sales@acme.example", name="Acme Sales")
    told = sandbox.act("rep_sends_from_alias", key=KEY, alias="sales@acme.example")
    assert raw_mail(gmail, told["id"])["From"] == "Acme Sales <sales@acme.example>"
    reply = sandbox.act("prospect_replies", key=KEY)
    assert (reply["mailbox"], reply["to"]) == (ANA, ["sales@acme.example"])
    # The API lets the owner write as an alias too, and as nobody else.
    for sender, shown in (("sales@acme.example", "sales@acme.example"), ("eve@buyer.example", ANA)):
        body = draft_body()["message"]
        raw = base64.urlsafe_b64decode(body["raw"]).replace(f"Ana Diaz <{ANA}>".encode(), sender.encode())
        sent = run(gmail.messages().send(userId="me", body={"raw": base64.urlsafe_b64encode(raw).decode()}))
        assert raw_mail(gmail, sent["id"])["From"].addresses[0].addr_spec == shown


def test_a_schedule_is_undone(gmail, sandbox):
    draft = stamped_draft(gmail)
    start = now_at(gmail)
    sandbox.act("rep_schedules_draft", key=KEY, minutes=30)
    sandbox.act("rep_unschedules_draft", key=KEY)
    assert history(gmail, start) == [
        ("messagesDeleted", ["DRAFT"]),
        ("messagesAdded", ["SCHEDULED"]),
        ("messagesDeleted", ["SCHEDULED"]),
        ("messagesAdded", ["DRAFT"]),
    ]
    sandbox.clock.advance(timedelta(hours=1))
    assert places(gmail) == only(drafts=1)
    back = the_draft(gmail)
    assert back["message"]["threadId"] == draft["message"]["threadId"]
    assert headers_of(back["message"])["x-connector-intent"] == KEY
    assert sends(sandbox) == []


def test_a_send_is_undone(gmail, sandbox):
    draft = stamped_draft(gmail)
    sandbox.act("rep_undoes_send", key=KEY, seconds=10)
    assert places(gmail) == only(sent=1)
    sandbox.clock.advance(timedelta(seconds=10))
    assert places(gmail) == only(drafts=1)
    back = the_draft(gmail)
    assert back["id"] == draft["id"]
    assert back["message"]["id"] != draft["message"]["id"]
    assert sends(sandbox) == []
    sandbox.act("rep_sends_draft", key=KEY)
    assert places(gmail) == only(sent=1)


def test_a_send_that_could_be_undone_appears_later(gmail, sandbox):
    sandbox.act("mail_settings", gmail_send_delay=30)
    draft = stamped_draft(gmail)
    sandbox.act("rep_sends_draft", key=KEY)
    assert places(gmail) == only()
    sandbox.clock.advance(timedelta(seconds=30))
    assert places(gmail) == only(sent=1)
    assert the_sent(gmail)["threadId"] == draft["message"]["threadId"]
    assert [one["by"] for one in sends(sandbox)] == ["rep:web"]


@pytest.mark.parametrize("bins", [False, True])
def test_a_discarded_draft_is_gone_or_in_the_bin(gmail, sandbox, bins):
    sandbox.act("mail_settings", gmail_discard_bins=bins)
    draft = stamped_draft(gmail)
    start = now_at(gmail)
    sandbox.act("rep_deletes_draft", key=KEY)
    gone = [("messagesDeleted", ["DRAFT"])]
    assert history(gmail, start) == ([("labelsAdded", ["TRASH"]), ("labelsRemoved", ["TRASH"])] if bins else gone)
    assert places(gmail) == only(trash=int(bins))
    with pytest.raises(HttpError) as refused:
        run(gmail.drafts().get(userId="me", id=draft["id"]))
    assert refused.value.status_code == 404
    assert len(sandbox.act("rep_empties_bin", rep=ANA)["deleted"]) == int(bins)
    assert places(gmail) == only()
    assert [one["effect"] for one in sandbox.log.effects] == ["draft_created", "draft_deleted"]


def test_a_sent_mail_is_thrown_away_for_good(gmail, sandbox):
    sent = send_stamped(gmail)
    told = sandbox.act("rep_bins_mail", key=KEY)
    assert told["id"] == sent["id"]
    assert sorted(run(gmail.messages().get(userId="me", id=sent["id"]))["labelIds"]) == ["SENT", "TRASH"]
    sandbox.act("rep_empties_bin", rep=ANA)
    with pytest.raises(HttpError):
        run(gmail.messages().get(userId="me", id=sent["id"]))


@pytest.mark.parametrize("subject", [None, "My own"])
def test_a_draft_is_discarded_and_written_anew_by_hand(gmail, sandbox, subject):
    draft = stamped_draft(gmail)
    sandbox.act("rep_rewrites_by_hand", key=KEY, subject=subject, text="Mine")
    sent = the_sent(gmail)
    headers = headers_of(sent)
    assert places(gmail) == only(sent=1)
    assert "x-connector-intent" not in headers
    assert sent["threadId"] != draft["message"]["threadId"]
    assert (headers["to"], headers["subject"]) == (f"Bob Buyer <{BOB}>", subject or "Quarterly plan")


def test_a_rep_goes_on_in_the_thread_by_hand(gmail, sandbox):
    first = send_stamped(gmail)
    mine = sandbox.act("rep_replies_by_hand", key=KEY)
    assert (mine["thread"], mine["to"], mine["subject"]) == (first["threadId"], [BOB], "Re: Quarterly plan")
    theirs = sandbox.act("prospect_replies", key=KEY, from_="office@buyer.example")
    answer = sandbox.act("rep_replies_by_hand", key=KEY)
    assert (answer["to"], answer["in_reply_to"]) == (["office@buyer.example"], theirs["message_id"])
    assert len(run(gmail.threads().get(userId="me", id=first["threadId"], format="minimal"))["messages"]) == 4


def test_a_reply_to_a_thread_in_the_bin_is_a_ghost(gmail, sandbox):
    first = send_stamped(gmail)
    sent_id = headers_of(first)["message-id"]
    sandbox.act("rep_bins_mail", key=KEY)
    body = draft_body(first["threadId"], subject="Re: Quarterly plan", In_Reply_To=sent_id, References=sent_id)
    ghost = run(gmail.drafts().create(userId="me", body=body))
    assert ghost["message"]["threadId"] == first["threadId"]
    # The API shows it, the rep's pages do not.
    assert run(gmail.drafts().get(userId="me", id=ghost["id"]))["id"] == ghost["id"]
    with pytest.raises(BadInput, match=r"no mail to bob@buyer\.example lies in the drafts"):
        sandbox.act("rep_sends_draft", rep=ANA, person=BOB)
    run(gmail.messages().untrash(userId="me", id=first["id"]))
    assert sandbox.act("rep_sends_draft", rep=ANA, person=BOB)["thread"] == first["threadId"]


def test_nobody_acts_on_a_mail_that_is_not_there(sandbox):
    with pytest.raises(BadInput, match=r"no mail to bob@buyer\.example lies in the sent of any mailbox"):
        sandbox.act("prospect_replies", person=BOB)


def test_effects_name_the_intent_once_each(gmail, sandbox):
    send_stamped(gmail)
    effects = [(one["effect"], one["key"], one["mailbox"]) for one in sandbox.log.effects]
    assert effects == [("draft_created", KEY, ANA), ("mail_sent", KEY, ANA)]
