"""Write the parts of the docs that come from the code: state diagrams, what services can do, what refusals mean.

python docs/generate.py            # rewrites states.md, adapters.md, salesforce-, gmail- and outlook-errors.md
python docs/generate.py --check    # exit status 1 if that would change them
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

from adapters.gmail.codes import CODES as GMAIL_CODES
from adapters.gmail.codes import Rule as GmailRule
from adapters.outlook.codes import CODES as GRAPH_CODES
from adapters.outlook.codes import Rule as GraphRule
from adapters.salesforce.codes import CODES, UNKNOWN, Rule
from connector.app import is_mailbox_adapter, load_adapters
from connector.capabilities import MailboxCapabilities
from connector.errors import ErrorClass
from connector.intents import INTENT_TRANSITIONS
from connector.sequencing.enrollment import ENROLLMENT_TRANSITIONS

HERE = Path(__file__).parent

_STATES = """\
# States

Made from the tables in `connector/intents.py` and `connector/sequencing/enrollment.py` by `python docs/generate.py`.

## An enrollment: one person in one campaign

{enrollments}

A reply ends it as `replied`, or as `succeeded` under `on_reply: end_as_success`, or not at all under
`on_reply: continue`. What has ended never changes again.

## An intent: one step that has become due for one person

`planned` is not stored: it is the current position of the enrollment, whose step is still ahead.

{intents}

`unknown` means that the service may have done it and cannot say. It is looked up, shown to a person, and never
repeated by itself.
"""

_ADAPTERS = """\
# Mailboxes

Made from the adapters' capability records by `python docs/generate.py`. An adapter refuses what its record denies, and
says so.

{table}
"""

_SALESFORCE_ERRORS = """\
# What Salesforce's error codes mean here

Made from the table in `adapters/salesforce/codes.py` by `python docs/generate.py`. The same table decides what is tried
again and what people are told.

A code with words in quotation marks counts when the org's message has them; without, it counts otherwise. Codes in
capitals are Salesforce's own; numbers are HTTP statuses without a code; `TIMEOUT`, `CONNECTION`, `ANSWER`, `TLS` and
`ADDRESS` are ours, for calls that have no answer.

{sections}
"""

_GMAIL_ERRORS = """\
# What Gmail's refusals mean here

Made from the table in `adapters/gmail/codes.py` by `python docs/generate.py`. The same table decides what is tried
again and what people are told. The first row that fits counts.

A row with words in quotation marks counts when Google's message has them. *Later* blocks the mailbox till Google's
time, or the time shown, or for a moment; *reconnect* stops this mailbox until a person acts; *refused* and
*unsupported* fail the one mail. A failure of Google's server (5xx) and a line that broke are no refusals: a read is
tried again, a draft or a send is looked up before anything else happens.

{table}
"""

_OUTLOOK_ERRORS = """\
# What Microsoft Graph's refusals mean here

Made from the table in `adapters/outlook/codes.py` by `python docs/generate.py`. The same table decides what is tried
again and what people are told.

Graph wraps the telling code in general ones: the innermost code that stands here counts, whatever the
status, and else the status; `404` as a code is a page that is not Graph's. A row with words in quotation marks counts
when Microsoft's message has them. *Later* blocks the mailbox till Microsoft's time (Retry-After), or the time shown, or
for a moment; *reconnect* stops this mailbox until a person acts; *gone* is looked up by the stamp; *expired* reads the
mailbox anew; *refused* and *unsupported* fail the one mail. What a 5xx means depends on the call: a read is tried
again, a draft or a send is looked up before anything else happens. *How it is signed in anew* and *how it is given more
permissions* name the command for a rep who signs in himself, and else what the administrator does.

{table}
"""


def diagram(table: Mapping[str, Mapping[str, str]]) -> str:
    """Return a transition table as a Mermaid state diagram."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, moves in table.items():
        for event, after in moves.items():
            arrows.setdefault((str(state), str(after)), []).append(str(event))
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def mailbox_table() -> str:
    """Return what each kind of mailbox can do as a Markdown table."""
    records = [adapter.capabilities for _, adapter in sorted(load_adapters().items()) if is_mailbox_adapter(adapter)]
    names = [field.name for field in fields(MailboxCapabilities) if field.name not in ("name", "title")]
    head = "| | " + " | ".join(f"{record.title} (`{record.name}`)" for record in records) + " |"
    rows = [
        f"| {name.replace('_', ' ')} | " + " | ".join(_shown(getattr(record, name)) for record in records) + " |"
        for name in names
    ]
    return "\n".join([head, "|---" * (len(records) + 1) + "|", *rows])


