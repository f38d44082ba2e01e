"""What the Outlook adapter sees: deltas of three folders and a list of all that came lately, in one call."""

import json
from urllib.parse import urlsplit

import pytest
from graph_line import GRAPH, KEY
from outlook_world import (
    BOX,
    MINE,
    NOTHING,
    answers_batches,
    folder_of,
    graph_refusal,
    message,
    outlook_sandbox,
    stamped,
)

from adapters.outlook import watching
from connector.errors import Refused, Retry
from connector.ports import DraftGone, DraftRef, DraftSaved, MailReceived, MailSent


@pytest.fixture(scope="module")
def sandbox():
    with outlook_sandbox() as running:
        yield running


SENT = {"isDraft": False, "parentFolderId": "F-sentitems"}
REPLY = {
    "id": "R",
    "isDraft": False,
    "parentFolderId": "F-archive",
    "subject": "Re: Hello",
    "from": {"emailAddress": {"address": "ann@north.example"}},
    "toRecipients": [{"emailAddress": {"address": "max@acme.example"}}],
    "receivedDateTime": "2026-11-24T08:40:00Z",
    "bodyPreview": "Yes please",
    "internetMessageHeaders": [{"name": "In-Reply-To", "value": "<d@acme.example>"}],
}
LIST = {"$orderby": "receivedDateTime", "$select": "id,isDraft,receivedDateTime,parentFolderId", "$top": "200"}


def delta(folder, token):
    return f"{BOX}/mailFolders/{folder}/messages/delta?$deltatoken={token}"


def a_cursor(**changes):
    links = {folder: delta(folder, "1").removeprefix(GRAPH) for folder in ("drafts", "sentitems", "inbox")}
    return json.dumps({"at": "2026-11-24T08:00:00Z", "links": links, "since": "2026-11-24T08:30:00Z", **changes})


def row(id_, at="08:40:00", folder="archive", *, is_draft=False):
    return {
        "id": id_,
        "isDraft": is_draft,
        "receivedDateTime": f"2026-11-24T{at}Z",
        "parentFolderId": f"F-{folder}",
    }


def tells(wire, *, news=None, lately=(), single=None, expired=(), asked=None):
    """Answer a pull: what each folder's delta has, what came lately, and each message by itself."""
    asked = [] if asked is None else asked

    def answer(path, query):
        if path == f"{MINE}/messages":
            asked.append(("lately", query["$filter"]))
            return {"value": list(lately)}
        if path.endswith("/delta"):
            folder = folder_of(path)
            asked.append((folder, query.get("$filter")))
            if folder in expired and "$deltatoken" in query:
                return 410, graph_refusal("SyncStateNotFound")
            return {"value": (news or {}).get(folder, []), "@odata.deltaLink": delta(folder, "2")}
        return single[path.rpartition("/")[2]]

    answers_batches(wire, answer)
    return asked


# ----------------------------------------------------------------------------------------- the usual pull


def test_the_first_pull_starts_from_now(wire, outlook):
    asked = {}

    def answer(path, query):
        if path == f"{MINE}/messages":
            asked["lately"] = query
            return {"value": [row("before", "08:58:00")]}
        folder = folder_of(path)
        if "$skiptoken" in query:
            return {"value": [{"id": "older"}], "@odata.deltaLink": delta(folder, "1")}
        asked[folder] = query
        return {"value": [{"id": "old"}], "@odata.nextLink": f"{delta(folder, '')}&$skiptoken=2"}

    answers_batches(wire, answer)
    pull = outlook.pull_mail(None)
    assert (pull.changes, pull.resynced, pull.more) == ((), False, False)
    kept = json.loads(pull.cursor)
    assert (kept["at"], kept["since"], len(kept["seen"])) == ("2026-11-24T09:00:00Z", "2026-11-24T08:55:00Z", 1)
    assert kept["links"]["inbox"] == f"{MINE}/mailFolders/inbox/messages/delta?$deltatoken=1"
    lately = {"$filter": "receivedDateTime ge 2026-11-24T08:55:00Z"}
    since = lately | {"$select": "id,lastModifiedDateTime", "changeType": "created"}
    drafts = {"$select": "id,lastModifiedDateTime"}
    assert asked == {"drafts": drafts, "sentitems": since, "inbox": since, "lately": LIST | lately}


def test_a_pull_without_news_is_one_call(wire, outlook):
    tells(wire)
    pull = outlook.pull_mail(a_cursor())
    assert pull.changes == ()
    kept = json.loads(pull.cursor)
    assert kept["links"]["drafts"].endswith("$deltatoken=2")
    assert kept["since"] == "2026-11-24T08:30:00Z", "it moves on with the mail, by Microsoft's clock"
    assert outlook.calls == 1


