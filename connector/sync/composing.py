"""The compose window: what an email says now, what stands in its way, and keeping what is written.

Lives here: `look`, `save`, `switch_template`; none of them changes what goes out. Does not live here: how its person
sees it (`previewing`), having it sent or placed (`asking`), composing (`letters`), what is made of written text
(`content.written`).
Source: issue 7, reference marketo 8, decision 39.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from connector.content.images import is_beside
from connector.content.marks import edited_fields
from connector.content.templates import Template
from connector.content.traced import Traced
from connector.content.written import (
    LONGEST_BODY,
    LONGEST_SUBJECT,
    MergeField,
    Written,
    WrittenOut,
    merge_fields,
    trace_out,
    write_out,
)
from connector.errors import BadInput, Busy
from connector.intents import CLOSED_STATES, Intent, IntentState, StepType
from connector.people import Rep
from connector.store.compositions import Composition, read_compositions, read_working, save_working
from connector.store.database import Transaction
from connector.store.intents import StoredIntent, read_intents
from connector.store.mails import MailAction, MailState, StoredMail, read_mails
from connector.store.people import StoredPerson
from connector.sync.attachments import TEMPLATES
from connector.sync.carried import FileAlong, carried, to_choose_from, too_heavy
from connector.sync.letters import Letter, Letters
from connector.sync.office import Office

#: Most files that a mail of the compose window carries.
MOST_FILES = 25


class Standing(StrEnum):
    """Where the email of an intent stands, for whoever looks at it."""

    #: It lacks something, or waits for a decision; the intent's problem says what.
    WAITS = "waits"
    #: A task's, in no mailbox: it is to be placed, was thrown away, or there is no mailbox for it.
    OUTSIDE = "outside"
    IN_DRAFTS = "in_drafts"
    #: Another takes the place of the draft that lies in the mailbox.
    CHANGING = "changing"
    #: The connector sends it, at an instant.
    TO_SEND = "to_send"
    #: It is given to the mailbox at this moment, or its answer was lost.
    ON_ITS_WAY = "on_its_way"
    #: Its rep scheduled the draft in the mail program.
    IN_PROGRAM = "in_program"
    #: Nobody can tell what became of it.
    UNKNOWN = "unknown"
    SENT = "sent"
    #: Nothing is left to do.
    CLOSED = "closed"


#: Where it may be written.
OPEN_STANDINGS = frozenset({Standing.WAITS, Standing.OUTSIDE, Standing.IN_DRAFTS, Standing.CHANGING, Standing.TO_SEND})

_OF_MAIL = {
    MailState.IN_FLIGHT: Standing.ON_ITS_WAY,
    MailState.PRESENT: Standing.IN_DRAFTS,
    MailState.SCHEDULED: Standing.IN_PROGRAM,
    MailState.UNWANTED: Standing.CHANGING,
    MailState.SENT: Standing.SENT,
}


class ChangedElsewhere(BadInput):
    """Somebody, or another tab, has saved it since it was last seen here."""

    def __init__(self, by: str, at: datetime) -> None:
        """Take who saved it, and when."""
        self.by = by
        self.at = at
        super().__init__(f"{by} changed it elsewhere at {at:%H:%M} UTC: load it again, or keep yours")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What somebody gives: the text as it stands in their window."""

    subject: str
    body: str
    attachments: tuple[str, ...] = ()
    #: Ids of the uploaded files that are shown there; None where none can be seen. They come and go by themselves
    #: (`uploads`), but nothing goes out with others than these.
    uploads: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Everything there is to see of one email."""

    stored: StoredIntent
    person: StoredPerson
    rep: Rep
    standing: Standing
    mail: StoredMail | None
    template: str
    #: Names of the templates it may be written from.
    templates: tuple[str, ...]
    written: Written
    #: 0 before anybody saved anything.
    version: int
    #: What is written differs from what the mail says.
    unsaved: bool
    fields: tuple[MergeField, ...]
    #: Paths of the fields whose values were written over.
    edited_fields: frozenset[str]
    #: The whole mail; None when it cannot be composed.
    letter: Letter | None
    #: Why it cannot be sent; what is missing is told by `written`.
    problems: tuple[str, ...]
    #: The draft was edited in the mail program: what is written here is not what lies there.
    edited_there: bool
    #: Files that may be attached.
    files: tuple[str, ...]
    #: What goes along now.
    along: tuple[FileAlong, ...]
    #: Most bytes that the mailbox takes with a mail; 0 where files are attached by hand.
    attachment_bytes: int
    can_draft: bool
    can_send: bool

    @property
    def is_open(self) -> bool:
        """Whether it may be written."""
        return self.standing in OPEN_STANDINGS


def look(office: Office, project_templates: Mapping[str, Template], key: str) -> Window:
    """Return what there is to see of an email; raise `BadInput` for what is none, or cannot be shown any more."""
    with office.database.read() as tx:
        stored, letters = _letters(tx, office, key)
        mail, intent = read_mails(tx, [key]).get(key), stored.intent
        template, written, version = present(tx, letters, stored, office)
        applied = letters.compositions.get(key)
        problems: list[str] = []
        letter: Letter | None = None
        try:
            letter = letters.compose(intent, saying=written)
            if heavy := too_heavy(office, letter.rep, written, images=letter.images):
                problems.append(heavy)
        except BadInput as error:
            problems += str(error).splitlines()
        known = {**project_templates, **letters.templates_of(intent)}
        used = known.get(template, letters.template_of(intent))
        fields = merge_fields(used, letters.fields_of(intent), written)
        edited = edited_fields(written, traced(office, letters, intent, used))
    rep = office.reps[intent.rep]
    mailbox = office.mailboxes.get(rep.email)
    can = None if mailbox is None else mailbox.capabilities
    return Window(
        stored=stored,
        person=letters.people[intent.person],
        rep=rep,
        standing=standing_of(stored, mail),
        mail=mail,
        template=template,
        templates=tuple(sorted(known)),
        written=written,
        version=version,
        unsaved=version > 0 and (applied is None or applied.written != written),
        fields=fields,
        edited_fields=edited,
        letter=letter,
        problems=tuple(problems),
        edited_there=mail is not None and mail.state is MailState.PRESENT and mail.edited,
        files=to_choose_from(office, known, written),
        along=carried(office, written),
        attachment_bytes=0 if can is None else can.attachment_bytes,
        can_draft=can is not None and can.drafts,
        can_send=can is not None and can.sends,
    )


def standing_of(stored: StoredIntent, mail: StoredMail | None) -> Standing:
    """Return where an email stands."""
    if mail is not None and mail.state is MailState.SENT:
        return Standing.SENT
    if stored.state in CLOSED_STATES:
        return Standing.SENT if stored.state is IntentState.SENT else Standing.CLOSED
    if stored.state is IntentState.UNKNOWN:
        return Standing.UNKNOWN
    if stored.state in (IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED):
        return Standing.WAITS
    if mail is None:
        return Standing.OUTSIDE if stored.state is IntentState.OPEN else Standing.WAITS
    if mail.state is MailState.WANTED and mail.action is MailAction.SEND:
        return Standing.TO_SEND
    return _OF_MAIL.get(mail.state, Standing.OUTSIDE)


def save(office: Office, key: str, text: Text, *, version: int | None, by: str) -> Composition:
    """Keep what is being written, as it is; it changes nothing that goes out.

    `version` is the one that was last seen; None writes over whatever there is. Raises `ChangedElsewhere`.
    """
    now = office.now()
    with office.database.write() as tx:
        stored, letters = _letters(tx, office, key)
        return take_down(tx, office, letters, stored, text, version=version, by=by, now=now)


def switch_template(
    office: Office, project_templates: Mapping[str, Template], key: str, name: str, *, version: int | None, by: str
) -> Composition:
    """Begin anew with another template, which replaces everything (reference marketo 8); raise `ChangedElsewhere`."""
    now = office.now()
    with office.database.write() as tx:
        stored, letters = _letters(tx, office, key)
        known = {**project_templates, **letters.templates_of(stored.intent)}
        if name not in known:
            raise BadInput(f"there is no template '{name}'")
        written = _titled(letters, stored, _written_out(letters, office, stored, known[name]))
        given = Text(subject=written.subject, body=written.body, attachments=written.attachments)
        kept = take_down(tx, office, letters, stored, given, version=version, by=by, now=now)
        switched = replace(kept, template=name, written=replace(written, uploads=kept.written.uploads))
        save_working(tx, switched)
        return switched


def take_down(
    tx: Transaction,
    office: Office,
    letters: Letters,
    stored: StoredIntent,
    text: Text,
    *,
    version: int | None,
    by: str,
    now: datetime,
) -> Composition:
    """Keep a text as the working copy of an email that may be written, and return it."""
    begun = working_copy(tx, office, letters, stored, by=by, now=now)
    working = read_working(tx, stored.intent.key)
    if working is not None and version is not None and working.version != version:
        raise ChangedElsewhere(working.by, working.updated)
    written = _taken(text, begun.written, office)
    composition = replace(begun, written=written, version=max(begun.version, version or 0) + 1)
    save_working(tx, composition)
    return composition


def working_copy(
    tx: Transaction, office: Office, letters: Letters, stored: StoredIntent, *, by: str, now: datetime
) -> Composition:
    """Return what is being written, as somebody is about to change it; raise `Busy` or `BadInput` if they may not.

    Its version is 0 when nobody has begun.
    """
    key = stored.intent.key
    _check_open(stored, read_mails(tx, [key]).get(key))
    template, written, version = present(tx, letters, stored, office)
    return Composition(
        key=key,
        enrollment=stored.intent.enrollment,
        template=template,
        written=written,
        version=version,
        updated=now,
        by=by,
    )


def letters_of(tx: Transaction, office: Office, key: str) -> tuple[StoredIntent, Letters]:
    """Return an email's intent and what composes it; raise `BadInput` for what is no email."""
    return _letters(tx, office, key)


