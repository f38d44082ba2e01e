"""Commands about one kind of CRM: what its administrator must set up.

Lives here: `salesforce setup`. Does not live here: what is deployed and what the org lacks (the adapter).
Source: interfaces 2.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from connector.accounts import AccountModel
from connector.app import Project, is_crm_adapter, open_app
from connector.cli.doctor import tell
from connector.cli.output import counted, terminal_of
from connector.errors import AdapterError, BadInput
from connector.ports import CrmAdapter, Verdict
from connector.sync.doctor import look_at_crm

commands = typer.Typer()
salesforce = typer.Typer(help="What must be set up in Salesforce.", no_args_is_help=True)
commands.add_typer(salesforce, name="salesforce")

#: Name of the adapter, and of its section in connector.yaml.
ADAPTER = "salesforce"

#: Holds the names of the files that were written into a folder, so that another run may replace them.
OWN_FILES = ".connector-files"


@salesforce.command()
def setup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")] = Path("salesforce"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say what the org lacks.")] = False,
    deploy: Annotated[
        str | None,
        typer.Option(metavar="ORG", help="Also deploy it with the Salesforce CLI, to the org of this alias."),
    ] = None,
) -> int:
    """Write field and permission set as a folder for the Salesforce CLI; with --check say what the org lacks."""
    if check and deploy is not None:
        raise BadInput("--check looks and --deploy changes: give one of them")
    command = None if deploy is None else _deployment(deploy)
    terminal = terminal_of(context)
    project = terminal.project()
    adapter = project.adapters.get(ADAPTER)
    if adapter is None or not is_crm_adapter(adapter):
        raise BadInput("the Salesforce adapter is not installed")
    if check:
        return _check(context, project)
    files, note = _files(project, adapter)
    write_own(folder, files)
    terminal.document({"folder": str(folder), "files": sorted(files), "note": note})
    for name in sorted(files):
        terminal.say(f"wrote {folder / name}")
    terminal.say(f"{counted(len(files), 'file')}; {folder / 'README.md'} says how to deploy them")
    if note:
        terminal.say(f"note: {note}")
    return 0 if command is None else _deploy(folder, command)


def _deployment(org: str) -> list[str]:
    """Return the Salesforce CLI's command; raise `BadInput` when it is not installed."""
    program = shutil.which("sf")
    if program is None:
        raise BadInput(
            "--deploy needs the Salesforce CLI, signed in as an administrator of the org: install the command 'sf', "
            f"then 'sf org login web --alias {org}'; nothing was written"
        )
    return [program, "project", "deploy", "start", "--source-dir", "force-app", f"--target-org={org}"]


def _deploy(folder: Path, command: list[str]) -> int:
    """Deploy a written folder; what the Salesforce CLI says goes to stderr."""
    done = subprocess.run(  # noqa: S603 - no shell, one word each
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    typer.echo(done.stdout, err=True)
    return 1 if done.returncode else 0


def _check(context: typer.Context, project: Project) -> int:
    if project.settings.crm != ADAPTER:
        raise BadInput("connector.yaml has no account 'salesforce' to look at: add its section under 'accounts'")
    with open_app(project) as app:
        findings = look_at_crm(app.office)
    shown = [one for one in findings if one.check.area == "setup" or one.check.verdict is Verdict.FAULT]
    return tell(terminal_of(context), shown)


def _files(project: Project, adapter: CrmAdapter) -> tuple[Mapping[str, str], str]:
    """Return the files, and what stands in the way when the org could not be asked what it has."""
    settings = project.settings
    options: AccountModel = adapter.options_model()
    if settings.crm != ADAPTER:
        return adapter.setup_files(options), ""
    options = settings.crm_options or options
    try:
        with open_app(project) as app:
            return adapter.setup_files(options, app.office.crm), ""
    except (AdapterError, BadInput) as error:
        # Raised for bad options as well: then the same is raised here.
        return adapter.setup_files(options), f"the org could not be asked what it has: {error}"


def write_own(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a new or empty folder, or in place of those written there before; raise `BadInput` else."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"'{folder}' is a file: name a folder, nothing was written")
    listed = folder / OWN_FILES
    before = set(listed.read_text().splitlines()) if listed.is_file() else set()
    there = (
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} if folder.exists() else set()
    )
    # What begins with a dot is the Salesforce CLI's own memory, and ours.
    foreign = sorted(name for name in there - before if not name.startswith("."))
    if foreign:
        raise BadInput(
            f"'{folder}' holds files that are not of this command ({foreign[0]}): name a new folder, "
            "nothing was written"
        )
    for name in (before & there) - set(files):
        (folder / name).unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    listed.write_text("".join(f"{name}\n" for name in sorted(files)))
