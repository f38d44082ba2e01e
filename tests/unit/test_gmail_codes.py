"""The table of Gmail's refusals: every row can be reached, and says something to somebody."""

from __future__ import annotations

import re

import pytest

from adapters.gmail.codes import CODES, Rule, Treatment, rule_for

#: What Google says where a row asks for words.
SAID = {
    "delegation denied": "Delegation denied for bo@acme.example",
    "mail sending": "User-rate limit exceeded. (Mail sending)",
    "user-rate limit exceeded": "User-rate limit exceeded.  Retry after 2026-11-23T09:40:00.000Z",
    "concurrent": "Too many concurrent requests for user",
    "per minute per user": "limit 'Queries per minute per user' of service",
    "per minute": "limit 'Queries per minute' of service",
    r"thread_?id": "Invalid thread_id value",
    r"invalid (?:to|cc|bcc) header|recipient address required": "Invalid To header",
    r"too large|larger than|exceeds the (?:maximum )?size": "Message too large",
}


@pytest.mark.parametrize("rule", CODES, ids=lambda rule: rule.sentence[:40])
def test_no_row_is_hidden_by_one_before_it(rule: Rule):
    status = rule.status[0] if rule.status else 418
    assert rule_for(status, rule.reasons[:1] or ("other",), SAID.get(rule.when, "")) is rule


@pytest.mark.parametrize("rule", CODES, ids=lambda rule: rule.sentence[:40])
def test_every_sentence_names_the_mailbox_and_a_person_who_must_act_is_told_how(rule: Rule):
    assert "{mailbox}" in rule.sentence
    assert set(re.findall(r"{(\w+)}", rule.sentence)) <= {"mailbox", "scope", "said", "renewal"}
    if rule.treatment is Treatment.RECONNECT:
        assert rule.advice
    if rule.after is not None:
        assert rule.treatment is Treatment.LATER
