"""What arrives from outside: answers, automatic answers, delivery reports, calendar answers, and any mail at all.

Lives here: the people a campaign writes to, and the machines that answer for them. Does not live here: what reps do
(`rep_acts`), how reports are worded (`bounces`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import format_datetime
from typing import Any

from adapters.sandbox.bounces import PROVIDERS, Report, write_report
from adapters.sandbox.letter import POLICY, Letter, Who, open_letter, parse
from adapters.sandbox.mail_acts import Acts, outside_id, reply_subject
from adapters.sandbox.mailbox import Kind, Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import told

#: Answer to an invitation -> how the calendar says it: in PARTSTAT and in the subject.
_ANSWERS = {
    "accepted": ("ACCEPTED", "Accepted"),
    "declined": ("DECLINED", "Declined"),
    "tentative": ("TENTATIVE", "Tentative"),
}

_CALENDAR = """\
BEGIN:VCALENDAR
PRODID:-//Outside//Calendar//EN
VERSION:2.0
METHOD:REPLY
BEGIN:VEVENT
UID:{uid}
DTSTAMP:{at:%Y%m%dT%H%M%SZ}
DTSTART:{at:%Y%m%dT%H%M%SZ}
SUMMARY:{subject}
ORGANIZER:mailto:{rep}
ATTENDEE;PARTSTAT={state}:mailto:{person}
END:VEVENT
END:VCALENDAR
"""


class Arrivals(Acts):
    """Prospects, their calendars and their mail servers."""

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what can arrive: name -> function of keyword arguments."""
        return self.alone(
            self.mail_arrives,
            self.prospect_replies,
            self.prospect_writes,
            self.prospect_out_of_office,
            self.prospect_bounces,
            self.prospect_answers_invitation,
        )

    def mail_arrives(self, *, rep: str, raw: str | bytes, spam: bool = False) -> dict[str, Any]:
        """Deliver a mail as it is: RFC 5322, as text or bytes; line ends are made CRLF. Gmail can take it for spam."""
        box = self.world.box_of(rep)
        if spam and box.kind is not Kind.GMAIL:
            raise ValueError(f"{rep} has no Gmail mailbox: only those know spam here")
        content = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
        content = re.sub(rb"\r?\n", b"\r\n", content)
        return told(box, self.world.receive(box, content, place=Place.SPAM if spam else None))

    def prospect_replies(
        self,
        *,
        person: str = "",
        text: str = "Thanks, let us talk.",
        key: str = "",
        rep: str = "",
        from_: str | None = None,
        cc: str | None = None,
    ) -> dict[str, Any]:
        """Answer the last mail the person got; `from_` answers from another address, or as somebody in copy."""
        box, sent = self.find(Place.SENT, key, rep, person)
        sender = from_ or person or sent.head.recipients[0]
        reply = _answer(sent, sender, text=text, subject=reply_subject(sent.head.subject))
        if cc:
            reply = replace(reply, cc=(("", cc),))
            copy = self.world.boxes.get(cc.lower())
            if copy is not None and copy is not box:
                self.world.receive(copy, reply.raw(self.world.clock.now()))
        return self._arrived(box, reply)

    def prospect_writes(self, *, person: str, rep: str, subject: str, text: str = "") -> dict[str, Any]:
        """Write to the rep out of the blue: no reference to any mail."""
        box = self.world.box_of(rep)
        letter = Letter(
            sender=("", person),
            to=((box.name, box.email),),
            subject=subject,
            text=text or "Hello",
            message_id=outside_id(person),
        )
        return self._arrived(box, letter)

    def prospect_out_of_office(
        self,
        *,
        person: str = "",
        key: str = "",
        rep: str = "",
        text: str = "I am out of office.",
        subject: str = "",
        marked: bool = True,
    ) -> dict[str, Any]:
        """Answer automatically; `marked=False` leaves out every sign of it, as some servers do.

        `subject` is the whole subject, for servers that speak another language than English.
        """
        box, sent = self.find(Place.SENT, key, rep, person)
        sender = person or sent.head.recipients[0]
        usual = f"Automatic reply: {sent.head.subject}" if marked else reply_subject(sent.head.subject)
        letter = _answer(sent, sender, text=text, subject=subject or usual)
        if marked:
            letter = replace(letter, headers=(("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All")))
        return self._arrived(box, letter)

    def prospect_bounces(
        self,
        *,
        person: str = "",
        key: str = "",
        rep: str = "",
        outcome: str = "failed",
        status: str = "",
        provider: str = "",
    ) -> dict[str, Any]:
        """Let a mail server report on the last mail to the person: outcome is failed or delayed.

        `provider` is gmail, exchange, postfix, exim, sendmail, amazon_ses or qmail (which reports no delay); without it
        the server of the mailbox itself reports.
        """
        if outcome not in ("failed", "delayed"):
            raise ValueError(f"outcome is failed or delayed, not '{outcome}'")
        box, sent = self.find(Place.SENT, key, rep, person)
        provider = provider or ("gmail" if box.kind is Kind.GMAIL else "exchange")
        if provider not in PROVIDERS:
            raise ValueError(f"provider is one of {', '.join(PROVIDERS)}, not '{provider}'")
        maker = PROVIDERS[provider]
        if outcome == "delayed" and not maker.delays:
            raise ValueError(f"{provider} reports no delays")
        domain = box.email.partition("@")[2]
        report = Report(
            original=sent.raw,
            failed=person or sent.head.recipients[0],
            to=(box.name, box.email),
            domain=domain,
            outcome=outcome,
            status=status or {"failed": "5.1.1", "delayed": "4.4.1"}[outcome],
            message_id=outside_id(maker.sender[1].format(domain=domain)),
            at=self.world.clock.now(),
        )
        return told(box, self.world.receive(box, write_report(maker, report)))

    def prospect_answers_invitation(
        self, *, person: str = "", key: str = "", rep: str = "", answer: str = "accepted"
    ) -> dict[str, Any]:
        """Answer a calendar invitation that came with the last mail: accepted, declined or tentative."""
        if answer not in _ANSWERS:
            raise ValueError(f"answer is {', '.join(_ANSWERS)}, not '{answer}'")
        state, words = _ANSWERS[answer]
        box, sent = self.find(Place.SENT, key, rep, person)
        sender = person or sent.head.recipients[0]
        letter = _answer(sent, sender, text=f"{sender} has answered.", subject=f"{words}: {sent.head.subject}")
        now = self.world.clock.now()
        message = parse(letter.raw(now))
        calendar = _CALENDAR.format(
            uid=sent.head.message_id.strip("<>"),
            at=now,
            subject=sent.head.subject,
            rep=box.email,
            state=state,
            person=sender,
        )
        message.add_alternative(calendar, subtype="calendar", params={"method": "REPLY"})
        return told(box, self.world.receive(box, message.as_bytes(policy=POLICY)))

    def _arrived(self, box: Mailbox, letter: Letter) -> dict[str, Any]:
        return told(box, self.world.receive(box, letter.raw(self.world.clock.now())))


def _answer(sent: StoredMail, sender: str, *, text: str, subject: str) -> Letter:
    quote = "".join(f"> {line}\n" for line in (open_letter(sent.raw).text or "").splitlines())
    references = (*sent.head.references, sent.head.message_id)
    return Letter(
        sender=(_name_in(sent.head.to, sender), sender),
        to=(sent.head.reply_to or (sent.head.sender,)),
        subject=subject,
        text=f"{text}\n\nOn {format_datetime(sent.at)}, {sent.head.sender[1]} wrote:\n{quote}",
        message_id=outside_id(sender),
        in_reply_to=sent.head.message_id,
        references=references,
    )


def _name_in(people: Sequence[Who], address: str) -> str:
    return next((name for name, one in people if one.lower() == address.lower()), "")
