"""The loopback listener: one answer, of this sign-in, from this machine, and a page that repeats nothing."""

import http.client
import socket
from urllib.parse import urlencode

import pytest

from adapters.loopback import Loopback
from connector.errors import Refused


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def listener():
    with Loopback("Acme <CRM>", port=free_port(), setting="accounts.acme.redirect_port") as one:
        yield one


def visit(listener, query=None, *, path="/callback", host=None, method="GET"):
    port = int(listener.redirect_uri.rpartition(":")[2].partition("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    target = f"{path}?{urlencode(query)}" if query is not None else path
    connection.request(method, target, headers={"Host": host or f"localhost:{port}"})
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    return answer, page


def nobody_came(listener):
    with pytest.raises(Refused, match="nobody came back from the browser"):
        listener.wait(0.05)


def test_the_code_reaches_who_waits(listener):
    answer, page = visit(listener, {"code": "aPrx-code", "state": listener.state})
    assert (answer.status, listener.wait(5).code) == (200, "aPrx-code")
    assert "has answered. You may close this page" in page


def test_without_a_port_each_takes_a_free_one():
    with Loopback("Acme") as one, Loopback("Acme") as other:
        assert one.redirect_uri != other.redirect_uri
        visit(one, {"code": "c", "state": one.state})
        assert one.wait(5).code == "c"
        nobody_came(other)


def test_an_error_reaches_who_waits(listener):
    answer, page = visit(listener, {"error": "access_denied", "error_description": "no", "state": listener.state})
    told = listener.wait(5)
    assert (answer.status, told.code, told.error) == (200, "", "access_denied")
    assert "did not sign you in" in page


@pytest.mark.parametrize(
    ("query", "options", "status"),
    [
        ({"code": "c"}, {}, 400),
        ({"code": "c", "state": "guessed"}, {}, 400),
        ({"code": "c", "state": "gu\u00e9ss\u00e9d"}, {}, 400),
        ({"state": "OURS"}, {}, 400),
        ({"code": "c", "state": "OURS"}, {"path": "/favicon.ico"}, 404),
        ({"code": "c", "state": "OURS"}, {"path": "/callback/more"}, 404),
        ({"code": "c", "state": "OURS"}, {"host": "evil.example"}, 404),
        ({"code": "c", "state": "OURS"}, {"method": "POST"}, 501),
    ],
)
def test_what_is_not_the_answer_to_this_sign_in_is_not_believed(listener, query, options, status):
    said = {name: listener.state if value == "OURS" else value for name, value in query.items()}
    answer, _ = visit(listener, said, **options)
    assert answer.status == status
    nobody_came(listener)
    visit(listener, {"code": "right", "state": listener.state})
    assert listener.wait(5).code == "right"


def test_only_the_first_answer_counts(listener):
    visit(listener, {"code": "first", "state": listener.state})
    answer, page = visit(listener, {"code": "second", "state": listener.state})
    assert (answer.status, listener.wait(5).code) == (400, "first")
    assert "has had its answer" in page
    nobody_came(listener)


def test_the_page_repeats_nothing_that_came_in_and_escapes_the_rest(listener):
    answer, page = visit(listener, {"error": "<script>alert(1)</script>", "state": listener.state})
    assert "script" not in page
    assert "Acme &lt;CRM&gt;" in page
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_connection_that_sends_nothing_holds_nobody_up(listener):
    port = int(listener.redirect_uri.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)):
        visit(listener, {"code": "c", "state": listener.state})
        assert listener.wait(5).code == "c"


def test_it_listens_on_this_machine_only(listener):
    assert listener._server.server_address[0] == "127.0.0.1"


def test_the_code_is_never_printed(listener, capfd):
    visit(listener, {"code": "aPrx-code", "state": listener.state})
    assert "aPrx-code" not in repr(listener.wait(5))
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_a_port_in_use_is_told_with_the_setting_that_changes_it(listener):
    port = int(listener.redirect_uri.rpartition(":")[2].partition("/")[0])
    with (
        pytest.raises(Refused, match=rf"port {port} of this machine is in use.*accounts\.acme\.redirect_port"),
        Loopback("Acme", port=port, setting="accounts.acme.redirect_port"),
    ):
        pass


def test_the_port_is_free_again_afterwards():
    port = free_port()
    for _ in range(2):
        with Loopback("Acme", port=port, setting="x") as listener:
            visit(listener, {"code": "c", "state": listener.state})
            assert listener.wait(5).code == "c"


def test_each_sign_in_has_a_state_of_its_own():
    assert len({Loopback("Acme", port=1, setting="x").state for _ in range(5)}) == 5
