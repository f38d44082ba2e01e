"""Text that a rep edits: fields filled in once, harmless, readable; what is left in braces is told."""

from __future__ import annotations

import pytest

from connector.content.fields import fields_of
from connector.content.templates import parse_template
from connector.content.written import FieldSource, Written, merge_fields, render_written, write_out
from connector.people import Person, Rep

REP = Rep(email="ana@acme.example", name="Ana Diaz", time_zone="Europe/Madrid", mailbox="gmail", signature="<p>Ana</p>")


def out(body: str, *, format: str = "md", company: str = "") -> Written:  # noqa: A002 - the field's word
    """Return a body for one person as text to edit."""
    template = parse_template("t", f"---\nsubject: S\n---\n{body}\n", format)
    fields = fields_of(Person(email="pat@client.example", company=company), REP)
    return write_out(template, fields, signature=REP.signature, unsubscribes=True)


@pytest.mark.parametrize(
    ("company", "shown"),
    [
        ("O'Brien & Sons, Inc.", "O'Brien &amp; Sons, Inc."),
        ("Client 0", "Client 0"),
        ("1. Acme", "1&#46;&#32;Acme"),
        ("*Acme*", "&#42;Acme&#42;"),
        ("<b>Acme", "&#60;b&#62;Acme"),
    ],
)
def test_a_value_is_readable_in_the_source_and_itself_in_the_mail(company: str, shown: str) -> None:
    written = out("Hello {{company}}", company=company)
    assert written.body == f"Hello {shown}"
    assert render_written(written, signature="").text == f"Hello {company}"


@pytest.mark.parametrize("format", ["md", "html", "txt"])
def test_a_value_cannot_act(format: str) -> None:  # noqa: A002
    hostile = "<script>alert(1)</script><img src=https://x.example/p.png> [x](javascript:alert(1))"
    page = render_written(out("Hello {{company}}", format=format, company=hostile), signature="").html
    assert "<script" not in page
    assert "<img" not in page
    assert "href" not in page


@pytest.mark.parametrize("format", ["md", "html", "txt"])
def test_what_is_left_in_braces_is_told_and_the_places_are_not(format: str) -> None:  # noqa: A002
    written = out("{{custom.colour}} {{! a *line* }}\n\n{{my.signature}}\n\n{{unsubscribe}}", format=format)
    assert (written.missing, written.prompts) == (("custom.colour",), ("a *line*",))
    assert render_written(written, signature="").prompts == ("custom.colour", "a *line*")
    assert "{{my.signature}}" in written.body


def test_signature_and_unsubscribe_text_stand_in_their_places_once() -> None:
    written = out("Hello\n\n{{my.signature}}\n\nand more")
    page = render_written(written, signature=REP.signature, unsubscribe_html="<p>no more</p>").html
    assert page.count("Ana") == page.count("no more") == 1
    assert page.index("Ana") < page.index("and more") < page.index("no more")


def test_quoted_it_leaves_out_what_was_to_be_replaced() -> None:
    written = out("Hello {{! name }} there\n\n{{my.signature}}")
    quoted = render_written(written, signature=REP.signature, as_quoted=True)
    assert "{{" not in quoted.text
    assert quoted.prompts == ()
    assert quoted.text.startswith("Hello there")


def test_only_images_beside_the_templates_are_taken_along() -> None:
    written = Written(format="html", subject="S", body='<img src="logo.png"><img src="../x.png"><img src="secret.md">')
    assert render_written(written, signature="").images == ("logo.png",)


def test_each_field_says_where_it_comes_from() -> None:
    source = (
        "---\nsubject: S\n---\n{{email}} {{title}} {{my.name}} {{sfdc.Rating}} {{custom.c}} {{phone | default: 'x'}}\n"
    )
    template = parse_template("t", source, "md")
    fields = fields_of(Person(email="pat@client.example"), REP, {"Rating": "Hot"})
    written = write_out(template, fields, signature="", unsubscribes=False)
    assert {one.path: one.source for one in merge_fields(template, fields, written)} == {
        "email": FieldSource.PERSON,
        "title": FieldSource.FALLBACK,
        "my.name": FieldSource.REP,
        "sfdc.Rating": FieldSource.CRM,
        "custom.c": FieldSource.MISSING,
        "phone": FieldSource.FALLBACK,
    }
