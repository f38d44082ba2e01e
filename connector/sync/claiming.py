"""Claiming mails: they are ours to deliver from here on, and `in_flight` before any service is called.

Lives here: `compose`, `Claim`, `claim`, and letting go of what nothing was done with. Does not live here: the calls
(`drain`), what must not go out (`withholding`), what is said (`letters`). Source: spec delivery 1.

A pass that dies leaves its claims `in_flight`: each is looked up before anything is done with it again. So no more are
claimed together than are worth that, and a claim is acted on soon or let go: how long a mailbox may take to show a
mail is counted from the claim (`outcomes.SHOWN`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connector.errors import BadInput
from connector.intents import Intent, IntentEvent, IntentState
from connector.store.blobs import read_blobs
from connector.store.compositions import Composition, read_compositions
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, move_intent, read_intents
from connector.store.lanes import Lease, Pacing, guard, save_pacing
from connector.store.mails import MailAction, MailState, StoredMail, change_mail, change_mails, read_mails
from connector.store.people import StoredPerson, read_people
from connector.sync.giving_back import give_back, is_tasks
from connector.sync.letters import Letter, Letters, Situation
from connector.sync.office import Office, PacingRule
from connector.sync.pacing import after_send, before_send
from connector.sync.withholding import Stop, block, hold_unclassified, stop_of, withhold

#: Drafts claimed by one transaction, and mails composed at a time.
TOGETHER = 8

#: How long after its claim a mail may still be given to the service.
LASTS = timedelta(seconds=15)

#: Bytes of attachments that go with others in one call. What takes a mailbox several calls, or long, goes by itself,
#: and claims that wait too long for it are let go: together, the last would be made when claim and lease had ended.
_LIGHT = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A mail that is ours to deliver: what is known of it, and what it says."""

    mail: StoredMail
    stored: StoredIntent
    #: None when it cannot be composed any more; then it can only be looked up.
    letter: Letter | None
    #: It was in flight before: look it up first.
    again: bool
    #: It must not be sent any more, unless it was: the fact that ends its campaign, or the state that holds it.
    stopped: Stop | None = None
    #: One short request makes it: no answer to another mail, no large files.
    light: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What a mail says, or why that cannot be told, of an intent, a person and a composition as they were then."""

    intent: Intent
    person: StoredPerson
    composition: Composition | None = None
    letter: Letter | None = None
    light: bool = False
    problem: str = ""


def compose(office: Office, keys: Sequence[str]) -> dict[str, Composed]:
    """Compose mails before anything is locked: it takes longer than all the rest."""
    with office.database.read() as tx:
        return _compose(tx, office, [stored.intent for stored in read_intents(tx, keys).values()])


def _compose(tx: Transaction, office: Office, intents: Sequence[Intent]) -> dict[str, Composed]:
    letters = Letters(tx, office, intents)
    return {intent.key: _composed(tx, office, letters, intent) for intent in intents}


def _composed(tx: Transaction, office: Office, letters: Letters, intent: Intent) -> Composed:
    person, composition = letters.people[intent.person], letters.compositions.get(intent.key)
    try:
        letter = letters.compose(intent)
        # A file that has gone is found out here, calling nobody.
        whole = letter.mail(intent.key, office.folder, read_blobs(tx, letter.hashes))
    except BadInput as error:
        return Composed(intent=intent, person=person, composition=composition, problem=str(error))
    light = whole.thread is None and sum(len(one.content) for one in whole.attachments) <= _LIGHT
    return Composed(intent=intent, person=person, composition=composition, letter=letter, light=light)


def claim(
    office: Office, lease: Lease, rule: PacingRule, composed: Mapping[str, Composed]
) -> tuple[list[Claim], Pacing]:
    """Claim mails of a lane; those left out have nothing to be done any more. Return the lane's pacing, too.

    Raises `FencedError` when the lane was lost.
    """
    now = office.now()
    with office.database.write_in_lane() as tx:
        pacing = guard(tx, lease)
        people = read_people(tx, {one.intent.person for one in composed.values()}, lock=True)
        claims = list(_claims(tx, office, lease.lane, list(composed), composed, now, people))
        changed = ("state", "attempts", "claimed")
        changes = {one.mail.key: {name: getattr(one.mail, name) for name in changed} for one in claims}
        change_mails(tx, {key: {**values, "token": lease.token} for key, values in changes.items()})
        if any(one.mail.action is MailAction.SEND and not one.again for one in claims):  # it is claimed by itself
            pacing = after_send(replace(pacing, problem=None), rule, now)
            save_pacing(tx, lease.lane, pacing)
        return [_started(tx, one) for one in claims], pacing


def _claims(
    tx: Transaction,
    office: Office,
    lane: str,
    keys: Sequence[str],
    composed: Mapping[str, Composed],
    now: datetime,
    people: Mapping[str, StoredPerson] | None = None,
) -> Iterator[Claim]:
    mails, intents = read_mails(tx, keys), read_intents(tx, keys)
    situation = Situation(tx, office, [stored.intent for stored in intents.values()], people)
    written = read_compositions(tx, keys)
    for position, key in enumerate(keys, start=1):
        # One whose task has gone to another rep since is for the worker of that lane; some are forgotten by now.
        ours = key in mails and key in intents and mails[key].lane == lane
        known = composed[key], written.get(key)
        one = _claim(tx, office, situation, mails[key], intents[key], *known, now) if ours else None
        if one is None:
            # What was written of it may concern the others: they are read again.
            yield from _claims(tx, office, lane, keys[position:], composed, now)
            return
        yield one


def _claim(
    tx: Transaction,
    office: Office,
    situation: Situation,
    mail: StoredMail,
    stored: StoredIntent,
    composed: Composed,
    composition: Composition | None,
    now: datetime,
) -> Claim | None:
    """Look at one mail; None, and the reason written, when there is nothing to do any more."""
    again = mail.state is MailState.IN_FLIGHT
    if mail.state not in (MailState.WANTED, MailState.IN_FLIGHT):
        return None
    if not again and not _is_ready(mail, stored):
        change_mail(tx, mail.key, state=MailState.CANCELLED)
        return None
    sends_anew = mail.action is MailAction.SEND and not again
    if sends_anew and is_tasks(stored) and not _is_reps(office, stored, mail):
        give_back(tx, stored, now, "its task went to another rep")
        return None
    stopped = stop_of(office, situation, stored, mail, now)
    if stopped is not None and not again:
        withhold(tx, office, mail, stored, stopped, now)
        return None
    person = situation.people[stored.intent.person]
    # Whoever asked for a task's mail to be sent has decided about what came in before.
    since = composition.updated if composition is not None and is_tasks(stored) else None
    if sends_anew and person.held is not None and (since is None or since < person.held):
        hold_unclassified(tx, stored, now)
        return None
    if (composed.intent, composed.person, composed.composition) != (stored.intent, person, composition):
        composed = _compose(tx, office, [stored.intent])[mail.key]  # it says something else by now
    letter = composed.letter
    if letter is None and not again:
        block(tx, stored, composed.problem, now)
        return None
    if letter is not None and letter.prompts and sends_anew:
        block(tx, stored, f"'{letter.prompts[0]}' stands in it still, and nobody reads it first", now)
        return None
    # What cannot be composed any more may have been sent all the same: it is looked up, and never made anew.
    subject = mail.subject if letter is None else letter.subject
    attempts, claimed = mail.attempts + 1, mail.claimed or now
    mail = replace(mail, state=MailState.IN_FLIGHT, attempts=attempts, claimed=claimed, subject=subject)
    return Claim(mail=mail, stored=stored, letter=letter, again=again, stopped=stopped, light=composed.light)


def _is_ready(mail: StoredMail, stored: StoredIntent) -> bool:
    """Tell whether an intent is what it must be for its mail to be started: a task's is with its rep."""
    ours = mail.action is MailAction.SEND and not is_tasks(stored)
    return stored.state is (IntentState.DUE if ours else IntentState.OPEN)


