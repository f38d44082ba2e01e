"""Draining a mailbox lane: drafts are placed and mails are sent, each once, whatever happens.

Lives here: `drain`, the one way anything reaches a mailbox. Does not live here: what is said (`letters`), how fast
(`pacing`), which lanes (`wheel`), what is claimed (`claiming`), what a look-up proves (`looking_up`), what must not go
out (`withholding`) or is taken away again (`taking_back`), what a sent mail brings about (`sent`).
Source: spec delivery 1; measured in the reference on engines.

The order makes it once:
1. The lane's lease is taken; each later write renews it and stops if somebody else took it.
2. `in_flight` is committed before the service is called.
3. A mail that was in flight before is looked up first: in Sent, it was sent; in Drafts, that draft is used. Nowhere is
   believed only some time after the last act: a search does not show at once what a mailbox took in.
4. The draft's id is committed before the draft is sent; only that draft is ever sent.
5. What cannot be told is `unknown`: shown to a person, never sent again by itself.
A crash at any line is replayed by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile

from connector.errors import AdapterError, BadInput, OutcomeUnknown, Reconnect, Refused, Retry
from connector.events import EventKind
from connector.intents import CLOSED_STATES, IntentEvent, IntentState
from connector.people import Rep
from connector.ports import DraftRef, Found, Mail, Mailbox, SentMail, Whereabouts
from connector.store.blobs import read_blobs
from connector.store.database import Transaction
from connector.store.intents import move_intent, read_intents
from connector.store.lanes import FencedError, Lease, Pacing, guard, read_pacing, release, take
from connector.store.ledger import append
from connector.store.mails import (
    MailAction,
    MailState,
    StoredMail,
    change_mail,
    change_mail_in_flight,
    change_mails,
    read_mails,
    read_waiting,
)
from connector.store.people import lock_people
from connector.sync.claiming import LASTS, TOGETHER, Claim, Composed, compose, let_go
from connector.sync.claiming import claim as claim_mails
from connector.sync.giving_back import give_back, is_tasks
from connector.sync.lateness import hold_late
from connector.sync.letters import Letter, Situation
from connector.sync.looking_up import believed_from, look_up
from connector.sync.office import Office, PacingRule
from connector.sync.outcomes import (
    draft_discarded,
    draft_scheduled,
    draft_sent,
    say,
)
from connector.sync.pacing import fairly, leaving, seconds_to_wait
from connector.sync.record import intent_fact
from connector.sync.sent import confirm_sent
from connector.sync.taking_back import take_back
from connector.sync.withholding import Stop, block, stop_of, withhold

#: Mails read at a time.
BATCH = 500

#: Look-ups in one pass, and in all, before a lost answer is left to a person.
_TRIES_A_PASS = 3
_TRIES = 9

#: Wait when a service says "later" without saying when, and between passes over a lost answer.
_LATER = timedelta(seconds=30)


@dataclass(slots=True, kw_only=True)
class Drained:
    """What one drain came to."""

    lane: str
    sent: int = 0
    drafts: int = 0
    deleted: int = 0
    #: Sentences about what a person must look at.
    attention: list[str] = field(default_factory=list)
    #: The account must be signed in again.
    reconnect: Reconnect | None = None


def drain(office: Office, rep: Rep, *, owner: str = "sync", only: str | None = None) -> Drained:
    """Work a rep's mailbox lane until nothing is due or pacing stops it; `only` limits it to one intent."""
    lane = office.lane_of(rep)
    drained = Drained(lane=lane)
    with office.database.write_in_lane() as tx:
        lease = take(tx, lane, owner)
    if lease is None:
        return drained
    worker = _Worker(office, rep, office.mailboxes[rep.email], lease, drained)
    try:
        hold_late(office, lease, worker.rule)
        worker.work(only)
    except FencedError:
        drained.attention.append(f"{lane}: another worker took over; what is left goes on there")
    finally:
        with office.database.write_in_lane() as tx:
            release(tx, lease)
    return drained


