"""What kind of mail arrived, judged by the mail alone.

Lives here: the order of the kinds (spec delivery 5), and answers to invitations and receipts. Does not live here: the
marks of automatic mail (`automatic`), reading a delivery report (`reports`), whom it is about (`match`), what follows
from it (`sequencing`).

    own -> delivery report -> automatic -> calendar or receipt -> written by a person

Where a mark is weak, or two marks say different things, the mail is unknown: it is shown and asked about, never acted
on. Some automatic answers carry no mark at all; nobody can tell those from a reply. docs/incoming-mail.md counts both.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from enum import StrEnum

from connector.inbox.automatic import (
    answered_by_machine,
    generated,
    maybe_automatic,
    passed_on_by_rule,
    tells_absence,
)
from connector.inbox.headers import first, media_type
from connector.inbox.reports import Report, is_report, read_report
from connector.ports import MailReceived


class MailKind(StrEnum):
    """Kinds of incoming mail, in the order they are looked for."""

    #: The rep wrote it.
    OWN = "own"
    #: A delivery report says that the mail will never arrive.
    BOUNCE = "bounce"
    #: A delivery report that says anything else: late, delivered, relayed.
    DELAYED = "delayed"
    #: No person wrote it: an out-of-office answer, a notice, a mailing.
    AUTOMATIC = "automatic"
    #: An answer to an invitation, or a read receipt.
    CALENDAR_OR_RECEIPT = "calendar_or_receipt"
    #: Written by a person; a reply if `match` finds what it answers.
    PERSONAL = "personal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """The kind of a mail, and what its report says."""

    kind: MailKind
    #: The mark that decided, as a clause for people.
    reason: str
    #: Status of a delivery report (RFC 3463), such as 5.1.1.
    status: str = ""
    #: Addresses that a delivery report is about, lower case.
    failed_recipients: tuple[str, ...] = ()
    #: Message-ID of the mail that a delivery report is about.
    original_message_id: str | None = None
    #: Whether an automatic mail is an answer of the person's own mailbox, rather than a notice or a mailing.
    out_of_office: bool = False

    @property
    def policy(self) -> bool:
        """Whether the mail was refused for what it is or who sent it: the address itself may be good."""
        said = self.status[1:]  # Whether it is permanent (5) or was tried until time ran out (4) changes nothing.
        return said.startswith(_NOT_THE_ADDRESS) or said in _SENDER_OR_SIZE


#: Subjects of status codes that say nothing of the recipient (RFC 3463): content, security and policy.
_NOT_THE_ADDRESS = (".6.", ".7.")
#: Details that speak of the sender's address or of the size of the mail (RFC 3463 sections 3.2 to 3.4).
_SENDER_OR_SIZE = frozenset({".1.7", ".1.8", ".2.3", ".3.4"})

#: What an attendee's calendar sends back (RFC 5546): accepted, declined, tentative, or another time.
_CALENDAR_ANSWERS = frozenset({"reply", "counter"})
#: How such answers begin their subjects, lower case: Exchange's and Google's. People write some of these too.
_CALENDAR_SUBJECTS: tuple[str, ...] = (
    *("accepted", "declined", "tentative", "tentatively accepted", "new time proposed"),
    *("zugesagt", "angenommen", "abgelehnt", "abgesagt", "mit vorbehalt", "vorläufig", "neue uhrzeit vorgeschlagen"),
    *("accepté", "refusé", "provisoire", "peut-être"),
    *("aceptado", "aceptada", "rechazado", "rechazada", "provisional"),
    *("accettato", "rifiutato", "provvisorio", "forse"),
    *("geaccepteerd", "geweigerd", "voorlopig", "aceito", "aceite", "recusado", "tentativa"),
    *("accepterat", "avböjt", "preliminärt", "zaakceptowano", "odrzucono", "wstępnie"),
    *("принято", "отклонено", "под вопросом", "承諾", "辞退", "仮承諾", "已接受", "已拒绝", "暂定", "수락됨", "거절됨"),
)
_CALENDAR_SUBJECT = re.compile(rf"(?:{'|'.join(_CALENDAR_SUBJECTS)})\s?[:\uff1a]", re.IGNORECASE)
#: Google's calendar sends for people, and says whom by From.
_GOOGLE_CALENDAR = "calendar-notification@google.com"


def classify(mail: MailReceived, *, own: frozenset[str]) -> Classified:
    """Return the kind of a mail; `own` holds the rep's address and aliases."""
    sender = mail.sender.email.lower()
    if sender in {address.lower() for address in own}:
        return Classified(kind=MailKind.OWN, reason=f"{sender} is the rep's own address")
    return (
        _receipt(mail)
        or _report(mail)
        or _answer(mail)
        or _calendar(mail)
        or _machine(mail)
        or _weakly_marked(mail)
        or Classified(kind=MailKind.PERSONAL, reason="it bears no mark of a machine")
    )