def _is_reps(office: Office, stored: StoredIntent, mail: StoredMail) -> bool:
    """Tell whether a mail goes out from the mailbox of the rep whose task it is."""
    rep = office.reps.get(stored.intent.rep)
    return rep is not None and office.lane_of(rep) == mail.lane


def _started(tx: Transaction, one: Claim) -> Claim:
    """Let a send's intent know that it is on its way."""
    if one.mail.action is not MailAction.SEND:
        return one
    return replace(one, stored=move_intent(tx, one.mail.key, IntentEvent.CLAIM, present=one.stored))


def let_go(tx: Transaction, lease: Lease, pacing: Pacing, keys: Sequence[str]) -> Pacing:
    """Give back the claims with which nothing was done, and return the lane's pacing without them.

    One that may be out already stays `in_flight`.
    """
    before = pacing
    for mail in read_mails(tx, keys).values():
        if mail.state is not MailState.IN_FLIGHT:
            continue
        if mail.attempts > 1 or mail.draft_id is not None:
            # A look that could not be had counts for nothing: after hours of them the first lost answer is no last one.
            change_mail(tx, mail.key, attempts=mail.attempts - 1)
        else:
            change_mail(tx, mail.key, state=MailState.WANTED, attempts=0, claimed=None)
            if mail.action is MailAction.SEND:
                stored = read_intents(tx, [mail.key])[mail.key]
                move_intent(tx, mail.key, IntentEvent.OPEN if is_tasks(stored) else IntentEvent.DEFER, present=stored)
                pacing = before_send(pacing)
    if pacing != before:
        save_pacing(tx, lease.lane, pacing)
    return pacing
