"""What mail servers report about a mail they could not deliver.

Lives here: reports of several makers, `PROVIDERS`: by RFC 3464, and one that keeps to no standard. Does not live here:
whose mail is reported on (`arrivals`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from adapters.sandbox.letter import Who, head, header_of, parse
from connector.ports import STAMP_HEADER

#: Headers of the reported mail that a report repeats.
_KEPT = ("from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", STAMP_HEADER.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How one kind of server reports; in texts {failed}, {subject}, {domain} and {reply} stand for what they say."""

    sender: Who
    #: Subject by outcome.
    failed: str
    delayed: str
    #: What it says to a human.
    words: str
    reporter: str
    #: Further headers.
    headers: tuple[tuple[str, str], ...] = (("Auto-Submitted", "auto-replied"),)
    #: Written as RFC 3464 has it; otherwise a text alone.
    standard: bool = True
    #: The whole mail comes back, not only its headers.
    whole: bool = False
    #: Says which mail it answers.
    threaded: bool = True
    #: Writes when delivery takes long, too.
    delays: bool = True
    #: Addressed to the failed recipient, as Graph shows Exchange's reports (apis 3.10, 11).
    to_failed: bool = False


PROVIDERS: Mapping[str, Provider] = {
    "gmail": Provider(
        sender=("Mail Delivery Subsystem", "mailer-daemon@googlemail.com"),
        failed="Delivery Status Notification (Failure)",
        delayed="Delivery Status Notification (Delay)",
        words="Your message {state} to {failed}.\nThe response was: {reply}",
        reporter="googlemail.com",
        headers=(("Auto-Submitted", "auto-replied"), ("X-Failed-Recipients", "{failed}")),
    ),
    "exchange": Provider(
        sender=("Microsoft Outlook", "postmaster@{domain}"),
        failed="Undeliverable: {subject}",
        delayed="Delivery delayed: {subject}",
        words="Your message {state} to {failed}.\nThe response was: {reply}",
        reporter="AM0PR01MB0001.eurprd01.prod.outlook.com",
        headers=(("Auto-Submitted", "auto-replied"), ("X-Failed-Recipients", "{failed}")),
        to_failed=True,
    ),
    "postfix": Provider(
        sender=("Mail Delivery System", "MAILER-DAEMON@mx.{domain}"),
        failed="Undelivered Mail Returned to Sender",
        delayed="Delayed Mail (still being retried)",
        words="This is the mail system at host mx.{domain}.\n\nYour message {state} to one or more recipients.\n\n"
        "<{failed}>: {reply}",
        reporter="mx.{domain}",
        whole=True,
        threaded=False,
    ),
    "exim": Provider(
        sender=("Mail Delivery System", "Mailer-Daemon@mx.{domain}"),
        failed="Mail delivery failed: returning message to sender",
        delayed="Warning: message 1abcDE-0001aB-Cd delayed 24 hours",
        words="This message was created automatically by mail delivery software.\n\nYour message {state} to\n\n"
        "  {failed}\n    {reply}",
        reporter="mx.{domain}",
        headers=(("Auto-Submitted", "auto-replied"), ("X-Failed-Recipients", "{failed}")),
    ),
    "sendmail": Provider(
        sender=("Mail Delivery Subsystem", "MAILER-DAEMON@mx.{domain}"),
        failed="Returned mail: see transcript for details",
        delayed="Warning: could not send message for past 4 hours",
        words="   ----- The following addresses had problems -----\n<{failed}>\n    (reason: {reply})\n\n"
        "Your message {state} to {failed}.",
        reporter="mx.{domain}",
        headers=(("Auto-Submitted", "auto-generated (failure)"),),
        whole=True,
        threaded=False,
    ),
    "amazon_ses": Provider(
        sender=("", "MAILER-DAEMON@amazonses.com"),
        failed="Delivery Status Notification (Failure)",
        delayed="Delivery Status Notification (Delay)",
        words="Your message {state} to the following recipient: {failed}\n{reply}",
        reporter="a1-1.smtp-out.amazonses.com",
        whole=True,
    ),
    "qmail": Provider(
        sender=("", "MAILER-DAEMON@mx.{domain}"),
        failed="failure notice",
        delayed="failure notice",
        words="Hi. This is the qmail-send program at mx.{domain}.\nI'm afraid I wasn't able to deliver your message to "
        "the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        "<{failed}>:\n{reply}\n\n--- Below this line is a copy of the message.\n",
        reporter="mx.{domain}",
        headers=(),
        standard=False,
        whole=True,
        threaded=False,
        delays=False,
    ),
}

