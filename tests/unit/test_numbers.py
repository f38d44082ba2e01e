"""Numbers are what happened, counted by hand: whose mail, which step, which day, once or each time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, text

from connector.campaigns.model import Campaign, SendOption, Step
from connector.campaigns.versions import to_document
from connector.content.templates import parse_template
from connector.content.written import Written
from connector.errors import BadInput
from connector.events import Event, EventKind
from connector.intents import Intent, IntentState, Mode, StepType
from connector.people import Rep
from connector.store.campaigns import save_version
from connector.store.compositions import Composition, save_composition, save_working
from connector.store.database import Database, Transaction
from connector.store.intents import StoredIntent, insert_intents, save_intents
from connector.store.ledger import append
from connector.store.mails import MailAction, MailState, StoredMail, insert_mails
from connector.sync import numbers
from connector.sync.incoming import OF_ACCOUNT
from connector.sync.numbers import Counts, Preset, Range, Row, StepPlace, count, in_periods, range_of
from connector.sync.office import CrmRules, Office
from tests.doubles import StillClock

ANA, BOB = "ana@acme.example", "bob@acme.example"
MADRID = ZoneInfo("Europe/Madrid")
NOVEMBER = Range(first=date(2026, 11, 1), last=date(2026, 11, 30))


def at(day: int, clock: str, month: int = 11) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def a_campaign(name: str, *templates: str) -> tuple[Campaign, dict[str, Any]]:
    """Return a campaign of an email a day, with a call after the first."""
    emails = [
        Step(day=number, step=1, type=StepType.EMAIL, template=template, send=SendOption.TASK)
        for number, template in enumerate(templates, start=1)
    ]
    first, *rest = emails
    call = Step(day=1, step=2, type=StepType.CALL, name="Call")
    read = {one: parse_template(one, f"---\nsubject: {one}\n---\nHello\n", "md") for one in templates}
    return Campaign(name=name, steps=(first, call, *rest)), read


class Book:
    """What happened, written down as the connector writes it."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx

    def step(self, key: str, person: str, place: str, rep: str, **more: Any) -> StoredIntent:
        day, step = map(int, place.split("."))
        state = more.pop("state", IntentState.COMPLETED)
        intent = Intent(
            key=key,
            enrollment=f"{more.get('campaign', 'Outreach')} {person}",
            campaign=more.pop("campaign", "Outreach"),
            version=more.pop("version", "v1"),
            person=f"{person}@x.example",
            rep=rep,
            day=day,
            step=step,
            type=StepType.CALL if step == 2 else StepType.EMAIL,
            mode=Mode.TASK,
            due=at(1, "09:00"),
            due_date=more.pop("due_date", date(2026, 11, 1)),
        )
        stored = StoredIntent(intent=intent, state=state, prepared=True)
        insert_intents(self.tx, [intent])
        save_intents(self.tx, [stored])
        return stored

    def mail(
        self,
        key: str,
        person: str,
        place: str,
        sent: datetime,
        rep: str = ANA,
        *,
        state: MailState = MailState.SENT,
        **more: Any,
    ) -> None:
        intent = self.step(key, person, place, rep, **more).intent
        mail = StoredMail(
            key=key,
            lane=f"gmail:{rep}",
            action=MailAction.DRAFT,
            state=state,
            due=intent.due,
            person=intent.person,
            campaign=intent.campaign,
            recipient=intent.person,
            subject="",
            sent=sent,
        )
        insert_mails(self.tx, [mail])

    def task(self, key: str, person: str, due: date, *done: datetime, rep: str = ANA, **more: Any) -> None:
        intent = self.step(key, person, "1.2", rep, due_date=due, **more).intent
        facts = [
            Event(at=one, kind=EventKind.COMPLETED, enrollment=intent.enrollment, person=intent.person, rep=rep,
                  campaign=intent.campaign, intent=key)
            for one in done
        ]  # fmt: skip
        append(self.tx, facts)

    def fact(self, kind: EventKind, person: str, when: datetime, rep: str | None = ANA, **more: Any) -> None:
        campaign = more.pop("campaign", "Outreach") if rep else None
        enrollment = f"{campaign} {person}" if rep else None
        told = Event(
            at=when, kind=kind, enrollment=enrollment, person=f"{person}@x.example", rep=rep, campaign=campaign, **more
        )
        append(self.tx, [told])