def code_sections() -> str:
    """Return the table of Salesforce's codes, a section for each class."""
    sections: list[str] = []
    for category in ErrorClass:
        rows = [_code_row(rule) for rule in (*CODES, UNKNOWN) if rule.category is category]
        head = "| code | what is done | for the rep | for the administrator |"
        sections.append("\n".join([f"## {category.capitalize()}", "", head, "|---" * 4 + "|", *rows]))
    return "\n\n".join(sections)


def _code_row(rule: Rule) -> str:
    code = f"`{rule.code}`" if rule.code else "any other"
    if rule.when:
        words = re.sub(r"\\b", "", rule.when).replace("|", '" or "')
        code += f' "{words}"'
    done = str(rule.treatment)
    if rule.tries > 1:
        done += f"; {rule.tries} tries a pass"
    if rule.after is not None:
        done += f"; waits {_span(rule.after)}"
    if rule.reshape:
        done += "; the fields are looked at anew first"
    sentence = f"{rule.sentence}: *the org's own words*" if rule.quote else rule.sentence
    return f"| {code} | {done} | {sentence} | {rule.advice} |"


def gmail_table() -> str:
    """Return the table of Gmail's refusals."""
    head = "| status | Google's reason or words | what is done | sentence | for the administrator |"
    rows = [_gmail_row(rule) for rule in GMAIL_CODES]
    return "\n".join([head, "|---" * 5 + "|", *rows])


def _gmail_row(rule: GmailRule) -> str:
    status = ", ".join(str(status) for status in rule.status) or "any other"
    words = re.sub(r"\(\?:[^)]*\) |\?|\(\?:|\)", "", rule.when).replace("|", '" or "')
    said = ", ".join([*(f"`{reason}`" for reason in rule.reasons), *([f'"{words}"'] if words else [])])
    done = str(rule.treatment) + (f"; waits {_span(rule.after)}" if rule.after is not None else "")
    sentence = rule.sentence.format(
        mailbox="*mailbox*", scope="*scope*", said="*Google's words*", renewal="*how it is signed in anew*"
    )
    return f"| {status} | {said} | {done} | {sentence} | {rule.advice} |"


def outlook_table() -> str:
    """Return the table of Graph's refusals."""
    head = "| code | status | what is done | sentence | for the administrator |"
    return "\n".join([head, "|---" * 5 + "|", *(_graph_row(rule) for rule in GRAPH_CODES)])


def _graph_row(rule: GraphRule) -> str:
    code = ", ".join(f"`{code}`" for code in rule.codes) + (f' "{rule.when}"' if rule.when else "")
    status = ", ".join(str(status) for status in rule.status) or ("" if rule.codes else "any other")
    done = str(rule.treatment) + (f"; waits {_span(rule.after)}" if rule.after is not None else "")
    sentence = rule.sentence.format(
        mailbox="*mailbox*",
        said="*Microsoft's words*",
        renewal="*how it is signed in anew*",
        widening="*how it is given more permissions*",
        stranger="*whose it is*",
    )
    return f"| {code} | {status} | {done} | {sentence} | {rule.advice} |"


def _span(wait: timedelta) -> str:
    minutes, seconds = divmod(int(wait.total_seconds()), 60)
    return f"{minutes} min" if minutes else f"{seconds} s"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "does not apply" if value is None else f"{value:,}"


def pages() -> dict[Path, str]:
    """Return every generated page with its text."""
    return {
        HERE / "states.md": _STATES.format(
            enrollments=diagram(ENROLLMENT_TRANSITIONS), intents=diagram(INTENT_TRANSITIONS)
        ),
        HERE / "adapters.md": _ADAPTERS.format(table=mailbox_table()),
        HERE / "salesforce-errors.md": _SALESFORCE_ERRORS.format(sections=code_sections()),
        HERE / "gmail-errors.md": _GMAIL_ERRORS.format(table=gmail_table()),
        HERE / "outlook-errors.md": _OUTLOOK_ERRORS.format(table=outlook_table()),
    }


def main() -> int:
    """Write the pages, or tell whether they are up to date."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
