"""What a template shows and attaches goes along when it lies beside the templates; all else is told or left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from connector.content.compose import compose_follow_up, render
from connector.content.fields import fields_of
from connector.content.images import content_id
from connector.content.templates import load_templates, parse_template
from connector.errors import BadInput, Severity
from connector.people import Person, Rep
from connector.sync.attachments import attachment_faults, load_of, read_attachment, read_image

ANN = Person(email="ann@globex.example", custom={"file": "secret.png", "tag": '<img src="secret.png">'})
GMAIL = Rep(email="ana@acme.example", name="Ana Diaz", mailbox="gmail")
OUTLOOK = Rep(email="bob@acme.example", name="Bob Ray", mailbox="outlook")
LINKS = Rep(email="cy@acme.example", name="Cy Lin", mailbox="links")
LIMITS = {"gmail": 3000, "outlook": 1000}


def shown(body: str, file_format: str = "html", signature: str = ""):
    template = parse_template("intro", f"---\nsubject: x\n---\n{body}", file_format)
    return render(template, fields_of(ANN, GMAIL), signature=signature)


def cid(name: str) -> str:
    return f'src="cid:{content_id(name)}"'


@pytest.mark.parametrize(
    ("body", "file_format", "images"),
    [
        ('<img src="logo.png">', "html", ("logo.png",)),
        ("![Acme](logo.png)", "md", ("logo.png",)),
        ("![Acme](img/our%20logo.png)", "md", ("img/our logo.png",)),
        ('<IMG alt="a>b" SRC=./logo.png>', "html", ("logo.png",)),
        ('<img src="logo.png"><img src="logo.png"><img src="b.png">', "html", ("logo.png", "b.png")),
        ("![Acme](logo.png)", "txt", ()),
        ("nothing", "html", ()),
    ],
)
def test_a_file_that_the_author_shows_goes_along_once(body, file_format, images):
    made = shown(body, file_format)
    assert made.images == images
    for name in images:
        assert cid(name) in made.html
        assert f'"{name}"' not in made.html


@pytest.mark.parametrize(
    "body",
    [
        "<p>{{custom.tag}}</p>",
        '<img src="{{custom.file}}">',
        '<img src="logo.png?{{custom.file}}">',
        '<img src="../secret.png">',
        '<img src="/etc/secret.png">',
        '<img src="file:///etc/secret.png">',
        '<img src="http://acme.example/secret.png">',
        '<img src="data:image/png;base64,AAAA">',
        '<img src="cid:secret.png">',
        '<img src="..\\secret.png">',
    ],
)
def test_no_value_and_no_odd_address_takes_a_file_along(body):
    made = shown(body)
    assert made.images == ()
    assert re.search("<img[^>]*src", made.html) is None


def test_an_image_of_the_web_stays_where_it_is():
    made = shown('<img src="https://acme.example/a.png?b=1&amp;c=2">')
    assert (made.images, 'src="https://acme.example/a.png?b=1&amp;c=2"' in made.html) == ((), True)


def test_a_signature_shows_its_image_and_a_quote_takes_images_along():
    first = shown('<img src="a.png">', signature='<img src="sign.png">')
    assert first.images == ("a.png", "sign.png")
    second = compose_follow_up(shown('<img src="b.png">', signature='<img src="sign.png">'), first, header="Wrote:")
    assert second.images == ("b.png", "sign.png", "a.png")
    assert all(cid(name) in second.html for name in second.images)


@pytest.mark.parametrize(
    ("said", "line", "sentence"),
    [
        (
            "---\nsubject: x\nattachments:\n  - ok.png\n  - gone.pdf\n---\nHello",
            5,
            "the attachment gone.pdf is not there",
        ),
        ('---\nsubject: x\n---\n\n<img src="gone.png">', 5, "the image gone.png is not there"),
        (
            "---\nsubject: x\n---\n\n\n<img src='ok.svg'>",
            6,
            "the image ok.svg is of a kind that mail programs do not show",
        ),
        ("---\nsubject: x\n---\n<img src='../ok.png'>", 4, "the image ../ok.png lies outside the folder"),
        ("---\nsubject: x\n---\n<img src='http://a.example/a.png'>", 4, "is left out of the mail"),
        ("---\nsubject: x\n---\n<p style='background:url(ok.png)'>x</p>", 4, "what a style fetches with url"),
    ],
)
def test_what_cannot_go_along_is_told_by_file_and_line(tmp_path, said, line, sentence):
    for name in ("ok.png", "ok.svg"):
        (tmp_path / name).write_bytes(b"x")
    file = tmp_path / "intro.html"
    file.write_text(said)
    _, [fault] = load_templates(tmp_path)
    assert (fault.file, fault.line, fault.where) == (str(file), line, "template 'intro'")
    assert sentence in fault.sentence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    beside = tmp_path / "templates"
    beside.mkdir()
    (beside / "a.pdf").write_bytes(b"x" * 800)
    (beside / "b.png").write_bytes(b"x" * 700)
    (beside / "c.pdf").write_bytes(b"x" * 2500)
    (tmp_path / "secret.pdf").write_bytes(b"x")
    return tmp_path


def load(folder: Path, **templates: str):
    for name, text in templates.items():
        (folder / "templates" / f"{name}.html").write_text(text)
    found, faults = load_templates(folder / "templates")
    assert not faults
    return found


LIGHT = "---\nsubject: x\n---\n<p>Hello</p>"
HEAVY = "---\nsubject: x\nattachments: [a.pdf]\n---\n<img src='b.png'>"
HEAVIER = "---\nsubject: x\nattachments: [a.pdf, c.pdf]\n---\n<p>Hello</p>"


@pytest.mark.parametrize(
    ("text", "reps", "expected"),
    [
        (LIGHT, (GMAIL, OUTLOOK), []),
        (HEAVY, (GMAIL, LINKS), []),
        (HEAVY, (GMAIL, OUTLOOK), [(Severity.WARNING, "the outlook mailbox of Bob Ray takes 1.0 kB")]),
        (HEAVY, (OUTLOOK, LINKS), [(Severity.ERROR, "a.pdf (0.8 kB), b.png (0.7 kB), 1.5 kB in all")]),
        (HEAVIER, (GMAIL,), [(Severity.ERROR, "c.pdf (2.5 kB), a.pdf (0.8 kB), 3.3 kB in all")]),
        (HEAVIER, (LINKS,), []),
    ],
)
def test_what_nobody_can_send_is_an_error_and_what_some_cannot_a_warning(folder, text, reps, expected):
    templates = load(folder, intro=text)
    faults = attachment_faults(folder / "connector.yaml", templates.values(), reps, LIMITS)
    assert [fault.severity for fault in faults] == [severity for severity, _ in expected]
    for fault, (_, part) in zip(faults, expected, strict=True):
        assert part in fault.sentence
        assert (fault.file, fault.line) == (str(folder / "templates" / "intro.html"), 3)


def test_an_image_of_a_signature_that_is_not_there_is_told_by_its_rep(folder):
    rep = Rep(email="ana@acme.example", name="Ana", mailbox="gmail", signature="<img src='gone.png'>")
    [fault] = attachment_faults(folder / "connector.yaml", (), [rep], LIMITS)
    assert (fault.where, fault.file) == ("rep ana@acme.example", str(folder / "connector.yaml"))
    assert "in the signature the image gone.png is not there" in fault.sentence


def test_a_follow_up_weighs_the_images_it_quotes_but_not_the_files(folder):
    templates = load(folder, first=HEAVY, then=LIGHT)
    assert load_of(folder, [templates["first"]], signature="").bytes == 1500
    assert load_of(folder, [templates["then"], templates["first"]], signature="").bytes == 700


def test_a_file_that_is_not_there_is_told_with_the_template_and_line_that_name_it(folder):
    template = load(folder, first=HEAVY)["first"]
    for name in (*template.attachments, *template.images):
        path = folder / "templates" / name
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(BadInput, match="is not beside the templates") as raised:
            load_of(folder, [template], signature="")
        path.write_bytes(kept)
        (fault,) = raised.value.faults
        assert fault.file == str(folder / "templates" / f"first.{template.format}")
        assert name in template.source.splitlines()[(fault.line or 0) - 1]


@pytest.mark.parametrize("read", [read_attachment, read_image])
def test_a_file_that_cannot_be_read_is_said(folder, read, monkeypatch):
    (folder / "templates" / "locked.png").write_bytes(b"x")

    def refused(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)  # no file is locked to root
    with pytest.raises(BadInput, match=r"'locked.png' cannot be read \(Permission denied\): let the connector read it"):
        read(folder, "locked.png")


@pytest.mark.parametrize("read", [read_attachment, read_image])
@pytest.mark.parametrize("name", ["gone.pdf", "../secret.pdf", "/etc/passwd", "."])
def test_no_file_from_elsewhere_is_read(folder, read, name):
    with pytest.raises(BadInput, match="is not beside the templates: put it there, or take it out"):
        read(folder, name)


def test_a_link_out_of_the_folder_is_not_followed(folder):
    (folder / "templates" / "link.pdf").symlink_to(folder / "secret.pdf")
    with pytest.raises(BadInput):
        read_attachment(folder, "link.pdf")