def write_down(tx: Transaction) -> None:
    for version, templates in {"v1": ("intro", "nudge"), "v2": ("last", "nudge")}.items():
        campaign, read = a_campaign("Outreach", *templates)
        save_version(tx, "Outreach", version, to_document(campaign, read), at(1, "00:00"))
    book = Book(tx)
    # In Madrid it is one o'clock when it is noon in UTC.
    book.mail("m1", "p1", "1.1", at(2, "09:00"))
    book.mail("m2", "p2", "1.1", at(2, "23:30"))  # the 3rd
    book.mail("m3", "p3", "1.1", at(3, "10:00"), version="v2")
    book.mail("m4", "p1", "2.1", at(4, "09:00"))
    book.mail("m5", "p5", "1.1", at(31, "22:59", 10), BOB)  # the last minute of October
    book.mail("m6", "p6", "1.1", at(31, "23:00", 10), BOB)  # the first of November
    book.mail("m7", "p7", "1.1", at(30, "22:59"), BOB, campaign="Other", version="not kept")
    book.mail("m8", "p8", "1.1", at(30, "23:00"), BOB, campaign="Other", version="not kept")  # December
    book.mail("m9", "p9", "1.1", at(9, "10:00"), state=MailState.PRESENT)  # may yet be undone

    book.fact(EventKind.REPLIED, "p1", at(3, "08:00"))  # to m1
    book.fact(EventKind.REPLIED, "p1", at(4, "12:00"))  # to m4
    book.fact(EventKind.REPLIED, "p1", at(5, "12:00"))  # to m4 once more
    book.fact(EventKind.REPLIED, "p2", at(3, "08:00"), reason=f"p1@x.example, {OF_ACCOUNT}")  # not by p2
    book.fact(EventKind.REPLIED, "p5", at(10, "08:00"), BOB)  # to m5, which was sent in October
    book.fact(EventKind.REPLIED, "p9", at(6, "08:00"))  # to no mail in Sent
    book.fact(EventKind.REPLIED, "p1", at(30, "23:00"))  # December
    book.fact(EventKind.BOUNCED, "p3", at(3, "11:00"))
    book.fact(EventKind.OPTED_OUT, "p2", at(20, "08:00"))  # after m2; at once also of
    book.fact(EventKind.OPTED_OUT, "p2", at(20, "08:00"), BOB, campaign="Other")
    book.fact(EventKind.OPTED_OUT, "p6", at(15, "08:00"), None)  # of no campaign any more: after m6
    book.fact(EventKind.OPTED_OUT, "nobody", at(21, "08:00"), None)
    book.fact(EventKind.SENT, "p1", at(2, "09:00"))
    book.fact(EventKind.SKIPPED, "p1", at(2, "09:00"))

    book.task("t1", "p1", date(2026, 11, 2), at(2, "22:59"))  # 23:59 in Madrid
    book.task("t2", "p2", date(2026, 11, 2), at(2, "23:00"))  # midnight: late
    book.task("t3", "p5", date(2026, 11, 2), at(3, "04:59"), rep=BOB)  # 23:59 in New York
    book.task("t4", "p3", date(2026, 11, 2), at(2, "10:00"), state=IntentState.OPEN)  # it was reopened
    book.task("t5", "p4", date(2026, 11, 5), at(5, "10:00"), at(6, "10:00"))  # done, reopened, and done again
    book.task("t6", "p6", date(2026, 10, 31), at(1, "04:30"), rep=BOB)  # 00:30 there, where summer time ends at 02:00


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    reps = [
        Rep(email=ANA, name="Ana", time_zone="Europe/Madrid"),
        Rep(email=BOB, name="Bob", time_zone="America/New_York"),
    ]
    return Office(
        database=database,
        clock=StillClock(at(30, "12:00")),
        reps={rep.email: rep for rep in reps},
        mailboxes={},
        crm=None,
        crm_rules=CrmRules(),
        pacing={},
        blocked_domains=frozenset(),
        folder=tmp_path,
        mailboxes_at_a_time=1,
    )


