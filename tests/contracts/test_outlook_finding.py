"""Where the Outlook adapter finds a mail: by which key, in which folder, and when nobody can tell."""

from datetime import UTC, datetime, timedelta

import pytest
from graph_line import KEY
from outlook_world import (
    BOX,
    FOLDERS,
    MINE,
    NOTHING,
    a_mail,
    answers_batches,
    folder_of,
    graph_refusal,
    keys,
    message,
    outlook_sandbox,
    stamped,
    trace,
)

from adapters.outlook.messages import MARK, STAMP
from connector.ports import DraftRef, Trace, Whereabouts


@pytest.fixture(scope="module")
def sandbox():
    with outlook_sandbox() as running:
        yield running


TRACE = Trace(
    key=KEY,
    draft=DraftRef(draft_id="AAk=", thread_id="C1", internet_message_id="<d@acme.example>"),
    to="ann@north.example",
    subject="It's time",
    since=datetime(2026, 11, 24, 7, tzinfo=UTC),
)
SENT = {"isDraft": False, "parentFolderId": "F-sentitems"}
ELSEWHERE = {"toRecipients": [{"emailAddress": {"address": "boss@acme.example"}}]}


def goes_out(at):
    """Set the hour at which a mail goes out; it is nine o'clock."""
    return {"singleValueExtendedProperties": [{"id": "SystemTime 0x3fef", "value": f"2026-11-24T{at}:00Z"}]}


def shelf(**places):
    """Answer look-ups: place or key -> messages; `stored` is the one found by id."""

    def answer(path, query):
        if path in FOLDERS:
            return FOLDERS[path]
        if path == f"{MINE}/messages/AAk=":
            return places.get("stored") or (404, graph_refusal("ErrorItemNotFound"))
        filter_ = query["$filter"]
        assert "$orderby" not in query
        if filter_.startswith("internetMessageId eq"):
            return {"value": places.get("message_id", [])}
        if filter_ == "receivedDateTime ge 2026-11-24T07:00:00Z":
            return {"value": places.get("later", [])}
        assert f"ep/value eq '{KEY}'" in filter_
        return {"value": places.get(folder_of(path) if "mailFolders" in path else "anywhere", [])}

    return answer


@pytest.mark.parametrize(
    ("places", "where", "matched_by"),
    [
        ({"stored": message()}, Whereabouts.DRAFT, "stored id"),
        ({"stored": message(**SENT)}, Whereabouts.SENT, "stored id"),
        ({"stored": message(parentFolderId="F-deleteditems")}, Whereabouts.DISCARDED, "stored id"),
        ({"stored": message(parentFolderId="F-outbox")}, Whereabouts.SCHEDULED, "stored id"),
        ({"stored": message(**goes_out("09:30"))}, Whereabouts.SCHEDULED, "stored id"),
        ({"stored": message(**goes_out("08:50"))}, Whereabouts.SCHEDULED, "stored id"),
        ({"stored": message(**goes_out("08:40"))}, Whereabouts.DRAFT, "stored id"),
        ({"stored": message(**SENT, **goes_out("09:30"))}, Whereabouts.SENT, "stored id"),
        ({"drafts": [stamped("B")]}, Whereabouts.DRAFT, "stamp in Drafts"),
        ({"sentitems": [stamped("B", **SENT)]}, Whereabouts.SENT, "stamp in Sent Items"),
        ({"sentitems": [stamped("B", **SENT, **ELSEWHERE)]}, Whereabouts.SENT, "stamp in Sent Items"),
        (
            {"stored": message(), "sentitems": [stamped("B", **SENT, **ELSEWHERE)]},
            Whereabouts.DRAFT,
            "stored id",
        ),
        (
            {"deleteditems": [stamped("B", parentFolderId="F-deleteditems")]},
            Whereabouts.DISCARDED,
            "stamp in Deleted Items",
        ),
        ({"anywhere": [stamped("B", isDraft=False)]}, Whereabouts.SENT, "stamp anywhere"),
        ({"anywhere": [stamped("B", parentFolderId="F-outbox")]}, Whereabouts.SCHEDULED, "stamp anywhere"),
        ({"recoverableitemsdeletions": [stamped("B")]}, Whereabouts.DISCARDED, "stamp in the second bin"),
        ({"message_id": [message("B", **SENT, **ELSEWHERE)]}, Whereabouts.SENT, "Message-ID"),
        ({"later": [message("B", **SENT)]}, Whereabouts.SENT, "conversation, recipient and time"),
        (
            {"later": [message("B", subject="it's  TIME", conversationId="C2", **SENT)]},
            Whereabouts.SENT,
            "recipient, subject and time",
        ),
        (
            {"stored": message(parentFolderId="F-deleteditems"), "later": [message("B", **SENT)]},
            Whereabouts.SENT,
            "conversation, recipient and time",
        ),
        (
            {"stored": message(isDraft=False, parentFolderId="F-deleteditems", sentDateTime="2026-11-24T08:10:00Z")},
            Whereabouts.SENT,
            "stored id",
        ),
        # Not ours: to somebody else, about something else, another intent's.
        ({"later": [message("B", **SENT, **ELSEWHERE)]}, Whereabouts.UNCLEAR, ""),
        ({"later": [message("B", conversationId="C2", **SENT)]}, Whereabouts.UNCLEAR, ""),
        ({"later": [stamped("B", key="f" * 32, **SENT)]}, Whereabouts.UNCLEAR, ""),
        ({}, Whereabouts.UNCLEAR, ""),
    ],
)
def test_where_a_mail_is(wire, outlook, places, where, matched_by):
    answers_batches(wire, shelf(**places))
    found = outlook.find(TRACE)
    assert (found.where, found.matched_by) == (where, matched_by)
    assert (found.draft is not None, found.sent is not None) == (
        where is Whereabouts.DRAFT,
        where is Whereabouts.SENT,
    )


