"""The example project in `config/`: it must be right, whole, and fit the sandbox it points at."""

import re
import tomllib
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from adapters.sandbox.app import Sandbox
from connector.campaigns.model import Campaign, SendOption
from connector.campaigns.people_file import COLUMNS, read_people
from connector.campaigns.reading import load_campaigns
from connector.campaigns.schema import campaign_schema
from connector.content.compose import render
from connector.content.fields import fields_of
from connector.content.templates import FORMATS, Template, load_templates
from connector.documents import read_document
from connector.errors import BadInput
from connector.intents import Mode, StepType
from connector.ports import ENTRY_POINT_GROUP
from connector.settings import Settings, config_schema, load_settings

FOLDER = Path(__file__).parents[2] / "config"

#: Keys of ways to sign in that come with a later release.
LATER_KEYS = {"username", "password", "security_token", "key_file", "client_file"}


@pytest.fixture(scope="module")
def adapters() -> dict[str, Any]:
    return {entry.name: entry.load() for entry in entry_points(group=ENTRY_POINT_GROUP)}


@pytest.fixture(scope="module")
def settings(adapters: dict[str, Any]) -> Settings:
    return load_settings(FOLDER / "connector.yaml", adapters)


@pytest.fixture(scope="module")
def templates() -> dict[str, Template]:
    loaded, faults = load_templates(FOLDER / "templates")
    assert faults == []
    return loaded


@pytest.fixture(scope="module")
def campaign(templates: dict[str, Template]) -> Campaign:
    loaded = load_campaigns(FOLDER / "campaigns", templates)
    assert (loaded.faults, loaded.warnings) == ((), ())
    (only,) = loaded.campaigns.values()
    return only


def test_the_reps_use_every_kind_of_mailbox(settings: Settings) -> None:
    assert sorted(rep.mailbox for rep in settings.reps) == ["gmail", "links", "outlook"]
    assert settings.crm == "salesforce"


def test_the_file_shows_every_key(adapters: dict[str, Any]) -> None:
    """Those of sign-ins that the example does not use stand in it as comments."""
    data = read_document(FOLDER / "connector.yaml").data
    schema = config_schema(adapters)
    assert set(data) == set(schema["properties"])
    assert set(data["reps"][0]) == set(schema["$defs"]["RepEntry"]["properties"])
    assert set(data["salesforce"]) == set(schema["$defs"]["SalesforceOptions"]["properties"])
    sections = (FOLDER / "connector.yaml").read_text(encoding="utf-8").split("\naccounts:\n")[1]
    for name, model in {a.account_name: a.account_model for a in adapters.values() if a.account_name}.items():
        section = re.split(r"\n\S|\n  \w", sections.split(f"  {name}:\n")[1])[0]
        shown = set(re.findall(r"^    (?:# )?(\w+):", section, re.MULTILINE))
        assert set(model.model_fields) - shown <= LATER_KEYS, name


def test_the_defaults_shown_are_the_defaults(adapters: dict[str, Any], settings: Settings) -> None:
    crm = adapters["salesforce"]
    assert settings.crm_options == crm.options_model()
    data = read_document(FOLDER / "connector.yaml").data
    assert data["pacing"] == {
        name: {key: value for key, value in settings.pacing[name].model_dump().items() if value}
        for name in ("gmail", "outlook")
    }


def test_the_accounts_fit_the_sandbox(tmp_path: Path) -> None:
    ours = read_document(FOLDER / "connector.yaml").data["accounts"]
    del ours["salesforce"]["domain"]
    with Sandbox() as server:
        sandbox = server.accounts(tmp_path)["accounts"]
    sandbox["google"]["key_file"] = Path(sandbox["google"]["key_file"]).name
    port = re.compile(r":\d+")
    assert port.sub("", str(ours)) == port.sub("", str(sandbox))


@pytest.mark.parametrize("name", ["google-service-account.json", "google-client.json"])
def test_the_sandbox_overwrites_its_own_google_files_alone(tmp_path: Path, name: str) -> None:
    real = '{"project_id": "acme-mail"}'
    with Sandbox() as server:
        for _ in range(2):
            server.accounts(tmp_path)
            server.write_google_client(tmp_path)
        (tmp_path / name).write_text(real, encoding="utf-8")
        with pytest.raises(BadInput, match=f"{name}' is not the sandbox's and is left as it is"):
            (server.accounts if "account" in name else server.write_google_client)(tmp_path)
    assert (tmp_path / name).read_text(encoding="utf-8") == real


def test_both_files_fit_their_schemas(adapters: dict[str, Any]) -> None:
    for file, schema in (
        ("connector.yaml", config_schema(adapters)),
        ("campaigns/q4-outreach.yaml", campaign_schema()),
    ):
        Draft202012Validator.check_schema(schema)
        assert list(Draft202012Validator(schema).iter_errors(read_document(FOLDER / file).data)) == []


def test_the_campaign_uses_every_send_option_in_five_steps(campaign: Campaign) -> None:
    assert len(campaign.steps) == 5
    assert {step.send for step in campaign.steps} == {*SendOption, None}
    assert any(step.follow_up for step in campaign.steps)
    assert {step.type for step in campaign.steps} > {StepType.EMAIL}


def test_the_templates_show_what_templates_can_do(campaign: Campaign, templates: dict[str, Template]) -> None:
    assert {step.template for step in campaign.steps} == {*templates, None}
    assert {template.format for template in templates.values()} == set(FORMATS)
    assert all("my.signature" in template.fields for template in templates.values())
    prompting = {name for name, template in templates.items() if template.prompts}
    assert prompting
    assert all(step.mode is Mode.TASK for step in campaign.steps if step.template in prompting)


def test_twelve_people_in_four_time_zones(settings: Settings) -> None:
    people, faults = read_people(FOLDER / "people.csv")
    assert faults == []
    assert Counter(person.time_zone for person in people) == {
        "Europe/Madrid": 3, "Europe/London": 3, "America/New_York": 3, "Asia/Tokyo": 3
    }  # fmt: skip
    assert {column for person in people for column in person.custom} == {"current_tool", "hours_saved"}
    assert not {person.domain for person in people} & settings.blocked_domains
    header = (FOLDER / "people.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert set(COLUMNS) - set(header) == {"salesforce_id"}


def test_every_mail_can_be_rendered_for_everyone(templates: dict[str, Template], settings: Settings) -> None:
    people, _ = read_people(FOLDER / "people.csv")
    for person in people:
        for template in templates.values():
            rep = settings.reps[0]
            mail = render(template, fields_of(person, rep), signature=rep.signature)
            assert bool(mail.subject) == bool(template.subject)
            assert mail.html.count("Account executive, Acme") == 1
            assert "{{" not in mail.subject


def test_an_installed_package_holds_the_example_and_nothing_that_a_run_left_beside_it() -> None:
    settings = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())
    taken = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    wanted = {"connector.yaml", "people.csv", "campaigns", "templates"}
    assert taken == {f"config/{name}": f"connector/example/{name}" for name in wanted}
    assert all((FOLDER / name).exists() for name in wanted)
