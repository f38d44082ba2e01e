"""Errors, sorted by what the caller must do about them.

    ConnectorError            a sentence for a person, and an exit status
     +- BadInput              the input is wrong: nothing was changed; carries every fault found
     +- Busy                  another sync is running
     +- AdapterError          a service did not do what was asked; carries its code
         +- Retry             try again, not before `after`
         +- Reconnect         the account must be signed in again; only its own work stops
         +- Refused           the service will never do this as asked
         |   +- Unsupported   the service cannot express it (see its Capabilities)
         |   +- Stale         what it points at has changed: look that up anew, then do it again
         +- OutcomeUnknown    it may have been done: look it up before anything is tried again

Vendor errors are translated at the edge and keep their cause (`raise ... from`).
The sentence never holds a token, a password or a mail body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Severity(StrEnum):
    """How bad a fault is: an error refuses the input, a warning only says something."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with the input, said so that its author can mend it."""

    #: What is wrong and what to do about it, as one sentence.
    sentence: str
    #: File as the user named it; None for input that is not a file.
    file: str | None = None
    #: Line in the file, counted from 1.
    line: int | None = None
    #: Where inside it: "campaign 'Q4 outreach', day 3, step 1" or "person ann@acme.example".
    where: str | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Return `file:line: where: sentence`, leaving out what is not known."""
        place = self.file or ""
        if self.file and self.line:
            place = f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.where, self.sentence) if part)


class ErrorClass(StrEnum):
    """What kind of trouble a code stands for, as the list of diagnostics sorts it (reference marketo 5)."""

    INTERMITTENT = "intermittent"
    AUTHENTICATION = "authentication"
    ACCESS = "access or validation"
    OTHER = "other"


class ConnectorError(Exception):
    """Base of every error a person may see; `str()` is a sentence for them."""

    exit_status = 1


class BadInput(ConnectorError):  # noqa: N818 - named for what it tells, as in the design
    """The input is wrong; nothing was changed. All faults found are reported together."""

    exit_status = 2

    def __init__(self, *faults: Fault | str) -> None:
        """Take the faults; a bare sentence is a fault without a place."""
        self.faults: tuple[Fault, ...] = tuple(
            Fault(sentence=fault) if isinstance(fault, str) else fault for fault in faults
        )
        super().__init__("\n".join(str(fault) for fault in self.faults))

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> BadInput:
        """Build from a sequence of faults."""
        return cls(*faults)


class Busy(ConnectorError):  # noqa: N818
    """Another sync is running on the same database."""

    exit_status = 3


class AdapterError(ConnectorError):
    """A service did not do what was asked of it.

    `code` is the service's own (``UNABLE_TO_LOCK_ROW``, ``rateLimitExceeded``), for tables and searches; `advice` is
    one more sentence, for the administrator.
    """

    #: What kind of trouble it is, unless the service's table of codes knows better.
    default_category = ErrorClass.OTHER

    def __init__(self, sentence: str, *, code: str = "", advice: str = "", category: ErrorClass | None = None) -> None:
        """Take the sentence for a person and the service's code."""
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code
        self.advice = advice
        self.category = category or self.default_category


class Retry(AdapterError):  # noqa: N818
    """Nothing was done; trying again later is right. `after` is how long the service asked to wait."""

    default_category = ErrorClass.INTERMITTENT

    def __init__(
        self,
        sentence: str,
        *,
        code: str = "",
        after: timedelta | None = None,
        advice: str = "",
        category: ErrorClass | None = None,
    ) -> None:
        """Take the wait the service asked for, if it did."""
        super().__init__(sentence, code=code, advice=advice, category=category)
        self.after = after


class Reconnect(AdapterError):  # noqa: N818
    """The account must be signed in again by a person; its work waits, other accounts go on."""

    exit_status = 4
    default_category = ErrorClass.AUTHENTICATION

    def __init__(
        self, sentence: str, *, account: str, code: str = "", advice: str = "", category: ErrorClass | None = None
    ) -> None:
        """Take the account's name: `salesforce`, or a mailbox such as `gmail:ana@acme.example`."""
        super().__init__(sentence, code=code, advice=advice, category=category)
        self.account = account


class Refused(AdapterError):  # noqa: N818
    """The service will not do this as asked; trying again changes nothing."""

    default_category = ErrorClass.ACCESS


class Unsupported(Refused):
    """The service cannot express this; never dropped in silence."""


class Stale(Refused):
    """What it points at has changed since it was asked about (a converted lead, an owner who left)."""


class OutcomeUnknown(AdapterError):  # noqa: N818
    """The service may have done it: the answer was lost. Look up `key` before doing anything again."""

    def __init__(self, sentence: str, *, key: str, code: str = "") -> None:
        """Take the intent key to look up."""
        super().__init__(sentence, code=code)
        self.key = key
