"""The API: files of a rep's own that go along with one email, as in the compose window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from connector.sync.api_keys import Scope
from connector.web.api import mail_files
from tests.web.programs import Programs, programs_of
from tests.web.site import CAMPAIGN
from tests.web.visitors import ANA, BOB
from tests.world import people

_NUMBERS = iter(range(1000))
BYTES = "application/octet-stream"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world with a campaign of one email as a task."""
    with programs_of(tmp_path_factory.mktemp("files"), campaign={"draft": CAMPAIGN}) as programs:
        yield programs


@pytest.fixture
def mail(api: Programs) -> str:
    """The address of the email of a task of Ana's."""
    new = people(1, domain=f"f{next(_NUMBERS)}x")
    api.world.launch(new, rep=ANA, campaign="draft")
    api.world.sync()
    key = next(one.stored.intent.key for one in api.world.tasks if one.stored.intent.person == new[0].email)
    return f"/tasks/{key}/mail"


def attach(
    api: Programs, mail: str, name: str, content: bytes, *, user: str = ANA, kind: str = BYTES, once: str = ""
) -> requests.Response:
    headers = {"Authorization": f"Bearer {api.key(user)}", "Content-Type": kind}
    headers |= {"Idempotency-Key": once} if once else {}
    return api.send("POST", f"/api/v1{mail}/files", headers, params={"name": name}, data=content)


def test_a_file_is_attached_read_again_kept_beside_the_text_and_taken_out(api: Programs, mail: str) -> None:
    done = attach(api, mail, "../Zaño deck.pdf", b"%PDF \xff\x00")
    assert done.status_code == 200, done.text
    [file] = done.json()["uploads"]
    assert (file["name"], file["size"]) == ("Zaño deck.pdf", 7)
    wrote = api.ask(ANA, "PATCH", mail, {"subject": "With a deck"}).json()
    assert wrote["uploads"] == [file]
    given = api.ask(ANA, "GET", f"{mail}/files/{file['id']}")
    assert (given.content, given.headers["content-type"]) == (b"%PDF \xff\x00", BYTES)
    assert given.headers["content-disposition"] == "attachment; filename*=UTF-8''Za%C3%B1o%20deck.pdf"
    for _ in range(2):
        gone = api.ask(ANA, "DELETE", f"{mail}/files/{file['id']}")
        assert (gone.status_code, gone.json()["uploads"], gone.json()["subject"]) == (200, [], "With a deck")
    assert api.ask(ANA, "GET", f"{mail}/files/{file['id']}").status_code == 404


def test_what_was_attached_goes_out(api: Programs, mail: str) -> None:
    attach(api, mail, "offer.txt", b"ten of them")
    sent = api.ask(ANA, "POST", f"{mail}/send").json()
    assert (sent["standing"], [one["name"] for one in sent["uploads"]]) == ("sent", ["offer.txt"])
    assert attach(api, mail, "late.txt", b"late").status_code == 422


def test_the_same_file_with_the_same_key_is_attached_once(api: Programs, mail: str) -> None:
    first = attach(api, mail, "once.txt", b"once", once="file")
    api.ask(ANA, "DELETE", f"{mail}/files/{first.json()['uploads'][0]['id']}")
    assert attach(api, mail, "once.txt", b"once", once="file").content == first.content
    assert api.ask(ANA, "GET", mail).json()["uploads"] == []
    assert attach(api, mail, "once.txt", b"other", once="file").status_code == 422


@pytest.mark.parametrize(
    ("name", "content", "kind", "said"),
    [
        ("empty.txt", b"", BYTES, "is empty"),
        ("..", b"x", BYTES, "has no name"),
        ("form.txt", b"x", "multipart/form-data; boundary=x", "send the file itself"),
        ("large.bin", bytes(26_000_000), BYTES, "make it smaller, or put a link in its place"),
    ],
)
def test_what_cannot_be_attached_is_told_as_in_the_window(
    api: Programs, mail: str, name: str, content: bytes, kind: str, said: str
) -> None:
    refused = attach(api, mail, name, content, kind=kind)
    assert (refused.status_code, said in refused.json()["detail"]) == (422, True), refused.text
    assert api.ask(ANA, "GET", mail).json()["uploads"] == []


def test_a_body_larger_than_any_mailbox_takes_is_not_read(
    api: Programs, mail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_files._FileRoute, "largest", 10)
    assert attach(api, mail, "x.txt", bytes(11)).status_code == 413
    assert attach(api, mail, "x.txt", bytes(10)).status_code == 200


def test_files_take_the_scope_of_what_is_done_and_are_nobody_elses(api: Programs, mail: str) -> None:
    [file] = attach(api, mail, "mine.txt", b"mine").json()["uploads"]
    assert api.ask(ANA, "GET", f"{mail}/files/{file['id']}", scopes=[Scope.READ]).status_code == 200
    assert api.ask(ANA, "DELETE", f"{mail}/files/{file['id']}", scopes=[Scope.READ]).status_code == 403
    assert attach(api, mail, "his.txt", b"his", user=BOB).status_code == 404
    for method in ("GET", "DELETE"):
        assert api.ask(BOB, method, f"{mail}/files/{file['id']}").status_code == 404
    assert [one["name"] for one in api.ask(ANA, "GET", mail).json()["uploads"]] == ["mine.txt"]
