"""Ports: what the core asks of the outside, by role, in the core's own words.

Roles: `TaskBook`, `People`, `ActivityLog` make a CRM; `Drafts`, `Outgoing`, `Incoming` make a mailbox.
An adapter package registers a `CrmAdapter` or a `MailboxAdapter` under the entry point group `connector.adapters`.

Every method may raise `Retry`, `Reconnect` or `Refused`. A method that has an effect which must not be repeated
raises `OutcomeUnknown` when the answer was lost after the request left; the core then calls `find`.
All instants are aware and UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from connector.accounts import AccountModel
from connector.capabilities import CrmCapabilities, MailboxCapabilities
from connector.errors import AdapterError

#: The group under which adapter packages are found.
ENTRY_POINT_GROUP = "connector.adapters"

#: Header and extended property that carry the intent key (spec interfaces 3).
STAMP_HEADER = "X-Connector-Intent"
STAMP_PROPERTY = "ConnectorIntentId"


class Clock(Protocol):
    """The only source of time; made in `connector.app`."""

    def now(self) -> datetime:
        """Return the present instant, aware, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, or on a virtual clock move forward."""
        ...


class Vault(Protocol):
    """Secrets of accounts (refresh tokens, say): encrypted at rest, shared by every process of the project."""

    def read(self, name: str) -> str | None:
        """Return a secret; None when there is none."""
        ...

    def save(self, name: str, secret: str) -> None:
        """Keep a secret."""
        ...

    def forget(self, name: str) -> None:
        """Forget a secret; one that is not there is no error."""
        ...

    def renew(self, name: str, seen: str | None, renewed: Callable[[str | None], str]) -> str:
        """Replace a secret under a lock across processes, and return the one that counts now.

        When it is no longer `seen`, another process has renewed it meanwhile: that one is returned and nobody is
        called. Else `renewed` is called with it, and what it returns is saved before it is returned.
        """
        ...


class Cache(Protocol):
    """What a service once said of itself and would say again: shared by processes, lost without harm."""

    def read(self, name: str, *, younger_than: timedelta) -> str | None:
        """Return a text saved less than that long ago; else None."""
        ...

    def save(self, name: str, text: str) -> None:
        """Keep a text."""
        ...

    def forget(self, name: str) -> None:
        """Forget a text."""
        ...


class Conversation(Protocol):
    """How a sign-in speaks with the person at the keyboard."""

    def show(self, sentence: str) -> None:
        """Show a sentence."""
        ...

    def open(self, address: str) -> None:
        """Show an address to be opened, and open it in a browser where there is one."""
        ...


class AccountSignIn(Protocol):
    """An adapter whose account a person can sign in to (`connector auth`)."""

    account_name: ClassVar[str]

    def sign_in(
        self,
        account: AccountModel,
        talk: Conversation,
        *,
        rep: str | None,
        aliases: Sequence[str] = (),
        clock: Clock,
        vault: Vault,
    ) -> str:
        """Sign in and keep what that gave in the vault; return a sentence that says who is signed in where.

        `rep` is a rep's address when the account is signed in to rep by rep, `aliases` their other addresses. Raises
        `BadInput` with the next move when this `auth` needs no person, `Refused` when nobody came back from the
        browser, or when somebody else did; nothing is kept then.
        """
        ...

    def sign_out(self, account: AccountModel, *, rep: str | None, vault: Vault) -> str:
        """Revoke what a sign-in gave and forget it; return a sentence that says what was done."""
        ...


class Verdict(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of `connector doctor`."""

    #: What was looked at: `sign-in`; `setup`, what an administrator must have done; `users`; `limits`.
    area: str
    verdict: Verdict
    #: What was found.
    sentence: str
    #: How to mend it; empty when there is nothing to mend.
    mend: str = ""
    #: A person must sign in again before anything else is of use.
    reconnect: bool = False


