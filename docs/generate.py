"""Write the parts of the docs that come from the code: state diagrams and the table of what services can do.

python docs/generate.py            # rewrites docs/states.md and docs/adapters.md
python docs/generate.py --check    # exit status 1 if that would change them
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from connector.app import is_mailbox_adapter, load_adapters
from connector.capabilities import MailboxCapabilities
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
