"""Commands that say what is wrong and how to mend it: doctor, diagnostics.

Lives here: these commands. Does not live here: what is looked at (`sync.doctor`), what failed (`sync.diagnostics`).
Source: interfaces 2, reference marketo 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from connector.app import Project, open_app, unset_secrets
from connector.cli.output import Terminal, counted, marked, moment, terminal_of
from connector.cli.project import faults_of
from connector.errors import BadInput, Fault, Reconnect, Severity
from connector.ports import Check, Verdict
from connector.sync.diagnostics import Diagnosis, list_diagnostics
from connector.sync.diagnostics import retry as retry_diagnoses
from connector.sync.doctor import Finding, look

commands = typer.Typer()
diagnostics = typer.Typer(help="What the CRM did not take, why, and trying it again.", invoke_without_command=True)
commands.add_typer(diagnostics, name="diagnostics")

#: Account under which what is wrong with files is told.
_CAMPAIGNS = "campaigns"


# ---------------------------------------------------------------------------------------------- doctor


@commands.command()
def doctor(context: typer.Context) -> int:
    """Check accounts, permissions, fields, database and campaigns, and say how to mend what is missing."""
    terminal = terminal_of(context)
    project = terminal.project()
    project.settings  # noqa: B018 - without it there is no account to look at
    findings = _files(project)
    unset = unset_secrets(project.settings)
    for account, faults in unset.items():
        findings += [_finding(account, Verdict.FAULT, str(fault), area="sign-in") for fault in dict.fromkeys(faults)]
    with open_app(project, without=unset) as app:
        findings.append(_finding("database", Verdict.OK, "the database can be opened, and is up to date"))
        findings += look(app.office)
    return tell(terminal, findings)


def tell(terminal: Terminal, findings: Sequence[Finding]) -> int:
    """Print findings and what to do about them; return the exit status they come to."""
    terminal.document([finding_json(one) for one in findings])
    by_account: dict[str, list[Finding]] = {}
    for one in findings:
        by_account.setdefault(one.account, []).append(one)
    for account, found in by_account.items():
        terminal.say(account, style="bold")
        for one in found:
            # Lines, because columns would break the names of fields, which are there to be copied.
            terminal.say(f"  {one.check.verdict:<8} {one.check.sentence}")
            if one.check.mend:
                terminal.say(f"           to mend it: {one.check.mend}")
    faults = [one for one in findings if one.check.verdict is Verdict.FAULT]
    warnings = [one for one in findings if one.check.verdict is Verdict.WARNING]
    terminal.say(f"{counted(len(faults), 'fault')}, {counted(len(warnings), 'warning')}")
    if any(one.check.reconnect for one in faults):
        return Reconnect.exit_status
    return 1 if faults else 0


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON lists show it."""
    check = finding.check
    return {
        "account": finding.account,
        "area": check.area,
        "verdict": check.verdict.value,
        "sentence": check.sentence,
        "mend": check.mend,
        "reconnect": check.reconnect,
    }


def _files(project: Project) -> list[Finding]:
    """Return what is wrong with templates, campaigns and people files, and what accounts say against themselves."""
    verdicts = {Severity.ERROR: Verdict.FAULT, Severity.WARNING: Verdict.WARNING}
    found = [_finding(_account_of(fault), verdicts[fault.severity], marked(fault)) for fault in faults_of(project)]
    if all(one.account != _CAMPAIGNS for one in found):
        found.insert(0, _finding(_CAMPAIGNS, Verdict.OK, "every file is in order"))
    return found


def _account_of(fault: Fault) -> str:
    section, _, account = (fault.where or "").partition(".")
    return account if section == "accounts" and account else _CAMPAIGNS


def _finding(account: str, verdict: Verdict, sentence: str, *, area: str = "files") -> Finding:
    return Finding(account=account, check=Check(area=area, verdict=verdict, sentence=sentence))


# ----------------------------------------------------------------------------------------- diagnostics


@diagnostics.callback()
def _diagnostics(context: typer.Context) -> int | None:
    """List what the CRM did not take, unless a command says otherwise."""
    return list_(context) if context.invoked_subcommand is None else None


@diagnostics.command("list")
def list_(context: typer.Context) -> int:
    """List every record the CRM did not take: what, why, since when, and what will be done."""
    terminal = terminal_of(context)
    with open_app(terminal.project(), services=False) as app:
        found = list_diagnostics(app.office)
    terminal.document([one.as_json() for one in found])
    for one in found:
        _tell(terminal, one)
    if found:
        terminal.say(f"{counted(len(found), 'record')}; 'connector diagnostics retry ID' lets the next sync try one")
    else:
        terminal.say("the CRM has taken everything it was given")
    return 1 if found else 0


@diagnostics.command()
def retry(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Ids of the list.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every record of the list.")] = False,
) -> None:
    """Let records be tried again by the next sync, once what stopped them is mended."""
    terminal = terminal_of(context)
    if bool(ids) == every:
        raise BadInput("say which: ids of 'connector diagnostics', or --all")
    with open_app(terminal.project(), services=False) as app:
        again = retry_diagnoses(app.office, None if every else list(ids or ()))
    terminal.document([one.as_json() for one in again])
    for one in again:
        terminal.say(f"will be tried again: {one.what}{f' for {one.person}' if one.person else ''}")
    terminal.say(f"the next 'connector sync' tries {counted(len(again), 'record')}" if again else "no record waits")


def _tell(terminal: Terminal, one: Diagnosis) -> None:
    """Print one record; sentences are too long for the columns of a table."""
    who = "".join(f" {word} {name}" for word, name in (("for", one.person), ("by", one.rep)) if name)
    terminal.say(f"{one.id}  {one.what}{who}", style="bold")
    terminal.say(f"  {one.sentence}")
    if one.advice:
        terminal.say(f"  for the administrator: {one.advice}")
    terminal.say(
        f"  {one.category}, {one.code or 'no code'}; since {moment(one.since)}, next try {moment(one.next_try)} (UTC)"
    )
