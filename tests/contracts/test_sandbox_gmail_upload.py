"""The simulated Gmail's uploads, driven by Google's own client."""

import base64
import io
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
import requests
from gmail_client import ANA, BOB, draft_body, fresh_sandbox, gmail_of, mime
from googleapiclient.errors import HttpError, ResumableUploadError
from googleapiclient.http import MediaIoBaseUpload

CHUNK = 256 * 1024
LIMIT = 36_700_160


@pytest.fixture
def sandbox(front):
    return fresh_sandbox(front)


@pytest.fixture
def gmail(sandbox):
    with gmail_of(sandbox) as service:
        yield service


def media(raw, *, resumable=False, kind="message/rfc822"):
    return MediaIoBaseUpload(io.BytesIO(raw), mimetype=kind, resumable=resumable, chunksize=CHUNK)


def big(size):
    """Return a mail of exactly this many bytes, with line ends of every kind in it."""
    raw = mime(text="a\r\nb\nc\rd\r\n")
    return raw + b"x" * (size - len(raw))


def bare(http, address, **more):
    """Speak without Google's client."""
    return requests.request(http, address, timeout=60, allow_redirects=False, **more)


def raw_of(gmail, message_id):
    answer = gmail.users().messages().get(userId="me", id=message_id, format="raw").execute()
    return base64.urlsafe_b64decode(answer["raw"])


@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("body", [None, {"message": {}}])
def test_a_draft_comes_by_upload_byte_for_byte(gmail, resumable, body):
    raw = big(3 * CHUNK + 17)
    more = {} if body is None else {"body": body}
    draft = gmail.users().drafts().create(userId="me", media_body=media(raw, resumable=resumable), **more).execute()
    assert raw_of(gmail, draft["message"]["id"]) == raw


def test_metadata_beside_the_mail_names_the_thread(gmail):
    first = gmail.users().messages().send(userId="me", media_body=media(mime())).execute()
    sent_id = message_from_bytes(raw_of(gmail, first["id"]), policy=policy.default)["Message-ID"]
    answer = mime(subject="Re: Quarterly plan", In_Reply_To=sent_id, References=sent_id)
    for resumable in (False, True):
        upload = media(answer, resumable=resumable)
        body = {"threadId": first["threadId"]}
        sent = gmail.users().messages().send(userId="me", body=body, media_body=upload).execute()
        assert sent["threadId"] == first["threadId"]
        assert sent["labelIds"] == ["SENT"]


def test_a_draft_is_updated_and_sent_by_upload(gmail, sandbox):
    drafts = gmail.users().drafts()
    draft = drafts.create(userId="me", body=draft_body()).execute()
    saved = drafts.update(userId="me", id=draft["id"], media_body=media(mime(subject="Saved"))).execute()
    assert saved["id"] == draft["id"]
    sent = drafts.send(userId="me", body={"id": draft["id"]}, media_body=media(mime(subject="Sent"))).execute()
    assert sent["labelIds"] == ["SENT"]
    assert [(one["place"], one["subject"]) for one in sandbox.state()["gmail"][ANA]["mails"]] == [("sent", "Sent")]


def test_a_resumable_upload_goes_on_where_it_stopped(gmail, sandbox):
    raw = big(2 * CHUNK + 5)
    request = gmail.users().messages().send(userId="me", media_body=media(raw, resumable=True))
    progress, answer = request.next_chunk()
    assert (progress.resumable_progress, answer) == (CHUNK, None)
    # As after a lost answer: the client asks how much has arrived.
    request.resumable_progress = 0
    request._in_error_state = True
    progress, answer = request.next_chunk()
    assert (progress.resumable_progress, answer) == (2 * CHUNK, None)
    _, sent = request.next_chunk()
    assert raw_of(gmail, sent["id"]).endswith(b"x" * 5)
    # Once it is whole, asking again tells the same mail and sends no second one.
    again, content = gmail._http.request(request.resumable_uri, "PUT", headers={"Content-Range": f"bytes */{len(raw)}"})
    assert (again.status, sent["id"].encode() in content) == (200, True)
    assert len(sandbox.state()["gmail"][ANA]["mails"]) == 1


def test_a_session_needs_no_token_and_dies_after_a_week_or_when_cancelled(gmail, sandbox):
    request = gmail.users().drafts().create(userId="me", media_body=media(big(2 * CHUNK), resumable=True))
    request.next_chunk()
    address = request.resumable_uri
    ask = {"Content-Range": f"bytes */{2 * CHUNK}"}
    answer = bare("PUT", address, headers=ask)
    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    sandbox.clock.advance(timedelta(days=7))
    assert bare("PUT", address, headers=ask).status_code == 404

    with gmail_of(sandbox) as later:
        other = later.users().drafts().create(userId="me", media_body=media(big(2 * CHUNK), resumable=True))
        other.next_chunk()
        assert bare("DELETE", other.resumable_uri).status_code == 499
        with pytest.raises(HttpError) as gone:
            other.next_chunk()
    assert gone.value.status_code == 404
    assert sandbox.state()["gmail"][ANA]["mails"] == []


