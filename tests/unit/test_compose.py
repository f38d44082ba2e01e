"""An email says what its template says, whatever the values hold, and carries its signature once."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.content.compose import (
    Rendered,
    compose_follow_up,
    quote_header,
    render,
    reply_subject,
)
from connector.content.fields import Unresolved, fields_of
from connector.content.markup import clean, plain_text
from connector.content.templates import parse_template
from connector.people import Person, Rep

REP = Rep(email="ana@acme.example", name="Ana Diaz", signature="<p>Ana</p>")
UNSUBSCRIBE = '<a href="https://acme.example/u/t">Unsubscribe</a>'


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.text += "\n" if tag in ("br", "p") else ""
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data


def rendered(
    body: str, file_format: str = "md", *, subject: str = "Hello", signature: str = "", unsubscribe: str = "", **person
) -> Rendered:
    template = parse_template("intro", f"---\nsubject: '{subject}'\n---\n{body}", file_format)
    fields = fields_of(Person(**{"email": "ann@globex.example", **person}), REP)
    return render(template, fields, signature=signature, unsubscribe_html=unsubscribe)


def test_markdown_becomes_html_and_text():
    made = rendered(
        "# Hi {{first_name}}\n\nSee **this**: [our page](https://acme.example/a?b=1&c=2).\n\n- one\n- two\n",
        first_name="Ann",
    )
    assert made.html == (
        "<h1>Hi Ann</h1>\n<p>See <strong>this</strong>: "
        '<a href="https://acme.example/a?b=1&amp;c=2">our page</a>.</p>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>'
    )
    assert made.text == "Hi Ann\n\nSee this: our page (https://acme.example/a?b=1&c=2).\n\n  * one\n  * two"


def test_text_becomes_paragraphs():
    made = rendered("Hi {{first_name}},\nhow are you?\n\n<b>Ana</b>", "txt", first_name="Ann & Bob")
    assert made.html == "<p>Hi Ann &amp; Bob,<br>how are you?</p>\n<p>&lt;b&gt;Ana&lt;/b&gt;</p>"
    assert made.text == "Hi Ann & Bob,\nhow are you?\n\n<b>Ana</b>"


def test_html_is_cleaned_and_its_styles_inlined():
    made = rendered(
        "<html><head><title>x</title><style>p{color:red}</style><link rel=stylesheet href='file:///etc/passwd'></head>"
        "<body><p onclick='x()'>Hi</p><script>x()</script><iframe src='https://x.example'></iframe>"
        "<a href='javascript:x()'>y</a><img src='https://acme.example/logo.png' alt='Logo'></body></html>",
        "html",
    )
    assert made.html == '<p style="color: red;">Hi</p><a>y</a><img src="https://acme.example/logo.png" alt="Logo">'


EVIL = [
    "**x** <b>",
    "[a](javascript:alert(1))",
    "<script>alert(1)</script>",
    "x\n\n# heading\n- item\n1. item",
    "`code` ~~s~~ | a | b |",
    "&lt;b&gt; &#42; &amp;",
    "<https://evil.example> https://evil.example",
    "![x](https://evil.example/x.png)",
    "\\*x\\* _y_ * z",
    "{{ phone }} {% if %}",
    "]](((",
]


@pytest.mark.parametrize("file_format", ["md", "html", "txt"])
@pytest.mark.parametrize("value", EVIL)
def test_a_value_comes_out_as_its_own_characters(value, file_format):
    body = "{{ company }} and *{{ company }}*\n\n- {{ company }}\n\n{{ company }}\n\n`{{ company }}`\n"
    page, harmless = (_Page(rendered(body, file_format, company=company).html) for company in (value, "Globex"))
    assert [tag for tag in page.tags if tag not in ("br", "p")] == [
        tag for tag in harmless.tags if tag not in ("br", "p")
    ]
    assert page.links == []
    plain = " ".join(value.split())
    assert " ".join(page.text.split()).count(plain) == 5
    assert " ".join(rendered(body, file_format, company=value).text.split()).count(plain) == 5


@settings(max_examples=150, deadline=None)
@given(
    value=st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Co", "Zl", "Zp"))
        | st.sampled_from("*_[]()<>#`~!|\\&;:\n-+.1"),
        min_size=1,
        max_size=40,
    )
)
def test_no_value_becomes_markup(value):
    body = "A {{ custom.v | default: 'x' }} B\n\n**C {{ custom.v | default: 'x' }} D**\n"
    page = _Page(rendered(body, custom={"v": value}).html)
    assert page.tags == ["p", "p", "strong"]
    plain = " ".join((value if value.strip() else "x").split())
    assert " ".join(page.text.split()) == f"A {plain} B C {plain} D"


def test_filters_and_captures_do_not_let_markup_through():
    made = rendered(
        "{{ company | newline_to_br }}\n\n{% capture c %}{{ company }}{% endcapture %}{{ c }}\n\n{{ company | escape }}",
        company="**x**\n# <i>",
    )
    assert set(_Page(made.html).tags) == {"p", "br"}
    assert _Page(made.html).text.count("**x**") == 3


def test_a_value_may_stand_in_a_link_but_not_make_it_run():
    made = rendered(
        "[a]({{ custom.a }}) [b]({{ custom.b }})",
        custom={"a": "https://x.example/a b?(c)=d&e", "b": "javascript:alert(1)"},
    )
    assert _Page(made.html).links == ["https://x.example/a%20b?(c)=d&e"]


def test_the_subject_is_one_line_and_not_escaped():
    made = rendered("x", subject="Hi {{ company }}", company="A & B\r\n\tC\x00 <D>\u2028E")
    assert made.subject == "Hi A & B C <D> E"


def test_missing_fields_of_subject_and_body_are_told_together():
    with pytest.raises(Unresolved) as blocked:
        rendered("{{ custom.city }}", subject="{{ phone }}")
    assert blocked.value.fields == ("phone", "custom.city")


@pytest.mark.parametrize("file_format", ["md", "html", "txt"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Hi\n\nPS x", ["Hi", "PS x", "Ana", "Unsubscribe (https://acme.example/u/t)"]),
        ("Hi\n\n{{ my.signature }}\n\nPS x", ["Hi", "Ana", "PS x", "Unsubscribe (https://acme.example/u/t)"]),
        ("{{ unsubscribe }}\n\nHi\n\n{{ my.signature }}", ["Unsubscribe (https://acme.example/u/t)", "Hi", "Ana"]),
        (
            "{{ my.signature }}\n\nHi\n\n{{ my.signature }}\n\n{{ unsubscribe }}",
            ["Ana", "Hi", "Unsubscribe (https://acme.example/u/t)"],
        ),
    ],
)
def test_signature_and_unsubscribe_stand_once_where_their_field_is_else_at_the_end(body, expected, file_format):
    body = body.replace("\n\n", "<br>") if file_format == "html" else body
    made = rendered(body, file_format, signature="<p>Ana<script>x()</script></p>", unsubscribe=UNSUBSCRIBE)
    assert [line.strip() for line in made.text.split("\n") if line.strip()] == expected
    assert made.html.count("Ana") == 1
    assert made.html.count("https://acme.example/u/t") == 1
    assert "script" not in made.html


def test_a_signature_inside_a_paragraph_ends_it():
    made = rendered("Best,\nAna\n{{ my.signature }}\nPS x", signature="<p>ACME</p><p>+34</p>")
    assert made.html == "<p>Best,\nAna</p><div><p>ACME</p><p>+34</p></div><p>PS x</p>"
    made = rendered("<p class='x'>Best<br>{{ my.signature }}</p>", "html", signature="ACME")
    assert made.html == "<p>Best</p><div>ACME</div>"


def test_without_unsubscribe_its_field_is_nothing_and_without_signature_its_field_blocks():
    assert rendered("Hi{{ unsubscribe }}").text == "Hi"
    with pytest.raises(Unresolved, match=r"my\.signature"):
        rendered("Hi {{ my.signature }}")


@pytest.mark.parametrize("file_format", ["md", "html", "txt"])
def test_prompts_stay_visible_and_are_told(file_format):
    made = rendered(
        "Hi {{! Say *how* <you> & I met }}{% if phone %}{{! not this }}{% endif %}",
        file_format,
        subject="About {{! what }}",
    )
    assert made.prompts == ("what", "Say *how* <you> & I met")
    assert made.subject == "About {{! what }}"
    assert made.text == "Hi {{! Say *how* <you> & I met }}"
    assert "{{! Say *how* &lt;you&gt; &amp; I met }}" in made.html


@pytest.mark.parametrize("file_format", ["html", "md", "txt"])
def test_a_quoted_email_leaves_prompts_out(file_format):
    template = parse_template(
        "asking", "---\nsubject: S {{! what }}\n---\nBefore {{! how you met }} after\n", file_format
    )
    made = render(template, {}, signature="", as_quoted=True)
    assert made.prompts == ()
    assert "{{!" not in made.subject + made.html + made.text
    assert "Before" in made.text
    assert "after" in made.text


def test_a_value_that_looks_like_a_prompt_is_none():
    assert rendered("{{ company }}", company="{{! x }} \ue002{{! y }}\ue003").prompts == ()


HEADER = quote_header(datetime(2026, 11, 23, 8, tzinfo=UTC), ZoneInfo("Europe/Madrid"), "Ana\nDiaz")
PREVIOUS = Rendered(subject="Hello", html="<p>First</p>", text="First\n\nline", prompts=("p",))


def test_a_follow_up_quotes_the_previous_email():
    own = Rendered(subject="", html="<p>Second</p>", text="Second")
    made = compose_follow_up(own, PREVIOUS, header=HEADER)
    assert HEADER == "On Mon, 23 Nov 2026 at 09:00, Ana Diaz wrote:"
    assert made.subject == "Re: Hello"
    assert made.text == f"Second\n\n{HEADER}\n> First\n>\n> line"
    assert made.html.startswith("<p>Second</p><div><br>On Mon, 23 Nov 2026 at 09:00, Ana Diaz wrote:</div><blockquote")
    assert made.html.endswith("<p>First</p></blockquote>")
    assert made.prompts == ("p",)
    assert clean(made.html).count("blockquote") == 2
    assert plain_text(made.html).splitlines()[0] == "Second"


def test_the_header_of_a_quote_is_escaped():
    assert "<b>" not in compose_follow_up(PREVIOUS, PREVIOUS, header="On Monday, <b> wrote:").html


@pytest.mark.parametrize(
    ("own", "previous", "expected"),
    [
        ("Own", "Hello", "Own"),
        ("", "Hello", "Re: Hello"),
        ("", "RE: Hello", "RE: Hello"),
        ("", "Regarding", "Re: Regarding"),
    ],
)
def test_the_subject_of_a_follow_up(own, previous, expected):
    made = compose_follow_up(
        Rendered(subject=own, html="", text=""), Rendered(subject=previous, html="", text=""), header=HEADER
    )
    assert made.subject == expected
    assert reply_subject(reply_subject(previous)) == reply_subject(previous)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<a href="https://a.example">https://a.example</a>', "https://a.example"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example"),
        (
            '<a href="https://a.example"><b>Our</b> page</a>, <a href="https://b.example">more</a>',
            "Our page (https://a.example), more (https://b.example)",
        ),
        ("<a>no link</a>", "no link"),
        ("<p>a</p><p></p><p></p><p>b</p>", "a\n\nb"),
        ("", ""),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a  b"),
    ],
)
def test_plain_text(page, expected):
    assert plain_text(page) == expected
