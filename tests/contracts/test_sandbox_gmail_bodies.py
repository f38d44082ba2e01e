"""Every method the simulated Gmail serves, called once by Google's own client: each body is Google's, both ways."""

import base64
from email.message import EmailMessage

import pytest
from gmail_client import ANA, BOB, KEY, draft_body, fresh_sandbox, gmail_of, run

from adapters.sandbox.gmail_methods import METHODS


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


def with_file():
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["X-Connector-Intent"] = ANA, BOB, "Offer für 東京", KEY
    mail.set_content("See below")
    mail.add_alternative("<p>See below</p>", subtype="html")
    mail.add_attachment(b"offer", maintype="application", subtype="pdf", filename="Angebot für Zoë.pdf")
    return {"raw": base64.urlsafe_b64encode(mail.as_bytes()).decode()}


def use_everything(users, sandbox):
    """Call each method at least once, with what makes its answer as full as it gets."""
    drafts, messages, threads, labels = users.drafts(), users.messages(), users.threads(), users.labels()
    start = run(users.getProfile(userId="me"))["historyId"]
    for number in range(3):
        run(drafts.create(userId="me", body=draft_body(subject=f"Plan {number}")))
    draft = run(drafts.create(userId="me", body={"message": with_file()}))
    draft = run(drafts.update(userId="me", id=draft["id"], body={"message": with_file()}))
    page = run(drafts.list(userId="me", maxResults=2))
    run(drafts.list(userId="me", q="in:drafts", pageToken=page["nextPageToken"]))
    for shown in ("full", "metadata", "minimal", "raw"):
        run(drafts.get(userId="me", id=draft["id"], format=shown))
    run(drafts.delete(userId="me", id=page["drafts"][-1]["id"]))
    sent = run(drafts.send(userId="me", body={"id": draft["id"]}))
    run(messages.send(userId="me", body=draft_body()["message"]))
    for provider in ("gmail", "postfix", "qmail"):
        sandbox.act("prospect_bounces", key=KEY, provider=provider)
    sandbox.act("prospect_answers_invitation", key=KEY)
    reply = sandbox.act("prospect_replies", key=KEY)
    for bring in (messages.insert, messages.import_):
        run(bring(userId="me", body=draft_body()["message"] | {"labelIds": ["INBOX"]}))
    for one in run(messages.list(userId="me", includeSpamTrash=True, labelIds=["INBOX"]))["messages"]:
        for shown in ("full", "metadata", "minimal", "raw"):
            run(messages.get(userId="me", id=one["id"], format=shown, metadataHeaders=["Subject", "From"]))
    payload = run(messages.get(userId="me", id=sent["id"]))["payload"]
    (attached,) = [part["body"]["attachmentId"] for part in payload["parts"] if part["filename"]]
    run(messages.attachments().get(userId="me", messageId=sent["id"], id=attached))
    label = run(labels.create(userId="me", body={"name": "Campaign", "labelListVisibility": "labelShow"}))["id"]
    run(labels.list(userId="me"))
    run(messages.modify(userId="me", id=reply["id"], body={"addLabelIds": [label], "removeLabelIds": ["UNREAD"]}))
    run(labels.get(userId="me", id=label))
    run(threads.modify(userId="me", id=reply["thread"], body={"removeLabelIds": ["INBOX"]}))
    run(threads.list(userId="me", q=f"to:{ANA}"))
    for shown in ("full", "metadata", "minimal"):
        run(threads.get(userId="me", id=reply["thread"], format=shown))
    run(messages.trash(userId="me", id=reply["id"]))
    run(messages.untrash(userId="me", id=reply["id"]))
    run(messages.delete(userId="me", id=reply["id"]))
    history = run(users.history().list(userId="me", startHistoryId=start, maxResults=500))["history"]
    run(users.settings().sendAs().list(userId="me"))
    run(users.settings().sendAs().get(userId="me", sendAsEmail="sales@acme.example"))
    return {key for record in history for key in record}


def test_every_body_is_as_googles_document_has_it(sandbox):
    sandbox.act("add_alias", rep=ANA, alias="sales@acme.example", name="Acme Sales")
    # No scope but this one allows everything, `messages.delete` included.
    with gmail_of(sandbox, "https://mail.google.com/") as service:
        kinds = use_everything(service.users(), sandbox)
        judged = service._http.http.judged
    assert kinds == {"id", "messages", "messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved"}
    assert judged == {f"gmail.{name}" for name in METHODS}
