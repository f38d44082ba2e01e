"""What kind of mail arrived, judged by the mail alone.

Lives here: the order of the kinds and the marks of each (spec delivery 5). Does not live here: whom it is about
(`match`), what follows from it (`sequencing`).

    own -> delivery report -> automatic -> calendar or receipt -> written by a person

A mail that bears no mark and no author is unknown: it is shown and asked about, never acted on. Some automatic
answers carry no mark at all; nobody can tell those from a reply.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from enum import StrEnum

from flufl.bounce import all_failures

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
        """Whether the mail was refused for what or who it is (5.7.x): the address itself may be good."""
        return self.status.startswith("5.7.")


#: How automatic answers begin their subjects, lower case. A colon or the end of the subject follows.
AUTOMATIC_SUBJECTS: tuple[str, ...] = (
    "automatic reply",  # English
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "out of office",
    "out of the office",
    "automatische antwort",  # German
    "abwesenheitsnotiz",
    "abwesend",
    "réponse automatique",  # French
    "absence du bureau",
    "respuesta automática",  # Spanish
    "fuera de la oficina",
    "resposta automática",  # Portuguese, Catalan
    "ausência temporária",
    "risposta automatica",  # Italian
    "fuori sede",
    "automatisch antwoord",  # Dutch
    "afwezig",
    "autosvar",  # Swedish, Danish, Norwegian
    "automatiskt svar",
    "automatisk svar",
    "fraværende",
    "automaattinen vastaus",  # Finnish
    "odpowiedź automatyczna",  # Polish
    "automatická odpověď",  # Czech
    "automatická odpoveď",  # Slovak
    "automatikus válasz",  # Hungarian
    "răspuns automat",  # Romanian
    "otomatik yanıt",  # noqa: RUF001 - Turkish
    "автоматический ответ",  # Russian
    "автоматична відповідь",  # Ukrainian
    "αυτόματη απάντηση",  # Greek
    "自動応答",  # Japanese
    "自動返信",
    "自动答复",  # Chinese
    "自动回复",
    "自動回覆",
    "자동 회신",  # Korean
    "자동 응답",
)
_AUTOMATIC_SUBJECT = re.compile(
    rf"\s*(?:{'|'.join(re.escape(words) for words in AUTOMATIC_SUBJECTS)})\s*(?:[:\u2013\u2014(\uff1a-]|$)",
    re.IGNORECASE,
)

#: Headers that only an automatic answer carries, and what mailings say of themselves.
_ANSWER_HEADERS = ("x-autoreply", "x-autorespond", "x-autoresponder")
_MAILING_PRECEDENCE = frozenset({"bulk", "junk", "list"})
# X-Auto-Response-Suppress is no mark: people's own mail carries it too (sisimai 491).

#: Local parts of the addresses that reports come from; the last is Exchange Online's.
_REPORTERS = ("mailer-daemon", "postmaster", "microsoftexchange329e71ec88ae4615bbc36ab6ce41109e")
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_ADDRESS = re.compile(r"[^\s<>;,\"]+@[^\s<>;,\"]+")
_PARAMETER = re.compile(r";\s*([\w-]+)\s*=\s*\"?([^\";]*)\"?")


def classify(mail: MailReceived, *, own: frozenset[str]) -> Classified:
    """Return the kind of a mail; `own` holds the rep's address and aliases."""
    sender = mail.sender.email.lower()
    if sender in {address.lower() for address in own}:
        return Classified(kind=MailKind.OWN, reason=f"{sender} is the rep's own address")
    return _report(mail) or _automatic(mail) or _calendar_or_receipt(mail) or _personal(mail)


def _header(mail: MailReceived, name: str) -> str:
    values = mail.headers.get(name, ())
    return values[0].strip() if values else ""


def _content_type(mail: MailReceived) -> tuple[str, dict[str, str]]:
    value = _header(mail, "content-type")
    parameters = {name.lower(): text.strip().lower() for name, text in _PARAMETER.findall(value)}
    return value.partition(";")[0].strip().lower(), parameters


def _report(mail: MailReceived) -> Classified | None:
    media_type, parameters = _content_type(mail)
    structured = (
        media_type == "multipart/report" and parameters.get("report-type", "delivery-status") == "delivery-status"
    )
    named = mail.headers.get("x-failed-recipients", ())
    reporter = mail.sender.email.partition("@")[0].lower() in _REPORTERS
    if not structured and not reporter and not named:
        return None
    message = email.message_from_bytes(mail.raw, policy=email.policy.compat32) if mail.raw else None
    said = _said_by(message) if message else _Said()
    recipients = said.recipients or tuple(address.lower() for value in named for address in _ADDRESS.findall(value))
    original = said.original or _first_id(_header(mail, "x-original-message-id")) or mail.in_reply_to
    status = said.status
    action = said.action
    if not action and message is not None:
        # Reports without the proper structure: the library knows the forms of many mail systems.
        temporary, permanent = _guessed(message)
        found = permanent or temporary
        action = "failed" if permanent else "delayed" if temporary else ""
        recipients = recipients or tuple(sorted(address.decode("utf-8", "replace").lower() for address in found))
    shown = _STATUS.search(mail.text)
    status = status or (shown[1] if shown else "")
    if not action and named:
        # Gmail names the recipients of a late mail in the same header.
        action = "delayed" if status.startswith("4.") or "delay" in mail.subject.lower() else "failed"
    if not action:
        return Classified(
            kind=MailKind.UNKNOWN, reason="a delivery report that cannot be read", original_message_id=original
        )
    return Classified(
        kind=MailKind.BOUNCE if action == "failed" else MailKind.DELAYED,
        reason=f"a delivery report says {action}{f' ({status})' if status else ''}",
        status=status,
        failed_recipients=recipients,
        original_message_id=original,
    )