@pytest.fixture
def november(office: Office) -> Office:
    with office.database.write() as tx:
        write_down(tx)
    return office


def counts(rows: Any) -> dict[Any, Counts]:
    return {row.key: row.counts for row in rows}


def place(campaign: str, day: int, step: int) -> StepPlace:
    return StepPlace(campaign=campaign, day=day, step=step, type=StepType.CALL if step == 2 else StepType.EMAIL)


ALL = Counts(sent=6, replied=4, bounced=1, opted_out=4, done=5, in_time=3)


def test_every_table_is_what_was_counted_by_hand(november: Office) -> None:
    numbers = count(november, None, NOVEMBER, MADRID)
    assert numbers.total == ALL
    assert numbers.events == Counts(sent=6, replied=5, bounced=1, opted_out=3, done=5, in_time=3)
    assert counts(numbers.campaigns) == {
        "Other": Counts(sent=1, opted_out=1),
        "Outreach": Counts(sent=5, replied=4, bounced=1, opted_out=2, done=5, in_time=3),
        None: Counts(opted_out=1),
    }
    assert counts(numbers.steps) == {
        place("Other", 1, 1): Counts(sent=1),
        place("Outreach", 1, 1): Counts(sent=4, replied=2, bounced=1, opted_out=2),
        place("Outreach", 1, 2): Counts(done=5, in_time=3),
        place("Outreach", 2, 1): Counts(sent=1, replied=1),
        None: Counts(replied=1, opted_out=2),
    }
    assert counts(numbers.templates) == {
        "intro": Counts(sent=3, replied=2, opted_out=2),
        "last": Counts(sent=1, bounced=1),
        "nudge": Counts(sent=1, replied=1),
        None: Counts(sent=1),
    }
    assert counts(numbers.reps) == {
        ANA: Counts(sent=4, replied=3, bounced=1, opted_out=1, done=3, in_time=2),
        BOB: Counts(sent=2, replied=1, opted_out=2, done=2, in_time=1),
        None: Counts(opted_out=1),
    }
    assert [row.key for row in numbers.reps] == [ANA, BOB, None]
    assert numbers.steps[0].key == place("Other", 1, 1)
    happened = {row.key.day: row.counts for row in numbers.days if row.counts != Counts()}
    assert happened == {
        1: Counts(sent=1, done=1),
        2: Counts(sent=1, done=1, in_time=1),
        3: Counts(sent=2, replied=1, bounced=1, done=2, in_time=1),
        4: Counts(sent=1, replied=1),
        5: Counts(done=1, in_time=1),
        6: Counts(replied=1),
        10: Counts(replied=1),
        15: Counts(opted_out=1),
        20: Counts(opted_out=2),
        21: Counts(opted_out=1),
        30: Counts(sent=1),
    }
    assert [row.key for row in numbers.days] == NOVEMBER.days
    for table in (numbers.days, numbers.campaigns, numbers.steps, numbers.reps):
        assert sum((row.counts for row in table), Counts()) == ALL


