"""connector.yaml: what it gives the program, and every refusal with line, place and what to do."""

import json
import textwrap
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field, model_validator

from connector.accounts import AccountModel, Secret, ServiceAddress
from connector.documents import parse_document
from connector.errors import BadInput, Fault
from connector.people import Rep
from connector.settings import Pacing, Settings, config_schema, load_settings


class CloudAccount(AccountModel):
    auth: Literal["key", "token"]
    key_file: Path | None = None
    token: Secret | None = None
    tokens: dict[str, Secret] = Field(default_factory=dict)
    endpoint: ServiceAddress | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.auth == "key" and self.key_file is None:
            raise ValueError("auth: key needs key_file")
        return self


class Conflict(AccountModel):
    status: Literal["closed_wins"] | Literal["crm", "latest"] = "closed_wins"  # noqa: PYI030, RUF100 - as adapters have it


class CrmOptions(AccountModel):
    tasks: Literal["off", "push", "both"] = "both"
    log_email: bool = True
    conflict: Conflict = Field(default_factory=Conflict)


class CrmAccount(AccountModel):
    auth: Literal["token"]
    token: Secret


def _adapter(name: str, **attributes: Any) -> Any:
    return SimpleNamespace(capabilities=SimpleNamespace(name=name), **attributes)


ADAPTERS: Mapping[str, Any] = {
    "gmail": _adapter("gmail", account_name="google", account_model=CloudAccount, open_mailbox=None),
    "links": _adapter("links", account_name=None, account_model=None, open_mailbox=None),
    "crm": _adapter("crm", account_name="crm", account_model=CrmAccount, options_model=CrmOptions, open_crm=None),
}

ANA = "- {email: Ana@Acme.example, name: Ana Diaz, time_zone: Europe/Madrid, mailbox: links}"
REPS = f"reps:\n  {ANA}\n"


def load(tmp_path: Path, text: str, adapters: Mapping[str, Any] = ADAPTERS) -> Settings:
    path = tmp_path / "connector.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_settings(path, adapters)


def faults_of(tmp_path: Path, text: str, adapters: Mapping[str, Any] = ADAPTERS) -> list[Fault]:
    with pytest.raises(BadInput) as caught:
        load(tmp_path, text, adapters)
    assert {fault.file for fault in caught.value.faults} == {str(tmp_path / "connector.yaml")}
    return list(caught.value.faults)


FULL = """\
    database: postgresql+psycopg://db.acme.example/connector
    reps:
      - email: Ana@Acme.example
        name: Ana Diaz
        title: Account executive
        time_zone: Europe/Madrid
        mailbox: gmail
        salesforce_user: ana@acme.example
        signature: "<p>Ana</p>"
        aliases: [a.diaz@acme.example]
      - email: bo@acme.example
        name: Bo
        time_zone: America/New_York
        signature:
    accounts:
      google: {auth: key, key_file: keys/google.json, endpoint: "http://127.0.0.1:8025/"}
      crm: {auth: token, token: "${env:CRM_TOKEN}"}
    crm:
      tasks: push
    pacing:
      gmail: {per_second: 2}
      links: {per_minute: 10}
    sync: {every: 5m, mailboxes_at_a_time: 25, hold_after: 3d}
    retention: {ended: 400d}
    blocked_domains: [Rival.example]
    """


def test_every_key_reaches_the_program(tmp_path: Path) -> None:
    settings = load(tmp_path, FULL)
    assert settings.folder == tmp_path
    assert settings.database == "postgresql+psycopg://db.acme.example/connector"
    assert settings.reps == (
        Rep(
            email="ana@acme.example",
            name="Ana Diaz",
            title="Account executive",
            time_zone="Europe/Madrid",
            mailbox="gmail",
            salesforce_user="ana@acme.example",
            signature="<p>Ana</p>",
            aliases=("a.diaz@acme.example",),
        ),
        Rep(email="bo@acme.example", name="Bo", time_zone="America/New_York", mailbox="links"),
    )
    google = settings.accounts["google"]
    assert isinstance(google, CloudAccount)
    assert google.key_file == tmp_path / "keys" / "google.json"
    assert google.endpoint == "http://127.0.0.1:8025"
    assert settings.crm == "crm"
    assert settings.crm_options == CrmOptions(tasks="push")
    assert settings.pacing == {"gmail": Pacing(per_second=2, per_day=1500), "links": Pacing(per_minute=10)}
    assert settings.sync.every == timedelta(minutes=5)
    assert settings.sync.mailboxes_at_a_time == 25
    assert settings.sync.hold_after == timedelta(days=3)
    assert settings.retention.ended == timedelta(days=400)
    assert settings.blocked_domains == {"rival.example"}


