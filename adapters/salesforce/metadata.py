"""What an administrator deploys with the Salesforce CLI: a source-format folder, made from the options.

Lives here: the files and the rules of their names. Does not live here: what the org lacks (`checkup`), writing files.

- Custom fields of tasks are defined on Activity, and their field permissions are named by Task and by Event: an entry
  for one alone takes the other's away.
- A permission set may name neither required fields nor those that Salesforce calls not permissionable (the due date,
  the reminder, the bounce fields of leads and contacts): one such entry fails the whole deployment.
- A value set replaces the org's whole list, so that of Task Type is made only from what the org has now, and lies in a
  folder of its own that nothing but its own command deploys.
Source: reference apis 1.4, marketo 4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from adapters.salesforce.account import SalesforceOptions
from adapters.salesforce.session import Org
from connector.errors import Refused, Retry

#: Version of the metadata; every org serves every version that is not retired.
API_VERSION = "66.0"

#: API name of the permission set.
PERMISSION_SET = "Connector"

#: Length of the intent field: twice a key, so that a longer key needs no new field.
INTENT_LENGTH = 64

#: Values of Task Type by which an org tells logged mails, calls and replies apart (reference marketo 4), case-exact.
ACTIVITY_TYPES = ("Email", "Call", "Reply")

_MAIN = "force-app/main/default"
_TASK_TYPE = "task-type/main/default"

#: Rules of Salesforce for the name of a custom field: letters, digits, single underscores, 40 characters at most.
_FIELD_NAME = re.compile(r"^(?=.{1,40}__c$)[A-Za-z](?:_?[A-Za-z0-9])*__c$")

#: Standard field -> whether it is written, of those whose access is a matter of permissions.
_TASK_FIELDS = {"Description": True, "WhoId": True}
_PERSON_FIELDS = {"Email": False, "HasOptedOutOfEmail": True, "Phone": False, "Title": False}
_STANDARD = {"Lead": _PERSON_FIELDS, "Contact": {**_PERSON_FIELDS, "AccountId": False}}

#: Object -> whether its records are written; reading a contact needs reading its account.
_OBJECTS = {"Account": False, "Contact": True, "Lead": True}

#: Access Activities comes first: Edit Tasks is built on it.
_USER_PERMISSIONS = ("ActivitiesAccess", "ApiEnabled", "EditTask")


@dataclass(frozen=True, slots=True, kw_only=True)
class PicklistValue:
    """One active value of a picklist of the org."""

    value: str
    label: str
    default: bool = False


def task_types(org: Org) -> tuple[PicklistValue, ...]:
    """Return the active values of Task Type in their order; none when the org hides the field."""
    said = org.call("GET", "sobjects/Task/describe")
    try:
        field = next((field for field in said["fields"] if field["name"] == "Type"), {"picklistValues": ()})
        return tuple(
            PicklistValue(value=str(one["value"]), label=str(one["label"]), default=bool(one["defaultValue"]))
            for one in field["picklistValues"]
            if one["active"]
        )
    except (KeyError, TypeError) as error:
        raise Retry("Salesforce did not describe Task in full; it will be tried again", code="answer") from error


def setup_files(options: SalesforceOptions, types: Sequence[PicklistValue] = ()) -> dict[str, str]:
    """Return path -> text of the folder; `types` are the org's values of Task Type, empty when they are not known.

    Raises `Refused` when the intent field is not one that can be deployed.
    """
    if not _FIELD_NAME.fullmatch(options.intent_field):
        raise Refused(
            f"salesforce.intent_field: '{options.intent_field}' cannot be deployed: write one underscore between "
            "words, 40 characters at most before __c, and no namespace",
            code="field_name",
        )
    added = [name for name in ACTIVITY_TYPES if name not in {one.value for one in types}]
    files = {
        "README.md": _readme(options, types, added),
        "sfdx-project.json": _project(with_types=bool(types and added)),
        f"{_MAIN}/objects/Activity/fields/{options.intent_field}.field-meta.xml": _intent_field(options.intent_field),
        f"{_MAIN}/permissionsets/{PERMISSION_SET}.permissionset-meta.xml": _permission_set(options),
    }
    if types and added:
        files[f"{_TASK_TYPE}/standardValueSets/TaskType.standardValueSet-meta.xml"] = _task_type(types, added)
    return files


def _project(*, with_types: bool) -> str:
    folders: list[dict[str, Any]] = [{"path": "force-app", "default": True}]
    if with_types:
        folders.append({"path": "task-type", "default": False})
    project = {
        "packageDirectories": folders,
        "name": "connector",
        "namespace": "",
        "sfdcLoginUrl": "https://login.salesforce.com",
        "sourceApiVersion": API_VERSION,
    }
    return json.dumps(project, indent=2) + "\n"


# --------------------------------------------------------------------------------------------------- XML


def _intent_field(name: str) -> str:
    return _document(
        "CustomField",
        {
            "fullName": name,
            "caseSensitive": True,
            "description": "Written by the connector: by it each task is created once and found again. "
            "Never change or copy its values.",
            "externalId": True,
            "inlineHelpText": "The connector's own key of this task. Leave it as it is.",
            "label": name.removesuffix("__c").replace("_", " "),
            "length": INTENT_LENGTH,
            "required": False,
            "trackTrending": False,
            "type": "Text",
            "unique": True,
        },
    )


def _permission_set(options: SalesforceOptions) -> str:
    return _document(
        "PermissionSet",
        {
            "description": "What the connector's Salesforce user, and each rep whose tasks it keeps, needs.",
            "fieldPermissions": [
                {"editable": editable, "field": field, "readable": True}
                for field, editable in sorted(_field_permissions(options).items())
            ],
            "hasActivationRequired": False,
            "label": PERMISSION_SET,
            "objectPermissions": [
                {
                    "allowCreate": False,
                    "allowDelete": False,
                    "allowEdit": written,
                    "allowRead": True,
                    "modifyAllRecords": False,
                    "object": name,
                    "viewAllRecords": False,
                }
                for name, written in _OBJECTS.items()
            ],
            "userPermissions": [{"enabled": True, "name": name} for name in _USER_PERMISSIONS],
        },
    )


def _field_permissions(options: SalesforceOptions) -> dict[str, bool]:
    """Return `Object.Field` -> whether it is written."""
    of_tasks = {**_TASK_FIELDS, options.intent_field: True, **_mapped(options.activity_fields.values())}
    of_people = _mapped(options.rollup.values())
    access = {f"{name}.{field}": written for name in ("Task", "Event") for field, written in of_tasks.items()}
    for name, fields in _STANDARD.items():
        access |= {f"{name}.{field}": written for field, written in {**fields, **of_people}.items()}
    return access


def _mapped(fields: Iterable[str]) -> dict[str, bool]:
    # Standard fields that one may map are not all permissionable; an administrator sees to them in Setup.
    once = {field.lower(): field for field in fields if field.endswith("__c")}
    return dict.fromkeys(once.values(), True)


def _task_type(types: Sequence[PicklistValue], added: Sequence[str]) -> str:
    values = (*types, *(PicklistValue(value=name, label=name) for name in added))
    return _document(
        "StandardValueSet",
        {
            "sorted": False,
            "standardValue": [{"fullName": one.value, "default": one.default, "label": one.label} for one in values],
        },
    )


def _document(root: str, content: Mapping[str, Any]) -> str:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<{root} xmlns="http://soap.sforce.com/2006/04/metadata">',
        *_elements(content, indent=1),
        f"</{root}>",
    ]
    return "\n".join(lines) + "\n"


def _elements(content: Mapping[str, Any], *, indent: int) -> Iterable[str]:
    space = "    " * indent
    for name, value in content.items():
        if isinstance(value, list):
            for one in value:
                yield f"{space}<{name}>"
                yield from _elements(one, indent=indent + 1)
                yield f"{space}</{name}>"
        else:
            text = str(value).lower() if isinstance(value, bool) else escape(str(value), {'"': "&quot;"})
            yield f"{space}<{name}>{text}</{name}>"


# ------------------------------------------------------------------------------------------------ README


def _readme(options: SalesforceOptions, types: Sequence[PicklistValue], added: Sequence[str]) -> str:
    mapped = sorted({*_mapped(options.activity_fields.values()), *_mapped(options.rollup.values())})
    return _README.format(
        field=options.intent_field,
        permission_set=PERMISSION_SET,
        mapped=_MAPPED.format(fields=", ".join(f"`{field}`" for field in mapped)) if mapped else "",
        task_type=_UNKNOWN_TYPES if not types else _MISSING_TYPES if added else _COMPLETE_TYPES,
    )


_README = """\
# What the connector needs in Salesforce

