"""Whose turn it is when much has piled up: nobody's few wait behind somebody's thousands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connector.intents import Intent, Mode, StepType
from connector.store.database import Database
from connector.store.intents import insert_intents
from connector.store.mails import MailAction, MailState, StoredMail, insert_mails, read_waiting
from connector.store.tasks import StoredTask, read_dirty, save_tasks
from connector.sync.pacing import fairly

NINE = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
#: Campaign, rep -> how many wait; the fewer there are, the later they came.
WAITING = {("Many", "ana"): 2000, ("Few", "ana"): 3, ("Many", "bob"): 2}


def _intents() -> list[Intent]:
    return [
        Intent(
            key=f"{campaign}-{rep}-{number:04}",
            enrollment="e",
            campaign=campaign,
            version="v",
            person=f"p{number}@x.example",
            rep=rep,
            day=1,
            step=1,
            type=StepType.EMAIL,
            mode=Mode.TASK,
            due=NINE + timedelta(seconds=number, hours=0 if count == 2000 else 1),
            due_date=NINE.date(),
        )
        for (campaign, rep), count in WAITING.items()
        for number in range(count)
    ]


def test_three_do_not_wait_behind_two_thousand(database: Database) -> None:
    intents, now = _intents(), NINE + timedelta(hours=3)
    with database.write() as tx:
        insert_intents(tx, intents)
        save_tasks(
            tx,
            [
                StoredTask(key=one.key, intent=one.key, person=one.person, rep=one.rep, wanted={}, due=one.due)
                for one in intents
            ],
        )
        insert_mails(
            tx,
            [
                StoredMail(
                    key=one.key,
                    lane=f"gmail:{one.rep}",
                    action=MailAction.SEND,
                    state=MailState.WANTED,
                    due=one.due,
                    person=one.person,
                    campaign=one.campaign,
                    recipient=one.person,
                    subject="Hello",
                )
                for one in intents
            ],
        )
    with database.read() as tx:
        mails = [mail.key for mail in fairly(read_waiting(tx, "gmail:ana", now, 500))]
        tasks = [task.key for task in read_dirty(tx, now, 200)]
    turns = ["Many-ana-0000", "Few-ana-0000", "Many-ana-0001", "Few-ana-0001", "Many-ana-0002", "Few-ana-0002"]
    assert mails[:7] == [*turns, "Many-ana-0003"]
    assert len(mails) == 500
    assert tasks[:4] == ["Many-ana-0000", "Few-ana-0000", "Many-bob-0000", "Many-ana-0001"]
    assert len(tasks) == 200
    assert sorted(tasks[7:]) == tasks[7:], "what is left is in order of its due time"