def test_changes_are_told_once_and_in_order(wire, outlook):
    bounce = REPLY | {"id": "B", "from": {"emailAddress": {"address": "postmaster@acme.example"}}}
    bounce["receivedDateTime"] = "2026-11-24T08:50:00Z"
    tells(
        wire,
        news={
            "drafts": [{"id": "D"}, {"id": "D"}, {"id": "X", "@removed": {"reason": "deleted"}}, {"id": "vanished"}],
            "sentitems": [{"id": "S"}],
            "inbox": [{"id": "R"}, {"id": "B"}],
        },
        lately=[row("S", folder="sentitems"), row("R", folder="inbox"), row("B", "08:50:00", "inbox")],
        single={
            "D": stamped("D"),
            "S": message("S", sentDateTime="2026-11-24T08:20:00Z", **SENT),
            "R": REPLY,
            "B": bounce,
            "vanished": (404, graph_refusal("ErrorItemNotFound")),
        },
    )
    wire.get(f"{BOX}/messages/B/$value", body=b"Content-Type: multipart/report\r\n\r\n")
    sent, saved, reply, report, gone = outlook.pull_mail(a_cursor()).changes
    assert isinstance(sent, MailSent)
    assert (sent.mail.provider_id, sent.mail.key) == ("S", None)
    draft = DraftRef(draft_id="D", provider_id="D", thread_id="C1", internet_message_id="<d@acme.example>")
    assert saved == DraftSaved(draft=draft, key=KEY, edited=True, subject="Hello")
    assert isinstance(reply, MailReceived)
    assert (reply.text, reply.in_reply_to, reply.raw) == ("Yes please", "<d@acme.example>", None)
    assert report.raw == b"Content-Type: multipart/report\r\n\r\n"
    assert gone == DraftGone(provider_id="X")
    assert outlook.calls == 4  # deltas and list, two batches of details, one MIME


def test_a_draft_sent_between_delta_and_reading_is_left_to_the_next_pull(wire, outlook):
    tells(wire, news={"drafts": [{"id": "D"}]}, single={"D": message("D", **SENT)})
    assert outlook.pull_mail(a_cursor()).changes == ()


@pytest.mark.parametrize(
    ("answer", "raw"),
    [
        ({"body": b"whole"}, b"whole"),
        ({"status": 404, "json": graph_refusal("ErrorItemNotFound")}, None),
        ({"status": 400, "json": graph_refusal("ErrorMimeContentConversionFailed")}, None),
    ],
)
def test_a_report_that_cannot_be_had_whole_is_told_all_the_same(wire, outlook, answer, raw):
    report = REPLY | {"from": {"emailAddress": {"address": "postmaster@acme.example"}}}
    tells(wire, news={"inbox": [{"id": "R"}]}, single={"R": report})
    wire.get(f"{BOX}/messages/R/$value", **answer)
    (change,) = outlook.pull_mail(a_cursor()).changes
    assert change.raw == raw


def test_a_message_that_is_refused_for_now_stops_the_pull_and_nothing_is_lost(wire, outlook):
    tells(wire, news={"inbox": [{"id": "R"}]}, single={"R": (503, graph_refusal("ErrorServerBusy"))})
    with pytest.raises(Retry):
        outlook.pull_mail(a_cursor())


@pytest.mark.parametrize("cursor", ["", "7", "{}", '{"at": "noon", "links": {}}', '{"at": null}', a_cursor(links={})])
def test_a_cursor_that_is_none_of_ours_is_refused(outlook, cursor):
    with pytest.raises(Refused) as raised:
        outlook.pull_mail(cursor)
    assert raised.value.code == "cursor"


def test_a_cursor_of_the_first_version_is_gone_on_with(wire, outlook):
    first = {name: value for name, value in json.loads(a_cursor()).items() if name in ("at", "links")}
    asked = tells(wire)
    outlook.pull_mail(json.dumps(first))
    assert ("lately", "receivedDateTime ge 2026-11-24T07:55:00Z") in asked


NEXT = "https://evil.example/v1.0/me/mailFolders/inbox/messages/delta?$skiptoken=2"


def test_a_link_is_asked_of_our_own_endpoint_only(wire, outlook):
    asked = []

    def answer(path, query):
        asked.append(query.get("$skiptoken"))
        ends = {
            "value": [],
            "@odata.deltaLink": "https://evil.example/v1.0/me/mailFolders/x/messages/delta?$deltatoken=1",
        }
        if path == f"{MINE}/messages":
            return NOTHING
        return {"value": [], "@odata.nextLink": NEXT} if len(asked) < 5 else ends

    answers_batches(wire, answer)
    outlook.pull_mail(a_cursor())
    assert asked[4:] == ["2"] * 3
    assert {urlsplit(call.request.url).netloc for call in wire.calls} == {"graph.microsoft.com"}


