"""People as pages show them: the list, and one person with all that happened and what comes.

Lives here: putting it together for whoever may see it, and what they do to one person. Does not live here: finding
people (`store.people_pages`), the history and the calendar (`views.explain`), what an action does (`actions`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.errors import BadInput
from connector.events import Event, EventKind
from connector.sequencing.enrollment import Enrollment
from connector.store.enrollments import find_enrollments
from connector.store.intents import StoredIntent, read_intents
from connector.store.mails import StoredMail, read_sent_about
from connector.store.people import StoredPerson, read_people
from connector.store.people_pages import PeopleFilter, find_people
from connector.sync.feed import FeedLine, name_of
from connector.sync.office import Office
from connector.sync.views import NextStep, explain

#: What a person has besides their address, as files and the CRM name it.
_FIELDS = ("first_name", "last_name", "title", "company", "phone", "time_zone", "salesforce_id", "linkedin_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonLine:
    """A person in the list."""

    stored: StoredPerson
    #: Those that have not ended, of reps whom one may see.
    enrollments: Sequence[Enrollment]

    @property
    def name(self) -> str:
        """The person's name, or their address."""
        return name_of(self.stored.person, self.stored.person.email)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    """A page of people, by address."""

    lines: list[PersonLine]
    #: Address to read on after; None when there is nobody more.
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InCampaign:
    """A person in one campaign."""

    enrollment: Enrollment
    #: How it stands: a sentence.
    standing: str
    #: What it waits for just now, where that has come before somebody already.
    now: StoredIntent | None
    #: What comes, if all goes on as it is.
    next: Sequence[NextStep]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPage:
    """A person, for somebody who may see them."""

    stored: StoredPerson
    #: What files and the CRM say: name -> value.
    fields: Mapping[str, str]
    #: What the CRM alone says, for templates.
    crm_fields: Mapping[str, object]
    #: Those that have not ended first.
    campaigns: Sequence[InCampaign]
    #: Newest first.
    history: Sequence[FeedLine]
    #: Newest first.
    mails: Sequence[StoredMail]
    #: Why the person opted out last, as far as one may see.
    opted_out_because: str

    @property
    def name(self) -> str:
        """The person's name, or their address."""
        return name_of(self.stored.person, self.stored.person.email)


def list_people(
    office: Office, wanted: PeopleFilter, *, reps: Collection[str] | None, after: str = "", most: int = 50
) -> PeoplePage:
    """Return people of whom one may know, by address."""
    with office.database.read() as tx:
        found = find_people(tx, wanted, reps=reps, after=after, most=most + 1)
        shown = found[:most]
        live = find_enrollments(tx, persons=[one.person.email for one in shown]) if shown else []
    inside: dict[str, list[Enrollment]] = {}
    for enrollment in live:
        if reps is None or enrollment.rep in reps:
            inside.setdefault(enrollment.person, []).append(enrollment)
    lines = [PersonLine(stored=one, enrollments=inside.get(one.person.email, [])) for one in shown]
    return PeoplePage(lines=lines, next=shown[-1].person.email if len(found) > most else None)


def look_at_person(office: Office, email: str, *, reps: Collection[str] | None) -> PersonPage:
    """Return what is known of a person and of their campaigns with these reps; what is of nobody is theirs too."""
    told = explain(office, email)
    with office.database.read() as tx:
        stored = read_people(tx, [email])[email]
        sent = read_sent_about(tx, message_ids=[], thread_ids=[], persons=[email])
        present = read_intents(tx, [one.intent for one in told.enrollments if one.intent and not one.has_ended])
        whose = {key: one.intent.rep for key, one in read_intents(tx, [mail.key for mail in sent]).items()}
    past = [event for event in told.past if reps is None or event.rep is None or event.rep in reps]
    campaigns = [
        InCampaign(
            enrollment=one,
            standing=standing,
            now=present.get(one.intent or ""),
            next=[step for step in told.next if step.enrollment.id == one.id],
        )
        for one, standing in zip(told.enrollments, told.standing, strict=True)
        if reps is None or one.rep in reps
    ]
    person = stored.person
    fields = {name: str(getattr(person, name)) for name in _FIELDS if getattr(person, name)}
    return PersonPage(
        stored=stored,
        fields=fields | {f"custom.{name}": value for name, value in person.custom.items() if value},
        crm_fields={name: value for name, value in sorted(stored.crm_fields.items()) if value not in (None, "")},
        campaigns=sorted(campaigns, key=lambda one: (one.enrollment.has_ended, -_age(one.enrollment.launched))),
        history=[FeedLine(seq=number, event=event, person=person) for number, event in enumerate(past)][::-1],
        mails=[mail for mail in sent if reps is None or whose.get(mail.key) in reps][::-1],
        opted_out_because=_why_opted_out(past),
    )


def own_enrollment(office: Office, email: str, id_: str, *, reps: Collection[str] | None) -> Enrollment:
    """Return an enrollment of a person with one of these reps; raise `BadInput` when it is none, or has ended."""
    with office.database.read() as tx:
        live = find_enrollments(tx, persons=[email])
    for one in live:
        if one.id == id_ and (reps is None or one.rep in reps):
            return one
    raise BadInput(f"{email} is not in that campaign any more: load the page again")


def is_own(office: Office, email: str, *, reps: Collection[str] | None) -> bool:
    """Tell whether a person is or was in a campaign of one of these reps; None means that everybody's are theirs."""
    if reps is None:
        return True
    with office.database.read() as tx:
        return any(one.rep in reps for one in find_enrollments(tx, persons=[email], live=False))


def _age(moment: datetime) -> float:
    return moment.timestamp()


def _why_opted_out(past: Sequence[Event]) -> str:
    return next((event.reason for event in reversed(past) if event.kind is EventKind.OPTED_OUT), "")
