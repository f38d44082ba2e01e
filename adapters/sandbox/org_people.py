"""What happens in the simulated org beside the API: conversion, merging, the recycle bin, seeding, finding by name.

Lives here: what these move and leave. Does not live here: storing (`org`), the words of the actions
(`salesforce_acts`).
Source: reference apis 1.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.sandbox.org import Org
from adapters.sandbox.sobjects import INTENT_FIELD, Record, full_id
from connector.people import Person, Rep


def find_task(org: Org, *, key: str = "", id: str = "", person: str = "", deleted: bool = False) -> Record:  # noqa: A002 - the action's own word
    """Find a task by intent key or the beginning of one, id, or the person it is about.

    Open ones before closed ones, those before deleted ones; with `deleted` only those in the recycle bin. Raises
    `ValueError` with a sentence, also for a beginning that several keys share.
    """
    who = find_person(org, email=person).id if person else None
    rows = [row for row in org.table("Task") if row.deleted_at is not None or not deleted]
    found = [
        row
        for row in rows
        if (key and str(row.values.get(INTENT_FIELD, "")).startswith(key))
        or (id and row.id == full_id(id))
        or (who and row.values.get("WhoId") == who)
    ]
    exact = [row for row in found if key and row.values.get(INTENT_FIELD) == key]
    keys = {row.values.get(INTENT_FIELD) for row in found}
    if key and not exact and len(keys) > 1:
        raise ValueError(f"{len(keys)} tasks have a key that begins with {key}; write more of it")
    if not found:
        where = " in the recycle bin" if deleted else "; GET /sandbox/state lists them"
        raise ValueError(f"there is no task of {key or id or person}{where}")
    return min(exact or found, key=lambda row: (row.deleted_at is not None, bool(org.value(row, "IsClosed"))))


def find_person(org: Org, *, email: str = "", id: str = "") -> Record:  # noqa: A002 - the action's own word
    """Find a lead or contact by email or id, unconverted leads and contacts first; raise `ValueError`."""
    rows = [*org.table("Contact"), *org.table("Lead")]
    for row in sorted(rows, key=lambda each: bool(each.values.get("IsConverted"))):
        same = (row.values.get("Email") or "").lower() == email.lower() if email else row.id == full_id(id)
        if same and row.deleted_at is None:
            return row
    raise ValueError(f"there is no lead or contact {email or id}")


def find_user(org: Org, name: str) -> Record:
    """Find a user by user name, email or id; raise `ValueError` with a sentence."""
    wanted = name.lower()
    for row in org.table("User"):
        if wanted in (row.values["Username"].lower(), row.values["Email"].lower()) or row.id == full_id(name):
            return row
    raise ValueError(f"there is no user {name}")


def convert_lead(org: Org, lead: Record) -> Record:
    """Convert a lead into an account and a contact; its tasks and memberships move to them. Return the contact."""
    if lead.object != "Lead" or lead.values.get("IsConverted"):
        raise ValueError(f"{lead.values.get('Email')} is not an unconverted lead")
    with org.writing():
        company, user = lead.values["Company"], lead.values["OwnerId"]
        named = (row for row in org.table("Account") if row.values["Name"] == company)
        account = next((row for row in named if row.deleted_at is None), None)
        if account is None:
            account = org.insert(org.whole["Account"], {"Name": company}, user)
        contact_fields = org.whole["Contact"].fields
        shared = {
            name: value
            for name, value in lead.values.items()
            if name in contact_fields and contact_fields[name].createable and value is not None
        }
        contact = org.insert(org.whole["Contact"], {**shared, "AccountId": account.id}, user, free=True)
        done = {
            "IsConverted": True,
            "Status": "Closed - Converted",
            "ConvertedDate": org.now().date(),
            "ConvertedAccountId": account.id,
            "ConvertedContactId": contact.id,
        }
        org.put(lead, {**done, **org.stamps(user)})
        org.tell(lead, "converted", user=user, contact=contact.id)
        _move(org, "Task", "WhoId", lead, {"WhoId": contact.id, "AccountId": account.id})
        # The membership keeps its lead and gets the contact beside it.
        moved = {"ContactId": contact.id, "LeadOrContactId": contact.id, "Type": "Contact"}
        _move(org, "CampaignMember", "LeadId", lead, moved)
    return contact


def merge_people(org: Org, winner: Record, loser: Record) -> None:
    """Merge two leads or two contacts: the loser is deleted, points to the winner, and its tasks move."""
    if winner.object != loser.object or winner.id == loser.id:
        raise ValueError("only two leads or two contacts can be merged")
    with org.writing():
        user = winner.values["OwnerId"]
        _move(org, "Task", "WhoId", loser, {"WhoId": winner.id, "AccountId": winner.values.get("AccountId")})
        member = f"{loser.object}Id"
        _move(org, "CampaignMember", member, loser, {member: winner.id, "LeadOrContactId": winner.id})
        gone = {"IsDeleted": True, "MasterRecordId": winner.id, **org.stamps(user)}
        org.put(loser, gone, deleted_at=org.now().timestamp())
        org.tell(loser, "merged", user=user, into=winner.id)


def _move(org: Org, name: str, reference: str, old: Record, values: dict[str, Any]) -> None:
    for row in org.table(name):
        if row.values.get(reference) == old.id and row.deleted_at is None:
            org.put(row, {**values, **org.stamps(old.values["OwnerId"])})


def seed(org: Org, people: Sequence[Person], reps: Sequence[Rep]) -> dict[str, str]:
    """Make a user for each rep, and a lead or (every third) a contact with an account for each person.

    A person's own `salesforce_id` decides which, and is kept. Returns lower-case email -> record id.
    """
    made: dict[str, str] = {}
    for rep in reps:
        first, _, last = rep.name.rpartition(" ")
        given = {"Id": rep.salesforce_user} if full_id(rep.salesforce_user) else {}
        name = rep.email if given else rep.salesforce_user or rep.email
        made[rep.email.lower()] = org.add(
            "User", Username=name, FirstName=first, LastName=last or rep.email, Email=rep.email, **given
        )
    accounts: dict[str, str] = {}
    for index, person in enumerate(people):
        fields: dict[str, Any] = {
            "FirstName": person.first_name,
            "LastName": person.last_name or person.email,
            "Title": person.title,
            "Phone": person.phone,
            "Email": person.email,
        }
        if person.salesforce_id:
            fields["Id"] = person.salesforce_id
        contact = person.salesforce_id.startswith("003") if person.salesforce_id else index % 3 == 2
        company = person.company or person.domain
        if contact:
            if company not in accounts:
                accounts[company] = org.add("Account", Name=company)
            made[person.email.lower()] = org.add("Contact", AccountId=accounts[company], **fields)
        else:
            made[person.email.lower()] = org.add("Lead", Company=company, **fields)
    return made


#: What every record has and nobody looks for in a list of records.
_SYSTEM_FIELDS = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")


def show_records(org: Org) -> dict[str, list[dict[str, Any]]]:
    """Return every record as JSON values, by object; nulls left out."""
    return {
        name: [
            {
                field: value.isoformat() if hasattr(value, "isoformat") else value
                for field in ("Id", *(each for each in sobject.fields if each != "Id"))
                if (value := org.value(row, field)) is not None and field not in _SYSTEM_FIELDS
            }
            for row in org.table(name)
        ]
        for name, sobject in org.whole.items()
        if sobject.writable
    }
