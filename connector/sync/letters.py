"""Composing what an intent says, from the campaign version it is pinned to and the person as known now.

Lives here: `Situation`, what a batch of intents stands on, read in bulk; `Letters`, which reads what they quote too,
and then composes each. Does not live here: templates and quoting (`content`), the outbox (`prepare`). Source: spec
sequencing 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connector.campaigns.model import Campaign, CampaignSettings, Step
from connector.content.compose import Rendered, compose_follow_up, quote_header, render
from connector.content.fields import check_lengths, fields_of
from connector.content.templates import Template, parse_text
from connector.content.written import Upload, Written, render_written
from connector.errors import BadInput, Fault
from connector.intents import Intent, StepType, intent_key
from connector.people import Rep, is_address
from connector.ports import Address, Mail, Thread
from connector.sequencing.enrollment import Enrollment
from connector.store.campaigns import read_versions
from connector.store.compositions import Composition, read_compositions
from connector.store.database import Transaction
from connector.store.enrollments import read_enrollments
from connector.store.mails import MailState, StoredMail, read_mails
from connector.store.people import StoredPerson, read_people
from connector.sync.attachments import read_attachment, read_image, uploaded
from connector.sync.office import Office, PinnedCampaign


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What one intent says. For a task that is not an email, `subject` is its name and `text` its notes."""

    step: Step
    rep: Rep
    person: StoredPerson
    subject: str
    text: str
    html: str = ""
    #: Field prompts left for the rep to replace.
    prompts: tuple[str, ...] = ()
    thread: Thread | None = None
    attachments: tuple[str, ...] = ()
    #: Files that its rep uploaded.
    uploads: tuple[Upload, ...] = ()
    #: Files that the HTML shows as images.
    images: tuple[str, ...] = ()
    #: Where the person unsubscribes, when that is on.
    unsubscribe: str | None = None
    #: What `text` quotes of the email before, with its header.
    quote: str = ""

    @property
    def hashes(self) -> frozenset[str]:
        """The SHA-256 of each uploaded file."""
        return frozenset(upload.hash for upload in self.uploads)

    def mail(self, key: str, folder: Path, blobs: Mapping[str, bytes]) -> Mail:
        """Return it as a mail of this intent; `blobs` are the bytes of its uploads, by hash.

        Raises `BadInput` when a file is not there, or the person's address is none that a mail can go to.
        """
        person = self.person.person
        if not is_address(person.email):
            sentence = "the field email is no address that a mail can go to: put the right one in its place"
            raise BadInput(Fault(sentence=sentence, where=f"person {person.email!a}"))
        return Mail(
            key=key,
            sender=Address(email=self.rep.email, name=self.rep.name),
            to=Address(email=person.email, name=f"{person.first_name} {person.last_name}".strip()),
            subject=self.subject,
            html=self.html,
            text=self.text,
            attachments=(
                *(read_image(folder, name) for name in self.images),
                *(read_attachment(folder, name) for name in self.attachments),
                *(uploaded(upload, blobs) for upload in self.uploads),
            ),
            thread=self.thread,
            unsubscribe=self.unsubscribe,
        )


class Situation:
    """The people, enrollments and campaign versions of a batch of intents."""

    def __init__(
        self,
        tx: Transaction,
        office: Office,
        intents: Sequence[Intent],
        people: Mapping[str, StoredPerson] | None = None,
    ) -> None:
        """Read them; `people` when this transaction has read them already."""
        self._pinned = _pinned(tx, office, intents)
        self.people = read_people(tx, {intent.person for intent in intents}) if people is None else people
        self.enrollments: Mapping[str, Enrollment] = read_enrollments(
            tx, sorted({intent.enrollment for intent in intents})
        )

    def settings_of(self, intent: Intent) -> CampaignSettings:
        """Return the settings of the version an intent was made from; the default ones if that is gone."""
        pinned = self._pinned.get((intent.campaign, intent.version))
        return CampaignSettings() if pinned is None else pinned.campaign.settings