def _receipt(mail: MailReceived) -> Classified | None:
    """Tell a receipt (RFC 8098). It comes first because it is a report by type, and may say auto-replied."""
    kind, parameters = media_type(mail)
    named = parameters.get("report-type")
    untold = kind == "multipart/report" and named is None and "message/disposition-notification" in _parts(mail)
    if (kind == "multipart/report" and named == "disposition-notification") or untold:
        return Classified(kind=MailKind.CALENDAR_OR_RECEIPT, reason="it is a receipt")
    return None


def _report(mail: MailReceived) -> Classified | None:
    if not is_report(mail):
        return None
    report = read_report(mail)
    if report.action:
        return _told(report)
    return Classified(
        kind=MailKind.UNKNOWN,
        reason="a delivery report that cannot be read",
        original_message_id=report.original,
    )


def _told(report: Report) -> Classified:
    return Classified(
        kind=MailKind.BOUNCE if report.action == "failed" else MailKind.DELAYED,
        reason=f"a delivery report says {report.action}{f' ({report.status})' if report.status else ''}",
        status=report.status,
        failed_recipients=report.recipients,
        original_message_id=report.original,
    )


def _answer(mail: MailReceived) -> Classified | None:
    if reason := answered_by_machine(mail):
        return Classified(kind=MailKind.AUTOMATIC, reason=reason, out_of_office=True)
    # Some systems report from an ordinary address; only the empty sender of the envelope tells.
    if _has_empty_sender(mail) and (report := read_report(mail)).action:
        return _told(report)
    return None


def _calendar(mail: MailReceived) -> Classified | None:
    """Tell what a calendar sent. An invitation was written by a person, whatever sent it for them."""
    methods = _methods(mail)
    by_google = _GOOGLE_CALENDAR in first(mail, "sender").lower()
    by_calendar = by_google or first(mail, "content-class").lower() == "urn:content-classes:calendarmessage"
    subject_answers = _CALENDAR_SUBJECT.match(mail.subject.strip()) is not None
    if methods & _CALENDAR_ANSWERS or (by_calendar and not methods and subject_answers):
        return Classified(kind=MailKind.CALENDAR_OR_RECEIPT, reason="it answers an invitation")
    if "request" in methods and by_google:
        return Classified(kind=MailKind.PERSONAL, reason="it is an invitation")
    if by_calendar and not methods:
        return Classified(kind=MailKind.UNKNOWN, reason="a calendar sent it, and it does not say whether in answer")
    if subject_answers and mail.raw is None and media_type(mail)[0].startswith("multipart/"):
        return Classified(kind=MailKind.UNKNOWN, reason="its subject may be that of an answer to an invitation")
    return None


def _machine(mail: MailReceived) -> Classified | None:
    reason = generated(mail)
    if not reason:
        return None
    if passed_on := passed_on_by_rule(mail):
        return Classified(kind=MailKind.UNKNOWN, reason=passed_on)
    return Classified(kind=MailKind.AUTOMATIC, reason=reason)


def _weakly_marked(mail: MailReceived) -> Classified | None:
    """Tell a mailing; one that answers a mail may be a person's, and one without a sender anybody's."""
    if reason := maybe_automatic(mail):
        if mail.in_reply_to or mail.references:
            return Classified(kind=MailKind.UNKNOWN, reason=f"{reason}, but it answers a mail")
        return Classified(kind=MailKind.AUTOMATIC, reason=reason)
    if reason := tells_absence(mail):
        return Classified(kind=MailKind.UNKNOWN, reason=reason)
    if _has_empty_sender(mail) or not mail.sender.email:
        return Classified(kind=MailKind.UNKNOWN, reason="it names no sender and bears no mark")
    return None


def _has_empty_sender(mail: MailReceived) -> bool:
    return first(mail, "return-path").replace(" ", "") == "<>"


def _methods(mail: MailReceived) -> frozenset[str]:
    """Return the calendar methods of a mail, lower case; empty when there is none, or the whole mail is not at hand."""
    kind, parameters = media_type(mail)
    if kind == "text/calendar":
        return frozenset({parameters.get("method", "")} - {""})
    return frozenset(
        str(part.get_param("method") or "").lower()
        for part in _walk(mail)
        if part.get_content_type() == "text/calendar" and part.get_param("method")
    )


def _parts(mail: MailReceived) -> frozenset[str]:
    return frozenset(part.get_content_type() for part in _walk(mail))


def _walk(mail: MailReceived) -> Iterator[Message]:
    if mail.raw is None:
        return
    try:
        parts = list(email.message_from_bytes(mail.raw, policy=email.policy.compat32).walk())
    except Exception:  # noqa: BLE001 - anyone can write such a mail, and it must not stop the mailbox
        return
    yield from parts
