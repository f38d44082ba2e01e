"""Incoming mail: replies, bounces, out-of-office and what nobody can tell become facts about enrollments.

Lives here: `take_mail`. Does not live here: what kind of mail it is and whom it is about (`inbox`), reading the mailbox
(`pull_mailbox`), what an end does (`record`). Source: spec delivery 5 and 6, sequencing 5.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.campaigns.model import SameAccount
from connector.events import Event, EventKind
from connector.inbox.classify import Classified, MailKind, classify
from connector.inbox.match import KnownMail, Match, match_received, match_writer
from connector.intents import IntentState, StepType, intent_key
from connector.people import Rep
from connector.ports import MailReceived
from connector.sequencing.enrollment import Enrollment
from connector.store.crm_people import want_person
from connector.store.database import Transaction
from connector.store.enrollments import find_enrollments, read_enrollments
from connector.store.intents import read_intents
from connector.store.ledger import append
from connector.store.mails import (
    note_received,
    read_sent_about,
)
from connector.store.people import list_people, mark_person, read_people
from connector.store.tasks import read_tasks, save_tasks
from connector.sync import activity
from connector.sync.mirror import logged_reply, want
from connector.sync.office import Office
from connector.sync.pulled import Pulled
from connector.sync.record import enrollment_fact, record
from connector.sync.rollup import roll_up

#: How the reason of a reply ends that ended somebody's campaign because a colleague of theirs wrote it.
OF_ACCOUNT = "of the same account, replied"

#: Characters of a reply that go into its log in the CRM.
_LOGGED = 4000


def take_mail(tx: Transaction, office: Office, rep: Rep, mail: MailReceived, now: datetime, pulled: Pulled) -> None:
    """Record what an incoming mail means; one that was acted on before, or is about nobody here, means nothing."""
    mail = replace(mail, subject=_whole(mail.subject), text=_whole(mail.text))
    kind = classify(mail, own=frozenset({rep.email, *rep.aliases}))
    if kind.kind in (MailKind.OWN, MailKind.CALENDAR_OR_RECEIPT):
        return
    candidates = _candidates(tx, office, rep, mail, kind)
    match = match_received(mail, kind, candidates)
    if match is None or (kind.kind is MailKind.AUTOMATIC and not kind.out_of_office):
        return
    if not note_received(tx, office.lane_of(rep), mail.internet_message_id or mail.provider_id, now):
        return
    enrollments = _about(tx, match, rep)
    told = {"subject": mail.subject, "matched_by": match.matched_by}
    at = min(mail.at, now)
    match kind.kind:
        case MailKind.BOUNCE if not kind.failed_recipients or match.person in kind.failed_recipients:
            pulled.counts["bounces"] += 1
            _bounce(tx, office, match, kind, enrollments, at, now)
        case MailKind.DELAYED:
            _tell(tx, enrollments, EventKind.DELAYED, at, kind.reason, told)
        case MailKind.AUTOMATIC:
            pulled.counts["out_of_office"] += 1
            reason = kind.reason if match.from_person else f"{kind.reason}; {mail.sender.email} sent it"
            facts = [enrollment_fact(one, EventKind.OUT_OF_OFFICE, at, reason=reason, **told) for one in enrollments]
            record(tx, office, facts, now)
        case MailKind.PERSONAL if match.from_person or not _is_colleague(mail, rep):
            pulled.counts["replies"] += 1
            writer = match_writer(mail, match, candidates)
            if writer is not None:
                _reply(tx, office, rep, mail, writer, _about(tx, writer, rep), at, now)
            _reply(tx, office, rep, mail, match, enrollments, at, now)
        case _:
            pulled.counts["unclassified"] += 1
            mark_person(tx, match.person, held=now)
            reason = kind.reason
            if kind.kind is MailKind.BOUNCE:
                # Of a copy, a rep's change of recipient, or where the person's own server passed it on to.
                reason = f"it came back from {', '.join(kind.failed_recipients)}, which is not their address"
            _tell(tx, enrollments, EventKind.UNCLASSIFIED, at, reason, told)


def _whole(text: str) -> str:
    """Return text that can be stored: without halves of characters that a preview was cut through, without NUL."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def _candidates(tx: Transaction, office: Office, rep: Rep, mail: MailReceived, kind: Classified) -> list[KnownMail]:
    answered = [kind.original_message_id, mail.in_reply_to, *mail.references]
    persons = kind.failed_recipients or (mail.sender.email.lower(),)
    sent = read_sent_about(
        tx,
        message_ids=[message_id for message_id in answered if message_id],
        thread_ids=[mail.thread_id] if mail.thread_id else [],
        persons=persons,
    )
    seen = [
        KnownMail(
            intent=one.key,
            person=one.person,
            sent_at=one.sent or one.due,
            internet_message_id=one.internet_message_id,
            thread_id=one.thread_id,
        )
        for one in sent
    ]
    return seen + _written_by_hand(tx, office, rep, persons, known={one.intent for one in seen})


