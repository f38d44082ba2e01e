"""The HTTP session of the adapters: what the environment says of a host is asked once, and kept for that host alone."""

from __future__ import annotations

import pytest

from adapters.http import ServiceSession

HERE = "https://gmail.googleapis.com/gmail/v1/users/me/profile"
THERE = "https://internal.acme.example/"


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> ServiceSession:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.acme.example:3128")
    monkeypatch.setenv("NO_PROXY", "internal.acme.example")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/acme.pem")
    return ServiceSession()


def test_each_host_has_the_proxy_and_the_certificates_of_the_environment(session):
    for _ in range(2):
        here = session.merge_environment_settings(HERE, {}, None, None, None)
        there = session.merge_environment_settings(THERE, {}, None, None, None)
        assert here["proxies"] == {"https": "http://proxy.acme.example:3128", "no": "internal.acme.example"}
        assert "https" not in there["proxies"]
        assert here["verify"] == there["verify"] == "/etc/acme.pem"
        here["proxies"].clear()  # belongs to one request


def test_what_a_call_says_itself_comes_first(session):
    session.merge_environment_settings(HERE, {}, None, None, None)
    said = session.merge_environment_settings(HERE, {"https": "http://other:1"}, None, "/own.pem", None)
    assert (said["proxies"]["https"], said["verify"]) == ("http://other:1", "/own.pem")