def test_a_link_outside_the_api_is_refused(wire, outlook):
    answers_batches(wire, lambda path, query: {"value": [], "@odata.deltaLink": "https://graph.microsoft.com/beta/me"})
    with pytest.raises(Refused, match="not one of its own"):
        outlook.pull_mail(a_cursor())


# ----------------------------------------------------------------------------------- what rules put elsewhere

OWN = {"from": {"emailAddress": {"address": "Max@acme.example"}}}
WRITTEN_HERE = {**OWN, "internetMessageHeaders": None}


@pytest.mark.parametrize(
    ("folder", "found", "told"),
    [
        ("archive", {}, MailReceived),
        ("deleteditems", {}, MailReceived),
        # It came by a server: a copy to oneself.
        ("archive", OWN, MailReceived),
        # Outlook can file what was sent where it answered.
        ("archive", WRITTEN_HERE, MailSent),
        ("sentitems", WRITTEN_HERE, MailSent),
        ("deleteditems", WRITTEN_HERE, MailSent),
        # Under an address that nobody told us of: the folder tells, or our stamp.
        ("sentitems", {"internetMessageHeaders": None}, MailSent),
        (
            "archive",
            {
                "internetMessageHeaders": None,
                "singleValueExtendedProperties": stamped()["singleValueExtendedProperties"],
            },
            MailSent,
        ),
        # Nobody's business: junk, what waits to go out, a draft that was discarded.
        ("junkemail", {}, None),
        ("outbox", WRITTEN_HERE, None),
        ("deleteditems", {**WRITTEN_HERE, "isDraft": True}, None),
    ],
)
def test_what_came_to_lie_elsewhere(wire, outlook, folder, found, told):
    whole = message("R", sentDateTime="2026-11-24T08:40:00Z") | REPLY | {"parentFolderId": f"F-{folder}"} | found
    tells(wire, lately=[row("R", folder=folder)], single={"R": whole})
    changes = outlook.pull_mail(a_cursor()).changes
    assert [type(change) for change in changes] == ([] if told is None else [told])


@pytest.mark.parametrize("left", [{"@removed": {"reason": "deleted"}}, {}])
def test_a_draft_that_was_sent_and_filed_under_its_old_id_is_told(wire, outlook, left):
    """Also when it was sent after the delta of Drafts was read, and before the list was."""
    sent = message("R", sentDateTime="2026-11-24T08:40:00Z") | REPLY | WRITTEN_HERE
    tells(wire, news={"drafts": [{"id": "R", **left}]}, lately=[row("R")], single={"R": sent})
    told = [type(change) for change in outlook.pull_mail(a_cursor()).changes]
    assert told == [MailSent, *([DraftGone] if left else [])]


def test_drafts_and_what_was_seen_before_are_not_read_again(wire, outlook):
    seen = watching.digest("R")
    rows = [row("R", "08:36:00"), row("D", "08:41:00", is_draft=True)]
    tells(wire, lately=rows)
    pull = outlook.pull_mail(a_cursor(seen=[seen]))
    assert (pull.changes, outlook.calls) == ((), 1)
    kept = json.loads(pull.cursor)
    assert (kept["since"], kept["seen"]) == ("2026-11-24T08:36:00Z", [seen]), "sent, it may keep its id"


@pytest.mark.parametrize(
    ("dated", "since"), [("08:59:00", "08:54:00"), ("11:00:00", "08:55:00"), ("08:31:00", "08:30:00")]
)
def test_the_list_begins_at_the_newest_mail_but_never_after_now_or_before_itself(wire, outlook, dated, since):
    tells(wire, lately=[row("R", dated)], single={"R": REPLY})
    kept = json.loads(outlook.pull_mail(a_cursor()).cursor)
    assert kept["since"] == f"2026-11-24T{since}Z"


def test_a_long_list_goes_on_at_its_last_row(wire, outlook):
    """A second may hold more than a page: the next page is read until the list moves on."""
    pages = iter([[row("A", "08:30:00")], [row("B", "08:30:00"), row("C", "08:33:00")]])

    def answer(path, query):
        if path == f"{MINE}/messages":
            return {"value": next(pages), "@odata.nextLink": f"{BOX}/messages?$skip=1"}
        if path.endswith("/delta"):
            return {"value": [], "@odata.deltaLink": delta(folder_of(path), "2")}
        return REPLY | {"id": path.rpartition("/")[2]}

    answers_batches(wire, answer)
    pull = outlook.pull_mail(a_cursor())
    assert sorted(change.provider_id for change in pull.changes) == ["A", "B", "C"]
    assert pull.more
    kept = json.loads(pull.cursor)
    assert (kept["since"], kept["seen"]) == ("2026-11-24T08:33:00Z", [watching.digest("C")])


# ------------------------------------------------------------------------------ a delta that was forgotten