# ---------------------------------------------------------------------------------------------- mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A mail address with its display name (may be empty)."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailIdentity:
    """Whose mailbox it is."""

    email: str
    name: str
    #: Other addresses the rep sends from, lower case.
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file to attach."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    #: Set for an image that the HTML shows as `cid:<content_id>`; None for a file of its own.
    content_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """The sent mail that a follow-up answers, as far as it is known."""

    #: RFC 5322 Message-ID as really sent, with angle brackets.
    internet_message_id: str | None = None
    #: The whole chain, oldest first, ending with `internet_message_id`.
    references: tuple[str, ...] = ()
    #: The service's thread or conversation id; only valid in the mailbox named by `mailbox`.
    thread_id: str | None = None
    #: The service's id of the sent message; only valid in the mailbox named by `mailbox`.
    provider_id: str | None = None
    #: Address of the rep in whose mailbox the ids above are valid.
    mailbox: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail ready to become a draft: one recipient, HTML and its plain-text alternative."""

    #: Intent key; the stamp.
    key: str
    sender: Address
    to: Address
    subject: str
    html: str = field(repr=False)
    text: str = field(repr=False)
    attachments: tuple[Attachment, ...] = ()
    thread: Thread | None = None
    #: Address for List-Unsubscribe, when unsubscribe is on.
    unsubscribe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRef:
    """Everything a service told about a draft; any of it may change later, so all of it is kept."""

    draft_id: str
    #: The service's id of the message inside (Gmail: new at each save; Outlook: same as draft_id).
    provider_id: str | None = None
    thread_id: str | None = None
    internet_message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMail:
    """A mail that lies in Sent."""

    provider_id: str
    at: datetime
    thread_id: str | None = None
    internet_message_id: str | None = None
    references: tuple[str, ...] = ()
    #: Intent key found on it; None when the client dropped the stamp.
    key: str | None = None
    #: Addresses, lower case: To, and Cc with Bcc.
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is known of a mail that must be found again: keys in the order they are tried."""

    key: str
    draft: DraftRef | None
    to: str
    subject: str
    #: Nothing older than this can be it.
    since: datetime


class Whereabouts(StrEnum):
    """Where a look-up found a mail."""

    DRAFT = "draft"
    SENT = "sent"
    #: The rep scheduled it in the client: neither draft nor sent.
    SCHEDULED = "scheduled"
    #: In the bin, or nowhere although every place was searched.
    DISCARDED = "discarded"
    #: Nowhere, and it was never seen anywhere: it may be safely made.
    ABSENT = "absent"
    #: The mailbox cannot tell (scope missing, search incomplete).
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Answer of a look-up; `matched_by` names the key that matched, for the ledger."""

    where: Whereabouts
    draft: DraftRef | None = None
    sent: SentMail | None = None
    matched_by: str = ""
    #: The service knows that the draft was changed after it was made; see `DraftSaved.edited`.
    edited: bool = False
    #: Further drafts that carry the same stamp: left over from a lost answer, to be deleted.
    extra: tuple[DraftRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSent:
    """Change: a mail appeared in Sent, by whatever hand."""

    mail: SentMail


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSaved:
    """Change: a draft was saved again; Gmail gives it a new message id each time."""

    draft: DraftRef
    key: str | None = None
    #: The service knows that it was changed after it was made. Gmail does not: there a new message id tells it.
    edited: bool = False
    #: What it is called now; None when that was not told.
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftGone:
    """Change: the message with this id left Drafts: sent, moved, discarded or saved anew. Look it up."""

    provider_id: str
    thread_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailReceived:
    """Change: a mail arrived. Classified in the core (`connector.inbox`), never in an adapter."""

    provider_id: str
    at: datetime
    sender: Address
    to: tuple[str, ...]
    subject: str
    thread_id: str | None = None
    internet_message_id: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    #: Lower-case header name -> values in order.
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    #: Beginning of the plain text; enough to show, not the whole mail.
    text: str = field(default="", repr=False)
    #: The whole RFC 5322 message, when it looks like a delivery report; else None.
    raw: bytes | None = field(default=None, repr=False)


MailChange = MailSent | DraftSaved | DraftGone | MailReceived


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPull:
    """What changed since a cursor, oldest first, and the cursor to store once all of it is stored."""

    changes: tuple[MailChange, ...]
    cursor: str
    #: True when the old cursor had expired and a bounded full look was made instead: ask where each draft is.
    resynced: bool = False
    #: With `resynced`, `provider_id`s that lie in Drafts now, where each save gives a new one: no need to ask for them.
    in_drafts: frozenset[str] = frozenset()
    #: There is more to read at once: a look too large for one pull goes on from `cursor`.
    more: bool = False


class Drafts(Protocol):
    """Place drafts in a rep's mailbox."""

    def create_draft(self, mail: Mail) -> DraftRef:
        """Place a draft. The request is sent once; a lost answer raises `OutcomeUnknown(mail.key)`."""
        ...

    def create_drafts(self, mails: Sequence[Mail]) -> Sequence[DraftRef | AdapterError]:
        """Place at most `capabilities.drafts_at_once` drafts, each as `create_draft` does.

        Returns for each mail, in order, its draft or why there is none; what concerns them all is raised.
        """
        ...

    def delete_draft(self, draft: DraftRef) -> None:
        """Delete a draft; one that is gone already is no error."""
        ...

    def draft_address(self, draft: DraftRef) -> str:
        """Return the address that opens the draft now, for the right signed-in account.

        Raises `Refused(code="draft_gone")` when the draft is no longer there.
        """
        ...


