"""Marks of merge fields: where values stand in a mail, after any edit; they change nothing, whatever a value holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.content.fields import fields_of
from connector.content.marks import Marked, edited_fields, mark
from connector.content.templates import Template, parse_template
from connector.content.written import Written, WrittenOut, render_written, trace_out, write_out
from connector.people import Person, Rep

REP = Rep(email="ana@acme.example", name="Ana Diaz", time_zone="Europe/Madrid", mailbox="gmail", signature="<p>Ana</p>")
PAT = Person(
    email="pat@client.example",
    first_name="Pat",
    company="*Ac<me>, Inc.",
    custom={"colour": "red", "Job level": "CEO", "u": "javascript:alert(1)"},
)
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>[x](javascript:alert(1))"
#: Characters that marks are made of, as they are and as references.
PRIVATE = "\U000f0000\U000f0001&#xF0000;&#983041;\ue000\ue002"


def compose(written: Written) -> tuple[str, str]:
    rendered = render_written(written, signature=REP.signature, unsubscribe_html="<p>no more</p>")
    return rendered.subject, rendered.html


def out(template: Template, person: Person = PAT) -> tuple[Written, WrittenOut]:
    fields = fields_of(person, REP, {"Rating": "Hot"})
    return (
        write_out(template, fields, signature=REP.signature, unsubscribes=True),
        trace_out(template, fields, signature=REP.signature, unsubscribes=True),
    )


def template(body: str, format: str, subject: str = "S") -> Template:  # noqa: A002 - the field's word
    return parse_template("t", f"---\nsubject: '{subject}'\n---\n{body}\n", format)


def shown(marked: Marked) -> list[tuple[str, ...]]:
    """Return what is marked, in order: the text, and its fields or what it asks for."""
    pieces = (*marked.subject, *marked.page)
    return [(one.content, *(one.mark.fields or (one.mark.asks,))) for one in pieces if one.mark is not None]


def marks_of(
    body: str,
    format: str,  # noqa: A002
    *,
    subject: str = "S",
    edit: Callable[[str], str] = str,
    person: Person = PAT,
) -> list[tuple[str, ...]]:
    written, traced = out(template(body, format, subject), person)
    return shown(mark(replace(written, body=edit(written.body)), traced, compose))


def text_of(marked: Marked) -> tuple[str, str]:
    return "".join(one.content for one in marked.subject), "".join(one.content for one in marked.page)


@pytest.mark.parametrize("format", ["md", "html", "txt"])
def test_each_value_is_marked_with_its_field_in_subject_and_body(format: str) -> None:  # noqa: A002
    body = "Hi {{first_name}}, of {{company}}, {{custom.colour}}, {{custom['Job level']}}, {{my.name}}, {{sfdc.Rating}}"
    assert marks_of(body, format, subject="Hello {{first_name}}") == [
        ("Pat", "first_name"),
        ("Pat", "first_name"),
        ("*Ac&lt;me&gt;, Inc.", "company"),
        ("red", "custom.colour"),
        ("CEO", "custom.Job level"),
        ("Ana Diaz", "my.name"),
        ("Hot", "sfdc.Rating"),
    ]


@pytest.mark.parametrize(
    ("body", "marked"),
    [
        ("{{ first_name | upcase }}!", [("PAT", "first_name")]),
        ("{{ first_name | append: ' ' | append: custom.colour }}!", [("Pat red", "first_name", "custom.colour")]),
        ("{% assign who = first_name | downcase %}Hi {{ who }}!", [("pat", "first_name")]),
        ("{% if company %}Hi {{ first_name }}{% endif %}!", [("Pat", "first_name")]),
        ("{% capture it %}Hi {{ first_name }}{% endcapture %}{{ it }}!", [("Hi Pat", "first_name")]),
        ("Hi {{ phone | default: 'there' }}!", [("there", "phone")]),
        ("Hi {{ last_name }}!", [("", "last_name")]),
        ("Hi {{ phone }}!", [("{{phone}}", "phone")]),
        ("Hi {{! a line }}!", [("{{! a line }}", "a line")]),
        ("Hi {{ 'there' | upcase }}!", []),
        ("Hi\n\n{{my.signature}}\n\n{{unsubscribe}}", []),
        ("[{{ first_name }}](https://acme.example/{{ custom.colour }})!", [("Pat", "first_name")]),
        ("**{{ first_name }}**{{ custom.colour }}", [("Pat", "first_name"), ("red", "custom.colour")]),
    ],
)
def test_an_output_is_marked_as_a_whole_where_it_is_text(body: str, marked: list[tuple[str, ...]]) -> None:
    assert marks_of(body, "md") == marked


@pytest.mark.parametrize(
    ("edit", "marked"),
    [
        (lambda body: body, ["first_name", "company", "email"]),
        (lambda body: body.replace("Pat", "Bea"), ["company", "email"]),
        (lambda body: body.replace("Dear", "My dear"), ["first_name", "company", "email"]),
        (lambda body: body.replace("Acme", "Acme's rival"), ["first_name", "email"]),
        (lambda body: f"Good news!\n\n{body}\n\nPS: more", ["first_name", "company", "email"]),
        (lambda body: body.replace("Write to", "Better write to"), ["first_name", "company", "email"]),
        (lambda _: "Nothing of it", []),
        (lambda _: "Pat", []),
        (lambda _: "", []),
    ],
)
def test_a_value_is_marked_while_it_stands_where_it_stood(edit: Callable[[str], str], marked: list[str]) -> None:
    body, person = "Dear {{first_name}} of {{company}},\nWrite to {{email}}\nor not.", replace(PAT, company="Acme")
    written, traced = out(template(body, "txt"), person)
    edited = replace(written, body=edit(written.body))
    assert [path for _, path in shown(mark(edited, traced, compose))] == marked
    assert edited_fields(edited, traced) == {"first_name", "company", "email"} - set(marked)


@pytest.mark.parametrize(
    "hostile",
    [SCRIPT, PRIVATE, f"{PRIVATE}{SCRIPT}", "{{! x }}", "</mark>", '" onclick="', "javascript:alert(1)", "`*_#"],
)
@pytest.mark.parametrize("format", ["md", "html", "txt"])
def test_a_hostile_value_stays_inert_and_hides_no_other_mark(format: str, hostile: str) -> None:  # noqa: A002
    body = 'A {{company}} b {{custom.colour}} c\n\n<p title="{{company}}"><a href="{{company}}">{{custom.u}}</a></p>\n'
    written, traced = out(template(body, format), replace(PAT, company=hostile))
    marked = mark(written, traced, compose)
    assert text_of(marked) == compose(written)
    assert ("red", "custom.colour") in shown(marked)
    page = "".join(one.content for one in marked.page)
    assert "<script" not in page
    assert "onerror=" not in page.replace("onerror=alert(1)&gt;", "")
    assert '<a href="javascript' not in page


def test_a_picture_named_by_a_field_is_not_shown_for_its_mark() -> None:
    written, traced = out(template('<img src="{{custom.colour}}"> {{first_name}}', "html"))
    assert text_of(mark(written, traced, compose)) == compose(written)


def test_a_mark_around_paragraphs_leaves_the_tags_alone() -> None:
    body = "{% capture it %}<p>Hi {{ first_name }}</p><p>you</p>{% endcapture %}{{ it }}"
    written, traced = out(template(body, "html"))
    pieces = mark(written, traced, compose).page
    assert [(one.content, one.begins) for one in pieces if one.mark] == [("Hi Pat", True), ("you", False)]


VALUES = st.text(st.sampled_from("ab Z1.*_#`[]()<>&;!{}\n'\"\\-|\U000f0000\U000f0001\ue000é"), max_size=12)
PARTS = st.lists(
    st.sampled_from(
        [
            "{{first_name}}", "{{company | upcase}}", "{{custom.colour}}", "{{phone | default: 'x'}}", "{{! say it }}", "{{title}}",
            "**", "_", "`", "[x](https://a.example/{{custom.colour}})", "<b>", "</b>", '<p title="{{company}}">', "\n", "\n\n", "- ",
            "# ", " ", "word", "&#xF0000;", "{% if company %}{{company}}{% endif %}", "<table><tr><td>", "{{my.signature}}", "> ",
        ]
    ),
    max_size=12,
)  # fmt: skip


@given(st.sampled_from(["md", "html", "txt"]), PARTS, VALUES, VALUES, PARTS)
@settings(max_examples=40, deadline=None)
@example("md", ["**", "{{first_name}}", "**", "{{company | upcase}}"], "(a", ".b", [])
def test_without_its_marks_the_marked_mail_is_the_mail(
    format: str,  # noqa: A002
    parts: list[str],
    first_name: str,
    company: str,
    added: list[str],
) -> None:
    person = replace(PAT, first_name=first_name, company=company, custom={"colour": company})
    written, traced = out(template(f"A {''.join(parts)}", format), person)
    assert (traced.subject.text, traced.body.text) == (written.subject, written.body)
    for body in (written.body, written.body + "".join(added), written.body[3:], "".join(added)):
        edited = replace(written, body=body)
        assert text_of(mark(edited, traced, compose)) == compose(edited)
