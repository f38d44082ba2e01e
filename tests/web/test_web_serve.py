"""`connector serve`: what it says, what it refuses, how it ends, and that a package carries its pages."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hatchling.builders.wheel import WheelBuilder

from connector.errors import BadInput
from connector.web.serving import listen
from connector.web_settings import WebRules
from tests.command import command_in
from tests.web.site import GMAIL, drafts_out, key_of
from tests.world import WorldMaker, people

ROOT = Path(__file__).parents[2]


class Visitor(io.StringIO):
    """What `serve` says; when all is said, somebody visits, and SIGTERM ends it."""

    def __init__(self, visit: Callable[[str, str], None]) -> None:
        super().__init__()
        self._visit = visit
        self._visiting = threading.Thread(target=self._come)

    def write(self, text: str) -> int:
        """Note what is said, and come."""
        written = super().write(text)
        if "Ctrl-C" in text:
            self._visiting.start()
        return written

    def _come(self) -> None:
        url, link = re.findall(r"http://\S+", self.getvalue())
        try:
            self._visit(url, link)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGTERM")
def test_it_prints_a_link_opens_a_draft_and_ends_in_peace(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: to start another would take longer than all else here."""
    (pat,) = people(1)
    world = drafts_out(make_world, {GMAIL: pat})
    path = f"/open/{key_of(world, pat.email)}"
    (draft,) = world.mails(GMAIL, "drafts")
    seen = []

    def visit(url: str, link: str) -> None:
        assert re.fullmatch(re.escape(url) + r"/sign-in/[A-Za-z0-9_-]{43}", link)
        browser = requests.Session()
        for address in (url + path, link, url + path):
            answer = browser.get(address, timeout=10, allow_redirects=False)
            seen.append((answer.status_code, answer.headers.get("location")))

    command, screen = command_in(world, monkeypatch, capsys), Visitor(visit)
    world.reopen()
    monkeypatch.setattr(sys, "stdout", screen)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ended = command("serve", "--port", "0")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (ended.status, ended.err) == (0, "")
    assert screen.getvalue().endswith("Ctrl-C stops it\nthe web app was stopped\n")
    there = f"https://mail.google.com/mail/u/?authuser={GMAIL}#drafts/{draft['id']}"
    assert seen == [(401, None), (303, path), (303, there)]


def test_it_is_for_this_machine_and_a_free_port(
    make_world: WorldMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = command_in(make_world(), monkeypatch, capsys)
    for host in ("0.0.0.0", "192.168.1.5", "::", "connector.acme.example"):
        refused = command("serve", "--host", host)
        assert (refused.status, refused.out) == (2, "")
        assert refused.err.startswith(f"--host {host} would let other machines in")
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        busy = command("serve", "--port", str(port))
    assert (busy.status, busy.out) == (2, "")
    assert re.fullmatch(rf"port {port} of 127\.0\.0\.1 cannot be used \(.+\): name another with --port\n", busy.err)
    assert command("serve", "--port", "70000").status == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_it_listens_at_each_name_of_this_machine(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with listen(host, 0) as listening:
        assert listening.getsockname()[0] in ("127.0.0.1", "::1")


_PROVIDER = {"google": {"client_id": "c", "client_secret": "${env:GOOGLE_SECRET}"}}


@pytest.mark.parametrize(
    ("rules", "let_in"),
    [
        ({}, False),
        ({"url": "https://connector.acme.example"}, False),
        ({"url": "http://127.0.0.1:8000", "sign_in": _PROVIDER}, False),
        ({"url": "https://connector.acme.example", "sign_in": _PROVIDER}, True),
    ],
)
def test_others_are_let_in_where_they_can_sign_in_over_tls(rules: dict[str, Any], let_in: bool) -> None:
    web = WebRules.model_validate(rules)
    if let_in:
        with listen("0.0.0.0", 0, web) as listening:
            assert listening.getsockname()[0] == "0.0.0.0"
    else:
        with pytest.raises(BadInput, match="would let other machines in"):
            listen("0.0.0.0", 0, web)


def test_a_package_carries_pages_and_style() -> None:
    carried = {one.distribution_path for one in WheelBuilder(str(ROOT)).recurse_included_files()}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "connector" / "web").rglob("*.*") if path.suffix != ".pyc"}
    assert {path.suffix for path in map(Path, pages)} >= {".py", ".html", ".css", ".js"}
    assert pages <= carried