@pytest.mark.parametrize(
    ("reps", "campaign", "expected", "events"),
    [
        ({ANA}, None, Counts(sent=4, replied=3, bounced=1, opted_out=1, done=3, in_time=2), {"replied": 4}),
        ({BOB}, None, Counts(sent=2, replied=1, opted_out=2, done=2, in_time=1), {"opted_out": 2}),
        ({ANA, BOB}, None, Counts(sent=6, replied=4, bounced=1, opted_out=3, done=5, in_time=3), {"replied": 5}),
        (set(), None, Counts(), {}),
        ({"cy@acme.example"}, None, Counts(), {}),
        (None, "Other", Counts(sent=1, opted_out=1), {}),
        ({ANA}, "Other", Counts(), {}),
        ({BOB}, "Outreach", Counts(sent=1, replied=1, opted_out=1, done=2, in_time=1), {}),
        (None, "Unheard of", Counts(), {}),
    ],
)
def test_only_the_work_of_the_reps_and_campaign_that_are_asked_for_counts(
    november: Office, reps: set[str] | None, campaign: str | None, expected: Counts, events: dict[str, int]
) -> None:
    asked = None if reps is None else frozenset(reps)
    numbers = count(november, asked, NOVEMBER, MADRID, campaign=campaign)
    assert numbers.total == expected
    told = {name: getattr(numbers.events, name) for name in events}
    assert told == events
    assert set(numbers.rep_days) <= (asked if asked is not None else {ANA, BOB, None})


def test_a_mail_counts_for_the_template_its_rep_chose_in_place_of_the_step_s(november: Office) -> None:
    with november.database.write() as tx:
        for key, save in {
            "m1": save_composition,
            "m2": save_working,
        }.items():  # m2 is being written, and went out before
            written = Written(subject="", body="", format="md")
            save(
                tx,
                Composition(
                    key=key, enrollment="", template="short", written=written, version=1, updated=at(1, "00:00"), by=ANA
                ),
            )
    templates = counts(count(november, None, NOVEMBER, MADRID).templates)
    assert templates["short"] == Counts(sent=1, replied=1)
    assert templates["intro"] == Counts(sent=2, replied=1, opted_out=2)


@pytest.mark.parametrize(
    ("month", "instants", "expected", "day", "begins", "ends"),
    [
        # The 25th of October has 25 hours in Madrid, the 29th of March 23.
        (10, ["24 21:59", "24 22:00", "25 22:59", "25 23:00"], {24: 1, 25: 2, 26: 1}, 25, "24 22:00", "25 23:00"),
        (3, ["28 22:59", "28 23:00", "29 21:59", "29 22:00"], {28: 1, 29: 2, 30: 1}, 29, "28 23:00", "29 22:00"),
    ],
)
def test_days_begin_where_the_viewer_is_also_when_clocks_change(
    office: Office, month: int, instants: list[str], expected: dict[int, int], day: int, begins: str, ends: str
) -> None:
    def read(text: str) -> datetime:
        return at(int(text.split(maxsplit=1)[0]), text.split()[1], month)

    with office.database.write() as tx:
        book = Book(tx)
        for number, when in enumerate(instants):
            book.mail(f"m{number}", f"p{number}", "1.1", read(when))
    within = Range(first=date(2026, month, 20), last=date(2026, month, 30))
    sent = {row.key.day: row.counts.sent for row in count(office, None, within, MADRID).days if row.counts.sent}
    assert sent == expected
    one = Range(first=date(2026, month, day), last=date(2026, month, day))
    assert one.instants(MADRID) == (read(begins), read(ends))
    assert count(office, None, one, MADRID).total == Counts(sent=2)


