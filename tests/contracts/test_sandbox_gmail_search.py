"""The simulated Gmail's search, driven by Google's own client."""

from datetime import timedelta
from email.message import EmailMessage

import pytest
from gmail_client import ANA, BOB, KEY, NOON, draft_body, fresh_sandbox, gmail_of, headers_of, run, send_stamped


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def gmail(sandbox):
    with gmail_of(sandbox) as service:
        yield service.users()


def found(gmail, query, **more):
    """Return the subjects a query finds, newest first, whichever list is asked for them."""
    ids = [one["id"] for one in run(gmail.messages().list(userId="me", q=query, **more)).get("messages", [])]
    shown = [run(gmail.messages().get(userId="me", id=one, format="metadata")) for one in ids]
    return [headers_of(one)["subject"] for one in shown]


def arrives(sandbox, subject, *, sender=f"Bob Buyer <{BOB}>", to=ANA, text="Hello", attached="", **headers):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    if attached:
        mail.add_attachment(b"x", maintype="application", subtype="pdf", filename=attached)
    return sandbox.act("mail_arrives", rep=ANA, raw=mail.as_string())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"to:{BOB}", True),
        ("to:other@buyer.example", False),
        (f"from:{ANA}", True),
        ('subject:"quarterly plan"', True),
        ("subject:(plan quarterly)", True),
        ("subject:quarter", False),
        ("rfc822msgid:<ours@acme.example>", True),
        ("rfc822msgid:ours@acme.example", True),
        ("rfc822msgid:other@acme.example", False),
        ("in:drafts", True),
        ("in:sent", False),
        ("in:anywhere", True),
        ("-in:sent", True),
        (f"after:{int(NOON.timestamp()) - 1}", True),
        (f"after:{int(NOON.timestamp()) + 1}", False),
        ("after:2026/11/24", True),
        ("before:2026/11/24", False),
        ("newer_than:1d", True),
        (f'in:drafts to:{BOB} subject:"Quarterly plan" after:2026/11/23', True),
        ("hello", True),
        ("nothing", False),
    ],
)
def test_search(gmail, query, found):
    made = run(gmail.drafts().create(userId="me", body=draft_body()))
    messages = run(gmail.messages().list(userId="me", q=query)).get("messages", [])
    assert [one["id"] for one in messages] == ([made["message"]["id"]] if found else [])
    drafts = run(gmail.drafts().list(userId="me", q=query)).get("drafts", [])
    assert [one["id"] for one in drafts] == ([made["id"]] if found else [])


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("plan price", {"price plan"}),
        ("plan OR price", {"plan", "price", "price plan"}),
        ("{plan price}", {"plan", "price", "price plan"}),
        ("(plan OR price) -subject:plan", {"price"}),
        ("subject:plan OR subject:price -subject:{plan}", {"price"}),
        ("subject:(plan price)", {"price plan"}),
        ("subject:(plan OR price)", {"plan", "price", "price plan"}),
        ("subject:{plan lunch}", {"plan", "price plan", "lunch"}),
        ('subject:"price plan"', {"price plan"}),
        ('subject:"plan price"', set()),
        ('"the blue train"', {"lunch"}),
        ('"blue the train"', set()),
        ("train -blue", set()),
        ("from:bob", {"plan", "price", "price plan"}),
        ("from:me", set()),
        ("from:buyer.example", {"plan", "price", "price plan"}),
        ("to:me", {"plan", "price", "price plan", "lunch"}),
        ("cc:eve@buyer.example", {"price plan"}),
        ("to:eve@buyer.example", {"price plan"}),
        ("from:(bob OR dan) subject:lunch", {"lunch"}),
        ("has:attachment", {"price"}),
        ("filename:offer.pdf", {"price"}),
        ("is:unread", {"price", "price plan", "lunch"}),
        ("is:read", {"plan"}),
        ("is:starred", {"plan"}),
        ("label:Later", {"plan"}),
        ("in:inbox plan", {"price plan", "plan"}),
        ("in:spam", {"win"}),
        ("win", set()),
        ("in:anywhere -in:inbox", {"win"}),
        # An operator that nobody knows is words.
        ("topic:plan", set()),
        ("priority:high", {"lunch"}),
        # A bracket too many or too few changes nothing.
        ("(plan", {"price plan", "plan"}),
        ("plan)", {"price plan", "plan"}),
        ("-", {"plan", "price", "price plan", "lunch"}),
    ],
)
def test_a_query_finds(gmail, sandbox, query, subjects):
    plan = arrives(sandbox, "plan")
    arrives(sandbox, "price", attached="offer.pdf")
    arrives(sandbox, "price plan", Cc="eve@buyer.example")
    arrives(sandbox, "lunch", sender="dan@dish.example", text="by the blue train, priority high")
    sandbox.act(
        "mail_arrives", rep=ANA, raw="From: win@win.example\nTo: ana@acme.example\nSubject: win\n\nwin", spam=True
    )
    label = run(gmail.labels().create(userId="me", body={"name": "Later"}))["id"]
    body = {"addLabelIds": ["STARRED", label], "removeLabelIds": ["UNREAD"]}
    run(gmail.messages().modify(userId="me", id=plan["id"], body=body))
    assert set(found(gmail, query)) == subjects


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        (f"after:{int(NOON.timestamp()) + 20 * 3600}", ["new"]),
        (f"before:{int(NOON.timestamp()) + 20 * 3600}", ["old"]),
        ("after:2026/11/25", ["new"]),
        ("before:2026/11/25", ["old"]),
        ("after:2026/11/24", ["new", "old"]),
        ("after:2026-11-25", ["new"]),
        ("after:11/25/2026", ["new"]),
        ("newer_than:1h", ["new"]),
        ("older_than:1h", ["old"]),
        ("newer_than:1d", ["new", "old"]),
        ("after:yesterday", []),
    ],
)
def test_dates(gmail, sandbox, query, subjects):
    # Either side of eight in the morning UTC, which is midnight in California.
    sandbox.clock.advance(timedelta(hours=19))
    arrives(sandbox, "old")
    sandbox.clock.advance(timedelta(hours=1, minutes=30))
    arrives(sandbox, "new")
    assert found(gmail, query) == subjects