def _guessed(message: Message) -> tuple[frozenset[bytes], frozenset[bytes]]:
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # noqa: BLE001 - anyone can write such a mail, and it must not stop the mailbox
        return frozenset(), frozenset()
    return frozenset(temporary), frozenset(permanent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a structured report says; empty when it has no structure."""

    action: str = ""
    status: str = ""
    recipients: tuple[str, ...] = ()
    original: str | None = None


def _said_by(message: Message) -> _Said:
    blocks = [
        block
        for part in message.walk()
        if part.get_content_type() == "message/delivery-status"
        for block in _blocks(part)
        if block["Action"]
    ]
    # One recipient that failed makes it a bounce; the report may speak of several.
    failed = [block for block in blocks if _action(block) == "failed"]
    about = failed or blocks
    return _Said(
        action=_action(about[0]) if about else "",
        status=next((found[1] for block in about if (found := _STATUS.search(str(block["Status"] or "")))), ""),
        recipients=tuple(
            dict.fromkeys(
                address.lower()
                for block in about
                for address in _ADDRESS.findall(str(block["Final-Recipient"] or block["Original-Recipient"] or ""))
            )
        ),
        original=_original(message),
    )


def _action(block: Message) -> str:
    words = str(block["Action"]).lower().split()
    return words[0] if words else ""


def _blocks(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    if isinstance(payload, list):
        yield from (block for block in payload if isinstance(block, Message))


def _original(message: Message) -> str | None:
    for part in message.walk():
        kind = part.get_content_type()
        if kind == "message/rfc822":
            payload = part.get_payload()
            inner = payload[0] if isinstance(payload, list) and payload else None
        elif kind == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            inner = email.message_from_bytes(payload) if isinstance(payload, bytes) else None
        else:
            continue
        if isinstance(inner, Message) and (found := _first_id(str(inner["Message-ID"] or ""))):
            return found
    return _first_id(str(message["X-Original-Message-ID"] or message["In-Reply-To"] or ""))


def _first_id(text: str) -> str | None:
    found = _MESSAGE_ID.search(text)
    return found[0] if found else None


def _automatic(mail: MailReceived) -> Classified | None:
    submitted = _header(mail, "auto-submitted").partition(";")[0].strip().lower()
    precedence = _header(mail, "precedence").lower()
    answered = next((name for name in _ANSWER_HEADERS if name in mail.headers), "")
    for marked, answer, reason in (
        (submitted.startswith("auto-replied"), True, "its header Auto-Submitted says auto-replied"),
        (bool(answered), True, f"it carries the header {answered}"),
        (precedence == "auto_reply", True, "its header Precedence says auto_reply"),
        (
            _AUTOMATIC_SUBJECT.match(mail.subject) is not None,
            True,
            "its subject is that of an automatic answer",
        ),
        (submitted not in ("", "no"), False, f"its header Auto-Submitted says {submitted}"),
        (precedence in _MAILING_PRECEDENCE, False, f"its header Precedence says {precedence}"),
        ("list-id" in mail.headers, False, "it carries the header list-id"),
    ):
        if marked:
            return Classified(kind=MailKind.AUTOMATIC, reason=reason, out_of_office=answer)
    return None


def _calendar_or_receipt(mail: MailReceived) -> Classified | None:
    media_type, parameters = _content_type(mail)
    if media_type == "multipart/report" and parameters.get("report-type") == "disposition-notification":
        return Classified(kind=MailKind.CALENDAR_OR_RECEIPT, reason="it is a receipt")
    # An invitation (method=REQUEST) was written by a person and is no answer to one.
    calendar = media_type == "text/calendar" and parameters.get("method") == "reply"
    calendar = calendar or _header(mail, "content-class").lower() == "urn:content-classes:calendarmessage"
    calendar = calendar or "calendar-notification@google.com" in _header(mail, "sender").lower()
    if not calendar and mail.raw and b"text/calendar" in mail.raw.lower():
        message = email.message_from_bytes(mail.raw, policy=email.policy.compat32)
        calendar = any(
            part.get_content_type() == "text/calendar" and str(part.get_param("method") or "").upper() == "REPLY"
            for part in message.walk()
        )
    if calendar:
        return Classified(kind=MailKind.CALENDAR_OR_RECEIPT, reason="it answers an invitation")
    return None


def _personal(mail: MailReceived) -> Classified:
    if _header(mail, "return-path") == "<>" or not mail.sender.email:
        return Classified(kind=MailKind.UNKNOWN, reason="it names no sender and bears no mark")
    return Classified(kind=MailKind.PERSONAL, reason="it bears no mark of a machine")
