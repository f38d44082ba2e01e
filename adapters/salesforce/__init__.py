"""The Salesforce adapter: tasks, people and opt-out of one org, behind the ports.

Lives here: `adapter`, the entry point, and `SalesforceCrm`, which joins the parts. Does not live here: the parts
(`session`, `tasks`, `people`, `errors`, `account`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from adapters.salesforce import authorize
from adapters.salesforce.account import ACCOUNT, SalesforceAccount, SalesforceOptions
from adapters.salesforce.checkup import Checkup
from adapters.salesforce.describe import Shapes
from adapters.salesforce.facts import Facts
from adapters.salesforce.metadata import PicklistValue, setup_files, task_types
from adapters.salesforce.people import People
from adapters.salesforce.pull import Pull
from adapters.salesforce.records import Records
from adapters.salesforce.session import Orgs
from adapters.salesforce.task_fields import DESCRIPTION_LENGTH, SUBJECT_LENGTH
from adapters.salesforce.task_push import TASKS_PER_CALL
from adapters.salesforce.tasks import Tasks
from adapters.salesforce.users import Users
from connector.accounts import AccountModel
from connector.capabilities import CrmCapabilities
from connector.ports import (
    Cache,
    Check,
    Clock,
    Conversation,
    Crm,
    CrmAdapter,
    CrmPerson,
    CrmPull,
    PeopleSource,
    PersonWrite,
    TaskWrite,
    Vault,
    Written,
)

CAPABILITIES = CrmCapabilities(
    name=ACCOUNT,
    title="Salesforce",
    tasks_per_call=TASKS_PER_CALL,
    subject_length=SUBJECT_LENGTH,
    description_length=DESCRIPTION_LENGTH,
    idempotent_writes=True,
    opt_out=True,
)


class SalesforceCrm:
    """One Salesforce org, as `connector.ports.Crm`. Used by one thread at a time."""

    capabilities: ClassVar[CrmCapabilities] = CAPABILITIES

    def __init__(
        self, account: SalesforceAccount, options: SalesforceOptions, *, clock: Clock, vault: Vault, cache: Cache
    ) -> None:
        """Take what the configuration says; nothing is called."""
        self._orgs = Orgs(account, clock=clock, vault=vault)
        self._org = self._orgs.own
        self._tasks = Tasks(self._orgs, cache, options)
        shapes = Shapes(self._org, cache)
        records = Records(self._org, shapes, cache)
        self._pull = Pull(self._org, records, options.intent_field)
        self._people = People(self._org, records)
        self._users = Users(self._org, cache)
        self._facts = Facts(self._org, records, shapes, options.rollup)
        self._checkup = Checkup(
            orgs=self._orgs,
            cache=cache,
            shapes=shapes,
            tasks=self._tasks,
            facts=self._facts,
            users=self._users,
            account=account,
            options=options,
        )

    @property
    def calls(self) -> int:
        """HTTP calls made, sign-in not counted."""
        return self._orgs.calls

    @property
    def budget(self) -> tuple[int, int] | None:
        """Calls used and allowed per day, as last said."""
        return self._orgs.budget

    def close(self) -> None:
        """Close the connections."""
        self._orgs.close()

    def push_tasks(self, writes: Sequence[TaskWrite]) -> Sequence[Written]:
        """Write tasks by the intent key, 200 a call."""
        return self._tasks.push(writes)

    def delete_tasks(self, remote_ids: Sequence[str]) -> Sequence[Written]:
        """Delete tasks, 200 a call."""
        return self._tasks.delete(remote_ids)

    def check_ready(self) -> None:
        """Raise `Refused` with what to deploy when the intent field is missing, hidden or not unique."""
        self._tasks.check_ready()

    def pull(self, cursor: str | None, *, tasks: bool) -> CrmPull:
        """Return what changed since the cursor; the first pull starts now."""
        if tasks:
            self.check_ready()
        return self._pull.since(cursor, tasks=tasks)

    def find_people(
        self, *, ids: Sequence[str] = (), emails: Sequence[str] = (), fields: Sequence[str] = ()
    ) -> Mapping[str, tuple[CrmPerson, ...]]:
        """Return every asked id and lower-case email -> its matches, contacts first; none gives an empty tuple."""
        return self._people.find(ids=ids, emails=emails, fields=fields)

    def list_people(self, source: PeopleSource) -> Sequence[CrmPerson]:
        """Return the people of a query, list view, report or campaign, or by id."""
        return self._people.list_from(source)

    def find_users(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return user name or id -> id of the active user."""
        return self._users.find(names)

    def push_people(self, writes: Sequence[PersonWrite]) -> Sequence[Written]:
        """Write facts about leads and contacts, 200 a call."""
        return self._facts.push(writes)

    def task_types(self) -> tuple[PicklistValue, ...]:
        """Return the values of Task Type, for the setup files."""
        return task_types(self._org)

    def check(self, owners: Mapping[str, str] | None = None) -> Sequence[Check]:
        """Look at everything the connector needs of the org, as the connector's own user sees it."""
        return self._checkup.lines(owners or {})


class SalesforceAdapter:
    """How a Salesforce org is opened."""

    capabilities: ClassVar[CrmCapabilities] = CAPABILITIES
    account_name: ClassVar[str] = ACCOUNT
    account_model: ClassVar[type[AccountModel]] = SalesforceAccount
    options_model: ClassVar[type[AccountModel]] = SalesforceOptions

    def open_crm(
        self, account: AccountModel, options: AccountModel, *, clock: Clock, vault: Vault, cache: Cache
    ) -> SalesforceCrm:
        """Open the org; nothing is called until it is used."""
        if not isinstance(account, SalesforceAccount) or not isinstance(options, SalesforceOptions):
            raise TypeError("the Salesforce adapter takes a SalesforceAccount and SalesforceOptions")
        return SalesforceCrm(account, options, clock=clock, vault=vault, cache=cache)

    def setup_files(self, options: AccountModel, crm: Crm | None = None) -> Mapping[str, str]:
        """Return the source-format folder to deploy with the Salesforce CLI."""
        if not isinstance(options, SalesforceOptions):
            raise TypeError("the Salesforce adapter takes SalesforceOptions")
        return setup_files(options, crm.task_types() if isinstance(crm, SalesforceCrm) else ())

    def sign_in(
        self,
        account: AccountModel,
        talk: Conversation,
        *,
        rep: str | None,
        aliases: Sequence[str] = (),  # noqa: ARG002 - a mailbox's; a user of the org has one name
        clock: Clock,
        vault: Vault,
    ) -> str:
        """Sign in by the browser and keep the refresh token."""
        return authorize.sign_in(_own(account), talk, rep=rep, clock=clock, vault=vault)

    def sign_out(self, account: AccountModel, *, rep: str | None, vault: Vault) -> str:
        """Revoke the refresh token and forget it."""
        return authorize.sign_out(_own(account), rep=rep, vault=vault)


def _own(account: AccountModel) -> SalesforceAccount:
    if not isinstance(account, SalesforceAccount):
        raise TypeError("the Salesforce adapter takes a SalesforceAccount")
    return account


#: The entry point of the group `connector.adapters`.
adapter: CrmAdapter = SalesforceAdapter()