@pytest.mark.parametrize("given", [f"bytes 5-{CHUNK - 1}/9", "bytes 0-99/*", f"bytes {CHUNK}-{2 * CHUNK - 1}/*", "all"])
def test_a_piece_that_does_not_fit_is_refused(gmail, given):
    request = gmail.users().drafts().create(userId="me", media_body=media(big(9 * CHUNK), resumable=True))
    request.next_chunk()
    assert bare("PUT", request.resumable_uri, data=b"x" * 77, headers={"Content-Range": given}).status_code == 400


def test_the_cap_of_an_upload(gmail, sandbox):
    made = gmail.users().drafts().create(userId="me", media_body=media(big(LIMIT))).execute()
    assert made["message"]["labelIds"] == ["DRAFT"]
    # Google's client keeps to the cap by itself.
    address = f"{sandbox.url}/upload/gmail/v1/users/me/drafts?uploadType="
    headers = {"authorization": f"Bearer {gmail._http.credentials.token}", "content-type": "message/rfc822"}
    assert bare("POST", f"{address}media", headers=headers, data=big(LIMIT + 1)).status_code == 413
    told = {"x-upload-content-type": "message/rfc822", "x-upload-content-length": str(LIMIT + 1)}
    assert bare("POST", f"{address}resumable", headers=headers | told).status_code == 413


def test_a_large_mail_fits_into_an_upload_but_not_into_json(gmail, sandbox):
    raw = big(5 * 1024 * 1024 + 1)
    encoded = base64.urlsafe_b64encode(raw).decode()
    with pytest.raises(HttpError, match="Request Entity Too Large"):
        gmail.users().drafts().create(userId="me", body={"message": {"raw": encoded}}).execute()
    gmail.users().drafts().create(userId="me", media_body=media(raw)).execute()
    assert len(sandbox.state()["gmail"][ANA]["mails"]) == 1


def test_only_messages_can_be_uploaded(gmail, sandbox):
    drafts = gmail.users().drafts()
    for kind in ("image/png", "application/octet-stream"):
        body, headers = mime(), {"content-type": kind}
        address = f"{sandbox.url}/upload/gmail/v1/users/me/drafts?uploadType=media"
        answer, content = gmail._http.request(address, "POST", body=body, headers=headers)
        assert (answer.status, "Valid media types: [message/*]" in content.decode()) == (400, True)
    with pytest.raises(ResumableUploadError):
        drafts.create(userId="me", media_body=media(mime(), resumable=True, kind="image/png")).next_chunk()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/upload/gmail/v1/users/me/drafts", 400),
        ("/upload/gmail/v1/users/me/drafts?uploadType=carrier", 400),
        ("/upload/gmail/v1/users/me/drafts?uploadType=multipart", 400),
        ("/upload/gmail/v1/users/me/profile?uploadType=media", 404),
        ("/resumable/upload/gmail/v1/users/me/drafts?uploadType=resumable", 200),
    ],
)
def test_upload_addresses(gmail, sandbox, path, status):
    headers = {"content-type": "message/rfc822", "x-upload-content-type": "message/rfc822"}
    token = {"authorization": f"Bearer {gmail._http.credentials.token}"}
    assert bare("POST", sandbox.url + path, headers=headers | token).status_code == status
    assert bare("POST", sandbox.url + path, headers=headers).status_code == (404 if status == 404 else 401)


def test_an_upload_has_the_scopes_and_the_price_of_its_method(sandbox):
    sandbox.act("mail_settings", gmail_units_per_minute=199)
    with gmail_of(sandbox, "readonly") as reader, pytest.raises(HttpError) as narrow:
        reader.users().drafts().create(userId="me", media_body=media(mime())).execute()
    assert narrow.value.status_code == 403
    with gmail_of(sandbox, "send") as sender:
        send = sender.users().messages().send
        send(userId="me", media_body=media(mime())).execute()
        late = send(userId="me", media_body=media(mime(), resumable=True))
        with pytest.raises(HttpError) as spent:
            late.next_chunk()
        assert spent.value.status_code == 429
        sandbox.clock.advance(timedelta(minutes=1))
        # The refused piece can be sent again.
        late._in_error_state = False
        assert late.next_chunk()[1]["labelIds"] == ["SENT"]
    assert [one["to"] for one in sandbox.state()["gmail"][ANA]["mails"]] == [[BOB], [BOB]]
