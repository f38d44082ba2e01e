"""The Salesforce account section: which keys are needed, and what is refused in words."""

import pytest
from pydantic import ValidationError

from adapters.salesforce.account import SalesforceAccount, SalesforceOptions

GOOD = {"auth": "client_credentials", "domain": "acme.my", "client_id": "id", "client_secret": "${env:SF_SECRET}"}


def refusal(section, model=SalesforceAccount):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(section)
    return str(caught.value)


NEEDED = {
    "jwt": {"client_id": "id", "username": "ana@acme.example", "key_file": "key.pem"},
    "client_credentials": {"client_id": "id", "client_secret": "${env:SF_SECRET}", "domain": "acme.my"},
    "refresh_token": {"client_id": "id"},
    "password": {"username": "ana@acme.example", "password": "${env:SF_PASSWORD}"},
    "access_token": {"token": "${env:SF_TOKEN}", "instance_url": "https://acme.my.salesforce.com"},
}


@pytest.mark.parametrize("auth", NEEDED)
def test_every_way_to_sign_in_is_accepted_with_its_keys_alone(auth):
    account = SalesforceAccount.model_validate({"auth": auth, **NEEDED[auth]})
    assert account.auth == auth
    assert account.per_rep is False


@pytest.mark.parametrize(
    ("auth", "key"), [(auth, key) for auth, keys in NEEDED.items() for key in keys if key != "domain"]
)
def test_every_way_to_sign_in_says_which_key_it_lacks(auth, key):
    section = {"auth": auth, **NEEDED[auth]}
    del section[key]
    assert f"auth: {auth} also needs {key}" in refusal(section)


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ({}, "https://login.salesforce.com"),
        ({"domain": "test"}, "https://test.salesforce.com"),
        ({"domain": "acme.my"}, "https://acme.my.salesforce.com"),
        ({"domain": "acme--box.sandbox.my"}, "https://acme--box.sandbox.my.salesforce.com"),
        ({"domain": "acme.my", "login_url": "https://acme.my.salesforce.mil/"}, "https://acme.my.salesforce.mil"),
        ({"login_url": "http://127.0.0.1:8025"}, "http://127.0.0.1:8025"),
    ],
)
def test_the_sign_in_is_at_production_sandbox_my_domain_or_another_server(change, address):
    section = {"auth": "jwt", **NEEDED["jwt"], **change}
    assert SalesforceAccount.model_validate(section).sign_in_url == address


@pytest.mark.parametrize(
    ("auth", "change", "sentence"),
    [
        ("password", {"client_id": "id"}, "client_id and client_secret together, or neither"),
        ("password", {"client_secret": "${env:X}"}, "client_id and client_secret together, or neither"),
        ("jwt", {"per_rep": True}, "nobody signs in rep by rep: write auth: refresh_token"),
        ("refresh_token", {"redirect_port": 80}, "greater than or equal to 1024"),
        ("refresh_token", {"refresh_token": "5Aep861"}, "a secret is never written in this file"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(auth, change, sentence):
    assert sentence in refusal({"auth": auth, **NEEDED[auth], **change})


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ({}, ["SOAP login(): off in orgs made since Winter '26, and retired in Summer '27"]),
        (
            {"client_id": "id", "client_secret": "${env:X}"},
            ["the OAuth username-password flow: Salesforce blocks it in new orgs"],
        ),
    ],
)
def test_a_legacy_sign_in_is_warned_of(change, sentences):
    warnings = SalesforceAccount.model_validate({"auth": "password", **NEEDED["password"], **change}).warnings
    assert len(warnings) == len(sentences)
    assert all(sentence in warning for sentence, warning in zip(sentences, warnings, strict=True))
    assert all("move to jwt or client_credentials" in warning for warning in warnings)


@pytest.mark.parametrize("auth", [auth for auth in NEEDED if auth != "password"])
def test_no_other_sign_in_is_warned_of(auth):
    assert SalesforceAccount.model_validate({"auth": auth, **NEEDED[auth]}).warnings == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"client_id": None}, "also needs client_id"),
        ({"client_id": None, "client_secret": None}, "also needs client_id and client_secret"),
        ({"domain": None}, "does not work at 'login'"),
        ({"domain": "login"}, "does not work at 'login'"),
        ({"domain": "test"}, "does not work at 'test'"),
        ({"domain": "acme.my.salesforce.com"}, "only the part before '.salesforce.com'"),
        ({"domain": "evil.example/x"}, "only the part before"),
        ({"client_secret": "hunter2"}, "a secret is never written in this file"),
        ({"auth": "access_token"}, "also needs token and instance_url"),
        ({"instance_url": "http://acme.example"}, "plain http is accepted for loopback only"),
        ({"instance_url": "https://acme.lightning.force.com"}, "serves pages, not the API"),
        ({"api_version": "v66"}, "write a version such as 66.0"),
        ({"api_version": "45.0"}, "46.0 or later"),
        ({"nonsense": 1}, "Extra inputs"),
        ({"auth": "guess"}, "Input should be"),
    ],
)
def test_a_wrong_section_is_refused(change, sentence):
    told = refusal({**GOOD, **change})
    assert sentence in told
    assert sentence == "a secret is never written in this file" or "hunter2" not in told


@pytest.mark.parametrize(
    "change", [{}, {"domain": "acme--box.sandbox.my"}, {"domain": None, "login_url": "http://127.0.0.1:8080"}]
)
def test_a_good_section_is_accepted(change):
    assert SalesforceAccount.model_validate({**GOOD, **change}).auth == "client_credentials"


def test_an_access_token_needs_no_domain():
    section = {"auth": "access_token", "token": "${env:SF_TOKEN}", "instance_url": "https://acme.my.salesforce.com/"}
    assert SalesforceAccount.model_validate(section).instance_url == "https://acme.my.salesforce.com"


@pytest.mark.parametrize("given", [66.0, 66, "66.0"])
def test_the_version_may_be_a_number_as_yaml_reads_it(given):
    assert SalesforceAccount.model_validate({**GOOD, "api_version": given}).api_version == "66.0"


def test_the_options_default_to_the_specification():
    options = SalesforceOptions()
    assert options.model_dump() == {
        "tasks": "both",
        "log_email": True,
        "subject": "{{activity_type}}: {{activity_subject}}",
        "intent_field": "Connector_Intent_Id__c",
        "on_end": "complete",
        "conflict": {
            "status": "closed_wins",
            "due_date": "salesforce",
            "priority": "salesforce",
            "comments": "latest",
        },
        "activity_fields": {},
        "rollup": {},
    }


@pytest.mark.parametrize("name", ["Subject", "Intent Id__c", "Account.Intent__c", "x' OR ''='__c"])
def test_the_intent_field_must_be_a_custom_field(name):
    assert "write the API name of a custom field" in refusal({"intent_field": name}, SalesforceOptions)


def test_an_unknown_conflict_rule_is_refused():
    assert "Input should be" in refusal({"conflict": {"due_date": "coin"}}, SalesforceOptions)


def test_both_sections_have_a_json_schema_for_editors():
    account, options = SalesforceAccount.model_json_schema(), SalesforceOptions.model_json_schema()
    assert account["required"] == ["auth"]
    assert account["additionalProperties"] is options["additionalProperties"] is False
    assert options["properties"]["tasks"]["enum"] == ["off", "push", "both"]
