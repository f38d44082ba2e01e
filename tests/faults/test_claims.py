"""Drafts that are claimed together: trouble with one of them, at any place, costs no other a draft or a second one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connector.errors import AdapterError, OutcomeUnknown, Reconnect, Refused, Retry
from connector.intents import IntentState
from connector.ports import DraftRef, Found, Mail, Mailbox, Trace, Whereabouts
from connector.store.intents import find_intents, reassign_intent
from connector.store.lanes import read_pacing
from connector.store.mails import MailState, StoredMail, change_mail, read_mails
from connector.store.people import save_people
from connector.sync.actions import opt_out
from connector.sync.claiming import TOGETHER
from connector.sync.letters import Letter
from connector.sync.mail_actions import retry
from connector.sync.mail_lists import Standing, list_emails
from tests.world import ANA, BOB, World, WorldMaker, people

REP = ANA["email"]
DRAFT = """\
name: Draft
days:
  - day: 1
    steps:
      - email: {template: last, send: task}
"""
COUNT = TOGETHER + 2


class PowerCut(BaseException):
    """The process ends here."""


@pytest.fixture
def world(make_world: WorldMaker) -> World:
    return make_world(campaign=DRAFT, reps=[ANA], salesforce={"tasks": "off"})


def mails_of(world: World) -> list[StoredMail]:
    with world.database.read() as tx:
        keys = [one.intent.key for one in find_intents(tx, states=list(IntentState))]
        return list(read_mails(tx, keys).values())


def states(world: World) -> list[str]:
    return sorted(mail.state.value for mail in mails_of(world))


def drafts_by_person(world: World) -> list[str]:
    return sorted(entry["to"][0] for entry in world.effects("draft_created"))


# ------------------------------------------------------------------------------------ trouble at one place


def lost_after(make: Callable[[], DraftRef], mail: Mail) -> DraftRef:
    make()
    raise OutcomeUnknown("the answer was lost", key=mail.key)


def lost_before(_make: Callable[[], DraftRef], mail: Mail) -> DraftRef:
    raise OutcomeUnknown("the request was lost", key=mail.key)


def put_off(_make: Callable[[], DraftRef], _mail: Mail) -> DraftRef:
    raise Retry("too many requests", after=timedelta(minutes=1))


def signed_out(_make: Callable[[], DraftRef], _mail: Mail) -> DraftRef:
    raise Reconnect("sign in again", account=f"gmail:{REP}")


def refused(_make: Callable[[], DraftRef], _mail: Mail) -> DraftRef:
    raise Refused("no such address")


def cut_off_before(_make: Callable[[], DraftRef], _mail: Mail) -> DraftRef:
    raise PowerCut


def cut_off_after(make: Callable[[], DraftRef], _mail: Mail) -> DraftRef:
    make()
    raise PowerCut


TROUBLES = [lost_after, lost_before, put_off, signed_out, refused, cut_off_before, cut_off_after]


def trouble_at(patch: pytest.MonkeyPatch, mailbox: Mailbox, place: int, trouble: Callable[..., DraftRef]) -> None:
    """Let the draft of this place, counted from the first, meet trouble; once."""
    create, made = mailbox.create_draft, 0

    def call(mail: Mail) -> DraftRef:
        nonlocal made
        made += 1
        return trouble(lambda: create(mail), mail) if made == place else create(mail)

    patch.setattr(mailbox, "create_draft", call)


def several_at_once(patch: pytest.MonkeyPatch, mailbox: Mailbox, most: int) -> None:
    """Let a mailbox place several in one call: each has its own answer, as in a batch."""

    def call(mails: Sequence[Mail]) -> list[DraftRef | AdapterError]:
        answers: list[DraftRef | AdapterError] = []
        for mail in mails:
            try:
                answers.append(mailbox.create_draft(mail))
            except AdapterError as error:
                answers.append(error)
        return answers

    patch.setattr(mailbox, "capabilities", replace(mailbox.capabilities, drafts_at_once=most))
    patch.setattr(mailbox, "create_drafts", call)


def goes_on(world: World) -> None:
    for _ in range(3):
        world.after(minutes=5)
        world.sync()


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_trouble_with_one_draft_costs_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: Callable[..., DraftRef], at_once: int
) -> None:
    for round_, place in enumerate((1, TOGETHER, TOGETHER + 1), start=1):
        world.launch(people(COUNT, domain=f"place{place}-"))
        with monkeypatch.context() as patch:
            mailbox = world.office.mailboxes[REP]
            trouble_at(patch, mailbox, place, trouble)
            several_at_once(patch, mailbox, at_once)
            try:
                world.sync()
            except PowerCut:
                world.reopen()
            else:
                assert states(world).count("in_flight") <= 1
            # What was not tried waits as if it had never been claimed.
            untried = [mail for mail in mails_of(world) if mail.state is MailState.WANTED]
            assert all((mail.attempts, mail.claimed, mail.draft_id) == (0, None, None) for mail in untried)
        goes_on(world)
        failed = round_ if trouble is refused else 0
        assert states(world) == sorted(["failed"] * failed + ["present"] * (COUNT * round_ - failed))
        made = drafts_by_person(world)
        assert len(made) == len(set(made)) == COUNT * round_ - failed
    listed = list_emails(world.office, Standing.FAILED, reps=None).emails
    assert [(bool(one.reason), one.retries) for one in listed] == [(True, True)] * failed
    for one in listed:
        retry(world.office, one.id)
    world.sync()
    assert states(world) == ["present"] * (COUNT * 3)
    assert list_emails(world.office, Standing.FAILED, reps=None).emails == []


def test_a_claim_that_grew_old_is_let_go_and_taken_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a look-up waits is counted from the claim, so that no call may come long after it."""
    world.launch(people(COUNT))
    mailbox = world.office.mailboxes[REP]
    create, gaps = mailbox.create_draft, []

    def slow(mail: Mail) -> DraftRef:
        claimed = next(one.claimed for one in mails_of(world) if one.key == mail.key)
        assert claimed is not None
        gaps.append(world.now - claimed)
        world.after(seconds=10)
        return create(mail)

    monkeypatch.setattr(mailbox, "create_draft", slow)
    goes_on(world)
    assert max(gaps) <= timedelta(seconds=20)
    assert states(world) == ["present"] * COUNT
    assert len(drafts_by_person(world)) == COUNT