def test_the_defaults_are_the_specs(tmp_path: Path) -> None:
    settings = load(tmp_path, REPS)
    assert settings.database == "sqlite:///connector.db"
    assert settings.accounts == {}
    assert (settings.crm, settings.crm_options) == (None, CrmOptions())
    assert settings.pacing == {"gmail": Pacing(per_second=1, per_day=1500), "links": Pacing()}
    assert settings.sync.every == timedelta(seconds=60)
    assert settings.sync.hold_after == timedelta(hours=24)
    assert settings.retention.ended is None
    assert settings.blocked_domains == frozenset()


def test_empty_sections_are_absent_sections(tmp_path: Path) -> None:
    empty = "accounts:\ncrm:\npacing:\nsync:\nblocked_domains:\ndatabase:\n"
    assert load(tmp_path, REPS + empty) == load(tmp_path, REPS)


def test_null_lifts_a_limit(tmp_path: Path) -> None:
    settings = load(tmp_path, REPS + "pacing: {gmail: {per_day: null}}\n")
    assert settings.pacing["gmail"] == Pacing(per_second=1)


def test_a_program_without_a_crm_has_no_crm_options(tmp_path: Path) -> None:
    settings = load(tmp_path, REPS, {"links": ADAPTERS["links"]})
    assert (settings.crm, settings.crm_options) == (None, None)


def test_an_absolute_key_file_stays_where_it_is(tmp_path: Path) -> None:
    settings = load(tmp_path, REPS + "accounts: {google: {auth: key, key_file: /etc/keys/google.json}}\n")
    assert settings.accounts["google"].key_file == Path("/etc/keys/google.json")  # type: ignore[attr-defined]


def test_a_rep_is_found_by_address_and_alias(tmp_path: Path) -> None:
    settings = load(tmp_path, FULL)
    assert settings.rep("ANA@acme.example") == settings.rep(" a.diaz@acme.example") == settings.reps[0]
    assert settings.rep("nobody@acme.example") is None


def _rep(**changes: str) -> str:
    keys = {"email": "ana@acme.example", "name": "Ana", "time_zone": "Europe/Madrid"} | changes
    return f"reps:\n  - {{{', '.join(f'{key}: {value}' for key, value in keys.items() if value)}}}\n"