@pytest.mark.parametrize("folder", ["inbox", "sentitems"])
def test_a_forgotten_delta_begins_anew_now_and_the_list_tells_what_came_meanwhile(wire, outlook, folder):
    asked = tells(wire, expired=[folder], lately=[row("R", folder="inbox")], single={"R": REPLY})
    pull = outlook.pull_mail(a_cursor())
    assert [change.provider_id for change in pull.changes] == ["R"]
    assert asked[-1] == (folder, "receivedDateTime ge 2026-11-24T08:55:00Z")
    assert (pull.resynced, pull.more) == (False, False), "which drafts left, the delta of Drafts has told"
    assert set(json.loads(pull.cursor)["links"]) == {"drafts", "sentitems", "inbox"}


def test_a_forgotten_delta_of_drafts_tells_what_lies_there_and_what_was_saved(wire, outlook):
    drafts = [
        {"id": "old", "lastModifiedDateTime": "2026-11-24T07:54:00Z"},
        {"id": "edited", "lastModifiedDateTime": "2026-11-24T08:01:00Z"},
        {"id": "untold"},
        {"id": "left while it was listed", "@removed": {"reason": "deleted"}},
    ]
    tells(wire, expired=["drafts"], news={"drafts": drafts}, single={id_: stamped(id_) for id_ in ("edited", "untold")})
    pull = outlook.pull_mail(a_cursor())
    assert [change.draft.draft_id for change in pull.changes] == ["edited", "untold"]
    assert (pull.resynced, pull.in_drafts) == (True, {"old", "edited", "untold"})


@pytest.mark.parametrize("answer", [(410, None), (400, graph_refusal("BadRequest", code="resyncRequired"))])
def test_forgetting_has_many_words(wire, outlook, answer):
    def whole(path, query):
        if path == f"{MINE}/messages":
            return NOTHING
        folder = folder_of(path)
        if folder == "drafts" and "$deltatoken" in query:
            return answer
        return {"value": [], "@odata.deltaLink": delta(folder, "9")}

    answers_batches(wire, whole)
    assert outlook.pull_mail(a_cursor()).resynced


# ------------------------------------------------------------------------------------------ much at once


def test_a_pull_reads_so_much_and_goes_on_where_it_was(wire, outlook, monkeypatch):
    """A crash in between begins where the last stored page ended; until then the time of the pull before counts."""
    monkeypatch.setattr(watching, "_MOST_NEWS", 2)
    asked = []

    def answer(path, query):
        if path == f"{MINE}/messages":
            return NOTHING
        if not path.endswith("/delta"):
            return stamped(path.rpartition("/")[2])
        folder, token = folder_of(path), query["$deltatoken"]
        asked.append((folder, token))
        if folder != "drafts" or token == "3":
            return {"value": [], "@odata.deltaLink": delta(folder, "9")}
        return {"value": [{"id": f"{token}{half}"} for half in "ab"], "@odata.nextLink": delta(folder, int(token) + 1)}

    answers_batches(wire, answer)
    cursor, told = a_cursor(), []
    for more, at in ((True, "08:00"), (True, "08:00"), (False, "09:00")):
        pull = outlook.pull_mail(cursor)
        cursor, told = pull.cursor, [*told, *(change.draft.draft_id for change in pull.changes)]
        assert (pull.more, json.loads(cursor)["at"]) == (more, f"2026-11-24T{at}:00Z")
    assert told == ["1a", "1b", "2a", "2b"]
    assert [token for folder, token in asked if folder == "drafts"] == ["1", "2", "3"]


@pytest.mark.parametrize(("listed", "calls"), [(6, 2), (5, 3), (0, 4)])
def test_the_echo_of_many_drafts_is_read_from_one_list(wire, outlook, listed, calls):
    """What the list does not hold, or when it cannot be had, is read by itself."""
    ids = [f"D{number}" for number in range(6)]

    def answer(path, query):
        if path.endswith("/delta"):
            folder = path.split("/")[-3]
            news = [{"id": one, "lastModifiedDateTime": "2026-11-24T08:30:00Z"} for one in ids]
            return {"value": news if folder == "drafts" else [], "@odata.deltaLink": delta(folder, "2")}
        if path == f"{MINE}/messages":
            return NOTHING
        if path == f"{MINE}/mailFolders/drafts/messages":
            assert query["$filter"] == "lastModifiedDateTime ge 2026-11-24T08:30:00Z"
            others = [stamped("somebody's")]
            return {"value": others + [stamped(one) for one in ids[:listed]]} if listed else (400, graph_refusal("No"))
        return stamped(path.rpartition("/")[2])

    answers_batches(wire, answer)
    changes = outlook.pull_mail(a_cursor()).changes
    assert sorted(change.draft.draft_id for change in changes) == ids
    assert outlook.calls == calls
