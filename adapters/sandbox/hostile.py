"""What goes wrong on a hostile sandbox: which call meets which trouble, decided by a seed.

Lives here: `Trouble`, `Hostility` (what a test asks for), `Dice` (which call it strikes), `Oddities` (what is odd for a
whole sandbox). Does not live here: what a caller then sees (`hostile_line`, `hostile_words`).

Every decision is a hash of the seed, the call's key (service, mailbox, method, path without ids) and how many calls of
that key came before: another order of calls that run at once changes nothing. No trouble is one that the service does
by itself to a mail (nothing is ever done twice), and none lasts: after `at_most` of a key in a row a call goes through.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from connector.errors import BadInput


class Trouble(StrEnum):
    """One kind of trouble."""

    #: The line is closed without an answer, and nothing was done.
    LOST_BEFORE = "lost_before"
    #: The line is closed, or reset, without an answer, and it was done.
    LOST_AFTER = "lost_after"
    #: The line is reset, and nothing was done.
    RESET = "reset"
    #: Too much at once, said as each service says it, with a time to wait or without; also of one part of a batch.
    THROTTLED = "throttled"
    #: 503; the mail services may have done it all the same.
    UNAVAILABLE = "unavailable"
    #: 504 after it was done.
    GATEWAY_TIMEOUT = "gateway_timeout"
    #: The answer comes in pieces, with a few milliseconds between them.
    SLOW = "slow"
    #: The answer is cut short: by the line, or by whoever wrote its length.
    TRUNCATED = "truncated"
    #: 401 as for a token whose time is over; the next call is taken.
    EXPIRED = "expired"
    #: Some rows of a page (history, delta, queries, lists) stand in it twice.
    DUPLICATE_ROWS = "duplicate_rows"
    #: Ids change where reports say they do: in Outlook on send, in Gmail when a rep edits a draft.
    CHANGING_IDS = "changing_ids"
    #: What is sent or made is found late: Outlook's Sent Items, Gmail's search.
    LATE_COPIES = "late_copies"
    #: The services' clocks are off by up to three minutes, in the Date header and in every record.
    SKEWED_CLOCK = "skewed_clock"


#: Those that hold for the whole sandbox, not for one call.
_STANDING = frozenset({Trouble.CHANGING_IDS, Trouble.LATE_COPIES, Trouble.SKEWED_CLOCK})

#: What a sign-in meets, at a fifth of the rate: nothing that could lose a token which is given out once.
_AT_ANY_SIGN_IN = (Trouble.LOST_BEFORE, Trouble.RESET, Trouble.UNAVAILABLE, Trouble.SLOW)
#: msal repeats a 503 from its memory for five seconds of the machine's clock, in which a test turns fifty passes.
_AT_SIGN_IN = {"graph:token": (Trouble.LOST_BEFORE, Trouble.RESET, Trouble.SLOW)}
_SIGN_IN_SHARE = 0.2

#: What a part of a batch meets by itself.
_OF_A_PART = (Trouble.THROTTLED, Trouble.UNAVAILABLE, Trouble.GATEWAY_TIMEOUT)

#: Calls of a key between two ended tokens: one that was given a moment ago has not ended.
_TOKEN_LASTS = 8

#: Where pages of rows come from.
_PAGES = re.compile(
    r"/services/data/v[\d.]+/query(?:All)?(?:/.*)?"
    r"|/gmail/v1/users/[^/]+/(?:history|messages|drafts)"
    r"|/v1\.0/.*/(?:delta(?:\(\))?|messages)"
)

_LATEST_COPY = 90
_LARGEST_SKEW = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostility:
    """How hostile a sandbox is."""

    seed: int
    #: Share of calls that meet trouble, and of parts of a batch again; 0 to 1.
    rate: float = 0.25
    troubles: frozenset[Trouble] = field(default_factory=lambda: frozenset(Trouble))
    #: Calls of a key that fail in a row at most.
    at_most: int = 3

    def __post_init__(self) -> None:
        """Refuse a rate that is no share, and a sandbox nothing would get through."""
        if not 0 <= self.rate <= 1 or self.at_most < 1:
            raise BadInput("the rate of a hostile sandbox is from 0 to 1, and at_most is 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One trouble that strikes one call."""

    trouble: Trouble
    #: Chooses among the forms a trouble has: 0 to 2**32 - 1.
    form: int
    key: str
    #: How many calls of the key came before this one.
    occurrence: int

    @property
    def acts(self) -> bool:
        """Whether the call is done all the same; an unavailable service may have done it or not."""
        if self.trouble is Trouble.UNAVAILABLE:
            return self.form % 3 == 0
        return self.trouble not in (Trouble.LOST_BEFORE, Trouble.RESET, Trouble.THROTTLED, Trouble.EXPIRED)


