"""The one table of Salesforce's codes: what each means, what is done about it, and what people are told.

Lives here: `CODES`, which drives repeating, wording and `docs/salesforce-errors.md`. Does not live here: reading a code
out of an answer (`errors`), repeating anything (`session`, `tasks`).

A code alone does not always tell: a trigger wraps the trouble of something else, and one code stands for two limits. So
a code may have several rows; the first whose `when` is found in the org's message counts, the last has none.
Sources: reference apis 1.6 and 1.7, marketo 5; OAuth errors: Salesforce help, OAuth 2.0 error codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from connector.errors import ErrorClass


class Treatment(StrEnum):
    """What must be done about a code."""

    #: Passing trouble: the same call is right, later.
    LATER = "written again by itself"
    #: Nobody knows whether it passes: tried a few times in one pass, then shown like a refusal.
    FEW = "tried a few times, then treated as a refusal"
    #: Nothing works until a person signs in again or an administrator opens a door.
    RECONNECT = "the account waits for a person"
    #: The record is no more; for a task of ours: a user deleted it.
    GONE = "the step is cancelled, as its task was deleted; a person who was deleted is looked up anew"
    #: What the record points at has changed: looked up anew, and then the write is right.
    RESOLVE = "looked up anew, then written once more"
    #: The org will not take it as it is.
    REFUSED = "shown; not tried again before an hour has passed or somebody asks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table."""

    code: str
    treatment: Treatment
    category: ErrorClass
    #: For the rep: what it means.
    sentence: str
    #: For the administrator: the next move.
    advice: str
    #: Regular expression, small letters: the row counts only when the org's message has it.
    when: str = ""
    #: The org's own words say more than ours can: a rule its administrator wrote, a field it names.
    quote: bool = False
    #: How long to wait, where Salesforce is known to need it.
    after: timedelta | None = None
    #: How often one record is written within one pass.
    tries: int = 1
    #: What was remembered of the org's fields is out of date: it is asked anew, and the record written once more if
    #: that makes another record of it.
    reshape: bool = False


_LATER, _FEW, _RECONNECT = Treatment.LATER, Treatment.FEW, Treatment.RECONNECT
_GONE, _RESOLVE, _REFUSED = Treatment.GONE, Treatment.RESOLVE, Treatment.REFUSED
_PASSING, _SIGN_IN = ErrorClass.INTERMITTENT, ErrorClass.AUTHENTICATION
_ACCESS, _OTHER = ErrorClass.ACCESS, ErrorClass.OTHER


def _row(code: str, treatment: Treatment, category: ErrorClass, sentence: str, advice: str, **more: Any) -> Rule:
    return Rule(code=code, treatment=treatment, category=category, sentence=sentence, advice=advice, **more)


_WAIT = "nothing needs to be done, unless it goes on for hours: then look at status.salesforce.com"
_AGAIN = "sign in again with 'connector auth salesforce', or mend accounts.salesforce in connector.yaml"