class Letters(Situation):
    """Composes a batch of intents; reads everything it needs once."""

    def __init__(self, tx: Transaction, office: Office, intents: Sequence[Intent]) -> None:
        """Read people, enrollments and previous mails of the batch."""
        super().__init__(tx, office, intents)
        self._office = office
        # The previous email may have gone out before the person moved to another version of the campaign.
        self._versions = {
            name: [version for version, _ in read_versions(tx, name)]
            for name in {intent.campaign for intent in intents if self._is_follow_up(intent)}
        }
        previous = [key for intent in intents for key in self._previous_keys(intent)]
        self._previous = read_mails(tx, previous)
        #: What mails say in place of their templates.
        self.compositions: Mapping[str, Composition] = read_compositions(
            tx, [*previous, *(intent.key for intent in intents)]
        )

    def step_of(self, intent: Intent) -> Step:
        """Return the step an intent stands for, in the version it was made from; raise `BadInput` if that is gone."""
        campaign = self._campaign(intent)
        return campaign.steps[campaign.index_of(intent.day, intent.step) or 0]

    def compose(self, intent: Intent, *, saying: Written | None = None) -> Letter:
        """Compose an intent; raise `BadInput` (or `Unresolved`) when something is missing.

        An email says what its template says, or what was written in its place, or, to look at it, `saying`.
        """
        person, step = self.people[intent.person], self.step_of(intent)
        fields, rep = self.fields_of(intent), self._office.reps[intent.rep]
        if step.type is not StepType.EMAIL:
            place = f"campaign '{intent.campaign}', day {intent.day}, step {intent.step}"
            # A field that is blank leaves two spaces behind.
            subject = " ".join(parse_text(step.name, where=place).render(fields).split())
            notes = parse_text(step.notes, where=place).render(fields)
            return Letter(step=step, rep=rep, person=person, subject=subject, text=notes)
        written, template = self._written(intent.key) if saying is None else saying, self.template_of(intent)
        unsubscribe = self._office.unsubscribe
        no_more = "" if unsubscribe is None else unsubscribe.html_of(intent.person)
        if written is None:
            check_lengths(fields, template.fields, f"person {intent.person}")
            own = render(template, fields, signature=rep.signature, unsubscribe_html=no_more)
        else:
            own = render_written(written, signature=rep.signature, unsubscribe_html=no_more)
        rendered, sent = self._quoting(intent, step, own, fields, rep)
        if written is not None and not rendered.subject:
            raise BadInput(f"the mail to {intent.person} has no subject: write one")
        return Letter(
            step=step,
            rep=rep,
            person=person,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            prompts=rendered.prompts,
            thread=_thread(sent),
            attachments=template.attachments if written is None else written.attachments,
            uploads=() if written is None else written.uploads,
            images=rendered.images,
            unsubscribe=None if unsubscribe is None else unsubscribe.address_of(intent.person),
            quote=rendered.text[len(own.text) :].strip(),
        )

    def template_of(self, intent: Intent) -> Template:
        """Return the template of an email, as it was when its campaign was launched."""
        return self._template(intent, self.step_of(intent))

    def templates_of(self, intent: Intent) -> Mapping[str, Template]:
        """Return all templates of the campaign's version, by name."""
        return self._pin(intent).templates

    def fields_of(self, intent: Intent) -> Mapping[str, Any]:
        """Return the fields for an intent's person and rep; raise `BadInput` for a rep who is not there any more."""
        rep, person = self._office.reps.get(intent.rep), self.people[intent.person]
        if rep is None:
            raise BadInput(f"rep {intent.rep} is not in connector.yaml any more: add them, or remove the person")
        return fields_of(person.person, rep, person.crm_fields)

    def _quoting(
        self, intent: Intent, step: Step, own: Rendered, fields: Mapping[str, object], rep: Rep
    ) -> tuple[Rendered, StoredMail | None]:
        """Return an email with what it quotes, and the sent one that it answers, if it does."""
        if not step.follow_up:
            return own, None
        before = self._step_before(intent)
        sent = self._sent_as(intent, before)
        zone = ZoneInfo(self.enrollments[intent.enrollment].zone)
        written = sent.sent if sent is not None and sent.sent is not None else intent.due
        previous = self._rendered_before(intent, before, fields, rep)
        if sent is not None and not sent.reached_person:
            # The rep sent it to somebody else: to this person it is the first mail, quoting nothing.
            return replace(own, subject=own.subject or previous.subject), None
        if sent is not None:
            previous = replace(previous, subject=sent.subject or previous.subject)  # as its rep sent it
        return compose_follow_up(own, previous, header=quote_header(written, zone, rep.name)), sent

    def _rendered_before(self, intent: Intent, before: Step, fields: Mapping[str, object], rep: Rep) -> Rendered:
        """Render the previous email as it was written or its template renders, with what it quoted itself.

        Source: spec sequencing 7.
        """
        written = next((one for one in map(self._written, self._keys_of(intent, before)) if one is not None), None)
        if written is None:
            own = render(self._template(intent, before), fields, signature=rep.signature, as_quoted=True)
        else:
            own = render_written(written, signature=rep.signature, as_quoted=True)
        titled = own.subject if written is None else self._template(intent, before).subject
        if not before.follow_up or titled:
            return own
        campaign = self._campaign(intent)
        earlier = campaign.steps[(campaign.index_of(before.day, before.step) or 0) - 1]
        sent = self._sent_as(intent, earlier)
        if sent is not None and not sent.reached_person:
            return own
        return compose_follow_up(own, self._rendered_before(intent, earlier, fields, rep), header="")

    def _written(self, key: str) -> Written | None:
        composition = self.compositions.get(key)
        return None if composition is None else composition.written

    def _campaign(self, intent: Intent) -> Campaign:
        return self._pin(intent).campaign

    def _pin(self, intent: Intent) -> PinnedCampaign:
        pinned = self._pinned.get((intent.campaign, intent.version))
        if pinned is None:
            raise BadInput(
                f"version {intent.version} of campaign '{intent.campaign}' is not in the database any more: bring it "
                f"back from a backup and 'connector resume --person {intent.person}', or 'connector remove' them"
            )
        return pinned

    def _is_follow_up(self, intent: Intent) -> bool:
        return (intent.campaign, intent.version) in self._pinned and self.step_of(intent).follow_up

    def _template(self, intent: Intent, step: Step) -> Template:
        return self._pin(intent).templates[step.template or ""]

    def _step_before(self, intent: Intent) -> Step:
        campaign = self._campaign(intent)
        return campaign.steps[(campaign.index_of(intent.day, intent.step) or 1) - 1]

    def _previous_keys(self, intent: Intent) -> list[str]:
        """Return the keys of the emails that a follow-up answers or quotes."""
        if not self._is_follow_up(intent):
            return []
        steps, step = self._campaign(intent).steps, self.step_of(intent)
        found: list[str] = []
        while step.follow_up:
            step = steps[(self._campaign(intent).index_of(step.day, step.step) or 1) - 1]
            found += self._keys_of(intent, step)
        return found

    def _keys_of(self, intent: Intent, step: Step) -> list[str]:
        """Return the keys an earlier email may have: that of this version first."""
        versions = dict.fromkeys((intent.version, *self._versions[intent.campaign]))
        return [intent_key(intent.enrollment, version, step.day, step.step) for version in versions]

    def _sent_as(self, intent: Intent, step: Step) -> StoredMail | None:
        """Return an earlier email as it was sent; None when it was not seen in Sent."""
        mails = (self._previous.get(key) for key in self._keys_of(intent, step))
        return next((mail for mail in mails if mail is not None and mail.state is MailState.SENT), None)


def _pinned(tx: Transaction, office: Office, intents: Sequence[Intent]) -> dict[tuple[str, str], PinnedCampaign]:
    """Return the versions of a batch that are kept; one that is gone stops the intents made from it, and no other."""
    found: dict[tuple[str, str], PinnedCampaign] = {}
    for name, version in {(intent.campaign, intent.version) for intent in intents}:
        with suppress(LookupError):
            found[name, version] = office.book.pinned(tx, name, version)
    return found


def _thread(sent: StoredMail | None) -> Thread | None:
    if sent is None:
        return None
    message_id = sent.internet_message_id
    references = sent.references if not message_id or message_id in sent.references else (*sent.references, message_id)
    return Thread(
        internet_message_id=message_id,
        references=references,
        thread_id=sent.thread_id,
        provider_id=sent.provider_id,
        mailbox=sent.lane.partition(":")[2],
    )