@pytest.mark.parametrize(
    ("preset", "first", "last"),
    [
        (Preset.TODAY, date(2026, 3, 1), date(2026, 3, 1)),
        (Preset.DAYS_7, date(2026, 2, 23), date(2026, 3, 1)),
        (Preset.DAYS_30, date(2026, 1, 31), date(2026, 3, 1)),
        (Preset.DAYS_90, date(2025, 12, 2), date(2026, 3, 1)),
        (Preset.THIS_MONTH, date(2026, 3, 1), date(2026, 3, 1)),
        (Preset.LAST_MONTH, date(2026, 2, 1), date(2026, 2, 28)),
    ],
)
def test_a_preset_is_a_range_that_ends_today_or_with_last_month(preset: Preset, first: date, last: date) -> None:
    assert range_of(preset, date(2026, 3, 1)) == Range(first=first, last=last)


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        (date(2026, 3, 2), date(2026, 3, 1), "ends before it begins"),
        (date(2025, 3, 1), date(2026, 3, 2), "longer than 366 days"),
        (date.min, date.max, "longer than 366 days"),
    ],
)
def test_a_range_that_cannot_be_counted_is_refused(first: date, last: date, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Range(first=first, last=last)


def test_a_picture_of_many_days_has_a_bar_a_week_and_loses_nothing() -> None:
    days = [Row(key=date(2026, 9, 2) + timedelta(days=n), counts=Counts(sent=1)) for n in range(90)]
    weeks = in_periods(days)
    assert [row.key for row in weeks][:2] == [date(2026, 9, 2), date(2026, 9, 7)]
    assert [row.counts.sent for row in weeks] == [5, *[7] * 12, 1]
    assert in_periods(days[:62]) == days[:62]


@pytest.mark.parametrize(
    ("made", "shares"),
    [
        (Counts(), (None, None)),
        (Counts(sent=4, replied=1, done=2, in_time=2), (0.25, 1.0)),
        (Counts(replied=1), (None, None)),
    ],
)
def test_there_is_no_share_of_nothing(made: Counts, shares: tuple[float | None, float | None]) -> None:
    assert (made.reply_share, made.in_time_share) == shares


@pytest.mark.parametrize(("much", "minutes", "fresh"), [(True, 0.9, False), (True, 1.1, True), (False, 0, True)])
def test_what_was_much_to_count_is_kept_for_a_minute(
    november: Office, monkeypatch: pytest.MonkeyPatch, much: bool, minutes: float, fresh: bool
) -> None:
    if much:
        monkeypatch.setattr(numbers, "MANY", 1)
    assert count(november, None, NOVEMBER, MADRID).total == ALL
    with november.database.write() as tx:
        tx.execute(text("DELETE FROM mails"))
    later = replace(november, clock=StillClock(november.now() + timedelta(minutes=minutes)))
    assert (count(later, None, NOVEMBER, MADRID).total != ALL) == fresh
    assert count(later, frozenset({ANA}), NOVEMBER, MADRID).total != ALL


#: Rows beside those of the range that is asked for.
OLD = 5_000


def test_what_lies_outside_the_range_is_not_read(november: Office) -> None:
    database = november.database
    with database.write() as tx:
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OLD})"
        for table, rest in {
            "ledger": "at, kind, person, rep, campaign, intent, reason) SELECT i, CASE i % 2 WHEN 0 THEN 'replied' ELSE"
            f" 'completed' END, 'x' || i, '{ANA}', 'Old', 'i' || i, ''",
            "mails": "key, lane, action, state, due, person, campaign, attempts, recipient, subject, edited, sent) "
            "SELECT 'i' || i, 'gmail:x', 'send', 'sent', i, 'x' || i, 'Old', 1, '', '', 0, i",
            "intents": "key, enrollment, campaign, version, person, rep, day, step, type, mode, due, due_date, state,"
            f" prepared) SELECT 'i' || i, 'e' || i, 'Old', 'v', 'x' || i, '{ANA}', 1, 1, 'email', 'send', i,"
            " '2025-01-01', 'completed', 1",
        }.items():
            tx.execute(text(f"{numbers} INSERT INTO {table} ({rest} FROM n"))
        tx.execute(text("ANALYZE"))
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_more: Any) -> None:
        seen.append((statement, given))

    event.listen(database.engine, "before_cursor_execute", note)
    assert count(november, None, NOVEMBER, MADRID).total == ALL
    event.remove(database.engine, "before_cursor_execute", note)
    plans = [_plan(database, statement, given) for statement, given in seen if "ledger" in statement]
    assert [line for plan in plans for line in plan.splitlines() if _reads_all(line)] == []
    assert any("ledger_counted" in plan and "mails_counted" in plan for plan in plans)


def _reads_all(line: str) -> bool:
    return any(f"SCAN {table}" in line or f"Seq Scan on {table}" in line for table in ("ledger", "mails", "intents"))


def _plan(database: Database, statement: str, given: Any) -> str:
    """Return how a database would read a statement."""
    words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.read() as tx:
        return "\n".join(str(row[-1]) for row in tx.exec_driver_sql(f"{words} {statement}", given))
