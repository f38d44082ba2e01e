"""What a mail takes along: images, files and where to unsubscribe, from the project's files to the mailbox."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest

from connector.content.images import content_id
from connector.errors import BadInput
from tests.command import command_in
from tests.world import ANA, BOB, World, WorldMaker, people

CAMPAIGN = """\
name: Outreach
days:
  - day: 1
    steps:
      - email: {template: intro, send: choose_at_launch}
  - day: 2
    steps:
      - email: {template: nudge, send: same_time_as_previous, follow_up: true}
"""
INTRO = "---\nsubject: Hello\nattachments: [Preise für 2027.pdf]\n---\n![Acme](logo.png)\n\nHi {{first_name}}\n\n{{unsubscribe}}\n"
TEMPLATES = {"intro.md": INTRO, "nudge.md": "Still there?\n", "unused.md": "---\nsubject: x\n---\nx\n"}
LOGO, PDF = bytes(range(256)), b"%PDF\x00\r\n.\r\n"
ADDRESS = "https://go.acme.example/u/"


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    made = make_world(
        campaign=CAMPAIGN,
        templates=TEMPLATES,
        reps=[ANA],
        unsubscribe={"address": f"{ADDRESS}{{token}}", "text": "Not for you? [Say so]"},
    )
    (made.folder / "templates" / "logo.png").write_bytes(LOGO)
    (made.folder / "templates" / "Preise für 2027.pdf").write_bytes(PDF)
    return made


@pytest.fixture
def two(world: World) -> World:
    """Let a rep with Outlook work there too."""
    world.configure(reps=[ANA, BOB])
    return world


BOTH = pytest.mark.parametrize("rep", [ANA["email"], BOB["email"]])


def sent(world: World, rep: str) -> list[EmailMessage]:
    """Return the mails in Sent of a rep, the oldest first."""
    kept = [mail for mail in world.sandbox.world.box_of(rep).mails.values() if mail.place == "sent"]
    return [email.message_from_bytes(mail.raw, policy=email.policy.default) for mail in kept]


def parts(message: EmailMessage) -> list[tuple[str, str | None, str | None, bytes]]:
    return [
        (part.get_content_disposition() or "", part.get_filename(), part["Content-ID"], part.get_payload(decode=True))
        for part in message.walk()
        if not part.is_multipart() and part.get_content_maintype() != "text"
    ]


def texts(message: EmailMessage) -> tuple[str, str]:
    """Return the HTML and the plain text of a mail."""
    html, plain = message.get_body(("html",)), message.get_body(("plain",))
    return html.get_content(), plain.get_content()


IMAGE = ("inline", "logo.png", f"<{content_id('logo.png')}>", LOGO)
FILE = ("attachment", "Preise für 2027.pdf", None, PDF)


@BOTH
def test_a_mail_carries_its_image_and_file_and_the_follow_up_the_image_it_quotes(two, rep):
    """Once: Graph puts the images of the mail before into an answer as well."""
    two.launch(people(1), rep=rep)
    two.sync()
    two.after(days=1, minutes=1)
    two.sync()
    first, second = sent(two, rep)
    assert parts(first) == [IMAGE, FILE]
    assert parts(second) == [IMAGE]
    assert second["In-Reply-To"] == first["Message-ID"]
    for message in (first, second):
        assert f"cid:{content_id('logo.png')}" in texts(message)[0]
    assert texts(second)[0].count("Hi Pat0") == 1, "quoted once"


@BOTH
def test_each_mail_says_where_its_own_recipient_unsubscribes(two, rep):
    two.launch(people(2), rep=rep)
    two.sync()
    two.reopen()  # another process reads the tokens of this one
    tokens = two.office.unsubscribe.tokens
    messages = sent(two, rep)
    assert len(messages) == 2
    for message in messages:
        address = message["List-Unsubscribe"].strip("<>")
        # Graph takes no such header, and knows no property for it (reference apis 3.6).
        one_click = None if rep == BOB["email"] else "List-Unsubscribe=One-Click"
        assert message["List-Unsubscribe-Post"] == one_click
        assert tokens.read_token(address.removeprefix(ADDRESS)) == message["To"].addresses[0].addr_spec
        html, plain = texts(message)
        assert html.count(f'Not for you? <a href="{address}"') == 1
        assert address in plain or rep == BOB["email"], "Exchange writes the plain text itself"


def test_without_the_setting_no_mail_speaks_of_it(world):
    world.settings.pop("unsubscribe")
    world.configure()
    world.launch(people(1))
    world.sync()
    [message] = sent(world, ANA["email"])
    assert message["List-Unsubscribe"] is None
    assert "go.acme.example" not in message.as_string()


def test_a_mail_too_large_for_the_rep_is_refused_at_launch_and_nothing_is_launched(world):
    (world.folder / "templates" / "Preise für 2027.pdf").write_bytes(b"x" * 26_000_000)
    with pytest.raises(BadInput) as refused:
        world.launch(people(1))
    assert "template 'intro' carries Preise für 2027.pdf (26.0 MB)" in str(refused.value)
    assert "campaign 'Outreach'" in str(refused.value)
    assert world.enrollments == {}


def test_a_file_taken_away_after_the_launch_blocks_the_mail_until_somebody_mends_it(world, monkeypatch, capsys):
    world.launch(people(1))
    (world.folder / "templates" / "logo.png").unlink()
    [said] = world.sync().needs_attention
    assert "the image 'logo.png' is not beside the templates: put it there, or take it out" in said
    assert sent(world, ANA["email"]) == []
    (world.folder / "templates" / "logo.png").write_bytes(LOGO)
    assert command_in(world, monkeypatch, capsys)("resume", "--person", people(1)[0].email).status == 0
    world.sync()
    [message] = sent(world, ANA["email"])
    assert parts(message) == [IMAGE, FILE]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda world: (world.folder / "templates" / "logo.png").unlink(),
            "intro.md:5: template 'intro': the image logo",
        ),
        (
            lambda world: (world.folder / "templates" / "Preise für 2027.pdf").write_bytes(b"x" * 26_000_000),
            "intro.md:3: template 'intro' carries Preise für 2027.pdf (26.0 MB)",
        ),
        (
            lambda world: (world.folder / "templates" / "Preise für 2027.pdf").unlink(),
            "intro.md:3: template 'intro': the attachment Preise für 2027.pdf is not there",
        ),
        (
            lambda world: world.configure(unsubscribe={"address": "http://go.acme.example/{token}"}),
            "connector.yaml:1: unsubscribe: 'address': write an https address with {token} in it",
        ),
        (
            lambda world: world.configure(unsubscribe={"address": "https://go.acme.example/"}),
            "connector.yaml:1: unsubscribe: 'address': write an https address with {token} in it",
        ),
    ],
)
def test_validate_says_what_cannot_go_along_by_file_and_line(world, monkeypatch, capsys, change, said):
    change(world)
    result = command_in(world, monkeypatch, capsys)("validate")
    assert result.status == 2
    assert said in result.out + result.err
