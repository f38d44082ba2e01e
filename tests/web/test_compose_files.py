"""Files of a rep's own in the compose window: they are listed, go out as the very bytes, and are nobody else's."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import pytest
import requests

from adapters.sandbox.letter import enclosures, parse
from connector.people import Person
from connector.store.compositions import read_compositions, read_working
from connector.sync.uploads import clean_name
from connector.web.guard import LARGEST_REQUEST
from tests.web.site import key_of
from tests.web.visitors import ANA, BOB, CY, ROOT, WEB, Browser, Visitors
from tests.world import World

CAMPAIGN = "name: Draft\ndays:\n  - day: 1\n    steps:\n      - email: {template: intro, send: task}\n"
TEMPLATES = {
    "intro.md": "---\nsubject: Hello {{first_name}}\nattachments: [price.pdf]\n---\nHi {{first_name}}\n",
    "other.md": "---\nsubject: Another\n---\nGood day\n",
    "price.pdf": "%PDF",
}
OF = {
    **dict.fromkeys(("Pat", "Que", "Rio", "Sam", "Tea", "Uma", "Vic", "Wes", "Xia"), ANA),
    **dict.fromkeys(("Yui", "Zoe"), BOB),
    "Ada": CY,
}
PEOPLE = {name: Person(email=f"{name.lower()}@client.example", first_name=name) for name in OF}
TEXT = {"subject": "Mine", "body": "My words", "version": "0"}
OFFER, PLAN = b"%PDF-1.7 \x00\r\n\xff offer", bytes(range(256)) * 40
HTMX = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Each of these people has a draft in their rep's mailbox; Cy has no account."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("files") / "world"
        world = World.make(folder, patch, campaign=CAMPAIGN, templates=TEMPLATES, web=WEB)
        for rep in (ANA, BOB, CY):
            world.launch([PEOPLE[name] for name, whose in OF.items() if whose == rep], rep=rep)
        world.sync()
        world.after(minutes=10)
        yield world
        world.close()


def at(world: World, name: str) -> str:
    return f"/tasks/{key_of(world, PEOPLE[name].email)}/compose"


def bring(
    browser: Browser, path: str, *files: tuple[str, bytes], script: bool = True, **fields: str
) -> requests.Response:
    """Send files as the window does; without a script its text comes along."""
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/feed").text)
    assert found is not None
    return requests.post(
        f"{browser.url}{path}/files",
        data={"csrf": found[1], **fields},
        files=[("upload", (name, content, "text/html")) for name, content in files],
        headers=HTMX if script else {},
        cookies=browser.cookies,
        allow_redirects=False,
        timeout=30,
    )


def ids_in(page: str) -> list[str]:
    return re.findall(r'name="uploads" value="(\w+)"', page)


def bytes_in(world: World, rep: str, place: str, person: str) -> dict[str, tuple[str, bytes]]:
    """Return name -> type and content of the files of the one mail to a person that lies there."""
    mails = [one for one in world.sandbox.world.box_of(rep).mails.values() if one.place == place]
    messages = [parse(mail.raw) for mail in mails]
    (found,) = [one for one in messages if PEOPLE[person].email in str(one["To"])]
    return {one.name: (one.media_type, one.content) for one in enclosures(found)}


def test_files_are_listed_with_name_and_size_and_outlast_saving_and_another_template(
    world: World, ana: Browser
) -> None:
    where = at(world, "Pat")
    answer = bring(ana, where, ("Größe <1>.pdf", OFFER), ("plan.xlsx", PLAN))
    assert answer.status_code == 200
    for page in (answer.text, ana.get(where).text):
        assert len(ids_in(page)) == 2
        assert page.count("Größe &lt;1&gt;.pdf") > 1, "among the files, and beside the preview"
        assert "10.2\xa0kB" in page or "10.2 kB" in page
    assert ana.post(f"{where}/save", **TEXT, files="price.pdf").status_code == 303, "files do not change the version"
    assert ana.post(f"{where}/template", **TEXT, overwrite="true", template="other").status_code == 303
    page = ana.get(where).text
    assert 'value="Another"' in page
    assert len(ids_in(page)) == 2


def test_a_file_is_taken_out_with_one_click(world: World, ana: Browser) -> None:
    where = at(world, "Que")
    first, second = ids_in(bring(ana, where, ("offer.pdf", OFFER), ("plan.xlsx", PLAN)).text)
    assert ana.post(f"{where}/files/{first}/remove", **TEXT).headers["Location"] == where
    page = ana.get(where).text
    assert ids_in(page) == [second]
    assert 'value="Mine"' in page, "without a script the text is kept, too"
    assert ana.post(f"{where}/files/{first}/remove", **TEXT | {"version": "1"}).status_code == 303
    assert ana.get(f"{where}/files/{first}").status_code == 404


@pytest.mark.parametrize("person", ["Rio", "Yui"])
def test_the_draft_carries_the_very_bytes(world: World, visitors: Visitors, person: str) -> None:
    rep, where = OF[person], at(world, person)
    browser = visitors.browser(rep)
    shown = ids_in(bring(browser, where, ("Größe.pdf", OFFER), ("plan.pdf.gz", PLAN)).text)
    assert browser.post(f"{where}/draft", **TEXT, files="price.pdf", uploads=shown).status_code == 303
    assert bytes_in(world, rep, "drafts", person) == {
        "price.pdf": ("application/pdf", b"%PDF"),
        "Größe.pdf": ("application/pdf", OFFER),
        "plan.pdf.gz": ("application/octet-stream", PLAN),
    }


@pytest.mark.parametrize("person", ["Sam", "Zoe"])
def test_the_sent_mail_carries_the_very_bytes(world: World, visitors: Visitors, person: str) -> None:
    rep, where = OF[person], at(world, person)
    browser = visitors.browser(rep)
    shown = ids_in(bring(browser, where, ("offer.pdf", OFFER)).text)
    assert browser.post(f"{where}/send", **TEXT, uploads=shown).status_code == 303
    assert bytes_in(world, rep, "sent", person) == {"offer.pdf": ("application/pdf", OFFER)}
    page = browser.get(where).text
    assert f'href="{where}/files/{shown[0]}"' in page, "what went along can be looked at"
    assert "was sent already" in bring(browser, where, ("late.pdf", OFFER)).text


def test_what_waits_to_be_sent_goes_out_with_the_files_it_was_asked_with(world: World, ana: Browser) -> None:
    where, day = at(world, "Tea"), (world.now + timedelta(days=1)).date().isoformat()
    when = {"date": day, "clock": "12:00", "zone": "UTC"}
    old = ids_in(bring(ana, where, ("offer.pdf", b"old")).text)
    assert ana.post(f"{where}/schedule", **TEXT, **when, uploads=old).status_code == 303
    new = ids_in(bring(ana, where, ("offer.pdf", b"new")).text)
    assert len(new) == 1, "it takes the place of the one of its name"
    key = key_of(world, PEOPLE["Tea"].email)
    with world.database.read() as tx:
        applied, working = read_compositions(tx, [key])[key], read_working(tx, key)
    assert working is not None
    assert [one.id for one in applied.written.uploads] == old, "until it is asked for, what waits is as it was"
    assert applied.written != working.written
    refused = ana.post(f"{where}/send", **TEXT | {"version": "1"}, uploads=old)
    assert (refused.status_code, "in another window" in refused.text) == (422, True)
    assert ana.post(f"{where}/send", **TEXT | {"version": "1"}, uploads=new).status_code == 303
    assert bytes_in(world, ANA, "sent", "Tea") == {"offer.pdf": ("application/pdf", b"new")}


def test_without_a_script_the_form_brings_text_and_files(world: World, ana: Browser) -> None:
    where = at(world, "Uma")
    answer = bring(ana, where, ("offer.pdf", OFFER), script=False, **TEXT)
    assert (answer.status_code, answer.headers["Location"]) == (303, where)
    page = ana.get(where).text
    assert 'value="Mine"' in page
    assert len(ids_in(page)) == 1
    stale = bring(ana, where, ("late.pdf", OFFER), script=False, **TEXT)
    assert (stale.status_code, ids_in(ana.get(where).text)) == (409, ids_in(page)), "another tab is not written over"
    assert "Choose a file first." in bring(ana, where, ("", b""), script=False, **TEXT | {"version": "1"}).text
    unattached = ana.post(f"{where}/send", **TEXT | {"version": "2"}, uploads=ids_in(page), upload="late.pdf")
    assert (unattached.status_code, "Not attached yet: late.pdf" in unattached.text) == (422, True)


@pytest.mark.parametrize(
    ("person", "name", "content", "said"),
    [
        ("Vic", "empty.pdf", b"", "&#39;empty.pdf&#39; is empty"),
        ("Vic", "C:\\offers\\", b"x", "A file has no name"),
        ("Vic", "large.zip", bytes(25_000_001), "&#39;large.zip&#39; has 25.0 MB, and the gmail mailbox of Ana"),
        ("Vic", "price.zip", bytes(24_999_998), "&#39;price.zip&#39; was not attached: with it the mail carries"),
        ("Ada", "offer.pdf", b"x", "takes no files from here"),
    ],
)
def test_what_cannot_go_along_is_refused_by_its_name_and_the_rest_is_attached(
    world: World, visitors: Visitors, person: str, name: str, content: bytes, said: str
) -> None:
    browser, where = visitors.browser(OF[person]), at(world, person)
    answer = bring(browser, where, (name, content), ("fine.txt", b"fine"))
    assert said in answer.text
    assert len(ids_in(answer.text)) == (person != "Ada")
    assert bring(browser, where, (name, content), script=False, **TEXT, overwrite="true").status_code == 422


def test_a_mail_carries_so_many_files_at_most(world: World, ana: Browser) -> None:
    where = at(world, "Xia")
    answer = bring(ana, where, *((f"{number}.txt", b"x") for number in range(25)))
    assert "&#39;24.txt&#39; would be one too many: a mail carries 25 files at most" in answer.text
    assert len(ids_in(answer.text)) == 24, "and one of the template's"


def test_nobody_else_reads_takes_out_attaches_or_guesses_a_file(world: World, ana: Browser, visitors: Visitors) -> None:
    hers, his = at(world, "Wes"), at(world, "Yui")
    bob, root = visitors.browser(BOB), visitors.browser(ROOT)
    (file,) = ids_in(bring(ana, hers, ("secret.pdf", OFFER)).text)
    assert bring(bob, hers, ("his.pdf", b"x")).status_code == 404
    assert bob.post(f"{hers}/files/{file}/remove").status_code == 404
    for path in (f"{hers}/files/{file}", f"{his}/files/{file}"):
        assert bob.get(path).status_code == 404
    refused = bob.post(f"{his}/draft", **TEXT, overwrite="true", uploads=file)
    assert refused.status_code == 422
    assert "secret.pdf" not in refused.text
    assert ana.get(at(world, "Vic") + f"/files/{file}").status_code == 404, "nor is it another mail's of hers"
    answer = root.get(f"{hers}/files/{file}")
    assert answer.content == OFFER
    assert unquote(answer.headers["Content-Disposition"]) == "attachment; filename*=UTF-8''secret.pdf"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("offer.pdf", "offer.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ana\\offer.pdf", "offer.pdf"),
        ("a\r\nBcc: x@evil.example.pdf", "a Bcc: x@evil.example.pdf"),
        ("tab\tand\x00nul\x7f.pdf", "tab and nul .pdf"),
        ("invoice\u202efdp.exe", "invoice fdp.exe"),
        ("  spaced   out.pdf. ", "spaced out.pdf"),
        ("Gro\u0308\u00dfe.pdf", "Gr\u00f6\u00dfe.pdf"),
        ("見積書.pdf", "見積書.pdf"),
        ("x" * 300 + ".pdf", "x" * 146 + ".pdf"),
    ],
)
def test_the_name_of_a_file_is_one_that_may_stand_in_a_mail(given: str, name: str) -> None:
    assert clean_name(given) == name


@pytest.mark.parametrize("length", [LARGEST_REQUEST + 1, 10**18])
def test_a_request_larger_than_any_of_ours_is_refused_before_it_is_read(ana: Browser, length: int) -> None:
    line = http.client.HTTPConnection(urlsplit(ana.url).netloc, timeout=30)
    line.putrequest("POST", "/tasks/x/compose/files")
    line.putheader("Content-Type", "application/x-www-form-urlencoded")
    line.putheader("Content-Length", str(length))
    line.putheader("Cookie", "; ".join(f"{name}={value}" for name, value in ana.cookies.items()))
    line.endheaders(b"x=")
    answer = line.getresponse()
    assert (answer.status, b"A request holds 170 MB at most." in answer.read()) == (413, True)
    line.close()