#: text, line, where, words of the sentence
REFUSALS: dict[str, tuple[str, int, str, str]] = {
    "nothing": ("# nothing\n", 1, "", "list at least one rep"),
    "no reps": ("database: sqlite:///x.db\n", 1, "", "the key 'reps' is missing"),
    "empty reps": ("\nreps: []\n", 2, "", "'reps' is empty"),
    "reps no list": ("reps: {ana: 1}\n", 1, "", "'reps' must be a list"),
    "unknown key": (REPS + "acounts: {}\n", 3, "", "no key 'acounts' here; did you mean 'accounts'?"),
    "unknown key of a rep": (_rep(tittle="CEO"), 2, "rep ana@acme.example", "did you mean 'title'?"),
    "unknown key with nothing near": (_rep(zzz="1"), 2, "rep ana@acme.example", "there are email, name"),
    "rep without address": (_rep(email=""), 2, "rep 1", "the key 'email' is missing"),
    "rep without zone": (_rep(time_zone=""), 2, "rep ana@acme.example", "the key 'time_zone' is missing"),
    "rep with no name": (_rep(name="'  '"), 2, "rep ana@acme.example", "'name': this is empty"),
    "malformed address": (_rep(email="ana"), 2, "rep ana", "'ana' is not a mail address"),
    "malformed alias": (_rep(aliases="[ana@]"), 2, "rep ana@acme.example", "'ana@' is not a mail address"),
    "bad zone": (_rep(time_zone="Europe/Madird"), 2, "rep ana@acme.example", "did you mean 'Europe/Madrid'?"),
    "name is a number": (_rep(name="7"), 2, "rep ana@acme.example", "'name' must be text"),
    "duplicate rep": (f"reps:\n  {ANA}\n  {ANA.lower().replace('europe/madrid', 'Europe/Madrid')}\n", 3, "rep ana@acme.example", "listed by rep Ana@Acme.example already"),
    "rep twice": (f"reps:\n  {ANA}\n  {ANA}\n", 3, "rep Ana@Acme.example", "belongs to one rep, take it out of one of the two"),
    "alias of one's own": (_rep(aliases="[Ana@acme.example]"), 2, "rep ana@acme.example", "ana@acme.example is the rep's own address: leave it out"),
    "alias of another": (f"reps:\n  {ANA}\n  - {{email: b@acme.example, name: B, time_zone: UTC, aliases: [ana@acme.example]}}\n", 3, "rep b@acme.example", "belongs to one rep"),
    "unknown mailbox": (_rep(mailbox="gmial"), 2, "rep ana@acme.example", "no mailbox kind 'gmial'; did you mean 'gmail'?"),
    "mailbox without account": (_rep(mailbox="gmail"), 2, "rep ana@acme.example", "needs the section accounts.google"),
    "account left empty": (_rep(mailbox="gmail") + "accounts:\n  google:\n", 2, "rep ana@acme.example", "needs the section accounts.google"),
    "unknown account": (REPS + "accounts:\n  gogle: {}\n", 4, "accounts", "no key 'gogle' here; did you mean 'google'?"),
    "unknown key of an account": (REPS + "accounts:\n  google:\n    auth: key\n    key_file: x\n    tokn: y\n", 7, "accounts.google", "did you mean 'token'?"),
    "account no mapping": (REPS + "accounts:\n  google: yes\n", 4, "accounts", "'google' must be a group of keys"),
    "auth misspelt": (REPS + "accounts:\n  google: {auth: kee}\n", 4, "accounts.google", "'auth' must be one of key, token; did you mean 'key'?"),
    "auth missing": (REPS + "accounts:\n  google: {endpoint: https://x.example}\n", 4, "accounts.google", "the key 'auth' is missing"),
    "what the adapter says": (REPS + "accounts:\n  google: {auth: key}\n", 4, "accounts", "auth: key needs key_file"),
    "literal secret": (REPS + "accounts:\n  google:\n    auth: token\n    token: hunter2\n", 6, "accounts.google", "a secret is never written in this file"),
    "literal secret of a rep": (REPS + "accounts:\n  google:\n    auth: token\n    tokens:\n      ana@acme.example: hunter2\n", 7, "accounts.google.tokens", "a secret is never written in this file"),
    "secret is a number": (REPS + "accounts: {google: {auth: token, token: 12345}}\n", 3, "accounts.google", "'token' must be text"),
    "plain http": (REPS + "accounts:\n  google: {auth: key, key_file: x, endpoint: 'http://gmail.example'}\n", 4, "accounts.google", "plain http is accepted for loopback only"),
    "not an address": (REPS + "accounts:\n  google: {auth: key, key_file: x, endpoint: gmail.example}\n", 4, "accounts.google", "is not an address"),
    "unknown CRM option": (REPS + "crm:\n  task: both\n", 4, "crm", "no key 'task' here; did you mean 'tasks'?"),
    "CRM option with a wrong word": (REPS + "crm:\n  tasks: on\n", 4, "crm", "'tasks' must be one of off, push, both"),
    "choice between groups of words": (REPS + "crm:\n  conflict:\n    status: me\n", 5, "crm.conflict", "'status' must be one of closed_wins, crm, latest"),
    "flag": (REPS + "crm:\n  log_email: sometimes\n", 4, "crm", "'log_email' must be true or false"),
    "unknown pacing": (REPS + "pacing:\n  gmial: {per_day: 1}\n", 4, "pacing", "did you mean 'gmail'?"),
    "unknown limit": (REPS + "pacing:\n  gmail: {per_week: 1}\n", 4, "pacing.gmail", "no key 'per_week' here"),
    "limit of 0": (REPS + "pacing:\n  gmail: {per_day: 0}\n", 4, "pacing.gmail", "'per_day' must be more than 0"),
    "limit is a word": (REPS + "pacing:\n  gmail: {per_day: many}\n", 4, "pacing.gmail", "'per_day' must be a whole number"),
    "duration without unit": (REPS + "sync: {every: 60}\n", 3, "sync", "write it as 60s, 5m or 1h"),
    "an age in minutes": (REPS + "sync: {hold_after: 90m}\n", 3, "sync", "write it as 36h or 3d, or never"),
    "too short a memory": (REPS + "retention: {ended: 30d}\n", 3, "retention", "write 60d or more, such as 400d, or never"),
    "no mailbox at a time": (REPS + "sync: {mailboxes_at_a_time: 0}\n", 3, "sync", "greater than or equal to 1"),
    "duration of nothing": (REPS + "sync: {every: 0s}\n", 3, "sync", "write it as 60s, 5m or 1h"),
    "no domain": (REPS + "blocked_domains:\n  - '@rival.example'\n", 4, "blocked_domains", "'@rival.example' is not a domain"),
    "database": (REPS + "database: mysql://x/y\n", 3, "", "not a database address"),
    "database password": (REPS + "database: postgresql+psycopg://me:hunter2@x/y\n", 3, "", "set the whole address as DATABASE_URL"),
    "doubled key": (REPS + "reps: []\n", 3, "", "the key 'reps' stands twice, first on line 1"),
    "broken YAML": ("reps: [\n", 2, "", "not YAML"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "where", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_each_refusal_names_its_line_and_place_and_what_to_do(
    tmp_path: Path, text: str, line: int, where: str, words: str
) -> None:
    (fault,) = faults_of(tmp_path, text)
    assert words in fault.sentence
    assert (fault.line, fault.where or "") == (line, where)
    assert "hunter2" not in str(fault)
    assert "12345" not in str(fault)


def test_all_faults_are_told_together_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = """\
        reps:
          - {email: ana, name: Ana, time_zone: Mars, mailbox: gmail}
          - {email: b@acme.example, time_zone: UTC, mailbox: pigeon}
        accounts:
          crm: {auth: token, token: hunter2}
        crm: {tasks: x}
        sync: {every: soon}
        """
    told = faults_of(tmp_path, text)
    assert [fault.line for fault in told] == [2, 2, 2, 3, 3, 5, 6, 7]


def test_two_crms_are_one_too_many(tmp_path: Path) -> None:
    other = _adapter("other", account_name="other", account_model=CrmAccount, options_model=CrmOptions, open_crm=None)
    text = REPS + 'accounts:\n  crm: {auth: token, token: "${env:T}"}\n  other: {auth: token, token: "${env:T}"}\n'
    (fault,) = faults_of(tmp_path, text, {**ADAPTERS, "other": other})
    assert (fault.line, fault.where) == (5, "accounts")
    assert "tasks go to one CRM, and crm is set up already" in fault.sentence


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load_settings(tmp_path / "connector.yaml", ADAPTERS)


def test_secrets_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", "hunter2")
    settings = load(tmp_path, FULL)
    crm = settings.accounts["crm"]
    assert isinstance(crm, CrmAccount)
    assert crm.token.reveal() == "hunter2"
    assert "hunter2" not in repr(settings) + repr(crm)


#: Refusals that only the program can see: values that must exist, or agree with each other.
_BEYOND_A_SCHEMA = {
    "rep twice", "alias of one's own", "rep with no name", "malformed address", "malformed alias", "bad zone", "duplicate rep", "alias of another",
    "mailbox without account", "account left empty", "what the adapter says", "plain http", "not an address", "no domain", "database",
    "database password", "doubled key", "broken YAML",
}  # fmt: skip


def test_the_schema_accepts_what_the_program_accepts() -> None:
    schema = config_schema(ADAPTERS)
    Draft202012Validator.check_schema(schema)
    for text in (textwrap.dedent(FULL), REPS):
        data = parse_document(text, "x").data
        data["reps"] = [{k: v for k, v in rep.items() if v is not None} for rep in data["reps"]]
        assert list(Draft202012Validator(schema).iter_errors(data)) == []


@pytest.mark.parametrize("name", [name for name in REFUSALS if name not in _BEYOND_A_SCHEMA])
def test_the_schema_refuses_what_the_program_refuses(name: str) -> None:
    data = parse_document(REFUSALS[name][0], "x").data
    assert not Draft202012Validator(config_schema(ADAPTERS)).is_valid(data)


def _places(data: object, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place, *(found for key, value in inside for found in _places(value, (*place, key)))]


def _replaced(data: Any, place: tuple[Any, ...], value: object) -> Any:
    if not place:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[place[0]] = _replaced(data[place[0]], place[1:], value)
    return copy


_WORDS = st.sampled_from(["", "gmail", "http://[", "postgresql://[x", "${env:X}", "a@b.example", "5m", "auth"])
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORDS, inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_file_it_is_read_or_refused_in_sentences(tmp_path: Path, data: st.DataObject) -> None:
    content = parse_document(textwrap.dedent(FULL), "x").data
    for _ in range(data.draw(st.integers(1, 2))):
        content = _replaced(content, data.draw(st.sampled_from(_places(content))), data.draw(_ANYTHING))
    path = tmp_path / "connector.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        loaded = load_settings(path, ADAPTERS).reps
        faults: tuple[Fault, ...] = ()
    except BadInput as error:
        loaded, faults = (), error.faults
    assert bool(loaded) != bool(faults)
    assert all(fault.line for fault in faults)
