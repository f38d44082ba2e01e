"""Commands about people: importing, pulling, showing and launching them, pausing, removing, opting out.

Lives here: these commands. Does not live here: what they do (`sync.launch`, `sync.actions`, `sync.crm`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.app import App, Project, open_app
from connector.campaigns.people_file import read_people
from connector.cli.options import NOW, read_address, read_date, read_instant, read_send_at, read_source
from connector.cli.output import Terminal, counted, fault_json, in_words, moment, terminal_of
from connector.errors import BadInput, Fault
from connector.people import Person
from connector.ports import PeopleSource
from connector.sequencing.enrollment import Enrollment
from connector.store import people as store
from connector.store.enrollments import find_enrollments, read_enrollments
from connector.store.people import StoredPerson
from connector.sync import actions
from connector.sync.launch import Launched
from connector.sync.launch import launch as launch_people
from connector.sync.push_people import push_people
from connector.sync.roster import Pulled, pull_people
from connector.sync.views import zulu

commands = typer.Typer()
people = typer.Typer(help="Import people, pull them from Salesforce, and look at them.", no_args_is_help=True)
commands.add_typer(people, name="people")

#: Lines about people left out that a launch prints for people.
_SHOWN = 50

_Filter = Annotated[str | None, typer.Option("--person", metavar="EMAIL", help="Only this person.")]
_CampaignFilter = Annotated[str | None, typer.Option("--campaign", metavar="NAME", help="Only this campaign.")]
_RepFilter = Annotated[str | None, typer.Option("--rep", metavar="EMAIL", help="Only this rep's people.")]


# ------------------------------------------------------------------------------------ people files and CRM


@people.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV file with a column 'email'; see the example project.")],
) -> int:
    """Store the people of a CSV file; bad rows are said, the others are stored."""
    terminal = terminal_of(context)
    project = terminal.project()
    persons, bad_rows = read_people(file)
    with open_app(project, services=False) as app:
        stored = actions.import_people(app.office, persons)
    terminal.document({"imported": stored, "bad_rows": [fault_json(fault) for fault in bad_rows]})
    terminal.say(f"{counted(stored, 'person', 'people')} stored, {counted(_lines(bad_rows), 'row')} left out")
    terminal.faults(bad_rows)
    return 1 if bad_rows else 0


@people.command("list")
def list_(context: typer.Context) -> None:
    """List the people who are known."""
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=False) as app, app.database.read() as tx:
        known = store.list_people(tx)
    terminal.document([_person_json(stored) for stored in known])
    terminal.table(
        "People",
        ("email", "name", "title", "company", "time zone", "Salesforce", "may be written to"),
        [
            (
                stored.person.email,
                f"{stored.person.first_name} {stored.person.last_name}".strip(),
                stored.person.title,
                stored.person.company,
                stored.person.time_zone,
                stored.person.salesforce_id,
                _standing(stored),
            )
            for stored in known
        ],
    )
    terminal.say(counted(len(known), "person", "people"))


@people.command()
def show(context: typer.Context, email: Annotated[str, typer.Argument(help="Address of the person.")]) -> None:
    """Show what is known about a person, and the campaigns they are in."""
    terminal = terminal_of(context)
    address = read_address(email)
    with open_app(terminal.project(), services=False) as app, app.database.read() as tx:
        stored = store.read_people(tx, [address]).get(address)
        enrollments = find_enrollments(tx, persons=[address], live=False)
    if stored is None:
        raise BadInput(f"{address} is not known: 'connector people import' and 'connector people pull' bring people in")
    terminal.document({**_person_json(stored), "campaigns": [enrollment_json(one) for one in enrollments]})
    fields = _person_json(stored)
    fields |= {f"custom.{name}": value for name, value in fields.pop("custom").items()}
    details = [(name, in_words(value)) for name, value in fields.items() if value not in ("", None, [])]
    terminal.table(address, ("field", "value"), details)
    terminal.table(
        "Campaigns",
        ("campaign", "rep", "launched", "state", "next due", "times in"),
        [
            (one.campaign, one.rep, moment(one.launched, one.zone), one.state, moment(one.next_due, one.zone), one.zone)
            for one in enrollments
        ],
    )


@people.command()
def pull(
    context: typer.Context,
    *,
    soql: Annotated[str | None, typer.Option(metavar="QUERY", help="A SOQL query on Lead or Contact.")] = None,
    list_view: Annotated[str | None, typer.Option(metavar="ID", help="A list view of leads or contacts.")] = None,
    report: Annotated[str | None, typer.Option(metavar="ID", help="A report of leads or contacts.")] = None,
    campaign: Annotated[str | None, typer.Option(metavar="ID", help="The members of a Salesforce campaign.")] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="A lead or contact; may be repeated.")
    ] = None,
) -> int:
    """Store the people of a query, list view, report or campaign in Salesforce, or leads and contacts by their ids."""
    terminal = terminal_of(context)
    given = [value for value in (soql, list_view, report, campaign, ids) if value]
    if len(given) != 1:
        raise BadInput("name exactly one of --soql, --list-view, --report, --campaign and --id")
    source = PeopleSource(soql=soql, list_view=list_view, report=report, campaign=campaign, ids=tuple(ids or ()))
    with open_app(terminal.project()) as app:
        pulled = pull_people(app.office, source)
    terminal.document(
        {
            "imported": len(pulled.people),
            "opted_out": list(pulled.opted_out),
            "left_out": [{"person": who, "reason": reason} for who, reason in pulled.left_out],
        }
    )
    _tell_pulled(terminal, pulled)
    return 1 if pulled.left_out else 0


def _tell_pulled(terminal: Terminal, pulled: Pulled) -> None:
    terminal.say(f"{counted(len(pulled.people), 'person', 'people')} stored from Salesforce")
    for email in pulled.opted_out:
        terminal.say(f"{email} has opted out in Salesforce, and so here")
    for who, reason in pulled.left_out:
        terminal.trouble(f"{who} was left out: {reason}")


# ------------------------------------------------------------------------------------------------ launch


@commands.command()
def launch(
    context: typer.Context,
    campaign: Annotated[str, typer.Argument(help="Name of the campaign, or of its file.")],
    *,
    rep: Annotated[str, typer.Option(metavar="EMAIL", help="The rep in whose name it runs.")],
    people: Annotated[Path | None, typer.Option(metavar="FILE", help="People file with those to enroll.")] = None,
    person: Annotated[
        list[str] | None, typer.Option(metavar="EMAIL", help="One person to enroll; may be repeated.")
    ] = None,
    salesforce: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=VALUE",
            help="People in Salesforce: soql=…, list-view=…, report=…, campaign=… or ids=…,….",
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="T|now", help="When it starts; at once by default.")] = None,
    send_at: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY.STEP=HH:MM", help="Another clock time for a fixed-time step; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
) -> int:
    """Put people into a campaign; those who may not be in it are left out and said."""
    terminal = terminal_of(context)
    project = terminal.project()
    definition, sender = project.campaign(campaign), project.rep(rep)
    if sum((people is not None, bool(person), salesforce is not None)) != 1:
        raise BadInput("say who: exactly one of --people FILE, --person EMAIL and --salesforce KIND=VALUE")
    starts = None if start in (None, NOW) else read_instant(start or "", sender, option="--start")
    overrides = read_send_at(send_at or ())
    addresses = [read_address(email) for email in person or ()]
    source = read_source(salesforce) if salesforce is not None else None
    persons, bad_rows = ([], []) if people is None else read_people(people)
    notes: list[str] = []
    with open_app(project) as app, terminal.progress() as progress:
        if addresses:
            persons = _known(app, addresses, notes)
        if source is not None:
            pulled = pull_people(app.office, source, dry_run=dry_run)
            persons = [one for one in pulled.people if not (dry_run and one.email in pulled.opted_out)]
            notes += [f"{who} was left out: {reason}" for who, reason in pulled.left_out]
            notes += [f"{email} has opted out in Salesforce" for email in pulled.opted_out]
        launched = launch_people(
            app.office,
            definition,
            project.templates,
            rep=sender,
            people=persons,
            start=app.office.now() if start == NOW else starts,
            overrides=overrides,
            dry_run=dry_run,
            progress=progress,
        )
    _tell_launched(terminal, launched, bad_rows, notes, dry_run=dry_run)
    return 1 if bad_rows or launched.enrolled == 0 else 0


def _known(app: App, addresses: Sequence[str], notes: list[str]) -> list[Person]:
    """Return people as stored; an address nobody knows is taken as it stands, and noted."""
    with app.database.read() as tx:
        known = store.read_people(tx, list(addresses))
    notes += [
        f"{address} is not known yet: nothing but the address will be used"
        for address in addresses
        if address not in known
    ]
    return [known[address].person if address in known else Person(email=address) for address in addresses]


def _tell_launched(
    terminal: Terminal, launched: Launched, bad_rows: Sequence[Fault], notes: Sequence[str], *, dry_run: bool
) -> None:
    terminal.document(
        {
            "campaign": launched.campaign,
            "version": launched.version,
            "rep": launched.rep,
            "start": zulu(launched.start),
            "enrolled": launched.enrolled,
            "left_out": [asdict(left) for left in launched.left_out],
            "warnings": [*launched.warnings, *notes],
            "bad_rows": [fault_json(fault) for fault in bad_rows],
            "dry_run": dry_run,
        }
    )
    who = counted(launched.enrolled, "person", "people")
    verb = "would be put" if dry_run else "was put" if launched.enrolled == 1 else "were put"
    terminal.say(f"{who} {verb} into '{launched.campaign}' by {launched.rep}, starting {moment(launched.start)} UTC")
    for sentence in (*launched.warnings, *notes):
        terminal.say(f"note: {sentence}")
    for left in launched.left_out[:_SHOWN]:
        terminal.say(f"{left.person} was left out: {left.reason}")
    if (more := len(launched.left_out) - _SHOWN) > 0:
        terminal.say(f"{more} more were left out: --json and 'connector feed' name them")
    terminal.faults(bad_rows)
    if launched.enrolled == 0:
        terminal.trouble("nobody was enrolled")


# ------------------------------------------------------------------------- pause, resume, remove, opt out


@commands.command()
def pause(
    context: typer.Context,
    *,
    person: _Filter = None,
    campaign: _CampaignFilter = None,
    rep: _RepFilter = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Resume by itself on this date, in the rep's zone.")
    ] = None,
) -> None:
    """Hold campaigns: of a person, of everybody in a campaign, or of a rep."""
    day = None if until is None else read_date(until, option="--until")
    _each(context, "paused", partial(actions.pause, until=day), person, campaign, rep)


@commands.command()
def resume(
    context: typer.Context, *, person: _Filter = None, campaign: _CampaignFilter = None, rep: _RepFilter = None
) -> None:
    """Let paused campaigns go on, send what was held as too late, and try again what is stuck for a person."""
    _each(context, "resumed", actions.resume, person, campaign, rep)


@commands.command()
def remove(
    context: typer.Context, *, person: _Filter = None, campaign: _CampaignFilter = None, rep: _RepFilter = None
) -> None:
    """End campaigns: of a person, of everybody in a campaign, or of a rep."""
    _each(context, "removed", actions.remove, person, campaign, rep)


def _each(
    context: typer.Context,
    done: str,
    act: Callable[..., list[Enrollment]],
    person: str | None,
    campaign: str | None,
    rep: str | None,
) -> None:
    terminal = terminal_of(context)
    if person is None and campaign is None and rep is None:
        raise BadInput("say whom it is about: --person, --campaign or --rep")
    project = terminal.project()
    sender = None if rep is None else project.rep(rep).email
    with open_app(project, services=False) as app:
        address = None if person is None else _existing(app, person)
        name = None if campaign is None else campaign_name(project, app, campaign)
        changed = _as_stored(app, act(app.office, person=address, campaign=name, rep=sender))
    terminal.document({done: [enrollment_json(one) for one in changed]})
    for one in changed:
        terminal.say(f"{done}: {one.person} in '{one.campaign}' (rep {one.rep})")
    if not changed:
        terminal.say(f"nothing had to be {done}")


def _as_stored(app: App, changed: Sequence[Enrollment]) -> list[Enrollment]:
    """Return enrollments as they stand after an action, which returns them as they stood before it."""
    with app.database.read() as tx:
        stored = read_enrollments(tx, [one.id for one in changed])
    return [stored[one.id] for one in changed]


def _existing(app: App, email: str) -> str:
    """Return the address of somebody who is known; raise `BadInput` for anybody else."""
    address = read_address(email)
    with app.database.read() as tx:
        if address not in store.read_people(tx, [address]):
            raise BadInput(f"{address} is not known: 'connector people list' shows who is")
    return address


def campaign_name(project: Project, app: App, name: str) -> str:
    """Return a campaign's own name, of a file or of people who are still in one whose file is gone."""
    with app.database.read() as tx:
        if any(one.campaign == name for one in find_enrollments(tx, campaign=name, live=False)):
            return name
    return project.campaign(name).name