def test_mails_that_take_long_to_compose_are_placed_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files on a slow share: let go before the first was tried, none would ever be."""
    world.launch(people(COUNT))
    compose = Letter.mail

    def slowly(letter: Letter, key: str, folder: Path, blobs: Mapping[str, bytes]) -> Mail:
        world.after(seconds=6)
        return compose(letter, key, folder, blobs)

    monkeypatch.setattr(Letter, "mail", slowly)
    goes_on(world)
    assert states(world) == ["present"] * COUNT


def test_drafts_with_large_files_are_never_in_one_call(make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes long: the last of four would be made when its claim, or the lease, had ended, and perhaps twice."""
    templates = {"last.md": "---\nsubject: Last try\nattachments: [plan.pdf]\n---\nDear {{first_name}},\n"}
    world = make_world(campaign=DRAFT, templates=templates, reps=[ANA], salesforce={"tasks": "off"})
    (world.folder / "templates" / "plan.pdf").write_bytes(bytes(1_000_000))
    world.launch(people(COUNT))
    mailbox = world.office.mailboxes[REP]
    create, find, lost = mailbox.create_draft, mailbox.find, list[str]()

    def slow(mail: Mail) -> DraftRef:
        world.after(seconds=50)
        made = create(mail)
        if len(drafts_by_person(world)) == TOGETHER and not lost:
            lost.append(mail.key)
            raise OutcomeUnknown("the answer was lost", key=mail.key)
        return made

    def late(trace: Trace) -> Found:
        lost.append(trace.key)
        return Found(where=Whereabouts.ABSENT) if len(lost) == 2 else find(trace)

    monkeypatch.setattr(mailbox, "create_draft", slow)
    several_at_once(monkeypatch, mailbox, TOGETHER)
    monkeypatch.setattr(mailbox, "find", late)
    goes_on(world)
    assert states(world) == ["present"] * COUNT
    assert len(drafts_by_person(world)) == COUNT