BEGUN = {
    "toRecipients": [],
    "singleValueExtendedProperties": [{"id": STAMP, "value": KEY}, {"id": MARK, "value": "begun"}],
}
IN_THE_BIN = {"parentFolderId": "F-deleteditems"}
#: Of an answer that was lost, so that no id is known.
LOST = Trace(key=KEY, draft=None, to=TRACE.to, subject=TRACE.subject, since=TRACE.since)


@pytest.mark.parametrize(
    ("trace_", "places", "where", "extra"),
    [
        (LOST, {"drafts": [message("B", **BEGUN)]}, Whereabouts.ABSENT, ["B"]),
        (LOST, {"anywhere": [message("B", **BEGUN)]}, Whereabouts.ABSENT, ["B"]),
        (LOST, {"deleteditems": [message("B", **BEGUN, **IN_THE_BIN)]}, Whereabouts.ABSENT, []),
        (LOST, {"drafts": [message("B", **BEGUN), stamped("D")]}, Whereabouts.DRAFT, ["B"]),
        (LOST, {"sentitems": [message("B", **BEGUN, **SENT)]}, Whereabouts.SENT, []),
        # The rep addressed it: it is theirs. So is one that was handed over, whatever its mark says.
        (
            LOST,
            {"drafts": [message("B", **BEGUN | {"toRecipients": stamped()["toRecipients"]})]},
            Whereabouts.DRAFT,
            [],
        ),
        (TRACE, {"stored": message(**BEGUN)}, Whereabouts.DRAFT, []),
        (TRACE, {"stored": message(), "drafts": [message("B", **BEGUN)]}, Whereabouts.DRAFT, ["B"]),
    ],
)
def test_what_was_begun_and_never_made_whole_is_no_draft(wire, outlook, trace_, places, where, extra):
    """Nobody was told of it: it is to be removed, and made anew."""
    answers_batches(wire, shelf(**places))
    found = outlook.find(trace_)
    assert (found.where, [draft.draft_id for draft in found.extra]) == (where, extra)


@pytest.mark.parametrize(("trace_", "where"), [(LOST, Whereabouts.ABSENT), (TRACE, Whereabouts.UNCLEAR)])
def test_a_draft_that_lay_in_the_bin_before_tells_nothing(wire, outlook, trace_, where):
    """It was discarded and is made anew: the new one may not be there, or be on its way to Sent Items."""
    earlier = stamped("B", **IN_THE_BIN, lastModifiedDateTime="2026-11-24T06:59:59Z")
    answers_batches(wire, shelf(deleteditems=[earlier]))
    assert outlook.find(trace_).where is where


def test_what_was_never_seen_is_absent(wire, outlook):
    answers_batches(wire, shelf())
    trace = Trace(key=KEY, draft=None, to=TRACE.to, subject=TRACE.subject, since=TRACE.since)
    assert outlook.find(trace).where is Whereabouts.ABSENT
    assert outlook.calls == 2


