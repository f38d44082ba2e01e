"""Addresses that open a mail client's own compose window, filled in; for reps without a connected mailbox.

Lives here: the addresses of Gmail and Outlook on the web, and what is left out when the text is too long.
Does not live here: opening a draft that a service holds (adapters). Source: spec delivery 4.

The addresses carry plain text only, and neither vendor publishes a length; 2,000 characters pass everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

#: Longest address that every browser and both services are known to take.
LONGEST_ADDRESS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeLink:
    """An address to open, and what did not fit into it."""

    address: str = field(repr=False)
    #: Text that had to be left out: "" when all of it is there.
    left_out: str = field(default="", repr=False)

    @property
    def note(self) -> str:
        """What to tell the rep about what is missing; "" when nothing is."""
        words = self.left_out.split()
        return f"the last {len(words)} words did not fit, from: {' '.join(words[:8])} ..." if words else ""


def compose_link(
    client: Literal["gmail", "outlook"],
    *,
    rep_email: str,
    to: str,
    subject: str,
    text: str,
    limit: int = LONGEST_ADDRESS,
) -> ComposeLink:
    """Return the address that opens a compose window with recipient, subject and text, within `limit` characters.

    The text is cut between words, and the subject only if it alone is too long. Raises `ValueError` when the limit
    does not even hold the recipient.
    """
    if client == "gmail":
        # `authuser` opens the right one of several signed-in accounts; `/u/0/` would open the first.
        start = f"https://mail.google.com/mail/?authuser={_encoded(rep_email)}&view=cm&fs=1&tf=cm&to={_encoded(to)}"
        subject_key, text_key = "&su=", "&body="
    else:
        start = f"https://outlook.office.com/mail/deeplink/compose?to={_encoded(to)}"
        subject_key, text_key = "&subject=", "&body="
    room = limit - len(start) - len(subject_key) - len(text_key)
    if room < 0:
        raise ValueError(f"{limit} characters do not hold the address of a compose window")
    shown_subject, rest_of_subject = _fit(subject, room)
    shown_text, rest_of_text = _fit(text.strip(), room - len(_encoded(shown_subject)))
    address = f"{start}{subject_key}{_encoded(shown_subject)}{text_key}{_encoded(shown_text)}"
    left_out = "\n".join(part for part in (rest_of_subject, rest_of_text) if part)
    return ComposeLink(address=address, left_out=left_out)


def _encoded(text: str) -> str:
    # Line breaks go as CRLF: both clients show them so, and %0A alone is dropped by older ones.
    return quote("\r\n".join(text.splitlines()) if "\n" in text or "\r" in text else text, safe="@")


def _fit(text: str, room: int) -> tuple[str, str]:
    """Return the longest beginning, ending with a whole word, whose encoding fits, and the rest."""
    if len(_encoded(text)) <= room:
        return text, ""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_encoded(text[:middle])) <= room else (low, middle - 1)
    # Back to the last space, unless the first word alone is too long.
    end = low
    while end > 0 and not (text[end].isspace() or text[end - 1].isspace()):
        end -= 1
    end = end or low
    return text[:end].rstrip(), text[end:].strip()