def _letters(tx: Transaction, office: Office, key: str) -> tuple[StoredIntent, Letters]:
    stored = read_intents(tx, [key]).get(key)
    if stored is None or stored.intent.type is not StepType.EMAIL:
        raise BadInput(f"the task '{key[:8]}' is no email, so there is nothing to compose")
    letters = Letters(tx, office, [stored.intent])
    letters.fields_of(stored.intent)
    return stored, letters


def present(tx: Transaction, letters: Letters, stored: StoredIntent, office: Office) -> tuple[str, Written, int]:
    """Return what an email's window shows: its template, its text, and the version of that."""
    key = stored.intent.key
    kept = read_working(tx, key) or read_compositions(tx, [key]).get(key)
    if kept is not None:
        return kept.template, kept.written, kept.version
    template = letters.template_of(stored.intent)
    return template.name, _titled(letters, stored, _written_out(letters, office, stored, template)), 0


def traced(office: Office, letters: Letters, intent: Intent, template: Template) -> WrittenOut:
    """Return what a template comes to, knowing what came from fields; nothing when it cannot be rendered any more."""
    signature, unsubscribes = office.reps[intent.rep].signature, office.unsubscribe is not None
    try:
        return trace_out(template, letters.fields_of(intent), signature=signature, unsubscribes=unsubscribes)
    except BadInput:
        return WrittenOut(subject=Traced(text=""), body=Traced(text=""))