def test_drafts_go_together_though_sends_of_another_campaign_take_turns_with_them(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = DRAFT.replace("name: Draft", "name: Send").replace("last, send: task", "intro, send: choose_at_launch")
    pace = {"gmail": {"per_second": 100, "per_minute": 6000}}
    world = make_world(campaign={"a": send, "b": DRAFT}, reps=[ANA], salesforce={"tasks": "off"}, pacing=pace)
    world.launch(people(3), campaign="Send")
    world.launch(people(COUNT, domain="other"), campaign="Draft")
    mailbox = world.office.mailboxes[REP]
    several_at_once(monkeypatch, mailbox, TOGETHER)
    place, sizes = mailbox.create_drafts, list[int]()

    def counted(mails: Sequence[Mail]) -> Sequence[DraftRef | AdapterError]:
        sizes.append(len(mails))
        return place(mails)

    monkeypatch.setattr(mailbox, "create_drafts", counted)
    world.sync()
    assert sizes == [TOGETHER, COUNT - TOGETHER]
    assert len(world.effects("mail_sent")) == 3


@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_of_the_waits_that_drafts_of_one_call_were_told_counts(
    world: World, monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    world.launch(people(2))
    mailbox = world.office.mailboxes[REP]
    told = [Retry("too many requests", after=timedelta(minutes=1)), Retry("too much mail", after=timedelta(hours=1))]
    monkeypatch.setattr(mailbox, "capabilities", replace(mailbox.capabilities, drafts_at_once=TOGETHER))
    monkeypatch.setattr(mailbox, "create_drafts", lambda _: told[::order])
    world.sync()
    with world.database.read() as tx:
        assert read_pacing(tx, f"gmail:{REP}").blocked_until == world.now + timedelta(hours=1)


def test_a_task_that_goes_to_another_rep_before_its_claim_has_its_draft_there(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred mails are read at a time, and claimed one after the other."""
    world = make_world(campaign=DRAFT, reps=[ANA, BOB], salesforce={"tasks": "off"})
    world.launch(people(COUNT))
    mailbox = world.office.mailboxes[REP]
    create = mailbox.create_draft

    def call(mail: Mail) -> DraftRef:
        with world.database.write() as tx:
            for other in mails_of(world):
                if other.state is MailState.WANTED and other.lane == f"gmail:{REP}":
                    reassign_intent(tx, other.key, BOB["email"])
                    change_mail(tx, other.key, lane=f"outlook:{BOB['email']}")
        return create(mail)

    monkeypatch.setattr(mailbox, "create_draft", call)
    goes_on(world)
    assert states(world) == ["present"] * COUNT
    assert [len(world.mails(rep["email"], "drafts")) for rep in (ANA, BOB)] == [TOGETHER, COUNT - TOGETHER]


def test_what_ends_one_of_them_leaves_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the claims of a batch: the person it ends for gets nothing, those claimed with it do."""
    world.launch(people(COUNT))
    mailbox = world.office.mailboxes[REP]
    create = mailbox.create_draft
    later: list[str] = []

    def call(mail: Mail) -> DraftRef:
        if not later:
            waiting = sorted(mail.person for mail in mails_of(world) if mail.state is MailState.WANTED)
            later.append(waiting[0])
            opt_out(world.office, waiting[0], reason="they asked for it")
        return create(mail)

    monkeypatch.setattr(mailbox, "create_draft", call)
    goes_on(world)
    assert states(world) == ["cancelled"] + ["present"] * (COUNT - 1)
    assert drafts_by_person(world) == sorted({person.email for person in people(COUNT)} - set(later))


def test_what_changes_about_a_person_after_their_mail_was_composed_is_in_it(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mails that come next are composed together with the first."""
    send = DRAFT.replace("name: Draft", "name: Send").replace("last, send: task", "intro, send: choose_at_launch")
    pace = {"gmail": {"per_second": 100, "per_minute": 6000}}
    world = make_world(campaign=send, reps=[ANA], salesforce={"tasks": "off"}, pacing=pace)
    world.launch(people(3))
    mailbox = world.office.mailboxes[REP]
    create, made = mailbox.create_draft, list[Mail]()

    def call(mail: Mail) -> DraftRef:
        if not made:
            with world.database.write() as tx:
                save_people(tx, [replace(person, first_name="Renamed") for person in people(3)])
        made.append(mail)
        return create(mail)

    monkeypatch.setattr(mailbox, "create_draft", call)
    world.sync()
    assert ["Renamed" in mail.text for mail in made] == [False, True, True]
    assert len(world.effects("mail_sent")) == 3
