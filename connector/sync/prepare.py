"""Preparing: what is due is checked, composed and put before the rep or into an outbox, in batches.

Lives here: `prepare`. A task opens here, whatever the CRM or the mailbox can do at the moment: they follow by their
outboxes. Does not live here: calling a service (`drain`, `crm`). Source: spec delivery 1, sequencing 5 and 7.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from connector.capabilities import MailboxCapabilities
from connector.content.links import compose_link
from connector.errors import AdapterError, BadInput
from connector.events import Event, EventKind
from connector.intents import Intent, IntentState, Mode, StepType
from connector.people import Rep
from connector.store.database import Transaction
from connector.store.intents import START, Mark, StoredIntent, read_intents, read_unprepared, save_intents
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, StoredMail, insert_mails
from connector.store.people import StoredPerson
from connector.store.tasks import StoredTask, save_tasks
from connector.store.words import note_words
from connector.sync.crm_people import ask_before_writing, crm_fields_wanted
from connector.sync.lateness import too_late
from connector.sync.letters import Letter, Letters, Situation
from connector.sync.mirror import opened_task
from connector.sync.office import Office
from connector.sync.record import enrollment_fact, intent_fact, record

#: Intents a transaction.
BATCH = 500

#: Intents whose people the CRM is asked about at a time.
ASKED = 2000


@dataclass(slots=True, kw_only=True)
class _Prepared:
    """What one batch comes to, written at once."""

    intents: list[StoredIntent] = field(default_factory=list)
    mails: list[StoredMail] = field(default_factory=list)
    tasks: list[StoredTask] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    #: Facts that end an enrollment instead.
    ended: list[Event] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Preparation:
    """What preparing came to."""

    #: Mode -> intents looked at.
    seen: Counter[str] = field(default_factory=Counter)
    #: Why the CRM could not be asked; what needs its fields waits for a later pass, the rest goes on.
    crm_error: AdapterError | None = None
    #: Up to where the CRM was asked about the people.
    asked: Mark = START


def prepare(office: Office, now: datetime, *, crm_error: AdapterError | None = None) -> Preparation:
    """Prepare every due intent; `crm_error` is why the CRM cannot be asked, when that is known already."""
    preparation = Preparation(crm_error=crm_error)
    mark: Mark | None = START
    while mark is not None:
        mark = _prepare_batch(office, now, preparation, mark)
    return preparation


def stop_fact(
    office: Office, situation: Situation, intent: Intent, person: StoredPerson, now: datetime
) -> Event | None:
    """Return the fact that ends an enrollment at the moment of delivery, or None (spec sequencing 5)."""
    enrollment = situation.enrollments[intent.enrollment]
    if person.opted_out is not None:
        return enrollment_fact(enrollment, EventKind.OPTED_OUT, now, reason="the person opted out before delivery")
    if intent.type is StepType.EMAIL and person.bounced is not None and situation.settings_of(intent).remove_on_bounce:
        status = "an earlier mail"
        return enrollment_fact(enrollment, EventKind.BOUNCED, now, reason="the address bounced before", status=status)
    if intent.type is StepType.EMAIL and person.person.domain in office.blocked_domains:
        reason = f"the domain {person.person.domain} is blocked in connector.yaml"
        return enrollment_fact(enrollment, EventKind.FAILED, now, reason=reason)
    return None


def unclassified(person: str) -> str:
    """Return why a send is held for an incoming mail."""
    return f"a mail about {person} could not be classified: read it, then 'connector resume' or 'remove'"


def _prepare_batch(office: Office, now: datetime, preparation: Preparation, mark: Mark) -> Mark | None:
    """Prepare some; return where to read on, None when there are no more. What waits for the CRM is passed over."""
    with office.database.read() as tx:
        due = read_unprepared(tx, now, BATCH, after=mark)
    if not due:
        return None
    if office.crm is not None and preparation.crm_error is None and due[-1].mark > preparation.asked:
        _ask(office, now, preparation, mark)
    # Before anything is locked: it takes longer than all the rest.
    with office.database.read() as tx:
        letters = Letters(tx, office, [stored.intent for stored in due])
        composed = {stored.intent.key: _composed(letters, stored.intent) for stored in due}
    mark = due[-1].mark
    with office.database.write() as tx:
        present = read_intents(tx, list(composed))
        still = [present[key] for key in composed if key in present]
        batch = [one for one in still if one.state is IntentState.DUE and not one.prepared]
        letters = Letters(tx, office, [stored.intent for stored in batch])
        if preparation.crm_error is not None:
            batch = [stored for stored in batch if not _lacks_fields(office, tx, stored, letters)]
        prepared = _Prepared()
        for stored in batch:
            _prepare_one(office, letters, stored, composed[stored.intent.key], now, prepared)
        save_intents(tx, prepared.intents)
        note_words(tx, [stored.intent.key for stored in prepared.intents if stored.state is not IntentState.DUE])
        insert_mails(tx, prepared.mails)
        save_tasks(tx, prepared.tasks)
        append(tx, prepared.told)
        record(tx, office, prepared.ended, now)
        office.wake(tx, {mail.lane for mail in prepared.mails} | ({office.crm_rules.name} if prepared.tasks else set()))
    preparation.seen.update(stored.intent.mode.value for stored in batch)
    return mark


def _ask(office: Office, now: datetime, preparation: Preparation, mark: Mark) -> None:
    """Ask the CRM about the people of this batch and of those to come, so that its calls are full."""
    with office.database.read() as tx:
        ahead = read_unprepared(tx, now, ASKED, after=mark)
    preparation.asked = ahead[-1].mark if ahead else mark
    try:
        ask_before_writing(office, ahead, now)
    except AdapterError as error:
        preparation.crm_error = error


def _lacks_fields(office: Office, tx: Transaction, stored: StoredIntent, letters: Letters) -> bool:
    return not crm_fields_wanted(office, tx, stored) <= set(letters.people[stored.intent.person].crm_fields)


def _composed(letters: Letters, intent: Intent) -> Letter | BadInput:
    try:
        return letters.compose(intent)
    except BadInput as error:
        return error


def _prepare_one(
    office: Office, letters: Letters, stored: StoredIntent, letter: Letter | BadInput, now: datetime, to: _Prepared
) -> None:
    intent = stored.intent
    person = letters.people[intent.person]
    if (fact := stop_fact(office, letters, intent, person, now)) is not None:
        to.ended.append(fact)
        # Prepared, so that an end the campaign's settings do not act on cannot come round for ever.
        to.intents.append(replace(stored, state=IntentState.BLOCKED, prepared=True, problem=fact.reason))
        return
    if intent.mode is Mode.SEND and person.held is not None:
        problem = unclassified(intent.person)
        to.intents.append(replace(stored, state=IntentState.HELD, prepared=True, problem=problem))
        to.told.append(intent_fact(stored, EventKind.HELD, now, reason=problem))
        return
    if isinstance(letter, BadInput):
        _block(stored, str(letter), now, to)
        return
    if intent.mode is Mode.SEND and letter.prompts:
        _block(stored, f"the field prompt '{letter.prompts[0]}' was not replaced, and nobody reads it first", now, to)
        return
    mailbox = office.mailboxes.get(letter.rep.email)
    can = None if mailbox is None else mailbox.capabilities
    if intent.mode is Mode.SEND and can is not None and can.sends:
        if (late := too_late(office, stored, now)) is not None:
            to.intents.append(replace(stored, state=IntentState.HELD, prepared=True, problem=late))
            to.told.append(intent_fact(stored, EventKind.HELD, now, reason=late))
            return
        to.mails.append(_mail(office, stored, letter, MailAction.SEND))
        to.intents.append(replace(stored, prepared=True, subject=letter.subject))
        return
    _open_task(office, stored, letter, can, now, to)


def _block(stored: StoredIntent, problem: str, now: datetime, to: _Prepared) -> None:
    to.intents.append(replace(stored, state=IntentState.BLOCKED, prepared=True, problem=problem))
    to.told.append(intent_fact(stored, EventKind.BLOCKED, now, reason=problem))


def _open_task(
    office: Office, stored: StoredIntent, letter: Letter, can: MailboxCapabilities | None, now: datetime, to: _Prepared
) -> None:
    intent, description = stored.intent, letter.text
    reason = "the step is a task"
    if intent.mode is Mode.SEND:
        reason = f"the mailbox '{letter.rep.mailbox}' cannot send by itself, so {letter.rep.name} sends it"
    if intent.type is StepType.EMAIL:
        if can is not None and can.drafts:
            to.mails.append(_mail(office, stored, letter, MailAction.DRAFT))
        else:
            description = _compose_address(letter.rep, letter) + "\n\n" + letter.text
    if office.mirrors_tasks:
        task = opened_task(office, intent, letter.step, letter.rep, subject=letter.subject, description=description)
        to.tasks.append(task)
    to.intents.append(replace(stored, state=IntentState.OPEN, prepared=True, subject=letter.subject))
    to.told.append(intent_fact(stored, EventKind.TASK_OPENED, now, reason=reason, subject=letter.subject))


def _compose_address(rep: Rep, letter: Letter) -> str:
    """Return the addresses that open a compose window, for a mailbox without drafts (spec delivery 4)."""
    to, links = letter.person.person.email, []
    for client in ("gmail", "outlook"):
        link = compose_link(client, rep_email=rep.email, to=to, subject=letter.subject, text=letter.text)
        links.append(f"Write it in {client.title()}: {link.address}" + (f"\n({link.note})" if link.note else ""))
    return "\n".join(links)


def _mail(office: Office, stored: StoredIntent, letter: Letter, action: MailAction) -> StoredMail:
    intent = stored.intent
    return StoredMail(
        key=intent.key,
        lane=office.lane_of(letter.rep),
        action=action,
        state=MailState.WANTED,
        due=intent.due,
        person=intent.person,
        campaign=intent.campaign,
        recipient=letter.person.person.email,
        subject=letter.subject,
    )
