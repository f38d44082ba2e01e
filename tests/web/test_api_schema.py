"""The API against its own document: whatever is asked, by whom, no fault of ours and no answer that is not described."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from connector.web.app import create_app
from tests.web.programs import Programs, programs_of
from tests.web.visitors import ANA, BOB, MAY, ROOT
from tests.world import people

#: Requests to each operation, by one user or another: half of them as the document describes, half not; twice as many
#: where the address can name something, which some of them then do.
_EXAMPLES = 2

#: A rep, their manager, an admin, and nobody.
_USERS = [ANA, MAY, ROOT, None]

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


#: What there is: one of Ana's tasks, and its person.
Named = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A world in which there is something of each kind."""
    with programs_of(tmp_path_factory.mktemp("schema")) as programs:
        programs.world.launch(people(2), rep=ANA)
        programs.world.launch(people(1, domain="other"), rep=BOB)
        programs.world.sync()
        yield programs


@pytest.fixture(scope="module")
def named(api: Programs) -> Named:
    """Beginnings of paths, with parameters that name something; no key is named, or a test would revoke its own."""
    intent = next(one.stored.intent for one in api.world.tasks if one.stored.intent.rep == ANA)
    return {
        "/v1/tasks/{id}": {"id": intent.key},
        "/v1/emails/{id}": {"id": intent.key},
        "/v1/people/{email}": {"email": intent.person},
        "/v1/campaigns/{name}": {"name": intent.campaign},
    }


# The client that schemathesis speaks to the app through warns of its own future.
@pytest.mark.filterwarnings("ignore:Using `httpx` with")
def test_every_answer_is_described_and_none_is_a_fault_of_ours(api: Programs, named: Named) -> None:
    schema = schemathesis.openapi.from_asgi(
        "/api/openapi.json", create_app(api.visitors.site), headers={"Host": "127.0.0.1"}
    )
    keys = {user: {"Authorization": f"Bearer {api.key(user)}"} if user is not None else {} for user in _USERS}
    faults: list[str] = []
    statuses: dict[str | None, set[int]] = {user: set() for user in _USERS}
    for found in schema.get_all_operations():
        operation = found.ok()
        cases = [operation.as_strategy(mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]
        there = [values for beginning, values in named.items() if operation.path.startswith(beginning)]
        cases += [operation.as_strategy(GenerationMode.POSITIVE, path_parameters=values) for values in there]

        @settings(
            max_examples=_EXAMPLES * (2 if there else 1),
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(user=st.sampled_from(_USERS), case=st.one_of(cases))
        def attempt(user: str | None, case: schemathesis.Case) -> None:
            answer = case.call(headers={"Host": "127.0.0.1"} | keys[user])
            statuses[user].add(answer.status_code)
            case.validate_response(answer, checks=_CHECKS)

        try:
            attempt()
        except (Exception, FailureGroup) as error:  # noqa: BLE001 - all of them are told at once
            faults.append(f"{operation.method.upper()} {operation.path}: {error}")
    assert not faults, "\n".join(faults)
    # They were carried out, and refused: it was not all one answer.
    assert all({200, 404, 422} <= statuses[user] for user in (ANA, ROOT)), statuses
    assert statuses[None] == {401}
