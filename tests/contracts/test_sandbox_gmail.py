"""The simulated Gmail's drafts, threads and history, driven by Google's own client."""

import base64
import re
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from gmail_client import ANA, BOB, KEY, draft_body, fresh_sandbox, gmail_of, headers_of, run, send_stamped
from googleapiclient.errors import HttpError


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def gmail(sandbox):
    with gmail_of(sandbox) as service:
        yield service.users()


# ---------------------------------------------------------------------------------------------------- drafts


def test_sending_a_draft_gives_another_id_and_another_message_id(gmail):
    draft = run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    assert draft["message"]["labelIds"] == ["DRAFT"]
    full = run(gmail.drafts().get(userId="me", id=draft["id"], format="full"))
    assert headers_of(full["message"])["message-id"] == "<ours@acme.example>"

    sent = run(gmail.drafts().send(userId="me", body={"id": draft["id"]}))

    assert sent["labelIds"] == ["SENT"]
    assert sent["id"] != draft["message"]["id"]
    assert sent["threadId"] == draft["message"]["threadId"]
    headers = headers_of(run(gmail.messages().get(userId="me", id=sent["id"], format="metadata")))
    assert re.fullmatch(r"<\S+@mail\.gmail\.com>", headers["message-id"])
    assert headers["x-connector-intent"] == KEY
    for gone in (
        gmail.drafts().get(userId="me", id=draft["id"]),
        gmail.drafts().send(userId="me", body={"id": draft["id"]}),
    ):
        with pytest.raises(HttpError) as refused:
            run(gone)
        assert refused.value.status_code == 404
    assert run(gmail.drafts().list(userId="me")) == {"resultSizeEstimate": 0}


def test_an_update_keeps_the_draft_id_and_changes_the_message_id(gmail):
    draft = run(gmail.drafts().create(userId="me", body=draft_body()))
    thread = draft["message"]["threadId"]
    saved = run(gmail.drafts().update(userId="me", id=draft["id"], body=draft_body(thread, text="New words")))
    assert saved["id"] == draft["id"]
    assert saved["message"]["id"] != draft["message"]["id"]
    assert saved["message"]["threadId"] == thread
    raw = run(gmail.drafts().get(userId="me", id=draft["id"], format="raw"))["message"]["raw"]
    parsed = message_from_bytes(base64.urlsafe_b64decode(raw), policy=policy.default)
    assert parsed.get_content().strip() == "New words"
    orphan = run(gmail.drafts().update(userId="me", id=draft["id"], body=draft_body()))
    assert orphan["message"]["threadId"] != thread, "an update without threadId leaves the thread"


def test_lists_come_in_pages_newest_first(gmail, sandbox):
    made = []
    for _ in range(5):
        made.append(run(gmail.drafts().create(userId="me", body=draft_body()))["id"])
        sandbox.clock.advance(timedelta(seconds=1))
    seen, token = [], None
    while True:
        page = run(gmail.drafts().list(userId="me", maxResults=2, pageToken=token))
        seen += [one["id"] for one in page["drafts"]]
        token = page.get("nextPageToken")
        if not token:
            break
    assert seen == made[::-1]


def test_multipart_mail_is_told_part_by_part(gmail, sandbox):
    run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    sandbox.act("rep_edits_draft", key=KEY, body="<p>Grüße</p>")
    (one,) = run(gmail.drafts().list(userId="me"))["drafts"]
    payload = run(gmail.drafts().get(userId="me", id=one["id"]))["message"]["payload"]
    assert payload["mimeType"] == "multipart/alternative"
    assert [part["mimeType"] for part in payload["parts"]] == ["text/plain", "text/html"]
    html = base64.urlsafe_b64decode(payload["parts"][1]["body"]["data"]).decode()
    assert html.strip() == '<div dir="ltr"><p>Grüße</p></div>'