Made by `connector salesforce setup` from `connector.yaml`; make it anew after a change there. Deploy it with the
Salesforce CLI (`sf`), in this folder:

```
sf org login web --alias connector-org
sf project deploy start --source-dir force-app --target-org connector-org --dry-run
sf project deploy start --source-dir force-app --target-org connector-org
sf org assign permset --name {permission_set} --target-org connector-org --on-behalf-of integration@acme.example
```

For a sandbox org, add `--instance-url https://test.salesforce.com` to the first command. Put in the last one the user
the connector signs in as; its licence must allow what the permission set grants. Where reps sign in one by one, assign
it to each of them. Then run `connector salesforce setup --check`.

What the files do:

- `force-app/main/default/objects/Activity/fields/{field}.field-meta.xml`:
  the field by which each task is created once and found again. Text, 64 characters, external id, unique,
  case-sensitive.
- `force-app/main/default/permissionsets/{permission_set}.permissionset-meta.xml`:
  the permission set. API Enabled, Access Activities, Edit Tasks; read accounts; read and edit leads and contacts; and
  the fields that the connector uses.
- `sfdx-project.json` tells the Salesforce CLI what this folder is.

The permission set gives access to fields and objects, not to records: where leads or contacts are private, sharing
rules must show them to the connector's user. The bounce fields of leads and contacts are not a matter of permission
sets; they are written where the org lets them be.
{mapped}{task_type}"""

_MAPPED = """
`salesforce.activity_fields` and `salesforce.rollup` name fields of your own: {fields}. They are not made here. Make
those of tasks on Activity, and those of the roll-up on Lead and on Contact, before you deploy: a permission set that
names a missing field is refused.
"""

_TYPES = """
## Task Type (optional)

Where Task Type has the values `Email`, `Call` and `Reply`, logged mails, calls and replies carry them. """

_COMPLETE_TYPES = f"""{_TYPES}The org has all three.
"""

_MISSING_TYPES = f"""{_TYPES}The file
`task-type/main/default/standardValueSets/TaskType.standardValueSet-meta.xml` holds the values the org had when this
folder was made, and those of the three it lacks. It replaces the org's whole list: look at it first, and make it anew
when somebody has changed the list.

```
sf project deploy start --source-dir task-type --target-org connector-org
```
"""

_UNKNOWN_TYPES = f"""{_TYPES}Add what is
missing in Setup (Object Manager, Task, Fields & Relationships, Type). Or run `connector salesforce setup` once the
connector can sign in to the org: a file that is deployed replaces the org's whole list, so it is made only from the
values the org has now.
"""
