"""How much goes into one request to Graph, and where the rest goes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.outlook.messages import attachment_body, message_body
from adapters.outlook.parcels import fitting, groups, is_whole
from connector.ports import Address, Attachment, Mail

#: What Graph takes in a request (reference apis 3.1).
LIMIT = 4 * 1024 * 1024


def a_mail(sizes, html="<p>Hello</p>"):
    files = tuple(
        Attachment(name=f"{number} Preise für Sie.bin", media_type="application/octet-stream", content=bytes(size))
        for number, size in enumerate(sizes)
    )
    return Mail(
        key="0" * 32,
        sender=Address(email="max@acme.example"),
        to=Address(email="ann@north.example"),
        subject="Hello",
        html=html,
        text="Hello",
        attachments=files,
    )


def body_of(mail):
    return message_body(mail, mailbox="max@acme.example")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 1000, 900_000, 1_400_000, 2_999_999, 3_000_001, 5_000_000]), max_size=5))
def test_each_file_goes_once_and_the_request_stays_below_the_limit(sizes):
    mail = a_mail(sizes)
    body = body_of(mail)
    inside, beside = fitting(mail, body)
    assert sorted(one.name for one in (*inside, *beside)) == sorted(one.name for one in mail.attachments)
    assert is_whole(mail, body) is (not beside)
    assert len(json.dumps(body | {"attachments": [attachment_body(one) for one in inside]})) < LIMIT
    assert all(len(one.content) <= 3_000_000 for one in inside)


@pytest.mark.parametrize(
    ("sizes", "beside"),
    [
        ([1_000_000, 1_000_000], []),
        ([2_999_999], ["0 Preise für Sie.bin"]),  # in base64 and in JSON it is more than 4 MB
        ([2_000_000, 2_000_000], ["1 Preise für Sie.bin"]),
        ([3_000_001, 10], ["0 Preise für Sie.bin"]),
    ],
)
def test_what_follows_the_mail(sizes, beside):
    mail = a_mail(sizes)
    assert [one.name for one in fitting(mail, body_of(mail))[1]] == beside


@pytest.mark.parametrize(
    ("sizes", "shared"),
    [
        ([], []),
        ([100] * 9, [4, 4, 1]),
        ([3_500_000, 100, 100], [3]),
        ([1_300_000] * 3, [2, 1]),
        ([2_000_000, 2_000_000, 100], [1, 2]),
    ],
)
def test_drafts_go_together_as_far_as_a_request_holds_them(sizes, shared):
    bodies = {f"{number}": {"body": "x" * size} for number, size in enumerate(sizes)}
    made = list(groups(bodies))
    assert [key for group in made for key in group] == list(bodies)
    assert [len(group) for group in made] == shared
    assert all(len(json.dumps(group)) < LIMIT for group in made)