def _written_by_hand(
    tx: Transaction, office: Office, rep: Rep, persons: Sequence[str], *, known: Collection[str]
) -> list[KnownMail]:
    """Return the emails of live campaigns that the rep says are done and that nobody saw in Sent: they wrote anew."""
    keys: list[str] = []
    for enrollment in find_enrollments(tx, persons=persons, rep=rep.email):
        try:
            campaign = office.book.pinned(tx, enrollment.campaign, enrollment.version).campaign
        except LookupError:
            continue
        done = [step for step in campaign.steps[: enrollment.position] if step.type is StepType.EMAIL]
        keys += [intent_key(enrollment.id, enrollment.version, step.day, step.step) for step in done]
    return [
        KnownMail(intent=key, person=stored.intent.person, sent_at=stored.intent.due)
        for key, stored in read_intents(tx, keys).items()
        if stored.state is IntentState.COMPLETED and key not in known
    ]


def _about(tx: Transaction, match: Match, rep: Rep) -> list[Enrollment]:
    """Return the enrollments a mail is about: the one it answers, or by address all the person has with this rep."""
    if match.matched_by == "address" and (live := find_enrollments(tx, persons=[match.person], rep=rep.email)):
        return live
    intent = read_intents(tx, [match.intent])[match.intent].intent
    return list(read_enrollments(tx, [intent.enrollment]).values())


def _is_colleague(mail: MailReceived, rep: Rep) -> bool:
    return mail.sender.email.lower().rpartition("@")[2] == rep.email.rpartition("@")[2]


def _tell(
    tx: Transaction, enrollments: Sequence[Enrollment], kind: EventKind, at: datetime, reason: str, told: Any
) -> None:
    append(tx, [enrollment_fact(enrollment, kind, at, reason=reason, **told) for enrollment in enrollments])


def _bounce(
    tx: Transaction,
    office: Office,
    match: Match,
    kind: Classified,
    enrollments: Sequence[Enrollment],
    at: datetime,
    now: datetime,
) -> None:
    status = kind.status or "no status"
    # A policy refusal (5.7.x) says nothing about the address: the campaign ends, the address stays good on both sides.
    if not kind.policy:
        reason = f"{status}: {kind.reason}"
        mark_person(tx, match.person, bounced=at, bounce_reason=reason)
        want_person(tx, match.person, now, bounced_at=at.isoformat(), bounced_reason=reason)
    want(tx, match.intent, now, **activity.bounced(office))
    # When every campaign has ended, it is told of the one whose mail it was.
    about = find_enrollments(tx, persons=[match.person]) or enrollments
    record(
        tx,
        office,
        [enrollment_fact(one, EventKind.BOUNCED, at, reason=kind.reason, status=status) for one in about],
        now,
    )


def _reply(
    tx: Transaction,
    office: Office,
    rep: Rep,
    mail: MailReceived,
    match: Match,
    enrollments: Sequence[Enrollment],
    at: datetime,
    now: datetime,
) -> None:
    told = {"subject": mail.subject, "matched_by": match.matched_by, "from": mail.sender.email}
    reason = "the prospect replied" if match.from_person else f"{mail.sender.email} replied for them"
    facts = [enrollment_fact(one, EventKind.REPLIED, at, reason=reason, **told) for one in enrollments]
    for enrollment in enrollments:
        if not enrollment.has_ended and _ends_account(tx, office, enrollment):
            facts += _others_of_account(tx, enrollment, match.person, at, told)
    record(tx, office, facts, now)
    roll_up(tx, office, now, replied={match.person: at})
    want(tx, match.intent, now, **activity.replied(office))
    if office.mirrors_tasks and office.crm_rules.log_email:
        intent = read_intents(tx, [match.intent])[match.intent].intent
        message = mail.internet_message_id or f"{office.lane_of(rep)} {mail.provider_id}"
        log = logged_reply(office, intent, rep, message=message, subject=mail.subject, text=mail.text[:_LOGGED], at=at)
        if log.key not in read_tasks(tx, [log.key]):
            save_tasks(tx, [log])


def _ends_account(tx: Transaction, office: Office, enrollment: Enrollment) -> bool:
    try:
        campaign = office.book.pinned(tx, enrollment.campaign, enrollment.version).campaign
    except LookupError:
        return False  # Its version is gone: what it says of others cannot be told, and the mail must be taken in.
    return campaign.settings.same_account is SameAccount.END


def _others_of_account(tx: Transaction, enrollment: Enrollment, person: str, at: datetime, told: Any) -> list[Event]:
    """Return the reply as a fact about the other people of the same account (setting `same_account: end`)."""
    account = read_people(tx, [person])[person].account
    if account is None:
        return []
    others = [stored.person.email for stored in list_people(tx, account=account) if stored.person.email != person]
    live = find_enrollments(tx, persons=others, campaign=enrollment.campaign)
    reason = f"{person}, {OF_ACCOUNT}"
    return [enrollment_fact(one, EventKind.REPLIED, at, reason=reason, **told) for one in live]