def test_bin_and_spam_are_passed_over_unless_asked_for(gmail, sandbox):
    run(gmail.messages().trash(userId="me", id=arrives(sandbox, "binned")["id"]))
    arrives(sandbox, "kept")
    assert found(gmail, "") == ["kept"]
    assert set(found(gmail, "", includeSpamTrash=True)) == {"kept", "binned"}
    assert found(gmail, "in:trash") == ["binned"]
    assert found(gmail, "", labelIds=["TRASH"]) == ["binned"]


def test_a_new_mail_is_found_later_than_it_is_listed(gmail, sandbox):
    sandbox.act("mail_settings", gmail_search_lag=60)
    draft = run(gmail.drafts().create(userId="me", body=draft_body()))
    thread = {"id": draft["message"]["threadId"]}

    def searched():
        drafts = run(gmail.drafts().list(userId="me", q="in:drafts")).get("drafts", [])
        threads = run(gmail.threads().list(userId="me", q="in:drafts")).get("threads", [])
        assert len(drafts) == len(threads) == len(found(gmail, "rfc822msgid:ours@acme.example"))
        return len(drafts)

    def listed():
        return run(gmail.messages().list(userId="me", labelIds=["DRAFT"])).get("messages", [])

    assert (searched(), len(listed())) == (0, 1)
    assert run(gmail.drafts().list(userId="me"))["drafts"][0]["id"] == draft["id"]
    assert run(gmail.threads().list(userId="me", labelIds=["DRAFT"]))["threads"][0]["id"] == thread["id"]
    sandbox.clock.advance(timedelta(seconds=60))
    assert searched() == 1
    # Sent, it is another message, and new to the search again.
    run(gmail.drafts().send(userId="me", body={"id": draft["id"]}))
    assert found(gmail, "in:sent") == []
    sandbox.clock.advance(timedelta(seconds=60))
    assert found(gmail, "in:sent") == ["Quarterly plan"]


def test_threads_are_found_by_any_of_their_mails(gmail, sandbox):
    first = send_stamped(gmail)
    sandbox.act("prospect_replies", key=KEY, text="The zebra agrees")
    (thread,) = run(gmail.threads().list(userId="me", q="zebra"))["threads"]
    assert thread["id"] == first["threadId"]
    assert "zebra" in thread["snippet"]
    assert run(gmail.threads().list(userId="me", q="giraffe")) == {"resultSizeEstimate": 0}