@commands.command("opt-out")
def opt_out(
    context: typer.Context,
    email: Annotated[str, typer.Argument(help="Address of the person.")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take an opt-out back.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; needed with --undo.")] = None,
) -> int:
    """Never write to a person again: their campaigns end at once, and Salesforce is told."""
    terminal = terminal_of(context)
    address = read_address(email)
    if undo and not (reason or "").strip():
        raise BadInput("an opt-out is only undone with --reason, which the ledger keeps")
    project = terminal.project()
    with open_app(project, services=False) as app:
        if undo:
            actions.undo_opt_out(app.office, address, reason=reason or "")
            terminal.document({"person": address, "opted_out": False, "ended": [], "not_told": []})
            terminal.say(f"the opt-out of {address} was undone here; campaigns that ended stay ended")
            terminal.say("note: Salesforce keeps its own mark: change it there too, if the person agreed")
            return 0
        ended = _as_stored(app, actions.opt_out(app.office, address, reason=reason or "by hand"))
    not_told = _tell_crm(project, address)
    terminal.document(
        {
            "person": address,
            "opted_out": True,
            "ended": [enrollment_json(one) for one in ended],
            "not_told": not_told,
        }
    )
    terminal.say(f"{address} has opted out; {counted(len(ended), 'campaign')} ended")
    for sentence in not_told:
        terminal.trouble(sentence)
    return 1 if not_told else 0


def _tell_crm(project: Project, address: str) -> list[str]:
    """Tell the CRM of an opt-out, which holds here already; return sentences about what it could not be told."""
    try:
        with open_app(project) as app:
            return push_people(app.office, app.office.now(), only=address).attention
    except BadInput as error:
        return [f"the CRM does not know yet that {address} opted out, and a later sync tells it: {error}"]


# ----------------------------------------------------------------------------------------------- as shown


def enrollment_json(one: Enrollment) -> dict[str, Any]:
    """Return an enrollment as JSON lists show it."""
    return {
        "person": one.person,
        "campaign": one.campaign,
        "rep": one.rep,
        "state": one.state.value,
        "time_zone": one.zone,
        "launched": zulu(one.launched),
        "next_due": zulu(one.next_due),
    }


def _person_json(stored: StoredPerson) -> dict[str, Any]:
    person = stored.person
    return {
        "email": person.email,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "title": person.title,
        "company": person.company,
        "phone": person.phone,
        "time_zone": person.time_zone,
        "salesforce_id": person.salesforce_id,
        "linkedin_url": person.linkedin_url,
        "custom": dict(person.custom),
        "opted_out": zulu(stored.opted_out),
        "bounced": zulu(stored.bounced),
        "held": zulu(stored.held),
        "salesforce_matches": list(stored.crm_ambiguous),
    }


def _standing(stored: StoredPerson) -> str:
    if stored.opted_out is not None:
        return f"no: opted out on {stored.opted_out:%Y-%m-%d}"
    if stored.bounced is not None:
        return f"no: bounced on {stored.bounced:%Y-%m-%d}"
    if stored.held is not None:
        return "held: a mail could not be classified"
    return "yes"


def _lines(faults: Sequence[Fault]) -> int:
    """Return how many rows have faults; one row can have several."""
    return len({(fault.file, fault.line) for fault in faults})
