"""What reps do in their mail client, and what is set up for them.

Lives here: finishing a draft in every way a rep can, writing by hand, mailboxes, aliases and settings. Does not live
here: what arrives from outside (`arrivals`), how mail travels (`mailworld`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from adapters.sandbox.letter import Letter, bare_subject, open_letter, quoted, without_stamp
from adapters.sandbox.mail_acts import Acts, outside_id, reply_subject
from adapters.sandbox.mailbox import Kind, Mailbox, Place, StoredMail
from adapters.sandbox.mailworld import MailSettings, told

#: Extended property that says when a mail goes out (apis 3.6).
DEFERRED = "SystemTime 0x3FEF"


class RepActs(Acts):
    """Reps at their mail clients."""

    def actions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return what reps can do: name -> function of keyword arguments."""
        return self.alone(
            self.add_mail_account,
            self.add_alias,
            self.mail_settings,
            self.rep_makes_rule,
            self.rep_sends_draft,
            self.rep_sends_from_alias,
            self.rep_sends_from_phone,
            self.rep_schedules_draft,
            self.rep_unschedules_draft,
            self.rep_undoes_send,
            self.rep_edits_draft,
            self.rep_autosaves_draft,
            self.rep_deletes_draft,
            self.rep_rewrites_by_hand,
            self.rep_writes_mail,
            self.rep_replies_by_hand,
            self.rep_bins_mail,
            self.rep_empties_bin,
            self.rep_loses_mailbox,
        )

    # ------------------------------------------------------------------------------------------ set-up

    def add_mail_account(self, *, kind: str, email: str, name: str = "") -> dict[str, Any]:
        """Give a person a mailbox: kind is gmail or outlook."""
        box = self.world.add_mailbox(kind, email, name)
        return {"mailbox": box.email, "kind": box.kind.value}

    def add_alias(self, *, rep: str, alias: str, name: str = "") -> dict[str, Any]:
        """Let a rep send as another address; mail to it arrives in the same mailbox."""
        box = self.world.box_of(rep)
        box.aliases[alias.lower()] = name or box.name
        return {"mailbox": box.email, "addresses": list(box.addresses)}

    def mail_settings(self, **settings: Any) -> dict[str, Any]:
        """Change how the services behave where the real ones are said to differ; returns all settings."""
        for name, value in settings.items():
            if name not in MailSettings.__slots__:
                raise ValueError(f"there is no mail setting '{name}': {', '.join(MailSettings.__slots__)}")
            setattr(self.world.settings, name, value)
        return {name: getattr(self.world.settings, name) for name in MailSettings.__slots__}

    def rep_makes_rule(self, *, rep: str, folder: str, person: str = "") -> dict[str, Any]:
        """Let what arrives (from one person, or from anybody) land in archive, spam, trash, or the inbox again."""
        box, place = self.world.box_of(rep), Place(folder)
        if place not in (Place.INBOX, Place.ARCHIVE, Place.SPAM, Place.TRASH):
            raise ValueError(f"a rule puts mails into inbox, archive, spam or trash, not into {folder}")
        box.rules[person.lower()] = place
        return {"mailbox": box.email, "rules": dict(box.rules)}

    def rep_loses_mailbox(self, *, rep: str) -> dict[str, Any]:
        """Take the mailbox's licence away."""
        box = self.world.box_of(rep)
        box.licensed = False
        return {"mailbox": box.email}

    # ----------------------------------------------------------------------------------- sending a draft

    def rep_sends_draft(self, *, key: str = "", rep: str = "", person: str = "", via: str = "web") -> dict[str, Any]:
        """Send a draft by the rep's hand; via is web, phone or desktop (classic Outlook: another Message-ID).

        With the setting gmail_send_delay a draft sent in Gmail is gone at once and SENT that many seconds later.
        """
        if via not in ("web", "phone", "desktop"):
            raise ValueError(f"via is web, phone or desktop, not '{via}'")
        box, draft = self._ready(key, rep, person)
        delay = self.world.settings.gmail_send_delay if box.kind is Kind.GMAIL else 0
        if not delay:
            return told(box, self.world.send(box, draft, by=f"rep:{via}", new_message_id=via == "desktop"))
        box.take_out(draft)

        def go() -> None:
            self.world.post(box, draft.raw, thread=draft.thread, properties=draft.properties, by=f"rep:{via}")

        self.world.later(delay, go)
        return told(box, draft)

    def rep_sends_from_alias(self, *, alias: str, key: str = "", rep: str = "", person: str = "") -> dict[str, Any]:
        """Send a draft as another address of the rep (see add_alias)."""
        box, draft = self._ready(key, rep, person)
        name = box.aliases.get(alias.lower())
        if name is None:
            raise ValueError(f"{alias} is no alias of {box.email}: add_alias first")
        letter = replace(open_letter(draft.raw), sender=(name, alias))
        saved = self.world.rewrite(box, draft, letter.raw(self.world.clock.now()), thread=draft.thread)
        return told(box, self.world.send(box, saved, by="rep:alias"))

    def rep_sends_from_phone(self, *, key: str = "", rep: str = "", person: str = "") -> dict[str, Any]:
        """Send a draft from another mail program over IMAP and SMTP.

        It makes a mail of its own: no stamp, its own Message-ID, joined to a thread by References alone. The draft is
        deleted then. Move the clock first when the rep does it hours later.
        """
        box, draft = self._ready(key, rep, person)
        letter = without_stamp(open_letter(draft.raw))
        letter = replace(letter, message_id=outside_id("phone@mail.example"), html="", text=f"{_words(letter)}\n")
        thread = box.thread_of(draft.head.answers)
        sent = self.world.post(
            box, letter.raw(self.world.clock.now()), thread=thread, keep_message_id=True, by="rep:phone"
        )
        box.take_out(draft)
        return told(box, sent)

    def rep_schedules_draft(
        self, *, key: str = "", rep: str = "", person: str = "", minutes: float = 60
    ) -> dict[str, Any]:
        """Let the client send a draft later: meanwhile it is neither in Drafts nor in Sent.

        With the setting outlook_schedules_in_drafts it lies in Outlook's Drafts, with its hour as a property.
        """
        box, draft = self._ready(key, rep, person)
        if box.kind is Kind.OUTLOOK and self.world.settings.outlook_schedules_in_drafts:
            return told(box, self._defer(box, draft, minutes))
        box.take_out(draft)
        waiting = self.world.new_mail(box, Place.SCHEDULED, draft.raw, thread=draft.thread, properties=draft.properties)
        box.put(waiting)

        def go() -> None:
            if waiting.id in box.mails:
                self.world.send(box, waiting, by="rep:scheduled")

        self.world.later(minutes * 60, go)
        return told(box, waiting)

    def rep_unschedules_draft(self, *, key: str = "", rep: str = "", person: str = "") -> dict[str, Any]:
        """Cancel a scheduled send: the mail is a draft again, under other ids; one that lay in Drafts under its own."""
        if self.world.settings.outlook_schedules_in_drafts:
            box, draft = self.find(Place.DRAFTS, key, rep, person)
            if draft.properties.pop(DEFERRED, None):
                return told(box, self.world.rewrite(box, draft, draft.raw))
        box, waiting = self.find(Place.SCHEDULED, key, rep, person)
        box.take_out(waiting)
        return told(box, self._draft_again(box, waiting))

    def rep_undoes_send(self, *, key: str = "", rep: str = "", person: str = "", seconds: float = 10) -> dict[str, Any]:
        """Send a draft and take it back in time: it lies in Sent for these seconds, then is a draft again.

        Nothing goes out. The draft has its old draft id and another message id.
        """
        box, draft = self._ready(key, rep, person)
        box.take_out(draft)
        raw = self.world.as_sent(box, draft.raw)
        sent = box.put(self.world.new_mail(box, Place.SENT, raw, thread=draft.thread, properties=draft.properties))

        def back() -> None:
            if sent.id in box.mails:
                box.take_out(sent)
                self._draft_again(box, draft, draft_id=draft.second_id)

        self.world.later(seconds, back)
        return told(box, sent)

    # ---------------------------------------------------------------------------------- changing a draft

    def rep_edits_draft(
        self,
        *,
        key: str = "",
        rep: str = "",
        person: str = "",
        subject: str | None = None,
        body: str | None = None,
        to: str | None = None,
    ) -> dict[str, Any]:
        """Change a draft in the client; `body` is HTML, None leaves a part as it is."""
        box, draft = self.find(Place.DRAFTS, key, rep, person)
        letter, thread = open_letter(draft.raw), draft.thread
        moved = False
        if subject is not None:
            moved = bare_subject(subject) != bare_subject(letter.subject)
            letter = replace(letter, subject=subject)
        if to is not None:
            letter = replace(letter, to=(("", to),))
        if body is not None:
            letter = replace(letter, html=body)
        return told(box, self._save(box, draft, letter, None if moved else thread))

    def rep_autosaves_draft(
        self, *, key: str = "", rep: str = "", person: str = "", saves: int = 5, body: str = ""
    ) -> dict[str, Any]:
        """Type into a draft for a while: the client saves it again and again, the last time with `body` (HTML)."""
        box, draft = self.find(Place.DRAFTS, key, rep, person)
        letter = open_letter(draft.raw)
        body = body or f"{letter.html or quoted(letter.text)}<div>A line of my own.</div>"
        for count in range(1, saves + 1):
            typed = body if count == saves else body[: len(body) * count // saves]
            draft = self._save(box, draft, replace(letter, html=typed), draft.thread)
        return told(box, draft)

    def rep_deletes_draft(self, *, key: str = "", rep: str = "", person: str = "") -> dict[str, Any]:
        """Discard a draft in the client: gone for good in Gmail (see gmail_discard_bins), Deleted Items in Outlook."""
        box, draft = self.find(Place.DRAFTS, key, rep, person)
        self._discard(box, draft)
        return told(box, draft)

    def rep_rewrites_by_hand(
        self, *, key: str = "", rep: str = "", person: str = "", subject: str | None = None, text: str = "Hello"
    ) -> dict[str, Any]:
        """Discard a draft, then write to the same person anew and send that."""
        box, draft = self.find(Place.DRAFTS, key, rep, person)
        self._discard(box, draft)
        letter = Letter(
            sender=(box.name, box.email),
            to=draft.head.to,
            subject=draft.head.subject if subject is None else subject,
            text=text,
            html=quoted(text),
            message_id=self.world.new_message_id(box),
        )
        return told(box, self.world.post(box, letter.raw(self.world.clock.now()), by="rep:hand"))

    # ------------------------------------------------------------------------------------ by hand, and the bin

    def rep_writes_mail(self, *, rep: str, person: str, subject: str, text: str = "") -> dict[str, Any]:
        """Write and send a mail by hand, without any draft of ours."""
        box = self.world.box_of(rep)
        letter = Letter(sender=(box.name, box.email), to=(("", person),), subject=subject, text=text, html=quoted(text))
        letter = replace(letter, message_id=self.world.new_message_id(box))
        return told(box, self.world.post(box, letter.raw(self.world.clock.now()), by="rep:hand"))

    def rep_replies_by_hand(
        self, *, key: str = "", rep: str = "", person: str = "", text: str = "One more word."
    ) -> dict[str, Any]:
        """Go on in the thread of a sent mail, by hand: answer the newest mail in it."""
        box, first = self.find(Place.SENT, key, rep, person)
        newest = [one for one in box.in_thread(first.thread) if one.place is not Place.DRAFTS][-1]
        mine = newest.head.sender[1].lower() in box.addresses
        letter = Letter(
            sender=(box.name, box.email),
            to=newest.head.to if mine else (newest.head.reply_to or (newest.head.sender,)),
            subject=reply_subject(newest.head.subject),
            text=text,
            html=quoted(text),
            message_id=self.world.new_message_id(box),
            in_reply_to=newest.head.message_id,
            references=(*newest.head.references, newest.head.message_id),
        )
        raw = letter.raw(self.world.clock.now())
        return told(box, self.world.post(box, raw, thread=first.thread, by="rep:hand"))

    def rep_bins_mail(self, *, key: str = "", rep: str = "", person: str = "") -> dict[str, Any]:
        """Put a sent mail into the bin."""
        box, mail = self.find(Place.SENT, key, rep, person)
        binned = self.world.trash(box, mail) if box.kind is Kind.GMAIL else self.world.move(box, mail, Place.TRASH)
        return told(box, binned)

    def rep_empties_bin(self, *, rep: str) -> dict[str, Any]:
        """Delete for good what lies in the bin."""
        box = self.world.box_of(rep)
        binned = box.at(Place.TRASH)
        for mail in binned:
            box.take_out(mail)
        return {"mailbox": box.email, "deleted": [mail.id for mail in binned]}

    # ------------------------------------------------------------------------------------------ the client

    def _ready(self, key: str, rep: str, person: str) -> tuple[Mailbox, StoredMail]:
        box, draft = self.find(Place.DRAFTS, key, rep, person)
        if not draft.head.recipients:
            raise ValueError(f"the draft '{draft.head.subject}' has no recipient: nobody can send it")
        return box, draft

    def _save(self, box: Mailbox, draft: StoredMail, letter: Letter, thread: str | None) -> StoredMail:
        """Save a draft as the client writes it; without a thread it starts another one (apis 2.3, 3.2)."""
        settings, now = self.world.settings, self.world.clock.now()
        if box.kind is not Kind.GMAIL:
            thread = thread or self.world.new_thread(box, "")
            return self.world.rewrite(box, draft, replace(letter, text="").raw(now), thread=thread)
        inside = letter.html or quoted(letter.text)
        wrapped = inside if inside.startswith('<div dir="ltr">') else f'<div dir="ltr">{inside}</div>'
        letter = replace(letter, html=wrapped, text="")
        if settings.gmail_edit_drops_stamp:
            letter = without_stamp(letter)
        if settings.gmail_edit_changes_message_id:
            letter = replace(letter, message_id=self.world.new_message_id(box))
        if not settings.gmail_edit_changes_thread:
            thread = draft.thread
        draft_id = self.world.new_second_id(box.kind) if settings.gmail_edit_changes_draft_id else draft.second_id
        return self.world.rewrite(box, draft, letter.raw(now), thread=thread, draft_id=draft_id)

    def _defer(self, box: Mailbox, draft: StoredMail, minutes: float) -> StoredMail:
        """Set the hour of a draft, and send it then unless that was taken back."""
        hour = f"{self.world.clock.now() + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
        draft.properties[DEFERRED] = hour

        def go() -> None:
            if draft.id in box.mails and draft.properties.get(DEFERRED) == hour:
                self.world.send(box, draft, by="rep:scheduled")

        self.world.later(minutes * 60, go)
        return self.world.rewrite(box, draft, draft.raw)

    def _draft_again(self, box: Mailbox, mail: StoredMail, draft_id: str = "") -> StoredMail:
        draft = self.world.new_mail(box, Place.DRAFTS, mail.raw, thread=mail.thread, properties=mail.properties)
        draft.second_id = draft_id or draft.second_id
        return box.put(draft)

    def _discard(self, box: Mailbox, draft: StoredMail) -> None:
        if box.kind is Kind.GMAIL and self.world.settings.gmail_discard_bins:
            self.world.note_effect(box, "draft_deleted", draft)
            self.world.trash(box, draft)
        else:
            self.world.discard(box, draft)


def _words(letter: Letter) -> str:
    return f"{letter.text.rstrip()}\n\nSent from my phone"