class Outgoing(Protocol):
    """Send from a rep's mailbox, and find what was sent."""

    def send_draft(self, draft: DraftRef, key: str) -> SentMail:
        """Send an existing draft, once.

        Raises `OutcomeUnknown(key)` when the answer was lost or only "accepted" without proof could not be
        confirmed, `Refused(code="draft_gone")` when there is no such draft (it may have been sent already).
        """
        ...

    def find(self, trace: Trace) -> Found:
        """Look a mail up in Drafts and in Sent by stored id, stamp, Message-ID, then recipient+subject+time."""
        ...


class Incoming(Protocol):
    """See what happened in a rep's mailbox."""

    def pull_mail(self, cursor: str | None) -> MailPull:
        """Return changes since the cursor; one call when nothing changed. None means: start from now."""
        ...


class Mailbox(Drafts, Outgoing, Incoming, Protocol):
    """One rep's mailbox."""

    @property
    def capabilities(self) -> MailboxCapabilities:
        """What this mailbox can do: less than its kind can, when it was given fewer rights."""
        ...

    def check(self) -> Sequence[Check]:
        """Look at sign-in, rights and reach of this mailbox; trouble is a line, never raised."""
        ...

    def close(self) -> None:
        """Close connections; used no more."""
        ...

    @property
    def calls(self) -> int:
        """HTTP calls made to the service since it was opened (token calls not counted)."""
        ...


class MailboxAdapter(Protocol):
    """How a kind of mailbox is opened; registered as an entry point."""

    capabilities: ClassVar[MailboxCapabilities]
    #: Section under `accounts:` it reads, or None if it needs no account.
    account_name: ClassVar[str | None]
    account_model: ClassVar[type[AccountModel] | None]

    def open_mailbox(self, account: AccountModel | None, rep: MailIdentity, *, clock: Clock, vault: Vault) -> Mailbox:
        """Open one rep's mailbox; nothing is called until it is used. `vault` keeps what a rep's own sign-in gave."""
        ...


# ----------------------------------------------------------------------------------------------- CRM