# --------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize(
    ("subject", "answers", "joins"),
    [
        ("Re: Quarterly plan", True, True),
        ("Quarterly plan", True, True),
        ("Another matter", True, False),
        ("Re: Quarterly plan", False, False),
    ],
)
def test_a_thread_is_joined_only_with_references_and_subject(gmail, subject, answers, joins):
    first = send_stamped(gmail)
    sent_id = headers_of(first)["message-id"]
    headers = {"In_Reply_To": sent_id, "References": sent_id} if answers else {}
    body = draft_body(first["threadId"], subject=subject, **headers)
    draft = run(gmail.drafts().create(userId="me", body=body))
    assert (draft["message"]["threadId"] == first["threadId"]) is joins
    thread = run(gmail.threads().get(userId="me", id=first["threadId"], format="minimal"))
    assert len(thread["messages"]) == (2 if joins else 1)


@pytest.mark.parametrize(("thread", "status"), [("19a9000000999999", 404), ("not a thread", 400)])
def test_an_unknown_thread_is_refused(gmail, thread, status):
    with pytest.raises(HttpError) as refused:
        run(gmail.drafts().create(userId="me", body=draft_body(thread)))
    assert refused.value.status_code == status


# --------------------------------------------------------------------------------------------------- history


def test_history_tells_edits_sends_and_replies(gmail, sandbox):
    draft = run(gmail.drafts().create(userId="me", body=draft_body(X_Connector_Intent=KEY)))
    start = run(gmail.getProfile(userId="me"))["historyId"]
    assert run(gmail.history().list(userId="me", startHistoryId=start)) == {"historyId": start}

    edited = sandbox.act("rep_edits_draft", key=KEY, body="<p>Hi</p>")
    sent = sandbox.act("rep_sends_draft", key=KEY, via="phone")
    reply = sandbox.act("prospect_replies", person=BOB)

    answer = run(gmail.history().list(userId="me", startHistoryId=start))
    told = []
    for record in answer["history"]:
        for kind in ("messagesAdded", "messagesDeleted"):
            told += [(kind, one["message"]["id"], one["message"].get("labelIds")) for one in record.get(kind, [])]
    assert told == [
        ("messagesDeleted", draft["message"]["id"], ["DRAFT"]),
        ("messagesAdded", edited["id"], ["DRAFT"]),
        ("messagesDeleted", edited["id"], ["DRAFT"]),
        ("messagesAdded", sent["id"], ["SENT"]),
        ("messagesAdded", reply["id"], ["UNREAD", "INBOX"]),
    ]
    only = run(gmail.history().list(userId="me", startHistoryId=start, historyTypes=["messageAdded"], labelId="SENT"))
    assert [one["messagesAdded"][0]["message"]["id"] for one in only["history"]] == [sent["id"]]
    paged = run(gmail.history().list(userId="me", startHistoryId=start, maxResults=2))
    rest = run(gmail.history().list(userId="me", startHistoryId=start, pageToken=paged["nextPageToken"]))
    assert [one["id"] for one in paged["history"] + rest["history"]] == [one["id"] for one in answer["history"]]


def test_history_tells_the_bin_as_labels(gmail, sandbox):
    send_stamped(gmail)
    reply = sandbox.act("prospect_replies", person=BOB)
    start = run(gmail.getProfile(userId="me"))["historyId"]
    run(gmail.messages().trash(userId="me", id=reply["id"]))
    (record,) = run(gmail.history().list(userId="me", startHistoryId=start))["history"]
    assert record["labelsAdded"][0]["labelIds"] == ["TRASH"]
    assert record["labelsRemoved"][0]["labelIds"] == ["INBOX"]
    assert "messages" not in run(gmail.messages().list(userId="me", q="in:inbox"))
    assert run(gmail.messages().list(userId="me", q="in:trash"))["messages"][0]["id"] == reply["id"]


def test_expired_history_is_404_and_a_fresh_start_works(gmail, sandbox):
    start = run(gmail.getProfile(userId="me"))["historyId"]
    sandbox.act("gmail_expires_history", rep=ANA)
    with pytest.raises(HttpError) as refused:
        run(gmail.history().list(userId="me", startHistoryId=start))
    assert refused.value.status_code == 404
    fresh = run(gmail.getProfile(userId="me"))["historyId"]
    assert run(gmail.history().list(userId="me", startHistoryId=fresh))["historyId"] == fresh
