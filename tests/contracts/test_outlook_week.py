"""A week of an Outlook mailbox, made up: whatever happens between pulls, nothing is lost and nothing invented.

Mails arrive, are filed by rules, moved, thrown away and emptied; drafts are edited, sent, filed and discarded; copies are
late; deltas are forgotten; pages hold two messages, so that most pulls leave something to the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outlook_world import a_mail, keys, outlook_sandbox

from adapters.outlook import batch, watching
from adapters.sandbox import Sandbox
from adapters.sandbox.mailbox import Mailbox as Box
from adapters.sandbox.mailbox import Place, StoredMail
from connector.ports import (
    Address,
    DraftGone,
    DraftRef,
    DraftSaved,
    Mail,
    Mailbox,
    MailReceived,
    MailSent,
    Trace,
    Whereabouts,
)

PERSON = "ann@north.example"
_reps = count(1)

LANDINGS = st.sampled_from([Place.INBOX, Place.INBOX, Place.ARCHIVE, Place.TRASH, Place.SPAM])
NTH = st.integers(0, 9)
ACTS = st.one_of(
    st.tuples(st.just("arrives"), LANDINGS),
    st.tuples(st.just("arrives"), LANDINGS),
    st.tuples(st.just("is_moved"), NTH, LANDINGS),
    st.tuples(st.just("is_purged"), NTH),
    st.tuples(st.just("placed")),
    st.tuples(st.just("placed")),
    st.tuples(st.just("edited"), NTH),
    st.tuples(st.just("sent"), NTH, st.sampled_from(["web", "desktop"])),
    st.tuples(st.just("sent_by_us"), NTH),
    st.tuples(st.just("scheduled"), NTH, st.integers(1, 9), st.booleans()),
    st.tuples(st.just("discarded"), NTH),
    st.tuples(st.just("sent_is_filed"), NTH, st.sampled_from([Place.ARCHIVE, Place.TRASH])),
    st.tuples(st.just("written_by_hand")),
    st.tuples(st.just("copies_are_late"), st.sampled_from([0, 0, 40])),
    st.tuples(st.just("time_passes"), st.integers(1, 900)),
    st.tuples(st.just("pulled")),
    st.tuples(st.just("pulled_once")),
    st.tuples(st.just("delta_is_forgotten")),
)


@dataclass(kw_only=True)
class Week:
    """One mailbox, what happened in it, and what was told of it."""

    sandbox: Sandbox
    box: Box
    mailbox: Mailbox
    cursor: str = ""
    #: Message-IDs: of all that arrived, and of what lay there when everything was pulled.
    arrived: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    must: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    #: Our drafts: the mail, its draft and when it was placed.
    drafts: dict[str, tuple[Mail, DraftRef, Any]] = field(default_factory=dict)
    fates: dict[str, Whereabouts] = field(default_factory=dict)
    edited: set[str] = field(default_factory=set)
    #: Ids of drafts that were told to be gone, or not to lie in Drafts.
    gone: set[str] = field(default_factory=set)
    told_edited: set[str] = field(default_factory=set)
    #: How often what was sent went out, and was told: by Message-ID.
    sent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    told_sent: dict[str, str | None] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------ what happens

    def arrives(self, place: Place) -> None:
        self.box.rules = {"": place}
        number = len(self.arrived)
        act = self.sandbox.act("prospect_writes", person=PERSON, rep=self.box.email, subject=f"Mail {number}")
        self.arrived.add(act["message_id"])
        self.fresh.add(act["message_id"])

    def is_moved(self, nth: int, place: Place) -> None:
        mail = self._nth(nth, lambda one: one.received is not None and one.place is not place)
        if mail is not None:
            self._move(mail, place)

    def is_purged(self, nth: int) -> None:
        mail = self._nth(nth, lambda one: one.received is not None)
        if mail is not None:
            with self.sandbox.world.lock:
                self.box.take_out(mail)

    def placed(self) -> None:
        mail = a_mail(
            key=next(keys), subject=f"Draft {len(self.drafts)}", sender=Address(email=self.box.email), attachments=()
        )
        placed = self.sandbox.clock.now()
        self.drafts[mail.key] = (mail, self.mailbox.create_draft(mail), placed)
        self.fates[mail.key] = Whereabouts.DRAFT

    def edited_by_rep(self, nth: int) -> None:
        key = self._key(nth)
        if key is not None:
            self.time_passes(30)
            self.sandbox.act("rep_edits_draft", key=key, body="<p>My own words</p>")
            self.edited.add(key)

    def sent_by_rep(self, nth: int, via: str) -> None:
        key = self._key(nth)
        if key is not None:
            self.time_passes(5)
            self.sent[self.sandbox.act("rep_sends_draft", key=key, via=via)["message_id"]] += 1
            self.fates[key] = Whereabouts.SENT

    def sent_by_us(self, nth: int) -> None:
        key = self._key(nth)
        if key is not None:
            self.time_passes(5)
            sent = self.mailbox.send_draft(self.drafts[key][1], key)
            self.sent[sent.internet_message_id or ""] += 1
            self.fates[key] = Whereabouts.SENT

    def scheduled(self, nth: int, minutes: int, in_drafts: bool) -> None:
        key = self._key(nth)
        if key is not None:
            self.time_passes(5)
            self.sandbox.act("mail_settings", outlook_schedules_in_drafts=in_drafts)
            scheduled = self.sandbox.act("rep_schedules_draft", key=key, minutes=minutes)
            self.sent[scheduled["message_id"]] += 1
            self.fates[key] = Whereabouts.SENT

    def discarded(self, nth: int) -> None:
        key = self._key(nth)
        if key is not None:
            self.sandbox.act("rep_deletes_draft", key=key)
            self.fates[key] = Whereabouts.DISCARDED

    def sent_is_filed(self, nth: int, place: Place) -> None:
        mail = self._nth(nth, lambda one: one.place is Place.SENT)
        if mail is not None:
            self._move(mail, place)

    def written_by_hand(self) -> None:
        self.time_passes(5)
        act = self.sandbox.act("rep_writes_mail", rep=self.box.email, person="zoe@else.example", subject="By hand")
        self.sent[act["message_id"]] += 1

    def copies_are_late(self, seconds: int) -> None:
        self.sandbox.act("mail_settings", outlook_sent_delay=seconds)

    def time_passes(self, seconds: int) -> None:
        self.sandbox.clock.advance(timedelta(seconds=seconds))
        with self.sandbox.world.lock:
            self.sandbox.world.settle()

    def delta_is_forgotten(self) -> None:
        self.sandbox.act("outlook_expires_delta", rep=self.box.email)

    def _nth(self, nth: int, fits: Callable[[StoredMail], bool]) -> StoredMail | None:
        fitting = sorted(filter(fits, self.box.mails.values()), key=lambda mail: mail.head.subject)
        return fitting[nth % len(fitting)] if fitting else None

    def _key(self, nth: int) -> str | None:
        lying = [key for key, fate in self.fates.items() if fate is Whereabouts.DRAFT]
        return lying[nth % len(lying)] if lying else None

    def _move(self, mail: StoredMail, place: Place) -> None:
        with self.sandbox.world.lock:
            self.sandbox.world.move(self.box, mail, place)

    # -------------------------------------------------------------------------------------- what is told

    def pulled(self) -> None:
        """Pull all there is; what lies there meanwhile, and is no junk, must have been told."""
        while self.pulled_once():
            pass
        lying = {mail.head.message_id for mail in self.box.mails.values() if mail.place is not Place.SPAM}
        self.must |= self.fresh & lying
        self.fresh.clear()

    def pulled_once(self) -> bool:
        # What was junk at a look need not be told: only its way into the inbox tells of it later, if anything does.
        self.fresh -= {mail.head.message_id for mail in self.box.at(Place.SPAM)}
        pull = self.mailbox.pull_mail(self.cursor)
        self.cursor = pull.cursor
        for change in pull.changes:
            match change:
                case MailReceived():
                    self.told.add(change.internet_message_id or "")
                case MailSent(mail=mail):
                    self.told_sent[mail.internet_message_id or ""] = mail.key
                case DraftGone():
                    self.gone.add(change.provider_id)
                case DraftSaved(key=key, edited=True):
                    self.told_edited.add(key or "")
        if pull.resynced:
            self.gone |= {draft.draft_id for _, draft, _ in self.drafts.values()} - pull.in_drafts
        return pull.more


NAMES = {"edited": "edited_by_rep", "sent": "sent_by_rep"}


@pytest.fixture(scope="module")
def sandbox():
    with outlook_sandbox() as running:
        yield running


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, min_size=12, max_size=40))
def test_a_week_of_changes_loses_and_invents_nothing(sandbox, office, monkeypatch, acts):
    monkeypatch.setattr(batch, "PREFER", 'IdType="ImmutableId", odata.maxpagesize=2')
    monkeypatch.setattr(watching, "_MOST_NEWS", 4)
    sandbox.act("mail_settings", outlook_sent_delay=0)
    rep = f"week{next(_reps)}@acme.example"
    mailbox = office(rep)
    week = Week(sandbox=sandbox, box=sandbox.world.boxes[rep], mailbox=mailbox)
    week.cursor = mailbox.pull_mail(None).cursor
    for name, *arguments in acts:
        getattr(week, NAMES.get(name, name))(*arguments)
    week.time_passes(600)
    week.time_passes(60)  # a copy of what goes out just now may be late
    week.pulled()

    assert week.must <= week.told, "lost"
    assert week.told <= week.arrived, "invented"
    assert set(week.sent) == set(week.told_sent)
    for key, (mail, draft, placed) in week.drafts.items():
        trace = Trace(key=key, draft=draft, to=mail.to.email, subject=mail.subject, since=placed - timedelta(minutes=1))
        found = mailbox.find(trace)
        assert (found.where, found.extra) == (week.fates[key], ())
        if found.where is Whereabouts.DRAFT:
            assert found.edited is (key in week.edited)
            assert draft.draft_id not in week.gone
            assert key in week.told_edited or key not in week.edited
        else:
            assert draft.draft_id in week.gone or key in week.told_sent.values()
    quiet = mailbox.pull_mail(week.cursor)
    assert (quiet.changes, quiet.more, quiet.resynced) == ((), False, False)
