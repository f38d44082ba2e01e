"""What arrives in the simulated Gmail from outside, seen through the API by Google's own client."""

import base64
from email import message_from_bytes, policy

import pytest
from flufl.bounce import all_failures
from gmail_client import ANA, BOB, CYN, KEY, draft_body, fresh_sandbox, gmail_of, headers_of, run, send_stamped

from connector.errors import BadInput


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def gmail(sandbox):
    with gmail_of(sandbox) as service:
        yield service.users()


def received(gmail, told):
    raw = run(gmail.messages().get(userId="me", id=told["id"], format="raw"))["raw"]
    return message_from_bytes(base64.urlsafe_b64decode(raw), policy=policy.default)


def test_a_reply_lands_in_the_thread_with_the_real_message_id(gmail, sandbox):
    first = send_stamped(gmail)
    told = sandbox.act("prospect_replies", key=KEY, text="Yes!", from_="office@buyer.example", cc="cyn@acme.example")
    reply = received(gmail, told)
    sent_id = headers_of(first)["message-id"]
    assert told["thread"] == first["threadId"]
    assert (reply["In-Reply-To"], reply["References"]) == (sent_id, sent_id)
    assert (reply["From"], reply["Subject"]) == ("office@buyer.example", "Re: Quarterly plan")
    assert sandbox.state()["gmail"]["cyn@acme.example"]["mails"][0]["message_id"] == reply["Message-ID"]


def test_an_out_of_office_says_so_or_does_not(gmail, sandbox):
    send_stamped(gmail)
    marked = received(gmail, sandbox.act("prospect_out_of_office", person=BOB))
    assert marked["Auto-Submitted"] == "auto-replied"
    bare = received(gmail, sandbox.act("prospect_out_of_office", person=BOB, marked=False))
    assert bare["Auto-Submitted"] is None
    assert bare["Subject"] == "Re: Quarterly plan"


@pytest.mark.parametrize(("outcome", "status"), [("failed", "5.1.1"), ("failed", "5.2.2"), ("delayed", "4.4.1")])
def test_a_delivery_report_is_rfc_3464(gmail, sandbox, outcome, status):
    first = send_stamped(gmail)
    told = sandbox.act("prospect_bounces", person=BOB, outcome=outcome, status=status)
    report = received(gmail, told)
    assert told["thread"] == first["threadId"]
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    _text, delivery, original = report.iter_parts()
    about = delivery.get_payload()[1]
    assert (about["Action"], about["Status"], about["Final-Recipient"]) == (outcome, status, f"rfc822; {BOB}")
    assert headers_of(first)["message-id"] in original.get_payload()
    temporary, permanent = all_failures(report)
    assert permanent == ({BOB.encode()} if outcome == "failed" else set())
    assert temporary == ({BOB.encode()} if outcome == "delayed" else set())


def test_mail_between_two_mailboxes_arrives_without_bcc(gmail, sandbox):
    run(gmail.messages().send(userId="me", body=draft_body(to=CYN, Bcc=BOB)["message"]))
    (arrived,) = sandbox.state()["gmail"]["cyn@acme.example"]["mails"]
    assert (arrived["place"], arrived["to"]) == ("inbox", ["cyn@acme.example"])


@pytest.mark.parametrize("provider", ["gmail", "exchange", "postfix", "exim", "sendmail", "amazon_ses", "qmail"])
@pytest.mark.parametrize("outcome", ["failed", "delayed"])
def test_every_provider_is_understood_by_those_who_know_bounces(gmail, sandbox, provider, outcome):
    first = send_stamped(gmail)
    if provider == "qmail" and outcome == "delayed":
        with pytest.raises(BadInput, match="qmail reports no delays"):
            sandbox.act("prospect_bounces", person=BOB, provider=provider, outcome=outcome)
        return
    report = received(gmail, sandbox.act("prospect_bounces", person=BOB, provider=provider, outcome=outcome))
    temporary, permanent = all_failures(report)
    assert (permanent if outcome == "failed" else temporary) == {BOB.encode()}
    assert headers_of(first)["message-id"] in report.as_string()
    assert report["Return-Path"] == "<>"


def test_an_unknown_provider_is_refused(gmail, sandbox):
    send_stamped(gmail)
    with pytest.raises(BadInput, match="provider is one of gmail, exchange, postfix"):
        sandbox.act("prospect_bounces", person=BOB, provider="pigeon")


@pytest.mark.parametrize(
    ("answer", "state"), [("accepted", "ACCEPTED"), ("declined", "DECLINED"), ("tentative", "TENTATIVE")]
)
def test_a_calendar_answers(gmail, sandbox, answer, state):
    first = send_stamped(gmail)
    told = sandbox.act("prospect_answers_invitation", key=KEY, answer=answer)
    mail = received(gmail, told)
    assert told["thread"] == first["threadId"]
    (calendar,) = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    assert calendar.get_param("method") == "REPLY"
    assert f"PARTSTAT={state}:mailto:{BOB}" in calendar.get_content()
    with pytest.raises(BadInput, match="answer is accepted, declined, tentative, not 'maybe'"):
        sandbox.act("prospect_answers_invitation", key=KEY, answer="maybe")


@pytest.mark.parametrize("as_bytes", [False, True])
def test_any_mail_arrives_as_it_is(gmail, sandbox, as_bytes):
    first = send_stamped(gmail)
    text = (
        f"From: =?utf-8?q?Zo=C3=AB?= <zoe@elsewhere.example>\nTo: {ANA}\nSubject: Quarterly plan\nX-Odd: kept\n"
        f"References: {headers_of(first)['message-id']}\nContent-Type: text/plain; charset=utf-8\n\nGrüße\n"
    )
    told = sandbox.act("mail_arrives", rep=ANA, raw=text.encode() if as_bytes else text)
    assert (told["thread"], told["from"], told["place"]) == (first["threadId"], "zoe@elsewhere.example", "inbox")
    raw = run(gmail.messages().get(userId="me", id=told["id"], format="raw"))["raw"]
    assert base64.urlsafe_b64decode(raw) == text.replace("\n", "\r\n").encode()


def test_a_mail_taken_for_spam_is_in_no_inbox(gmail, sandbox):
    told = sandbox.act("mail_arrives", rep=ANA, raw="From: a@b.example\nSubject: x\n\nx", spam=True)
    assert run(gmail.messages().get(userId="me", id=told["id"]))["labelIds"] == ["UNREAD", "SPAM"]
    assert run(gmail.messages().list(userId="me")) == {"resultSizeEstimate": 0}


def test_a_server_speaks_its_own_language(gmail, sandbox):
    send_stamped(gmail)
    told = sandbox.act("prospect_out_of_office", person=BOB, subject="Abwesend: Quarterly plan", text="Bis Montag.")
    mail = received(gmail, told)
    assert (mail["Subject"], mail["Auto-Submitted"]) == ("Abwesend: Quarterly plan", "auto-replied")
