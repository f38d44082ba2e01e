"""Pulling the CRM: what people did there becomes facts, stored together with the cursor.

Lives here: `pull_crm`, `take_changes`. Does not live here: what a change of a task (`task_changes`) or of a person
(`crm_people`) means, writing (`crm`). Source: spec delivery 3 and 6.

A cursor moves in the transaction that stores everything before it; a crash reads the same changes again, and each of
them is recognised by what it already did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.errors import AdapterError, Refused, Retry
from connector.people import Rep
from connector.ports import Crm, RemoteTask
from connector.store.cursors import read_cursor, save_cursor
from connector.store.lanes import read_pacing
from connector.store.tasks import read_tasks
from connector.store.troubles import read_troubles
from connector.sync.crm_lane import stop_lane
from connector.sync.crm_people import take_people
from connector.sync.office import Office, TaskSync
from connector.sync.pulled import Pulled, note_lane_problem
from connector.sync.task_changes import TaskChanges


def pull_crm(office: Office) -> Pulled:
    """Read what changed in the CRM and take it over: people always, tasks when they go both ways."""
    pulled = Pulled()
    crm = office.crm
    if crm is None:
        return pulled
    name = crm.capabilities.name
    problem = None
    try:
        if office.mirrors_tasks:
            problem = not_ready(crm)
        take_changes(office, crm, pulled, tasks=problem is None and office.crm_rules.tasks is TaskSync.BOTH)
    except AdapterError as error:
        if isinstance(error, Retry) and error.after is not None:
            stop_lane(office, error)  # it said how long: nothing else is tried before
        else:
            note_lane_problem(office, name, error.sentence)
        return pulled.stop(name, error)
    sentence = _refused_before(office, name) if problem is None else problem.sentence
    if sentence is not None:
        pulled.attention.append(f"{name}: {sentence}")
    note_lane_problem(office, name, sentence)
    return pulled


def _refused_before(office: Office, lane: str) -> str | None:
    """Return why writing was refused as a whole, while records still wait because of it."""
    with office.database.read() as tx:
        problem = read_pacing(tx, lane).problem
        waits = problem is not None and any(one.problem == problem for one in read_troubles(tx))
    return problem if waits else None


def not_ready(crm: Crm) -> Refused | None:
    """Return why no task may be written or read, if there is a reason; people are not concerned."""
    try:
        crm.check_ready()
    except Refused as error:
        return error
    return None


def take_changes(office: Office, crm: Crm, pulled: Pulled, *, tasks: bool) -> None:
    """Read what changed since the cursor and take it over, in one transaction with the cursor.

    Raises `AdapterError`, with nothing stored, when the CRM cannot be read.
    """
    name = crm.capabilities.name
    with office.database.read() as tx:
        cursor = read_cursor(tx, name)
    pull = crm.pull(cursor, tasks=tasks)
    owners = _owners(office, crm, pull.tasks)
    now = office.now()
    with office.database.write() as tx:
        # People first: a task that points at another record then finds its person there already.
        take_people(tx, office, pull.people, now, pulled)
        known = read_tasks(tx, [task.key for task in pull.tasks])
        changes = TaskChanges(tx=tx, office=office, owners=owners, now=now, pulled=pulled)
        for remote in pull.tasks:
            if remote.key in known:
                changes.take(known[remote.key], remote)
        if pull.cursor != cursor:
            save_cursor(tx, name, pull.cursor, now)


def _owners(office: Office, crm: Crm, tasks: Sequence[RemoteTask]) -> Mapping[str, Rep]:
    """Return the CRM user id of each rep, if some task has another owner than before; asked for only then."""
    with office.database.read() as tx:
        known = read_tasks(tx, [task.key for task in tasks])
    before = {key: (task.synced or {}).get("owner") for key, task in known.items()}
    moved = any(task.owner and before.get(task.key) not in (None, task.owner) for task in tasks)
    users = {rep.salesforce_user: rep for rep in office.reps.values() if rep.salesforce_user}
    ids = crm.find_users(sorted(users)) if moved and users else {}
    return {id_: users[name] for name, id_ in ids.items() if name in users}