class ActivityFact(StrEnum):
    """What can be written into a task's own fields by `salesforce.activity_fields` (reference marketo 4)."""

    CAMPAIGN = "campaign"
    DAY = "day"
    STEP = "step"
    STEP_NAME = "step_name"
    TEMPLATE = "template"
    #: `In progress`, `Sent` or `Bounced`.
    EMAIL_STATUS = "email_status"
    REPLIED = "replied"
    CALL_OUTCOME = "call_outcome"
    CALL_REASON = "call_reason"


class RollupFact(StrEnum):
    """What can be written into a person's own fields by `salesforce.rollup` (reference marketo 4)."""

    #: Name of the campaign they are in; None when in none.
    CURRENT_CAMPAIGN = "current_campaign"
    #: Instants.
    LAST_ACTIVITY = "last_activity"
    LAST_REPLIED = "last_replied"


class ActivityKind(StrEnum):
    """What a completed task stands for, in a CRM that tells kinds apart; an open task has none."""

    EMAIL = "email"
    CALL = "call"
    REPLY = "reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWrite:
    """A write of one task: only the fields named in `fields` are written.

    Field names are ours: `subject, closed, priority, due_date, reminder_at, description, who, owner, subtype, kind`,
    and those of `ActivityFact`. Values: str, bool (`closed`, `replied`), int (`day`, `step`), `date`
    (`due_date`), `datetime` (`reminder_at`), `Priority`, `StepType` (`subtype`, given on creation only),
    `ActivityKind` (`kind`), or None to clear.
    """

    key: str
    #: False: the task must exist already; one that a user deleted is never made again.
    create: bool
    fields: Mapping[str, Any]
    #: Rows of one account and person are kept together so that parallel writes do not lock each other.
    account: str | None = None
    #: Address of the rep whose task it is: where reps sign in one by one, it is written in their name.
    rep: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Result of one write, in the order of the writes."""

    key: str
    remote_id: str | None = None
    #: None when written; `Refused(code="gone")` when a user deleted the task.
    error: AdapterError | None = None
    #: The org's own status word, when this write said one: another one read later is somebody else's.
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTask:
    """A task as the CRM has it now."""

    key: str
    remote_id: str
    subject: str
    #: The org's own value; shown, never coerced.
    status: str
    closed: bool
    priority: str
    due_date: date | None
    description: str
    owner: str | None
    who: str | None
    deleted: bool
    modified_at: datetime
    completed_at: datetime | None = None
    #: Names of the fields above that the CRM hides from its user: their values are not known, and no change.
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePerson:
    """A lead or contact of whom the CRM says something that concerns us."""

    #: The record that stands for them now.
    id: str
    email: str
    #: The record that stood for them before a conversion or a merge; empty when there was none.
    was: str = ""
    opted_out: bool = False
    #: When the CRM noted a bounce of their address; aware, UTC.
    bounced_at: datetime | None = None
    bounced_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmPull:
    """What changed since a cursor, oldest first, each at most once, and the cursor to store after it."""

    tasks: tuple[RemoteTask, ...]
    #: People who opted out, bounced, were converted or merged.
    people: tuple[RemotePerson, ...] = ()
    cursor: str


class TaskBook(Protocol):
    """Tasks in the CRM."""

    def push_tasks(self, writes: Sequence[TaskWrite]) -> Sequence[Written]:
        """Write tasks in the fewest calls. Idempotent, so a lost answer is `Retry`, not `OutcomeUnknown`.

        Raises only when nothing could be tried at all; otherwise each result carries its own error.
        """
        ...

    def delete_tasks(self, remote_ids: Sequence[str]) -> Sequence[Written]:
        """Delete tasks; one that is gone already is no error. Results carry the remote id as key."""
        ...

    def check_ready(self) -> None:
        """Raise `Refused` with what to mend when tasks could not be written once each; nothing is written then."""
        ...

    def pull(self, cursor: str | None, *, tasks: bool) -> CrmPull:
        """Return what changed since the cursor, in one call when little changed; None means: start from now.

        People always; with `tasks` our tasks too, deleted and archived ones included.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmPerson:
    """A lead or contact."""

    id: str
    kind: str
    email: str
    first_name: str = ""
    last_name: str = ""
    title: str = ""
    company: str = ""
    phone: str = ""
    account_id: str | None = None
    owner: str | None = None
    opted_out: bool | None = None
    #: When the CRM noted a bounce of their address; aware, UTC.
    bounced_at: datetime | None = None
    bounced_reason: str = ""
    #: Every field that was asked for, by its name in the CRM: templates read them as `sfdc.<Field>`.
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleSource:
    """Where `people pull` takes people from: exactly one of the five."""

    soql: str | None = None
    list_view: str | None = None
    report: str | None = None
    campaign: str | None = None
    #: Ids of leads and contacts.
    ids: tuple[str, ...] = ()


