"""The folder an administrator deploys: what is in it, and what may not be."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from adapters.salesforce.account import SalesforceOptions
from adapters.salesforce.metadata import PicklistValue, setup_files
from connector.errors import Refused

RECORDED = Path(__file__).parents[1] / "data" / "salesforce-recordings" / "describes.json"
SPACE = {"m": "http://soap.sforce.com/2006/04/metadata"}

FIELD = "force-app/main/default/objects/Activity/fields/Connector_Intent_Id__c.field-meta.xml"
PERMISSIONS = "force-app/main/default/permissionsets/Connector.permissionset-meta.xml"
TASK_TYPE = "task-type/main/default/standardValueSets/TaskType.standardValueSet-meta.xml"

MAPPED = {
    "activity_fields": {"campaign": "MSE_Campaign__c", "replied": "MSE_Replied__c", "call_outcome": "CallDisposition"},
    "rollup": {"current_campaign": "Current_Campaign__c"},
}


def files(types=(), **options) -> dict[str, str]:
    return setup_files(SalesforceOptions.model_validate(options), types)


def root(text: str) -> ET.Element:
    return ET.fromstring(text)


def value(element: ET.Element, name: str) -> str:
    return element.findtext(f"m:{name}", namespaces=SPACE) or ""


def permissions(text: str) -> dict[str, str]:
    return {value(one, "field"): value(one, "editable") for one in root(text).findall("m:fieldPermissions", SPACE)}


def values(*names: str) -> list[PicklistValue]:
    return [PicklistValue(value=name, label=name) for name in names]


def test_the_intent_field_is_text_unique_case_sensitive_and_an_external_id():
    field = root(files()[FIELD])
    assert field.tag == f"{{{SPACE['m']}}}CustomField"
    said = {child.tag.partition("}")[2]: child.text for child in field}
    assert {name: said[name] for name in ("fullName", "type", "length", "externalId", "unique", "caseSensitive")} == {
        "fullName": "Connector_Intent_Id__c",
        "type": "Text",
        "length": "64",
        "externalId": "true",
        "unique": "true",
        "caseSensitive": "true",
    }
    assert said["required"] == "false"
    assert said["label"] == "Connector Intent Id"


def test_the_field_goes_by_the_name_of_the_option():
    made = files(intent_field="Acme_Key__c")
    assert "force-app/main/default/objects/Activity/fields/Acme_Key__c.field-meta.xml" in made
    assert permissions(made[PERMISSIONS])["Task.Acme_Key__c"] == "true"
    assert "Acme_Key__c" in made["README.md"]


@pytest.mark.parametrize("name", ["acme__Key__c", "Key___c", f"{'K' * 41}__c", "K_e__y__c"])
def test_a_field_that_no_org_would_take_is_refused_with_its_key(name):
    with pytest.raises(Refused, match=r"salesforce\.intent_field"):
        files(intent_field=name)


def test_what_tasks_and_events_share_is_permitted_for_both():
    permitted = permissions(files(**MAPPED)[PERMISSIONS])
    of_tasks = {field.partition(".")[2]: edit for field, edit in permitted.items() if field.startswith("Task.")}
    assert of_tasks == {
        field.partition(".")[2]: edit for field, edit in permitted.items() if field.startswith("Event.")
    }
    assert of_tasks["Connector_Intent_Id__c"] == of_tasks["MSE_Campaign__c"] == of_tasks["MSE_Replied__c"] == "true"
    assert not any(field.startswith("Activity.") for field in permitted)


def test_opt_out_and_the_roll_up_are_written_and_the_rest_of_people_is_read():
    permitted = permissions(files(**MAPPED)[PERMISSIONS])
    for name in ("Lead", "Contact"):
        assert permitted[f"{name}.HasOptedOutOfEmail"] == permitted[f"{name}.Current_Campaign__c"] == "true"
        assert permitted[f"{name}.Email"] == "false"


def test_no_field_is_named_that_a_real_org_calls_not_permissionable():
    """One such entry fails the whole deployment."""
    recorded = {}
    for entry in json.loads(RECORDED.read_text()):
        said = entry["response"]
        for field in said["fields"]:
            recorded[f"{said['name']}.{field['name']}"] = field["permissionable"]
    asked = [field for field in permissions(files()[PERMISSIONS]) if field in recorded]
    assert len(asked) >= 7
    assert [field for field in asked if not recorded[field]] == []


def test_mapped_standard_fields_are_left_to_the_administrator():
    assert "CallDisposition" not in files(**MAPPED)[PERMISSIONS]
    assert "CallDisposition" not in files(**MAPPED)["README.md"]


def test_people_are_read_and_edited_never_made_or_deleted():
    objects = root(files()[PERMISSIONS]).findall("m:objectPermissions", SPACE)
    may = ("allowRead", "allowEdit", "allowCreate", "allowDelete", "viewAllRecords", "modifyAllRecords")
    assert {value(one, "object"): [name for name in may if value(one, name) == "true"] for one in objects} == {
        "Account": ["allowRead"],
        "Contact": ["allowRead", "allowEdit"],
        "Lead": ["allowRead", "allowEdit"],
    }
    users = root(files()[PERMISSIONS]).findall("m:userPermissions", SPACE)
    assert [value(one, "name") for one in users] == ["ActivitiesAccess", "ApiEnabled", "EditTask"]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((), None),
        (("Call", "Email", "Reply"), None),
        (("Call", "Meeting", "Other"), ["Call", "Meeting", "Other", "Email", "Reply"]),
        # Case-exact: the org's own "email" is another value.
        (("email", "Call", "Reply"), ["email", "Call", "Reply", "Email"]),
    ],
)
def test_the_list_of_task_types_is_the_orgs_own_and_what_it_lacks(types, expected):
    made = files(values(*types))
    folders = [one["path"] for one in json.loads(made["sfdx-project.json"])["packageDirectories"]]
    if expected is None:
        assert TASK_TYPE not in made
        assert folders == ["force-app"]
        return
    listed = root(made[TASK_TYPE]).findall("m:standardValue", SPACE)
    assert [value(one, "fullName") for one in listed] == expected
    assert folders == ["force-app", "task-type"]
    assert "--source-dir task-type" in made["README.md"]


def test_labels_and_defaults_of_the_org_survive_whatever_is_in_them():
    types = [PicklistValue(value="A&B <x>", label='"Ja" & </label>', default=True)]
    (first, *_) = root(files(types)[TASK_TYPE]).findall("m:standardValue", SPACE)
    assert value(first, "fullName") == "A&B <x>"
    assert value(first, "label") == '"Ja" & </label>'
    assert value(first, "default") == "true"


def test_the_readme_names_every_file_and_the_fields_to_make_first():
    made = files(values("Call"), **MAPPED)
    for name in made.keys() - {"README.md"}:
        assert name in made["README.md"]
    assert "`Current_Campaign__c`, `MSE_Campaign__c`, `MSE_Replied__c`" in made["README.md"]
    assert "{" not in made["README.md"]
    assert re.findall(r"^sf (\S+ \S+ \S+)", made["README.md"], re.MULTILINE) == [
        "org login web",
        "project deploy start",
        "project deploy start",
        "org assign permset",
        "project deploy start",
    ]


def test_the_same_options_give_the_same_bytes():
    turned = {**MAPPED, "activity_fields": dict(reversed(MAPPED["activity_fields"].items()))}
    assert files(**MAPPED) == files(**turned)