#: Says what one part of a batch meets: service, mailbox, HTTP method, path.
Meets = Callable[[str, str, str, str], Draw | None]


def meets_nothing(_service: str, _mailbox: str, _method: str, _path: str) -> Draw | None:
    """Let every part of a batch pass."""
    return None


class Dice:
    """Says which call meets which trouble."""

    def __init__(self, hostility: Hostility) -> None:
        self._hostility = hostility
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._expired: dict[str, int] = {}

    def whole(self, service: str, mailboxes: Sequence[str], method: str, path: str) -> Draw | None:
        """Say what an HTTP call meets."""
        sign_in = service.endswith(":token")
        if sign_in:
            fitting: Sequence[Trouble] = _AT_SIGN_IN.get(service, _AT_ANY_SIGN_IN)
        else:
            pages = method == "GET" and _PAGES.fullmatch(path) is not None
            fitting = [one for one in Trouble if one not in _STANDING and (pages or one is not Trouble.DUPLICATE_ROWS)]
        key = f"{service} {','.join(mailboxes)} {method} {without_ids(path)}"
        return self._draw(key, fitting, self._hostility.rate * (_SIGN_IN_SHARE if sign_in else 1))

    def part(self, service: str, mailbox: str, method: str, path: str) -> Draw | None:
        """Say what one part of a batch meets by itself."""
        key = f"{service} {mailbox} part {method} {without_ids(path)}"
        return self._draw(key, _OF_A_PART, self._hostility.rate)

    def _draw(self, key: str, fitting: Sequence[Trouble], rate: float) -> Draw | None:
        with self._lock:
            occurrence = self._calls[key]
            self._calls[key] += 1
            lot = _hashed(self._hostility.seed, key, occurrence)
            able = [one for one in fitting if one in self._hostility.troubles]
            if occurrence - self._expired.get(key, -_TOKEN_LASTS) < _TOKEN_LASTS:
                able = [one for one in able if one is not Trouble.EXPIRED]
            if not able or lot[0] / 2**32 >= rate or self._in_a_row[key] >= self._hostility.at_most:
                self._in_a_row[key] = 0
                return None
            trouble = able[lot[1] % len(able)]
            if trouble is Trouble.EXPIRED:
                self._expired[key] = occurrence
            self._in_a_row[key] += 1
        return Draw(trouble=trouble, form=lot[2], key=key, occurrence=occurrence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddities:
    """What is odd for a whole sandbox."""

    #: How far the clocks of Salesforce and of the mail services are off.
    salesforce_skew: timedelta = timedelta()
    mail_skew: timedelta = timedelta()
    #: Values for `MailSettings`.
    mail: Mapping[str, bool | float] = field(default_factory=dict)


def oddities(hostility: Hostility) -> Oddities:
    """Draw what is odd for a whole sandbox."""

    def drawn(name: str) -> int:
        return _hashed(hostility.seed, name, 0)[0]

    def skew(name: str) -> timedelta:
        if Trouble.SKEWED_CLOCK not in hostility.troubles:
            return timedelta()
        return timedelta(seconds=drawn(name) % (2 * _LARGEST_SKEW + 1) - _LARGEST_SKEW)

    mail: dict[str, bool | float] = {}
    if Trouble.CHANGING_IDS in hostility.troubles:
        names = ("outlook_immutable_ids_change", "gmail_edit_changes_draft_id", "gmail_edit_changes_message_id")
        mail |= {name: drawn(name) % 2 == 0 for name in names}
    if Trouble.LATE_COPIES in hostility.troubles:
        mail |= {name: float(drawn(name) % _LATEST_COPY) for name in ("outlook_sent_delay", "gmail_search_lag")}
    return Oddities(salesforce_skew=skew("salesforce clock"), mail_skew=skew("mail clock"), mail=mail)


def without_ids(path: str) -> str:
    """Return a path with `*` where a part of it names one record, mail or page, as calls of a kind share it."""
    return "/".join("*" if _is_id(part) else part for part in path.split("/"))


def _is_id(part: str) -> bool:
    """Tell an id: long, with a digit in it, and no address; words of the APIs have none but in a version."""
    return len(part) >= 12 and "@" not in part and any(letter.isdigit() for letter in part)


def _hashed(seed: int, key: str, occurrence: int) -> tuple[int, int, int]:
    digest = hashlib.blake2b(f"{seed} {key} {occurrence}".encode(), digest_size=12).digest()
    return int.from_bytes(digest[:4]), int.from_bytes(digest[4:8]), int.from_bytes(digest[8:])