class People(Protocol):
    """People in the CRM."""

    def find_people(
        self, *, ids: Sequence[str] = (), emails: Sequence[str] = (), fields: Sequence[str] = ()
    ) -> Mapping[str, tuple[CrmPerson, ...]]:
        """Look people up in bulk, by id or exact email; contacts before unconverted leads.

        Returns id or lower-case email -> every match. A converted lead's id gives its contact.
        """
        ...

    def list_people(self, source: PeopleSource) -> Sequence[CrmPerson]:
        """Return the leads and contacts of a query, list view, report or campaign."""
        ...

    def find_users(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return user name (or id) -> id of the active user; unknown ones are left out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonWrite:
    """A write of one lead or contact.

    Field names are ours: `opted_out` (bool), `bounced_at` (datetime), `bounced_reason` (str), and those of
    `RollupFact`; None clears.
    """

    #: Id of the record.
    id: str
    fields: Mapping[str, Any]
    #: Rows of one account are kept together so that parallel writes do not lock each other.
    account: str | None = None


class ActivityLog(Protocol):
    """Facts about a person that the CRM keeps."""

    def push_people(self, writes: Sequence[PersonWrite]) -> Sequence[Written]:
        """Write facts about people in the fewest calls; results carry the person's id as key, in order.

        A field that the CRM lacks or hides loses that field, not the record. Raises only when nothing could be tried.
        """
        ...


class Crm(TaskBook, People, ActivityLog, Protocol):
    """One CRM org."""

    capabilities: ClassVar[CrmCapabilities]

    def close(self) -> None:
        """Close connections; used no more."""
        ...

    @property
    def calls(self) -> int:
        """HTTP calls made to the service since it was opened (token calls not counted)."""
        ...

    @property
    def budget(self) -> tuple[int, int] | None:
        """Calls used and allowed per day as the service last said, or None if it has not said."""
        ...

    def check(self, owners: Mapping[str, str] | None = None) -> Sequence[Check]:
        """Look at everything the connector needs of the org; trouble is a line, never raised.

        `owners`: each rep's address -> name or id of the user who owns their tasks; empty where none is set.
        """
        ...


class CrmAdapter(AccountSignIn, Protocol):
    """How a kind of CRM is opened; registered as an entry point."""

    capabilities: ClassVar[CrmCapabilities]
    account_name: ClassVar[str]
    account_model: ClassVar[type[AccountModel]]
    options_model: ClassVar[type[AccountModel]]

    def open_crm(
        self, account: AccountModel, options: AccountModel, *, clock: Clock, vault: Vault, cache: Cache
    ) -> Crm:
        """Open the org; nothing is called until it is used."""
        ...

    def setup_files(self, options: AccountModel, crm: Crm | None = None) -> Mapping[str, str]:
        """Return path -> text of what an administrator must deploy, ready for the CRM's own tool.

        With an open `crm` also what depends on what the org has already. Raises `Refused` with the next move for
        options that cannot be deployed, and what asking the org raises.
        """
        ...


#: What an entry point of the group `connector.adapters` gives.
Adapter = MailboxAdapter | CrmAdapter
