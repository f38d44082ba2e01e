"""Graph's JSON and errors as our values, and what the account section must say."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.outlook import messages
from adapters.outlook.account import MicrosoftAccount
from adapters.outlook.session import address
from connector.ports import Address


@given(st.text())
def test_a_quoted_text_cannot_end_early(text):
    inside = messages.quoted(text)[1:-1]
    assert inside.replace("''", "").count("'") == 0
    assert inside.replace("''", "'") == text


def test_an_address_keeps_dollar_signs_and_escapes_the_rest():
    assert address("/messages", filter="subject eq 'a&b''c'", select="id,subject") == (
        "/messages?$filter=subject%20eq%20%27a%26b%27%27c%27&$select=id,subject"
    )


RECEIVED = {
    "id": "AAk=",
    "subject": None,
    "from": {"emailAddress": {"address": "Ann@North.example", "name": "Ann"}},
    "toRecipients": [{"emailAddress": {"address": "Max@Acme.example"}}],
    "internetMessageId": "<r@north.example>",
    "conversationId": "c",
    "receivedDateTime": "2026-11-24T09:00:00.1234567Z",
    "bodyPreview": "Yes",
    "internetMessageHeaders": [
        {"name": "In-Reply-To", "value": "<2@acme.example>"},
        {"name": "References", "value": "<1@acme.example>\r\n <2@acme.example>"},
        {"name": "Received", "value": "one"},
        {"name": "received", "value": "two"},
    ],
}


def test_a_received_mail_is_read():
    got = messages.received_mail(RECEIVED)
    assert got.at == datetime(2026, 11, 24, 9, 0, 0, 123456, UTC)
    assert got.sender == Address(email="Ann@North.example", name="Ann")
    assert (got.to, got.subject, got.text) == (("max@acme.example",), "", "Yes")
    assert (got.in_reply_to, got.references) == ("<2@acme.example>", ("<1@acme.example>", "<2@acme.example>"))
    assert got.headers["received"] == ("one", "two")


@pytest.mark.parametrize(
    ("sender", "headers", "expected"),
    [
        ("ann@north.example", [], False),
        ("ann@north.example", [{"name": "Content-Type", "value": "multipart/Report; report-type=x"}], True),
        ("ann@north.example", [{"name": "Return-Path", "value": "<>"}], True),
        ("ann@north.example", [{"name": "Return-Path", "value": "< >"}], True),
        ("ann@north.example", [{"name": "Return-Path", "value": "<ann@north.example>"}], False),
        ("ann@north.example", [{"name": "X-Failed-Recipients", "value": "x@y.example"}], True),
        ("ann@north.example", [{"name": "Content-Type", "value": "text/calendar; method=REPLY"}], True),
        ("MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@acme.example", [], True),
        ("postmaster@north.example", [], True),
    ],
)
def test_what_looks_like_a_delivery_report(sender, headers, expected):
    message = {"from": {"emailAddress": {"address": sender}}, "internetMessageHeaders": headers}
    assert messages.looks_like_report(message) is expected


@pytest.mark.parametrize(
    ("sender", "stamp", "headers", "here"),
    [
        ("Max@acme.example", None, None, True),
        ("m@acme.example", None, None, True),
        ("somebody@acme.example", None, None, False),
        ("somebody@acme.example", "k", None, True),
        ("max@acme.example", None, [{"name": "Received", "value": "from x"}], False),
    ],
)
def test_what_was_written_in_this_mailbox_has_come_by_no_server(sender, stamp, headers, here):
    properties = [{"id": messages.STAMP, "value": stamp}] if stamp else []
    message = {
        "from": {"emailAddress": {"address": sender}},
        "singleValueExtendedProperties": properties,
        "internetMessageHeaders": headers,
    }
    assert messages.was_written_here(message, {"max@acme.example", "m@acme.example"}) is here


def test_a_stamp_is_read_whatever_the_case_of_the_guid():
    held = messages.STAMP.replace("f16ba6a9", "F16BA6A9")
    assert messages.stamp_of({"singleValueExtendedProperties": [{"id": held, "value": "k"}]}) == "k"
    assert messages.stamp_of({"singleValueExtendedProperties": [{"id": "String 0x1045", "value": "k"}]}) is None
    assert messages.stamp_of({}) is None


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"auth": "device_code"}, "auth: device_code needs tenant, client_id as well"),
        ({"auth": "auth_code", "tenant": "t"}, "auth: auth_code needs client_id as well"),
        ({"auth": "access_token"}, "auth: access_token needs token"),
        ({"auth": "client_credentials", "tenant": "t"}, "needs client_id, client_secret as well"),
        (
            {"auth": "client_credentials", "tenant": "common", "client_id": "c", "client_secret": "${env:S}"},
            "names no organisation",
        ),
        ({"auth": "access_token", "token": "eyJ0"}, "use ${env:NAME}"),
        ({"auth": "access_token", "token": "${env:T}", "tenent": "t"}, "Extra inputs are not permitted"),
        ({"auth": "access_token", "token": "${env:T}", "endpoint": "http://graph.example"}, "loopback only"),
        ({"auth": "password"}, "Input should be 'client_credentials'"),
    ],
)
def test_an_account_says_what_it_lacks(section, sentence):
    with pytest.raises(ValidationError) as raised:
        MicrosoftAccount.model_validate(section)
    assert sentence in str(raised.value)


def test_an_account_never_shows_its_secrets(monkeypatch):
    monkeypatch.setenv("T", "eyJ0-very-secret")
    account = MicrosoftAccount.model_validate(
        {"auth": "access_token", "token": "${env:T}", "tokens": {"Max@Acme.example": "${env:T}"}}
    )
    assert "eyJ0" not in repr(account)
    assert account.tokens["max@acme.example"].reveal() == "eyJ0-very-secret"