def _written_out(letters: Letters, office: Office, stored: StoredIntent, template: Template) -> Written:
    signature = office.reps[stored.intent.rep].signature
    unsubscribes = office.unsubscribe is not None
    return write_out(template, letters.fields_of(stored.intent), signature=signature, unsubscribes=unsubscribes)


def _titled(letters: Letters, stored: StoredIntent, written: Written) -> Written:
    """Return a follow-up with the subject that it takes over from the email before."""
    if written.subject:
        return written
    return replace(written, subject=letters.compose(stored.intent, saying=written).subject)


def _check_open(stored: StoredIntent, mail: StoredMail | None) -> None:
    """Raise `Busy` or `BadInput` for an email that cannot be written now."""
    standing = standing_of(stored, mail)
    match standing:
        case _ if standing in OPEN_STANDINGS:
            return
        case Standing.ON_ITS_WAY:
            raise Busy("the mail is on its way to the mailbox: try again in a moment")
        case Standing.IN_PROGRAM:
            raise BadInput("the draft is scheduled in the mail program: take it back there first")
        case Standing.UNKNOWN:
            raise BadInput("nobody can tell whether it was sent: look in Sent first")
        case Standing.SENT:
            raise BadInput(f"the mail to {stored.intent.person} was sent already")
        case _:
            raise BadInput(f"the email to {stored.intent.person} is {stored.state}: there is nothing left to write")


def _taken(text: Text, before: Written, office: Office) -> Written:
    subject, body = " ".join(text.subject.split()), text.body.replace("\r\n", "\n")
    if len(subject) > LONGEST_SUBJECT or len(body) > LONGEST_BODY:
        raise BadInput(f"a mail holds {LONGEST_BODY:,} characters, its subject {LONGEST_SUBJECT}: shorten it")
    names = tuple(dict.fromkeys(text.attachments))
    if len(names) + len(before.uploads) > MOST_FILES:
        raise BadInput(f"a mail carries {MOST_FILES} files at most")
    beside = office.folder / TEMPLATES
    for name in names:
        if not is_beside(name) or not (beside / name).is_file():
            raise BadInput(f"the file '{name[:60]}' is not beside the templates: put it there, or leave it out")
    return replace(before, subject=subject, body=body, attachments=names)
