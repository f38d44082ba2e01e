"""Template files are read whole, and every fault names its line in the file."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.content.fields import Unresolved, fields_of
from connector.content.language import evaluate
from connector.content.templates import load_templates, parse_template, parse_text
from connector.errors import BadInput
from connector.people import Person, Rep

REP = Rep(email="ana@acme.example", name="Ana Diaz", signature="<p>Ana</p>")
BARE = Person(email="bob@globex.example")
ANN = Person(
    email="ann@globex.example",
    first_name="Ann",
    last_name="Lee",
    title="CTO",
    company="Globex",
    phone="+1",
    custom={"city": "Rome", "spaces": " "},
)

GOOD = """---
subject: "Hello {{first_name}}"
attachments: [price-list.pdf]
---
Hi {{ first_name }},

{{! Say how you met }} {% if title %}as {{ my.title | default: "ever" }}{% endif %} {{ sfdc.Industry }}
"""


def faults(source: str, file_format: str = "md") -> list[tuple[int, str]]:
    with pytest.raises(BadInput) as refused:
        parse_template("intro", source, file_format, "templates/intro.md")
    assert all(
        fault.file == "templates/intro.md" and fault.where == "template 'intro'" for fault in refused.value.faults
    )
    return [(fault.line, fault.sentence) for fault in refused.value.faults]


def shown(source: str, person: Person = ANN, crm=None) -> str:
    return evaluate(
        parse_template("intro", source, "txt").compiled_body, fields_of(person, REP, crm), "template 'intro'"
    )


def missing(source: str, person: Person = BARE) -> tuple[str, ...]:
    with pytest.raises(Unresolved) as blocked:
        shown(source, person)
    assert "template 'intro'" in str(blocked.value)
    return blocked.value.fields


def test_a_template_is_read_with_everything_it_uses():
    template = parse_template("intro", GOOD, "md", "templates/intro.md")
    assert template.subject == "Hello {{first_name}}"
    assert template.attachments == ("price-list.pdf",)
    assert template.prompts == ("Say how you met",)
    assert template.fields == {"first_name", "title", "my.title", "sfdc.Industry"}
    assert template.source == GOOD
    assert template.body.startswith("Hi {{ first_name }},\n")


def test_front_matter_may_be_absent_and_line_ends_do_not_matter():
    plain = parse_template("x", "Just a body", "txt")
    assert (plain.subject, plain.attachments, plain.body) == ("", (), "Just a body")
    windows = parse_template("intro", "\ufeff" + GOOD.replace("\n", "\r\n"), "md")
    assert windows == parse_template("intro", GOOD, "md")


@pytest.mark.parametrize(
    ("source", "line", "part"),
    [
        ("---\nsubject: x\n---\n\nok\n{{ first_name | shout }}\n", 6, "no filter 'shout'"),
        ("---\nsubject: x\n---\nok\n{% include 'other' %}\n", 5, "no tag {% include %}"),
        ("{% render 'other' %}", 1, "no tag {% render %}"),
        ("{{ company | safe }}", 1, "no filter 'safe'"),
        ("one\n{% if title %}two\n", 1, "Liquid is not right"),
        ("one\n\n{% endif %}", 3, "nothing that it belongs to"),
        ("one\n{% if %}x{% endif %}", 2, "Liquid is not right"),
        ("one\n{{ first name }}", 2, "Liquid is not right"),
        ("---\nsubject: '{{ x | shout }}'\n---\nok", 2, "no filter 'shout'"),
        ("---\nattachments: [a.pdf]\nsubject: '{{ my.signature }}'\n---\nok", 3, "belongs in the body"),
        ("---\nsubject: x\nfrom: me\n---\nok", 3, "no 'from' in a front matter"),
        ("---\nsubject: {{first_name}}, hello\n---\nok", 2, "must stand in quotes"),
        ("---\nsubject: [x]\n---\nok", 2, "subject must be one line of text"),
        ("---\nsubject: x\nattachments: a.pdf\n---\nok", 3, "attachments must be a list"),
        ("---\nsubject: x\nattachments: [../a.pdf]\n---\nok", 3, "outside the folder"),
        ("---\nsubject: x\nattachments: [/etc/passwd]\n---\nok", 3, "outside the folder"),
        ("---\nsubject: x\nok", 1, "not closed"),
        ("---\n- x\n---\nok", 2, "must be lines such as"),
        ("---\nsubject: x\n---\n\n", 4, "no body"),
    ],
)
def test_a_fault_names_its_line_in_the_file(source, line, part):
    found = faults(source)
    assert any(at == line and part in sentence for at, sentence in found), found


def test_all_faults_are_told_at_once():
    found = faults("---\nsubject: '{{ a | nope }}'\nfoo: 1\n---\n{% include 'x' %}\n\n{% if %}\n{% endif %}\n")
    assert [line for line, _ in found] == [3, 2, 5, 7]


def test_a_bad_front_matter_hides_no_other_fault(tmp_path):
    for name, head in {
        "key": "from: me",
        "twice": "subject: again",
        "both": "from: me\nsubject: again",
    }.items():
        source = f"---\nsubject: '{{{{ a | nope }}}}'\n{head}\nattachments: [gone.pdf]\n---\n{{{{ b | nope }}}}"
        (tmp_path / f"{name}.md").write_text(source)
    templates, found = load_templates(tmp_path)
    assert templates == {}
    for name in ("key", "twice", "both"):
        told = [fault.sentence for fault in found if fault.file == str(tmp_path / f"{name}.md")]
        assert sum("no filter 'nope'" in sentence for sentence in told) == 2, told
        assert any("gone.pdf is not there" in sentence for sentence in told)
        assert any("no 'from' in a front matter" in sentence for sentence in told) == (name != "twice")
        assert any("says this twice" in sentence for sentence in told) == (name != "key")


def test_an_unknown_format_is_refused():
    assert "not 'docx'" in faults("x", "docx")[0][1]


def test_a_folder_is_read_by_the_stems_of_its_files(tmp_path):
    for name, text in {
        "a.md": "A",
        "b.html": "B",
        "b.txt": "again",
        "c.txt": "{{ x | nope }}",
        "notes.pdf": "",
        ".d.md": "D",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "e.txt").write_bytes(b"ok\n\xff\xfe")
    (tmp_path / "f.md").write_text("---\nattachments: [notes.pdf, gone.pdf]\n---\nF")
    templates, found = load_templates(tmp_path)
    assert {name: template.format for name, template in templates.items()} == {"a": "md", "b": "html", "f": "md"}
    told = [str(fault).removeprefix(f"{tmp_path}/") for fault in found]
    assert [text.split(" ")[0] for text in told] == ["b.txt:", "c.txt:1:", "e.txt:2:", "f.md:2:"]
    assert "rename one of the two" in told[0]
    assert "UTF-8" in told[2]
    assert "gone.pdf" in told[3]


def test_a_folder_that_is_not_there_is_a_fault(tmp_path):
    templates, (fault,) = load_templates(tmp_path / "templates")
    assert not templates
    assert "does not exist" in fault.sentence


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{first_name}} {{last_name}}|{{title}}|{{company}}", " ||your company"),
        ("{{ company | upcase }}", "YOUR COMPANY"),
        ("{{ company | default: 'ACME' }}", "ACME"),
        ("{{ first_name | default: 'there' }}", "there"),
        ("{{ phone | default: 'none' }}", "none"),
        ("{{ custom.city | default: my.name }}", "Ana Diaz"),
        ("{% if phone %}{{ phone }}{% else %}none{% endif %}", "none"),
        ("{% if title == 'CTO' or custom.city contains 'R' %}x{% endif %}-", "-"),
        ("{% unless sfdc.Industry %}unknown{% endunless %}", "unknown"),
        ("{% if sfdc.Size > 3 %}big{% endif %}-", "-"),
        ("{% case title %}{% when 'CTO' %}x{% else %}y{% endcase %}", "y"),
        ("{% for x in custom.list %}{{ x }}{% endfor %}-", "-"),
        ("{% assign p = phone %}{% if p %}x{% endif %}-", "-"),
        ("{% comment %}{{ phone }}{% endcomment %}-", "-"),
        ("{% raw %}{{ phone }}{% endraw %}", "{{ phone }}"),
        ("{{ email }} {{ my.email }}", "bob@globex.example ana@acme.example"),
    ],
)
def test_fields_without_a_value_that_do_not_block(source, expected):
    assert shown(source, BARE) == expected


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("{{ phone }}", ("phone",)),
        (
            "{{ phone }} {{ custom.city }} {{ sfdc.Industry }} {{ my.title }} {{ phone }}",
            ("phone", "custom.city", "sfdc.Industry", "my.title"),
        ),
        ("{{ no_such_field }}", ("no_such_field",)),
        ("{{ first_name.nickname }}", ("first_name.nickname",)),
        ("{{ custom }}", ("custom",)),
        ("{{ phone | upcase }}", ("phone",)),
        ("{{ phone | date: '%Y' }}", ("phone",)),
        ("{{ custom.n | plus: 1 }}", ("custom.n",)),
        ("{{ 'x' | append: phone }}", ("phone",)),
        ("{{ phone | default: custom.city }}", ("custom.city",)),
        ("{% assign p = phone %}{{ p }}", ("phone",)),
        ("{% capture c %}{{ phone }}{% endcapture %}-", ("phone",)),
    ],
)
def test_fields_without_a_value_that_block(source, fields):
    assert missing(source) == fields


def test_a_blank_value_is_no_value():
    assert missing("{{ custom.spaces }}", ANN) == ("custom.spaces",)
    assert shown("{{ custom.spaces | default: 'x' }}") == "x"
    assert (
        shown("{{ sfdc.Name }}{{ sfdc.Count }}{{ sfdc.Open }}", crm={"Name": "N", "Count": 0, "Open": False})
        == "N0false"
    )
    assert missing("{{ sfdc.None__c }}", ANN) == ("sfdc.None__c",)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..100000) %}x{% endfor %}",
        "{% assign x = 'now' | date: '%Y' %}",
        "{% for i in (1..9999) %}{% assign a = a | append: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' %}{% endfor %}",
    ],
)
def test_a_template_cannot_run_away_or_tell_the_time(source):
    with pytest.raises(BadInput):
        shown(source)


def test_a_field_prompt_stays_and_is_no_liquid():
    assert (
        shown("{{! Ask | about {% this %} }} {{- ! and this }}")
        == "\ue002{{! Ask | about {% this %} }}\ue003 \ue002{{! and this }}\ue003"
    )
    assert parse_template("x", "{% raw %}{{! no }}{% endraw %}", "txt").prompts == ()


def test_names_and_notes_are_plain_text():
    text = parse_text("Call {{first_name}} of {{company}} {{! soon }}", where="the name of the call")
    assert text.fields == {"first_name", "company"}
    assert text.prompts == ("soon",)
    person = Person(email="a@b.example", first_name="<Ann & co>")
    assert text.render(fields_of(person, REP)) == "Call <Ann & co> of your company {{! soon }}"
    with pytest.raises(Unresolved, match="the name of the call uses a field without a value: phone"):
        parse_text("Call {{phone}}", where="the name of the call").render(fields_of(BARE, REP))


def test_faults_of_a_name_have_their_line():
    with pytest.raises(BadInput) as refused:
        parse_text("a\n{{ x | nope }}", where="day 1, step 2", file="campaigns/q4.yaml", line=10)
    (fault,) = refused.value.faults
    assert (fault.file, fault.line, fault.where) == ("campaigns/q4.yaml", 11, "day 1, step 2")


@settings(max_examples=150, deadline=None)
@given(
    source=st.text(st.sampled_from("{}%!| abif\n\"'-:.;<>\ue000\ue002"), max_size=60),
    file_format=st.sampled_from(["md", "html", "txt"]),
)
def test_any_source_is_read_or_refused_with_lines(source, file_format):
    faults = ()
    try:
        parse_template("x", source, file_format, "x.md")
    except BadInput as error:
        faults = error.faults
    assert all(fault.line is not None and 1 <= fault.line <= source.count("\n") + 1 for fault in faults)