_REPLIES = {"failed": "550 {status} the address does not exist", "delayed": "the server does not answer; retrying"}
_STATES = {"failed": "was not delivered", "delayed": "has not been delivered yet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is to be reported."""

    original: bytes
    failed: str
    #: Who sent the mail, and the domain whose server reports.
    to: Who
    domain: str
    #: failed or delayed.
    outcome: str
    #: As in RFC 3463: "5.1.1".
    status: str
    message_id: str
    at: datetime

    @property
    def told(self) -> Mapping[str, str]:
        """What the texts of a provider stand for."""
        return {
            "failed": self.failed,
            "subject": head(self.original).subject,
            "domain": self.domain,
            "state": _STATES[self.outcome],
            "reply": _REPLIES[self.outcome].format(status=self.status),
        }


def write_report(provider: Provider, report: Report) -> bytes:
    """Return a provider's report as a mail."""
    told, top = report.told, head(report.original)
    name, address = provider.sender
    subject = provider.failed if report.outcome == "failed" else provider.delayed
    lines = [
        f"From: {header_of((name, address.format(**told)))}",
        f"To: {header_of(('', report.failed) if provider.to_failed else report.to)}",
        f"Subject: {subject.format(**told)}",
        f"Date: {format_datetime(report.at)}",
        f"Message-ID: {report.message_id}",
        "Return-Path: <>",
        *(f"{header}: {value.format(**told)}" for header, value in provider.headers),
    ]
    if provider.threaded:
        lines += [f"In-Reply-To: {top.message_id}", f"References: {' '.join((*top.references, top.message_id))}"]
    body = _parts(provider, report) if provider.standard else _text(provider, report)
    return "\r\n".join([*lines, "MIME-Version: 1.0", *body]).encode("utf-8", "surrogateescape")


def _text(provider: Provider, report: Report) -> Iterable[str]:
    words = provider.words.format(**report.told)
    whole = report.original.decode("utf-8", "surrogateescape")
    return ("Content-Type: text/plain; charset=utf-8", "", words.replace("\n", "\r\n"), whole)


def _parts(provider: Provider, report: Report) -> Iterable[str]:
    told = report.told
    boundary = "=_report_" + report.message_id.strip("<>").partition("@")[0]
    about = parse(report.original).items()
    kept = "".join(f"{name}: {value}\r\n" for name, value in about if name.lower() in _KEPT)
    return (
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        "",
        f"--{boundary}",
        'Content-Type: text/plain; charset="utf-8"',
        "",
        provider.words.format(**told).replace("\n", "\r\n"),
        "",
        f"--{boundary}",
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; {provider.reporter.format(**told)}",
        f"Arrival-Date: {format_datetime(report.at)}",
        "",
        f"Final-Recipient: rfc822; {report.failed}",
        f"Action: {report.outcome}",
        f"Status: {report.status}",
        f"Diagnostic-Code: smtp; {told['reply']}",
        "",
        f"--{boundary}",
        f"Content-Type: {'message/rfc822' if provider.whole else 'text/rfc822-headers'}",
        "",
        report.original.decode("utf-8", "surrogateescape") if provider.whole else kept,
        f"--{boundary}--",
        "",
    )