class _Worker:
    """One holder of one lane."""

    def __init__(self, office: Office, rep: Rep, mailbox: Mailbox, lease: Lease, drained: Drained) -> None:
        self._office = office
        self._rep = rep
        self._mailbox = mailbox
        self._lease = lease
        self._drained = drained
        self.rule = office.pacing.get(rep.mailbox, PacingRule())
        self._until = office.now() + timedelta(seconds=office.pass_seconds)
        #: As the last step left it: nobody else writes it while the lane is ours.
        self._pacing = Pacing()
        #: The sends that come next, and those of them that are composed.
        self._next: Sequence[str] = ()
        self._composed_ahead: dict[str, Composed] = {}

    def work(self, only: str | None) -> None:
        """Deliver what is due, batch by batch, until a batch brings nothing forward."""
        done: set[str] = set()
        while True:
            with self._office.database.read() as tx:
                self._pacing = read_pacing(tx, self._lease.lane)
                waiting = (
                    read_waiting(tx, self._lease.lane, self._office.now(), BATCH + len(done))
                    if only is None
                    else [mail for mail in read_mails(tx, [only]).values() if self._is_wanted_now(mail)]
                )
            batch = [mail for mail in fairly(waiting) if mail.key not in done]
            if not batch:
                return
            done.update(mail.key for mail in batch)
            groups = list(_grouped(batch))
            for place, together in enumerate(groups, start=1):
                coming = (group[0] for group in groups[place : place + TOGETHER - 1])
                self._next = [mail.key for mail in coming if mail.action is MailAction.SEND]
                if self._may_start(together[0]) and not self._deliver(together):
                    return

    def _is_wanted_now(self, mail: StoredMail) -> bool:
        """Tell whether a mail that somebody asks for may be worked: a send not before its time."""
        early = mail.action is MailAction.SEND and mail.state is MailState.WANTED and mail.due > self._office.now()
        return mail.lane == self._lease.lane and not early

    def _may_start(self, mail: StoredMail) -> bool:
        """Wait for the mailbox's pace before a send; False leaves it due, in its place, for a later pass."""
        pacing, now = self._pacing, self._office.now()
        if pacing.blocked_until is not None and pacing.blocked_until > now:
            return False
        if mail.action is not MailAction.SEND or mail.state is MailState.UNWANTED:
            return True
        if pacing.sends_blocked_until is not None and pacing.sends_blocked_until > now:
            return False
        wait = seconds_to_wait(pacing, self.rule, now, counted=mail.state is not MailState.WANTED)
        if wait is None or now + timedelta(seconds=wait) > self._until:
            return False
        if wait > 0:
            self._office.clock.sleep(wait)
        return True

    def _deliver(self, together: Sequence[StoredMail]) -> bool:
        """Deliver one mail, or place drafts together; False when the lane must stop."""
        first = together[0]
        if _is_new_draft(first):
            return self._place([mail.key for mail in together])
        if first.state is MailState.UNWANTED:
            return self._goes_well(first.key, lambda: self._take_back(first))
        return self._goes_well(first.key, lambda: self._place_or_send(first.key))

    def _goes_well(self, key: str, work: Callable[[], None]) -> bool:
        """Do something for one mail, and note its trouble; False when the lane must stop."""
        try:
            work()
        except Retry as error:
            self._put_back(key, error, blocked_until=self._office.now() + (error.after or _LATER))
            return False
        except Reconnect as error:
            self._put_back(key, error, blocked_until=None)
            self._drained.reconnect = error
            return False
        except Refused as error:
            self._fail(key, error)
        return True

    def _take_back(self, mail: StoredMail) -> None:
        self._drained.deleted += take_back(self._office, self._rep, self._mailbox, mail, self._step)

    def _place(self, keys: Sequence[str]) -> bool:
        """Place drafts that were never tried, as many in a call as the mailbox takes; False when the lane must stop."""
        claims = claimed = self._claim(keys)
        at_once = self._mailbox.capabilities.drafts_at_once
        made: list[tuple[Claim, DraftRef]] = []
        while claims:
            if claims is not claimed and self._office.now() - (claims[0].mail.claimed or self._until) > LASTS:
                self._let_go(claims)
                break
            light = list(takewhile(lambda one: one.light, claims[:at_once]))
            together = light or claims[:1]
            claims = claims[len(together) :]
            answers = self._create(together)
            made += [(claim, draft) for claim, draft in answers if isinstance(draft, DraftRef)]
            troubles = [(claim.mail.key, error) for claim, error in answers if isinstance(error, AdapterError)]
            if troubles:
                self._save_drafts(made)
                made = []
                gone_well = [self._goes_well(key, partial(self._go_on, key, error)) for key, error in troubles]
                if not all(gone_well):
                    self._let_go(claims)
                    return False
        self._save_drafts(made)
        return True

    def _create(self, together: Sequence[Claim]) -> list[tuple[Claim, DraftRef | AdapterError]]:
        """Have drafts made; what cannot be composed any more is blocked and left out."""
        composed = [(claim, mail) for claim in together if (mail := self._composed(claim)) is not None]
        answers: Sequence[DraftRef | AdapterError]
        try:
            match [mail for _, mail in composed]:
                case []:
                    return []
                case [mail]:
                    answers = [self._mailbox.create_draft(mail)]
                case mails:
                    answers = self._mailbox.create_drafts(mails)
        except AdapterError as error:
            answers = [error] * len(composed)
        return [(claim, answer) for (claim, _), answer in zip(composed, answers, strict=True)]

    def _go_on(self, key: str, error: AdapterError) -> None:
        """Go on with a draft that was not made, as far as is known."""
        if not isinstance(error, OutcomeUnknown):
            raise error
        self._place_or_send(key)

    def _place_or_send(self, key: str) -> None:
        for _ in range(_TRIES_A_PASS):
            claims = self._claim([key])
            if not claims:
                return
            try:
                self._act(claims[0])
            except OutcomeUnknown as error:
                unclear = error
                if self._is_being_sent(key):
                    break
                continue
            return
        self._postpone(key, unclear)

    def _claim(self, keys: Sequence[str]) -> list[Claim]:
        if not all(key in self._composed_ahead for key in keys):
            self._composed_ahead = compose(self._office, [*keys, *self._next])
        # Taken out: what is tried again is composed anew.
        composed = {key: self._composed_ahead.pop(key) for key in keys if key in self._composed_ahead}
        claims, self._pacing = claim_mails(self._office, self._lease, self.rule, composed)
        return claims

    def _let_go(self, claims: Sequence[Claim]) -> None:
        with self._step() as tx:
            self._pacing = let_go(tx, self._lease, self._pacing, [claim.mail.key for claim in claims])

    def _is_being_sent(self, key: str) -> bool:
        """Tell whether the lost answer was that of a send: the mail may take a while to show in Sent."""
        with self._office.database.read() as tx:
            mail = read_mails(tx, [key])[key]
        return mail.action is MailAction.SEND and mail.draft_id is not None

    # ------------------------------------------------------------------------------------ the steps

    def _act(self, claim: Claim) -> None:
        draft = claim.mail.draft
        if claim.again:
            found = look_up(self._office, self._mailbox, claim.mail)
            if self._is_too_early(claim, found) or not self._goes_on(claim, found):
                return
            draft = found.draft
            with self._step() as tx:  # a look-up of many calls may outlast the lease
                if draft is None:
                    change_mail(tx, claim.mail.key, claimed=self._office.now())
        if draft is None:
            mail = self._composed(claim)
            if mail is None:
                return
            draft = self._mailbox.create_draft(mail)
        if claim.mail.action is MailAction.DRAFT:
            self._save_drafts([(claim, draft)])
            return
        stopped = self._save_to_send(claim, draft)
        if stopped is not None:
            self._stop(replace(claim, stopped=stopped), Found(where=Whereabouts.DRAFT, draft=draft))
            return
        self._send(claim, draft)

    def _is_too_early(self, claim: Claim, found: Found) -> bool:
        """Leave a mail to a later look when what was found is no proof yet, or a send that may be undone."""
        mail, now = claim.mail, self._office.now()
        until = believed_from(mail, found, now)
        if until <= now:
            return False
        with self._step() as tx:
            # A look that came too early counts for nothing.
            change_mail(tx, mail.key, due=until, attempts=mail.attempts - 1)
        return True

    def _send(self, claim: Claim, draft: DraftRef) -> None:
        try:
            sent = self._mailbox.send_draft(draft, claim.mail.key)
        except Retry as error:
            # A limit on sending may last a day: the rep's drafts need not wait for it.
            self._hold_sends(claim, error)
            return
        except Refused as error:
            if error.code != "draft_gone":
                raise
            found = look_up(self._office, self._mailbox, replace(claim.mail, **claim.mail.with_draft(draft)))
            if found.where is not Whereabouts.SENT or found.sent is None:
                self._lose(claim, "its draft is gone, and it is not in Sent")
                return
            sent = found.sent
        self._confirm_sent(claim, sent)

    def _composed(self, claim: Claim) -> Mail | None:
        """Return the mail to place; None, and the intent blocked, when something it needs is missing."""
        problem = "it cannot be composed any more: look at the person's fields"
        try:
            if claim.letter is not None:
                return claim.letter.mail(claim.mail.key, self._office.folder, self._blobs(claim.letter))
        except BadInput as error:
            problem = str(error)
        with self._step(claim.mail.person) as tx:
            block(tx, claim.stored, problem, self._office.now())
        return None

    def _blobs(self, letter: Letter) -> Mapping[str, bytes]:
        if not letter.uploads:
            return {}
        with self._office.database.read() as tx:
            return read_blobs(tx, letter.hashes)

    def _goes_on(self, claim: Claim, found: Found) -> bool:
        """Settle what a look-up found; True when the mail must still be made or sent."""
        match found.where:
            case Whereabouts.SENT if found.sent is not None:
                self._confirm_sent(claim, found.sent)
            case Whereabouts.DRAFT | Whereabouts.ABSENT if claim.stopped is not None:
                self._stop(claim, found)
            case Whereabouts.ABSENT if claim.mail.action is MailAction.DRAFT and claim.stored.state in CLOSED_STATES:
                self._stop(claim, found)  # Its task ended before the draft was made: nobody needs it any more.
            case Whereabouts.DRAFT | Whereabouts.ABSENT:
                return True
            case Whereabouts.DISCARDED if claim.mail.action is MailAction.SEND and _replaces_draft(claim):
                return True  # What lies in the bin is the draft that it took the place of.
            case Whereabouts.DISCARDED | Whereabouts.SCHEDULED if claim.mail.action is MailAction.DRAFT:
                outcome = draft_scheduled if found.where is Whereabouts.SCHEDULED else draft_discarded
                with self._step(claim.mail.person) as tx:
                    outcome(tx, claim.mail, claim.stored, self._office.now())
            case _:
                self._lose(claim, f"the mailbox says '{found.where}' and cannot tell more")
        return False

    def _save_drafts(self, made: Sequence[tuple[Claim, DraftRef]]) -> None:
        """Commit the ids of tasks' drafts, which is all there is to do with them.

        One whose task was skipped or cancelled by now is taken away again; one whose task was completed stays, as it
        would had it been there before (spec delivery 4).
        """
        if not made:
            return
        keys, now = [claim.mail.key for claim, _ in made], self._office.now()
        with self._step() as tx:
            tasks = read_intents(tx, keys)
            changes = {}
            for claim, draft in made:
                over = tasks[claim.mail.key].state in (IntentState.SKIPPED, IntentState.CANCELLED)
                stands = {
                    "state": MailState.UNWANTED if over else MailState.PRESENT,
                    "due": now if over else claim.mail.due,
                }
                changes[claim.mail.key] = claim.mail.with_draft(draft) | stands | {"subject": claim.mail.subject}
            self._tell_created(tx, [claim for claim, _ in made], now)
            change_mails(tx, changes)
        self._drained.drafts += len(made)

    def _tell_created(self, tx: Transaction, claims: Sequence[Claim], now: datetime) -> None:
        reads, told = self._mailbox.capabilities.incoming, []
        for claim in claims:
            reason = ""
            if not reads:
                id_ = claim.mail.key[:8]
                reason = f"this mailbox may not be read: once the draft is sent, say 'connector tasks complete {id_}'"
                say(tx, claim.stored, reason)
            subject = claim.mail.subject
            told.append(intent_fact(claim.stored, EventKind.DRAFT_CREATED, now, reason=reason, subject=subject))
        append(tx, told)

    def _save_to_send(self, claim: Claim, draft: DraftRef) -> Stop | None:
        """Commit the id of what is sent next; return why it must not be, if something came in between."""
        now = self._office.now()
        with self._step(pacing=leaving(self._pacing, self.rule, now)) as tx:
            situation = Situation(tx, self._office, [claim.stored.intent])
            # From here on it is the send that may be on its way.
            changes = {**claim.mail.with_draft(draft), "subject": claim.mail.subject, "claimed": now}
            change_mail(tx, claim.mail.key, **changes)
        return stop_of(self._office, situation, claim.stored, claim.mail, now)

    def _confirm_sent(self, claim: Claim, sent: SentMail) -> None:
        now, key = self._office.now(), claim.mail.key
        with self._step(claim.mail.person) as tx:
            if not change_mail_in_flight(tx, key, **claim.mail.with_sent(sent)):
                return  # A pull saw it in Sent before.
            if claim.mail.action is MailAction.DRAFT:
                # The rep was faster than our note of the draft.
                draft_sent(tx, self._office, claim.mail, read_intents(tx, [key])[key], sent, now)
                return
            confirm_sent(tx, self._office, self._rep, claim.mail, claim.stored, sent, now, letter=claim.letter)
        self._drained.sent += 1

    @contextmanager
    def _step(self, *persons: str, pacing: Pacing | None = None) -> Iterator[Transaction]:
        """Write one step, and `pacing`, while the lane is ours; `persons` are those whose campaigns it may move."""
        with self._office.database.write_in_lane() as tx:
            self._pacing = guard(tx, self._lease, pacing)
            if persons:
                lock_people(tx, persons)
            yield tx

    # ------------------------------------------------------------------------- when it does not go on

    def _stop(self, claim: Claim, found: Found) -> None:
        """Give up a mail that was in flight, is not sent, and must not be sent any more."""
        if found.draft is not None:
            self._mailbox.delete_draft(found.draft)
        with self._step(claim.mail.person) as tx:
            withhold(tx, self._office, claim.mail, claim.stored, claim.stopped, self._office.now())

    def _lose(self, claim: Claim, reason: str) -> None:
        """Leave it to a person: it may have been sent, so it is never sent again by itself."""
        now, key = self._office.now(), claim.mail.key
        with self._step() as tx:
            change_mail(tx, key, state=MailState.UNKNOWN)
            if claim.mail.action is MailAction.SEND:
                hint = f"look in Sent, then 'connector tasks skip {key[:8]}', or 'connector remove'"
                move_intent(tx, key, IntentEvent.LOSE, problem=f"{reason}; it may have been sent: {hint}")
            else:
                say(tx, claim.stored, f"{reason}: look in Drafts and in Sent before you write it anew")
            append(tx, [intent_fact(claim.stored, EventKind.OUTCOME_UNKNOWN, now, reason=reason)])

    def _postpone(self, key: str, error: OutcomeUnknown) -> None:
        """Look again in a later pass, or leave it to a person when that was often enough."""
        with self._office.database.read() as tx:
            mail, stored = read_mails(tx, [key])[key], read_intents(tx, [key])[key]
        if mail.attempts >= _TRIES:
            self._lose(Claim(mail=mail, stored=stored, letter=None, again=True), error.sentence)
            return
        with self._step() as tx:
            change_mail(tx, key, due=self._office.now() + _LATER)

    def _put_back(self, key: str, error: AdapterError, *, blocked_until: datetime | None) -> None:
        """Note that nothing was done, and let the lane wait.

        A mail that the service only fails with, and says no time for, comes after those that are due by then: it may be
        this one alone that fails, each time.
        """
        with self._step() as tx:
            self._pacing = let_go(tx, self._lease, self._pacing, [key])
            if isinstance(error, Retry) and error.after is None:
                change_mail(tx, key, due=blocked_until)
        self._note_wait(error, blocked_until=blocked_until)

    def _hold_sends(self, claim: Claim, error: Retry) -> None:
        """Let the lane's sends wait, and nothing else."""
        until = self._office.now() + (error.after or _LATER)
        waits = replace(self._pacing, sends_blocked_until=until, sends_problem=error.sentence)
        with self._step(pacing=waits) as tx:
            # Nothing was lost: told so ten times a day, it would be given up at the first answer that is.
            change_mail(tx, claim.mail.key, attempts=claim.mail.attempts - 1)
        self._tell(error)

    def _note_wait(self, error: AdapterError, *, blocked_until: datetime | None) -> None:
        """Say how long the lane waits, and why."""
        # Of several that were placed together each may have been told another time.
        told = (blocked_until, self._pacing.blocked_until)
        longest = max((one for one in told if one is not None), default=None)
        with self._step(pacing=replace(self._pacing, blocked_until=longest, problem=error.sentence)):
            pass
        self._tell(error)

    def _tell(self, error: AdapterError) -> None:
        sentence = f"{self._lease.lane}: {error.sentence}"
        if sentence not in self._drained.attention:
            self._drained.attention.append(sentence)

    def _fail(self, key: str, error: AdapterError) -> None:
        now = self._office.now()
        with self._step() as tx:
            mail, stored = read_mails(tx, [key])[key], read_intents(tx, [key])[key]
            change_mail(tx, key, state=MailState.FAILED)
            if is_tasks(stored) and mail.action is MailAction.SEND:
                give_back(tx, stored, now, error.sentence, state=MailState.FAILED)
            elif stored.state is IntentState.DELIVERING:
                move_intent(tx, key, IntentEvent.FAIL, problem=error.sentence)
            else:
                say(tx, stored, error.sentence)
            append(tx, [intent_fact(stored, EventKind.BLOCKED, now, reason=error.sentence, code=error.code)])
        if mail.draft is not None and mail.state is MailState.IN_FLIGHT:
            # Tried again it is made anew; what is left over must not lie there for the rep to send. One to be taken
            # back may hold what its rep has written since.
            with suppress(AdapterError):
                self._mailbox.delete_draft(mail.draft)


def _replaces_draft(claim: Claim) -> bool:
    """Tell whether it is a task's mail of which nothing can be out yet: its own draft was not known to be made."""
    return is_tasks(claim.stored) and claim.mail.draft_id is None


def _is_new_draft(mail: StoredMail) -> bool:
    return mail.action is MailAction.DRAFT and mail.state is MailState.WANTED


def _grouped(mails: Sequence[StoredMail]) -> Iterator[list[StoredMail]]:
    """Give each new draft together with those that come next, whatever lies between, and everything else by itself."""
    new = [mail for mail in mails if _is_new_draft(mail)]
    groups = {new[start].key: new[start : start + TOGETHER] for start in range(0, len(new), TOGETHER)}
    for mail in mails:
        if not _is_new_draft(mail):
            yield [mail]
        elif mail.key in groups:
            yield groups[mail.key]