@pytest.mark.parametrize("filtered", ["receivedDateTime", "internetMessageId", "singleValueExtendedProperties"])
def test_a_search_that_failed_is_unclear(wire, outlook, filtered):
    def answer(path, query):
        return (400, graph_refusal("InefficientFilter")) if filtered in query.get("$filter", "") else NOTHING

    answers_batches(wire, answer)
    assert outlook.find(TRACE).where is Whereabouts.UNCLEAR


def test_a_search_without_end_is_unclear(wire, outlook):
    endless = {"value": [], "@odata.nextLink": f"{BOX}/mailFolders/sentitems/messages?$skip=200"}
    answers_batches(
        wire, lambda path, query: endless if "$skip" in query or "rec" in query.get("$filter", "") else NOTHING
    )
    assert outlook.find(TRACE).where is Whereabouts.UNCLEAR


def test_left_over_drafts_are_told_but_never_a_forward_nor_the_words_of_the_rep(wire, outlook):
    untouched = {"lastModifiedDateTime": "2026-11-24T08:00:05Z"}
    ours = stamped("B", subject=TRACE.subject, **untouched)
    edited = stamped("C", subject=TRACE.subject)
    forward = stamped("D", subject="FW: It's time", **ELSEWHERE, **untouched)
    answers_batches(wire, shelf(sentitems=[stamped("S", **SENT)], drafts=[ours, edited, forward]))
    found = outlook.find(TRACE)
    assert found.where is Whereabouts.SENT
    assert [draft.draft_id for draft in found.extra] == ["B"]


def test_only_the_throttled_part_of_a_batch_is_asked_again(wire, outlook):
    asked = []

    def answer(path, query):
        asked.append(path)
        if path.startswith(f"{MINE}/mailFolders/sentitems") and asked.count(path) == 1:
            return 429, graph_refusal("ApplicationThrottled"), {"Retry-After": "0"}
        if path in FOLDERS:
            return FOLDERS[path]
        return NOTHING if "mailFolders" in path else message(**SENT)

    answers_batches(wire, answer)
    assert outlook.find(TRACE).where is Whereabouts.SENT
    looked = ["messages", "drafts", "sentitems", "deleteditems", "sentitems"]
    assert [path.split("/")[-2] for path in asked[:5]] == looked


def test_an_id_that_changes_on_send_is_no_matter(sandbox, office):
    box = office()
    sandbox.act("mail_settings", outlook_immutable_ids_change=True)
    mail = a_mail(key=next(keys))
    draft = box.create_draft(mail)
    sent = box.send_draft(draft, mail.key)
    assert sent.provider_id != draft.draft_id
    assert (sent.key, sent.to) == (mail.key, ("ann@north.example",))
    found = box.find(trace(mail, draft, sandbox))
    assert (found.where, found.sent) == (Whereabouts.SENT, sent)


def test_a_message_id_that_classic_outlook_changes_is_no_matter(sandbox, office):
    box = office()
    mail = a_mail(key=next(keys))
    draft = box.create_draft(mail)
    sandbox.act("rep_sends_draft", key=mail.key, via="desktop")
    found = box.find(trace(mail, draft, sandbox))
    assert found.where is Whereabouts.SENT
    assert found.sent.internet_message_id != draft.internet_message_id


def test_a_sent_copy_that_is_late_is_unclear_until_it_is_there(sandbox, office):
    box = office()
    sandbox.act("mail_settings", outlook_sent_delay=30)
    mail = a_mail(key=next(keys))
    draft = box.create_draft(mail)
    sent = box.send_draft(draft, mail.key)
    assert (sent.internet_message_id, sent.at) == (draft.internet_message_id, sandbox.clock.now())
    assert box.find(trace(mail, draft, sandbox)).where is Whereabouts.UNCLEAR
    sandbox.clock.advance(timedelta(seconds=31))
    assert box.find(trace(mail, draft, sandbox)).where is Whereabouts.SENT


@pytest.mark.parametrize("in_drafts", [False, True])
def test_a_mail_the_rep_schedules_is_neither_draft_nor_sent(sandbox, office, in_drafts):
    box = office()
    sandbox.act("mail_settings", outlook_schedules_in_drafts=in_drafts)
    mail = a_mail(key=next(keys))
    draft = box.create_draft(mail)
    sandbox.act("rep_schedules_draft", key=mail.key, minutes=60)
    assert box.find(trace(mail, draft, sandbox)).where is Whereabouts.SCHEDULED
    sandbox.clock.advance(timedelta(minutes=61))
    assert box.find(trace(mail, draft, sandbox)).where is Whereabouts.SENT