CODES: tuple[Rule, ...] = (
    # ------------------------------------------------------------------------------------- passing trouble
    _row(
        "UNABLE_TO_LOCK_ROW", _LATER, _PASSING,
        "Salesforce was changing the same records; it will be tried again",
        "if it happens often, look for jobs or flows that change the same account at the same time",
        tries=4,
    ),
    _row(
        # Two writers of one task: the second try finds it. Another unique field of the org's never passes.
        "DUPLICATE_VALUE", _FEW, _ACCESS,
        "another Salesforce record has the same value in a unique field",
        "look at the field and the record it names: two tasks may not have that value",
        quote=True, tries=4,
    ),
    _row(
        "SERVER_UNAVAILABLE", _LATER, _PASSING,
        "Salesforce is not available; it will be tried again",
        _WAIT,
    ),
    _row(
        "FAILED_WRITE", _LATER, _PASSING,
        "Salesforce could not write; it will be tried again",
        _WAIT,
    ),
    _row(
        "QUERY_TIMEOUT", _LATER, _PASSING,
        "Salesforce took too long over a query; it will be tried again",
        "if it goes on, ask for fewer people at a time, or remove fields from salesforce.rollup",
    ),
    _row(
        "INVALID_QUERY_LOCATOR", _LATER, _PASSING,
        "the pages of a Salesforce query expired; it will be tried again",
        _WAIT,
    ),
    _row(
        "REQUEST_RUNNING_TOO_LONG", _LATER, _PASSING,
        "Salesforce took too long; it will be tried again",
        "if it goes on, look for slow triggers and flows on Task",
    ),
    _row(
        "UNKNOWN_EXCEPTION", _FEW, _OTHER,
        "Salesforce had an error of its own",
        "if it stays, give Salesforce support the number in its words, then try the record again",
        quote=True, tries=3,
    ),
    _row(
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", _LATER, _PASSING,
        "Salesforce is under maintenance; it will be tried again",
        "nothing needs to be done until the maintenance is over",
        after=timedelta(minutes=15),
    ),
    _row(
        # Over in seconds.
        "REQUEST_LIMIT_EXCEEDED", _LATER, _PASSING,
        "too many slow calls to Salesforce run at once; it will be tried again",
        "if it goes on, look for other programs that make long calls, and for slow triggers",
        when="concurrent", after=timedelta(seconds=5),
    ),
    _row(
        # They come back as the 24 hours roll on.
        "REQUEST_LIMIT_EXCEEDED", _LATER, _PASSING,
        "the Salesforce org has used all its API calls of the last 24 hours; it will be tried again in an hour",
        "look in Setup, System Overview for what uses the calls; run 'connector sync' less often, or buy more calls",
        after=timedelta(hours=1),
    ),
    _row("429", _LATER, _PASSING, "Salesforce asks to be called less often; it will be tried again", _WAIT),
    _row("500", _LATER, _PASSING, "Salesforce had an error of its own; it will be tried again", _WAIT),
    _row("502", _LATER, _PASSING, "Salesforce could not be reached behind its door; it will be tried again", _WAIT),
    _row("503", _LATER, _PASSING, "Salesforce is not available; it will be tried again", _WAIT),
    _row("504", _LATER, _PASSING, "Salesforce did not answer behind its door; it will be tried again", _WAIT),
    _row(
        "TIMEOUT", _LATER, _PASSING,
        "Salesforce did not answer in time; it will be tried again",
        "if it goes on, look at the network, and for slow triggers on Task",
        # Not within the same call: it has cost its full wait already.
        after=timedelta(seconds=10),
    ),
    _row(
        "CONNECTION", _LATER, _PASSING,
        "Salesforce could not be reached; it will be tried again",
        "if it goes on, look at the network and the proxy between this machine and Salesforce",
    ),
    _row(
        "ANSWER", _LATER, _PASSING,
        "Salesforce answered something that cannot be read; it will be tried again",
        "if it goes on, look for a proxy that answers in the place of Salesforce, and at instance_url",
    ),
    # -------------------------------------------------------------------------- sign-in, or the door is shut
    _row(
        "INVALID_SESSION_ID", _RECONNECT, _SIGN_IN,
        "the Salesforce session may not use the API; sign in again another way",
        "this session cannot be mended by renewing it: give the app the scope 'api', or take a token of an app that "
        "has it",
        when="not valid for use with the rest api",
    ),
    _row(
        "INVALID_SESSION_ID", _RECONNECT, _SIGN_IN,
        "Salesforce does not accept the session; sign in again",
        _AGAIN,
    ),
    _row(
        "INVALID_AUTH_HEADER", _RECONNECT, _SIGN_IN,
        "Salesforce does not accept the token; sign in again",
        _AGAIN,
    ),
    _row(
        "AUTHENTICATION_FAILURE", _RECONNECT, _SIGN_IN,
        "Salesforce does not accept the sign-in; sign in again",
        _AGAIN,
    ),
    _row(
        "EXPIRED_ACCESS", _RECONNECT, _SIGN_IN,
        "access to Salesforce has expired; sign in again",
        _AGAIN,
    ),
    _row(
        "INVALID_LOGIN", _RECONNECT, _SIGN_IN,
        "Salesforce does not accept the sign-in; check user, secret and network rules",
        "look at the user's login history in Setup: it says whether the password, the network or a lock-out was it",
    ),
    _row(
        "LOGIN_MUST_USE_SECURITY_TOKEN", _RECONNECT, _SIGN_IN,
        "Salesforce asks for the user's security token",
        "set accounts.salesforce.security_token (the user's settings, Reset My Security Token), or trust the network "
        "address of this machine",
    ),
    _row(
        "INACTIVE_USER", _RECONNECT, _SIGN_IN,
        "the Salesforce user who signs in is not active; ask the administrator",
        "activate the user in Setup, Users, or sign in as another one",
    ),
    _row(
        "INACTIVE_ORGANIZATION", _RECONNECT, _SIGN_IN,
        "the Salesforce org is not active; ask the administrator",
        "the org's trial or contract has ended, or it is locked: ask Salesforce",
    ),
    _row(
        "INACTIVE_ORG", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: the org is not active",
        "the org's trial or contract has ended, or it is locked: ask Salesforce",
    ),
    _row(
        "INVALID_GRANT", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: the sign-in has ended or was revoked; sign in again",
        "sign in again with 'connector auth salesforce'; the app's refresh token policy says how long a sign-in lasts",
        when="expired access/refresh token|expired authorization",
    ),
    _row(
        "INVALID_GRANT", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: this network may not be used",
        "allow the network address of this machine in the profile's login ranges, or relax the app's IP policy",
        when=r"\bip\b",
    ),
    _row(
        "INVALID_GRANT", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: the user has not been allowed to use the app",
        "set the app's permitted users to 'Admin approved users are pre-authorized' and give the user's profile or "
        "permission set the app",
        when="approved",
    ),
    _row(
        "INVALID_GRANT", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: the signature was not accepted",
        "upload the certificate of key_file to the app, and check client_id, username and this machine's clock",
        when="assertion|audience|signature|certificate",
    ),
    _row(
        "INVALID_GRANT", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: the app may not sign in: check its run-as user, its policies and network "
        "rules",
        "look at the login history in Setup; for client_credentials set a run-as user in the app's policies",
    ),
    _row(
        "INVALID_CLIENT_ID", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: client_id is not known to the org",
        "copy the consumer key of the app into accounts.salesforce.client_id, and check that domain is the app's org",
    ),
    _row(
        "INVALID_CLIENT", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: client_id and client_secret do not belong together: check "
        "accounts.salesforce in connector.yaml",
        "copy the consumer key and secret of the app anew",
    ),
    _row(
        "UNSUPPORTED_GRANT_TYPE", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: this way to sign in is not on for the app",
        "turn on the flow in the app's settings: client credentials for auth: client_credentials, JWT for auth: jwt",
    ),
    _row(
        "UNAUTHORIZED_CLIENT", _RECONNECT, _SIGN_IN,
        "signing in to Salesforce failed: the app may not use this way to sign in",
        "turn on the flow in the app's settings, and install or allow the app in this org",
    ),
    _row(
        "API_DISABLED_FOR_ORG", _RECONNECT, _ACCESS,
        "the API is off for this Salesforce org or user; ask the administrator",
        "give the user the permission 'API Enabled'; Professional Edition needs the API added to its contract",
    ),
    _row(
        "API_CURRENTLY_DISABLED", _RECONNECT, _ACCESS,
        "the API is off for this Salesforce user; ask the administrator",
        "give the user's profile or permission set 'API Enabled'",
    ),
    # --------------------------------------------------------------------------------------- what is no more
    _row(
        "ENTITY_IS_DELETED", _GONE, _OTHER,
        "the record was deleted in Salesforce",
        "if it was deleted by mistake, take it out of the recycle bin within 15 days",
    ),
    _row(
        "NOT_FOUND", _GONE, _OTHER,
        "the record is not in Salesforce any more",
        "if it is there, its sharing hides it from the user who signs in",
    ),
    # ------------------------------------------------------------------------------ what must be looked up anew
    _row(
        "CANNOT_UPDATE_CONVERTED_LEAD", _RESOLVE, _OTHER,
        "the lead was converted in Salesforce; the task must point at its contact",
        "if it stays, the contact of the converted lead is deleted or hidden from the user who signs in",
    ),
    _row(
        "INVALID_CROSS_REFERENCE_KEY", _RESOLVE, _ACCESS,
        "the person, record or owner it points at is not in Salesforce any more, or cannot be seen",
        "if it stays, let the user who signs in see the person and the owner, or put the right salesforce_id into the "
        "people file",
    ),
    _row(
        "MULTIPLE_CHOICES", _REFUSED, _ACCESS,
        "several Salesforce tasks carry the same key",
        "make the intent field unique with 'connector salesforce setup', and delete all but one of the tasks",
        reshape=True,
    ),
    _row(
        "DUPLICATE_EXTERNAL_ID", _REFUSED, _ACCESS,
        "several Salesforce tasks carry the same key",
        "make the intent field unique with 'connector salesforce setup', and delete all but one of the tasks",
        reshape=True,
    ),
    # --------------------------------------------------------------------------------------- the org says no
    _row(
        # Not quoted: its message repeats the text.
        "STRING_TOO_LONG", _REFUSED, _ACCESS,
        "a text is too long for its Salesforce field",
        "make the field longer, or shorten what the template or the step puts into it",
        reshape=True,
    ),
    _row(
        "FIELD_CUSTOM_VALIDATION_EXCEPTION", _REFUSED, _ACCESS,
        "a validation rule of the Salesforce org refuses it",
        "let the rule pass tasks of the user who signs in, or fill what it asks for; then try the record again",
        quote=True,
    ),
    _row(
        "FIELD_FILTER_VALIDATION_EXCEPTION", _REFUSED, _ACCESS,
        "a lookup filter of the Salesforce org refuses it",
        "let the filter pass the record it names, or make it optional; then try the record again",
        quote=True,
    ),
    _row(
        "REQUIRED_FIELD_MISSING", _REFUSED, _ACCESS,
        "the Salesforce org requires a field that is not filled",
        "fill it by salesforce.activity_fields, give it a default, or require it on the layout instead of the field",
        quote=True,
    ),
    _row(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", _REFUSED, _ACCESS,
        "the Salesforce org does not know a picklist value",
        "add the value to the picklist or activate it; record types have values of their own",
        quote=True, reshape=True,
    ),
    _row(
        "FIELD_INTEGRITY_EXCEPTION", _REFUSED, _ACCESS,
        "the Salesforce org refuses a combination of fields",
        "look at the fields it names: a task of a lead, say, may not be related to an account",
        quote=True,
    ),
    _row(
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", _LATER, _PASSING,
        "a trigger or flow of the Salesforce org met a locked record; it will be tried again",
        "if it happens often, look for jobs or flows that change the same account at the same time",
        when="unable_to_lock_row", tries=4,
    ),
    _row(
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", _LATER, _SIGN_IN,
        "a trigger of the Salesforce org had no valid session for a call of its own; it will be tried again",
        "look at the trigger it names: what it calls needs a named credential of its own, not the session of the user",
        when="invalid_session_id", after=timedelta(minutes=15),
    ),
    _row(
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", _REFUSED, _ACCESS,
        "a trigger or flow of the Salesforce org failed; ask the administrator",
        "mend the trigger or flow it names, or give the user the object permissions it needs; then try the record "
        "again",
        quote=True,
    ),
    _row(
        "DUPLICATES_DETECTED", _REFUSED, _ACCESS,
        "a duplicate rule of the Salesforce org refuses it",
        "let the duplicate rule allow and report instead of block, or leave the user who signs in out of it",
        quote=True,
    ),
    _row(
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", _REFUSED, _ACCESS,
        "the Salesforce user may not use the person, record or owner it points at; ask the administrator",
        "give the user who signs in access to the person and their account, by sharing or 'View All'",
    ),
    _row(
        "INSUFFICIENT_ACCESS_OR_READONLY", _REFUSED, _ACCESS,
        "the Salesforce user may not write this record; ask the administrator",
        "give the user who signs in 'Edit Tasks', and access to tasks of other owners ('Modify All' on activities)",
    ),
    _row(
        "INSUFFICIENT_ACCESS", _REFUSED, _ACCESS,
        "the Salesforce user may not do this; ask the administrator",
        "give the user who signs in the permission set of 'connector salesforce setup'",
    ),
    _row(
        "TXN_SECURITY_NO_ACCESS", _REFUSED, _ACCESS,
        "a transaction security policy of the Salesforce org stops it; ask the administrator",
        "leave the user who signs in out of the policy; then try the record again",
    ),
    _row(
        "INACTIVE_OWNER_OR_USER", _REFUSED, _ACCESS,
        "the owner is not an active Salesforce user; check salesforce_user of the rep",
        "activate the user, or name another one as salesforce_user of the rep in connector.yaml",
    ),
    _row(
        "OP_WITH_INVALID_USER_TYPE_EXCEPTION", _REFUSED, _ACCESS,
        "the owner is not a Salesforce user who may own tasks; check salesforce_user of the rep",
        "name a user with a full licence as salesforce_user of the rep in connector.yaml",
    ),
    _row(
        "OPERATION_WITH_INVALID_USER_TYPE_EXCEPTION", _REFUSED, _ACCESS,
        "the owner is not a Salesforce user who may own tasks; check salesforce_user of the rep",
        "name a user with a full licence as salesforce_user of the rep in connector.yaml",
    ),
    _row(
        "ENTITY_IS_LOCKED", _REFUSED, _ACCESS,
        "the record is locked in Salesforce, by an approval for instance",
        "end the approval, or unlock the record; then try the record again",
    ),
    _row(
        "INVALID_FIELD", _LATER, _PASSING,
        "Salesforce did not answer in time; it will be tried again",
        "if it goes on, write fewer fields of people at a time: remove some from salesforce.rollup",
        when="net::readtimeout",
    ),
    _row(
        "INVALID_FIELD", _REFUSED, _ACCESS,
        "a field is missing in the Salesforce org, or hidden from its user; ask the administrator",
        "deploy what 'connector salesforce setup' gives, or let the user who signs in see the field",
        reshape=True,
    ),
    _row(
        "INVALID_FIELD_FOR_INSERT_UPDATE", _REFUSED, _ACCESS,
        "the Salesforce user may not write a field; ask the administrator",
        "let the user who signs in edit the field it names: field-level security, or the permission set of "
        "'connector salesforce setup'",
        quote=True, reshape=True,
    ),
    _row(
        "INVALID_TYPE", _REFUSED, _ACCESS,
        "the Salesforce org has no such kind of record, or hides it from its user",
        "give the user who signs in access to the object it names",
        quote=True,
    ),
    _row(
        "INVALID_QUERY_FILTER_OPERATOR", _REFUSED, _ACCESS,
        "the query is not one Salesforce can answer",
        "mend the query: its words say which part",
        quote=True,
    ),
    _row(
        "MALFORMED_QUERY", _REFUSED, _ACCESS,
        "the query is not one Salesforce understands",
        "mend the query: its words say which part",
        quote=True,
    ),
    _row(
        "MALFORMED_ID", _REFUSED, _ACCESS,
        "an id is not a Salesforce id: 15 or 18 letters and digits",
        "mend salesforce_id in the people file, or salesforce_user of the rep",
    ),
    _row(
        "TLS", _REFUSED, _ACCESS,
        "the certificate of Salesforce could not be checked; check the network and instance_url",
        "if a proxy of yours opens TLS, let this machine trust its certificate (REQUESTS_CA_BUNDLE)",
    ),
    _row(
        "ADDRESS", _REFUSED, _ACCESS,
        "the address of Salesforce is not one that may be called; check instance_url",
        "set accounts.salesforce.instance_url to the address that ends in .my.salesforce.com, or leave it out",
    ),
)  # fmt: skip

#: Any code that has no row.
UNKNOWN = _row(
    "", _REFUSED, _OTHER,
    "Salesforce refused it",
    "mend what its words say, or ask Salesforce support with them; then try the record again",
    quote=True,
)  # fmt: skip

_BY_CODE = {code: [row for row in CODES if row.code == code] for code in {row.code for row in CODES}}


def rule_for(code: str, message: str = "") -> Rule:
    """Return what to do about a code, in any letters, with the org's message; `UNKNOWN` when it has no row."""
    rows = _BY_CODE.get(code.upper(), ())
    return next((row for row in rows if re.search(row.when, message.lower())), UNKNOWN)
