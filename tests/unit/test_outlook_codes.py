"""The table of Graph's refusals: every row can be reached, says something to somebody, and becomes the right error."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from adapters.outlook.codes import CODES, Rule, Treatment, rule_for
from adapters.outlook.errors import CursorExpired, ItemGone, Owner, translated
from adapters.outlook.signin import Application, GivenToken, KeptSignIn
from connector.errors import OutcomeUnknown, Reconnect, Refused, Retry, Unsupported
from connector.ports import MailIdentity

REP = "max@acme.example"


class Clock:
    def now(self):
        return datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def sleep(self, seconds):
        raise AssertionError("nothing waits here")


OWNER = Owner(rep=REP, sign_in=GivenToken(None, MailIdentity(email=REP, name="Max")), clock=Clock())
#: What Microsoft says where a row asks for words.
SAID = {"concurrency": "Application is over its MailboxConcurrency limit."}


def told(code: str, inner: str | None = None, message: str = "Sorry.") -> dict:
    more = {"code": inner} if inner else {}
    return {"error": {"code": code, "message": message, "innerError": {"request-id": "r-1", **more}}}


@pytest.mark.parametrize("rule", CODES, ids=lambda rule: ",".join(rule.codes) or str(rule.status))
def test_no_row_is_hidden_by_one_before_it(rule: Rule):
    for code in rule.codes:
        assert rule_for(418, ("Unheard", code), SAID.get(rule.when, "")) is rule
    for status in rule.status or ((418,) if not rule.codes else ()):
        assert rule_for(status, ("Unheard",), "") is rule


@pytest.mark.parametrize("rule", CODES, ids=lambda rule: ",".join(rule.codes) or str(rule.status))
def test_every_sentence_names_the_mailbox_and_a_person_who_must_act_is_told_how(rule: Rule):
    assert "{mailbox}" in rule.sentence
    assert set(re.findall(r"{(\w+)}", rule.sentence)) <= {"mailbox", "said", "renewal", "widening", "stranger"}
    assert "{" not in rule.advice
    if rule.treatment is Treatment.RECONNECT:
        assert rule.advice
    if rule.after is not None:
        assert rule.treatment is Treatment.LATER
    if 401 in rule.status:
        assert "{said}" not in rule.sentence  # it may quote the token


@pytest.mark.parametrize(
    ("status", "code", "inner", "kind"),
    [
        (401, "InvalidAuthenticationToken", None, Reconnect),
        (403, "ErrorAccessDenied", None, Reconnect),
        (403, "Unheard", None, Reconnect),
        (404, "MailboxNotEnabledForRESTAPI", None, Reconnect),
        (404, "ErrorInvalidUser", None, Reconnect),
        (404, "ErrorItemNotFound", None, ItemGone),
        (400, "ErrorInvalidIdMalformed", None, ItemGone),
        (410, "SyncStateNotFound", None, CursorExpired),
        (410, "Unheard", None, CursorExpired),
        (400, "BadRequest", "resyncRequired", CursorExpired),
        (400, "ErrorInvalidRecipients", None, Refused),
        (409, "ErrorIrresolvableConflict", None, Refused),
        (412, "ErrorIrresolvableConflict", None, Refused),
        (418, "Unheard", None, Refused),
        (429, "ApplicationThrottled", None, Retry),
        (429, "UnknownError", "MailboxConcurrency", Retry),
        (400, "UnknownError", "TooManyRequests", Retry),
        (503, "ResourceUnhealthy", None, Retry),
        (504, "UnheardOf", None, Retry),
        (507, "ErrorQuotaExceeded", None, Retry),
        (403, "ErrorExceededMessageLimit", None, Retry),
    ],
)
def test_errors_by_what_they_ask_of_us(status, code, inner, kind):
    error = translated(status, told(code, inner), OWNER)
    assert type(error) is kind
    assert error.code == (inner or code)
    assert REP in str(error)


def test_the_outer_code_counts_when_the_inner_one_is_not_known():
    assert type(translated(400, told("ErrorItemNotFound", "Unheard"), OWNER)) is ItemGone


@pytest.mark.parametrize(
    ("status", "code"), [(413, "ErrorMessageSizeExceeded"), (413, "RequestEntityTooLarge"), (413, "")]
)
def test_what_is_too_large_is_said_under_one_code(status, code):
    error = translated(status, told(code), OWNER)
    assert (type(error), error.code) == (Unsupported, "attachments_too_large")


@pytest.mark.parametrize("body", [None, [], "<html>", {"error": "no"}, {}, {"error": {"innerError": 3}}])
@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (502, Retry, "502"),
        (401, Reconnect, "401"),
        (403, Reconnect, "403"),
        (404, Refused, "address"),
        (302, Refused, "address"),
        (418, Refused, "418"),
    ],
)
def test_an_error_without_json_is_judged_by_status_and_a_page_tells_of_no_item(body, status, kind, code):
    error = translated(status, body, OWNER)
    assert (type(error), error.code) == (kind, code)


def test_a_full_mailbox_rests_an_hour_unless_told():
    assert translated(507, told("ErrorQuotaExceeded"), OWNER).after == timedelta(hours=1)
    assert translated(507, told("ErrorQuotaExceeded"), OWNER, after=timedelta(seconds=9)).after == timedelta(seconds=9)


@pytest.mark.parametrize(("after", "at"), [(None, "10:00:00"), (timedelta(seconds=90), "09:01:30")])
def test_a_wait_says_when_it_goes_on(after, at):
    assert str(translated(507, told("ErrorQuotaExceeded"), OWNER, after=after)).endswith(f"after 2026-11-24 {at} UTC")


@pytest.mark.parametrize("status", [408, 500, 503, 504])
def test_a_failure_of_what_acts_is_never_taken_for_a_refusal(status):
    error = translated(status, told("ResourceUnhealthy"), OWNER, key="k", after=timedelta(seconds=1))
    assert (type(error), error.key) == (OutcomeUnknown, "k")


def test_throttling_of_what_acts_did_nothing_and_is_a_wait():
    assert type(translated(429, told("ApplicationThrottled"), OWNER, key="k")) is Retry


def test_microsofts_words_are_quoted_in_short_on_one_line_with_the_id_of_the_request():
    error = translated(418, told("Unheard", message="Sorry,\r\n no.\n" + "x" * 500), OWNER)
    assert str(error) == f"Outlook refused for {REP}: Sorry, no. {'x' * 189} (request r-1)"


@pytest.mark.parametrize(
    ("sign_in", "renewal", "widening"),
    [
        (
            KeptSignIn(None, REP, None),
            f"run 'connector auth microsoft --rep {REP}'",
            f"connector auth microsoft --rep {REP}",
        ),
        (Application(None), "an administrator must look at the app", "grant admin consent"),
        (
            GivenToken(None, MailIdentity(email=REP, name="Max")),
            f"put a new token of {REP} under accounts.microsoft",
            f"put a token of {REP} that has it",
        ),
    ],
)
def test_whoever_must_sign_in_or_grant_is_told_how(sign_in, renewal, widening):
    owner = Owner(rep=REP, sign_in=sign_in, clock=Clock())
    ended = translated(401, told("InvalidAuthenticationToken", message="token eyJ0 is bad"), owner)
    lacking = translated(403, told("ErrorAccessDenied"), owner)
    assert renewal in str(ended)
    assert "eyJ0" not in str(ended)
    assert widening in str(lacking)
    assert "Mail.ReadWrite" in str(lacking)
    assert ended.account == lacking.account == f"outlook:{REP}"


def test_a_mailbox_without_a_licence_is_told_to_rep_and_administrator():
    error = translated(404, told("MailboxNotEnabledForRESTAPI"), OWNER)
    assert "licence" in str(error)
    for word in ("licence", "on premises", "guest"):
        assert word in error.advice
