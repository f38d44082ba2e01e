"""Files by upload session to the simulated Graph: attached once whatever happens, or an error that says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from graph_client import BEN, fresh_sandbox, message
from graph_line import FILM, KEY, LOGO, SHORT, Token, session_of

from adapters.outlook import upload
from adapters.outlook.session import GraphSession
from adapters.outlook.upload import LARGEST, LARGEST_IN_JSON, RANGE
from connector.errors import OutcomeUnknown, Refused, Retry, Unsupported
from connector.ports import Attachment


def test_a_range_is_what_microsoft_asks_for():
    assert RANGE % (320 * 1024) == 0
    assert 3_000_000 < RANGE < 4_000_000
    assert LARGEST_IN_JSON * 4 / 3 < 4 * 1024 * 1024


# ------------------------------------------------------------------------------- on the simulated Graph


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


class Draft:
    """A draft in Ben's mailbox, and the session that attaches to it."""

    def __init__(self, sandbox: Any, session: GraphSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.path = f"/messages/{session.post_once('/messages', message(), key=KEY)['id']}"

    def attach(self, attachment: Attachment) -> None:
        self.session.upload(self.path, attachment, key=KEY)

    def files(self) -> list[dict[str, Any]]:
        return self.session.get(f"{self.path}/attachments")["value"]

    def names(self) -> list[str]:
        return [one["name"] for one in self.files()]

    def asked(self) -> list[str]:
        """Methods of the calls to addresses of upload sessions."""
        return [one["method"] for one in self.sandbox.log.requests if "AttachmentSessions" in one["path"]]

    def fail(self, fault: str, times: int = 1, method: str = "PUT", path: str = "AttachmentSessions") -> None:
        self.sandbox.act("outlook_fails_next", fault=fault, times=times, method=method, path=path)


@pytest.fixture
def draft(sandbox) -> Iterator[Draft]:
    sign_in = Token(secret=sandbox.token("graph", "", scopes=["Mail.ReadWrite"]))
    endpoint = f"{sandbox.url}/v1.0"
    with session_of(endpoint=endpoint, mailbox=f"/users/{BEN}", sign_in=sign_in, clock=sandbox.clock) as session:
        yield Draft(sandbox, session)


@pytest.fixture
def small_ranges(monkeypatch):
    monkeypatch.setattr(upload, "RANGE", 3 * 320 * 1024)


@pytest.mark.usefixtures("small_ranges")
def test_a_file_goes_up_range_by_range_and_is_the_same(draft):
    draft.attach(SHORT)
    (made,) = draft.files()
    assert (made["name"], made["contentType"], made["isInline"]) == ("plan.pdf", "application/pdf", False)
    assert draft.session.get_bytes(f"{draft.path}/attachments/{made['id']}/$value") == SHORT.content
    assert draft.asked() == ["PUT", "PUT", "PUT"]


def test_an_image_that_the_mail_shows_stays_inline(draft):
    draft.attach(LOGO)
    (made,) = draft.files()
    assert (made["name"], made["isInline"], made["contentId"]) == ("logo.png", True, "logo@acme")


@pytest.mark.parametrize(
    ("fault", "times", "asked"),
    [
        # Nothing was taken: asked where it stands, the service says where it stood.
        ("resource_unhealthy", 1, ["PUT", "GET", "PUT"]),
        ("gateway_timeout", 2, ["PUT", "GET", "PUT", "GET", "PUT"]),
        ("throttled_for_a_second", 1, ["PUT", "GET", "PUT"]),
        # It was taken: the session is done with, and the file is looked for.
        ("gateway_timeout_after_acting", 1, ["PUT", "GET"]),
    ],
)
def test_trouble_with_a_range_ends_with_the_file_attached_once(draft, fault, times, asked):
    draft.fail(fault, times)
    draft.attach(SHORT)
    assert draft.names() == ["plan.pdf"]
    assert draft.asked() == asked


@pytest.mark.usefixtures("small_ranges")
def test_a_range_that_was_taken_though_its_answer_was_lost_is_not_sent_again(draft):
    draft.fail("gateway_timeout_after_acting")
    draft.attach(SHORT)
    assert draft.names() == ["plan.pdf"]
    assert draft.asked() == ["PUT", "GET", "PUT", "PUT"]


@pytest.mark.usefixtures("small_ranges")
def test_a_session_that_ends_half_way_is_begun_anew(draft, monkeypatch):
    standing = upload.Upload._standing

    def ended(self, url):
        draft.sandbox.act("outlook_ends_uploads")
        return standing(self, url)

    monkeypatch.setattr(upload.Upload, "_standing", ended)
    draft.fail("gateway_timeout_after_acting")
    draft.attach(SHORT)
    assert draft.names() == ["plan.pdf"]
    assert draft.asked() == ["PUT", "GET", "PUT", "PUT", "PUT"]


def test_the_lost_answer_to_the_last_range_of_a_second_file_of_the_name_is_not_answered_by_the_first(draft):
    draft.attach(SHORT)
    draft.fail("gateway_timeout_after_acting")
    draft.attach(SHORT)
    assert draft.names() == ["plan.pdf", "plan.pdf"]


@pytest.mark.parametrize(
    ("fault", "attachment", "kind"),
    [
        ("throttled", SHORT, Retry),  # refused, and a wait that is too long for a call
        ("server_busy", FILM, Retry),  # failed, but it was not the last range
        ("server_busy", SHORT, OutcomeUnknown),
    ],
)
def test_a_range_that_does_not_get_through_leaves_a_doubt_only_when_it_was_the_last(draft, fault, attachment, kind):
    draft.fail(fault)
    with pytest.raises(kind):
        draft.attach(attachment)
    assert draft.names() == []


def test_whether_it_is_there_is_unknown_when_nobody_answers_after_the_last_range(draft):
    draft.fail("gateway_timeout_after_acting")
    draft.fail("server_busy", times=9, method="GET")
    with pytest.raises(OutcomeUnknown) as raised:
        draft.attach(SHORT)
    assert raised.value.key == KEY
    draft.fail("server_busy", times=0)
    assert draft.names() == ["plan.pdf"]


def test_a_file_larger_than_the_mailbox_takes_is_unsupported(draft):
    draft.sandbox.act("mail_settings", outlook_message_bytes=1_000_000)
    with pytest.raises(Unsupported) as raised:
        draft.attach(SHORT)
    assert raised.value.code == "attachments_too_large"
    assert draft.names() == []


def test_a_file_larger_than_outlook_takes_is_refused_before_any_call(draft):
    calls = draft.session.calls
    huge = Attachment(name="all.zip", media_type="application/zip", content=bytes(LARGEST + 100_000))
    with pytest.raises(Unsupported, match=r"'all\.zip' has 150\.1 MB, and Outlook takes 150 MB") as raised:
        draft.attach(huge)
    assert raised.value.code == "attachments_too_large"
    assert draft.session.calls == calls


def test_a_line_too_slow_for_the_file_fails_that_mail_alone(draft, monkeypatch):
    monkeypatch.setattr(upload, "LONGEST_UPLOAD", -1.0)
    with pytest.raises(Refused, match="too slow") as raised:
        draft.attach(FILM)
    assert raised.value.code == "slow_line"
    assert draft.names() == []
