"""How `describe` tells the objects and fields of the simulated org.

Lives here: the shape of describes. Does not live here: the objects (`sobjects`).
Source: the recordings of real orgs in tests/data/salesforce-recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.sandbox.sobjects import ID_TYPES, NUMBER_TYPES, TEXT_TYPES, Field, SObject

_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
}

#: Fields whose access no administrator sets field by field: parts of a name, what the platform keeps itself.
_NOT_PERMISSIONABLE = frozenset(
    {"Subject", "FirstName", "Salutation", "EmailBouncedReason", "EmailBouncedDate", "ReminderDateTime", "TaskSubtype"}
)
_UNCOUNTABLE = frozenset({"boolean", "textarea"})

#: What the describe of a field says when the table above says nothing.
_FIELD_DEFAULTS: Mapping[str, Any] = {
    "aiPredictionField": False,
    "autoNumber": False,
    "calculated": False,
    "calculatedFormula": None,
    "cascadeDelete": False,
    "compoundFieldName": None,
    "controllerName": None,
    "defaultValueFormula": None,
    "dependentPicklist": False,
    "deprecatedAndHidden": False,
    "displayLocationInDecimal": False,
    "encrypted": False,
    "extraTypeInfo": None,
    "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False,
    "highScaleNumber": False,
    "htmlFormatted": False,
    "inlineHelpText": None,
    "mask": None,
    "maskType": None,
    "queryByDistance": False,
    "referenceTargetField": None,
    "relationshipOrder": None,
    "restrictedDelete": False,
    "searchPrefilterable": False,
    "writeRequiresMasterRead": False,
}

_OBJECT_DEFAULTS: Mapping[str, Any] = {
    "actionOverrides": [],
    "activateable": False,
    "associateEntityType": None,
    "associateParentEntity": None,
    "childRelationships": [],
    "compactLayoutable": True,
    "custom": False,
    "customSetting": False,
    "deepCloneable": False,
    "defaultImplementation": None,
    "deprecatedAndHidden": False,
    "extendedBy": None,
    "extendsInterfaces": None,
    "feedEnabled": False,
    "hasSubtypes": False,
    "implementedBy": None,
    "implementsInterfaces": None,
    "isInterface": False,
    "isSubtype": False,
    "layoutable": True,
    "listviewable": None,
    "lookupLayoutable": None,
    "mergeable": False,
    "mruEnabled": True,
    "namedLayoutInfos": [],
    "networkScopeFieldName": None,
    "queryable": True,
    "recordTypeInfos": [],
    "replicateable": True,
    "retrieveable": True,
    "searchLayoutable": True,
    "searchable": True,
    "sobjectDescribeOption": "FULL",
    "supportedScopes": [],
    "triggerable": True,
    "undeletable": True,
}


def describe_field(each: Field) -> dict[str, Any]:
    """Return a field as `describe` tells it."""
    text = each.type in TEXT_TYPES
    number = each.type in NUMBER_TYPES
    return {
        **_FIELD_DEFAULTS,
        "aggregatable": each.type not in _UNCOUNTABLE,
        "byteLength": each.length * 3 if text else each.length,
        "caseSensitive": each.case_sensitive,
        "createable": each.createable,
        "custom": each.custom,
        "defaultValue": each.default if each.type == "boolean" else None,
        "defaultedOnCreate": _defaulted(each),
        "digits": 9 if each.type == "int" else 0,
        "externalId": each.external_id,
        "filterable": each.filterable,
        "groupable": each.filterable and not number and each.type not in ("datetime", "combobox"),
        "idLookup": each.type in ("id", "email") or each.external_id,
        "label": each.label,
        "length": each.length,
        "name": each.name,
        "nameField": each.name in ("Name", "Subject"),
        "namePointing": len(each.refers_to) > 1,
        "nillable": each.nillable,
        "permissionable": each.nillable and each.createable and each.name not in _NOT_PERMISSIONABLE,
        "picklistValues": [
            {"active": True, "defaultValue": value == each.default, "label": value, "validFor": None, "value": value}
            for value in each.values
        ],
        "precision": 18 if number else 0,
        "scale": 2 if number else 0,
        "polymorphicForeignKey": len(each.refers_to) > 1,
        "referenceTo": list(each.refers_to),
        "relationshipName": each.relationship,
        "restrictedPicklist": each.restricted,
        "soapType": _SOAP.get(each.type, "xsd:string"),
        "sortable": each.filterable,
        "type": each.type,
        "unique": each.unique,
        "updateable": each.updateable,
    }


def _defaulted(each: Field) -> bool:
    """Whether a new record has a value there that nobody gave."""
    if each.nillable:
        return False
    if each.type in ID_TYPES:
        return each.name == "OwnerId" or not each.createable
    return each.type in ("boolean", "datetime", "picklist")


def describe_briefly(sobject: SObject, base: str) -> dict[str, Any]:
    """Return an object as the list of all objects tells it; `base` is `/services/data/vXX.0`."""
    at = f"{base}/sobjects/{sobject.name}"
    return {
        "name": sobject.name,
        "label": sobject.name,
        "labelPlural": f"{sobject.name}s",
        "keyPrefix": sobject.prefix,
        "createable": sobject.writable,
        "updateable": sobject.writable,
        "deletable": sobject.writable,
        "queryable": True,
        "urls": {"sobject": at, "describe": f"{at}/describe", "rowTemplate": f"{at}/{{ID}}"},
    }


def describe(sobject: SObject, base: str) -> dict[str, Any]:
    """Return an object as `describe` tells it."""
    return {
        **_OBJECT_DEFAULTS,
        **describe_briefly(sobject, base),
        "fields": [describe_field(each) for each in sobject.fields.values()],
    }
