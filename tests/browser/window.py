"""A real browser at the web app of a small world, which notes whatever a page did that no page may do.

Lives here: finding Chromium, `Window`. Does not live here: the world (`center`), the tests.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, Route, sync_playwright

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Hosts of mail programs that a page of ours may lead to; they are answered here, and never called.
MAIL_HOSTS = re.compile(r"https://(?:mail\.google\.com|outlook\.office\.com)/.*")

#: What no page asks for by itself.
_ELSEWHERE = re.compile(
    r"(?!https?://127\.0\.0\.1[:/]|https://(?:mail\.google|outlook\.office)\.com/)(?:https?|wss?|ftp):.*"
)

_LISTEN = """document.addEventListener("securitypolicyviolation", (event) => {
  window.__violated(`${event.violatedDirective} ${event.blockedURI} ${event.sample} at ${location.pathname}`);
});"""


def chromium_path() -> str | None:
    """Return where Chromium is on this machine, or None."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium; skip the test where there is none."""
    program = chromium_path()
    if program is None:
        pytest.skip(f"the pages are tried in Chromium, and there is none here ({', '.join(_PROGRAMS)})")
    with sync_playwright() as playwright:
        # Root has no sandbox in a container; what these pages may do is watched all the same.
        # No name leads anywhere: what a page asks for elsewhere is noted, and nobody is called.
        nobody = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", nobody])
        yield browser
        browser.close()


@dataclass(kw_only=True)
class Window:
    """A window of somebody's browser."""

    url: str
    context: BrowserContext
    page: Page
    #: What no page of ours may do: reports of the policy, dialogs, calls to elsewhere, scripts that failed.
    wrong: list[str] = field(default_factory=list)
    #: Addresses of mail programs that the rep was led to.
    mails: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, browser: Browser, url: str, cookies: dict[str, str], *, opens_mail: bool = False, **options: Any
    ) -> Window:
        """Open one with these cookies, at no page yet.

        With `opens_mail`, mail programs are there, as pages of ours; then Chromium keeps no file of a page in its cache.
        """
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | options))
        context.add_cookies([{"name": name, "value": value, "url": url} for name, value in cookies.items()])
        context.set_default_timeout(8000)
        window = cls(url=url, context=context, page=context.new_page())
        context.expose_binding("__violated", lambda _source, said: window.wrong.append(f"policy: {said}"))
        context.add_init_script(_LISTEN)
        if opens_mail:
            context.route(MAIL_HOSTS, window._open_mail)
        context.on("request", window._note_request)
        context.on("dialog", window._note_dialog)
        context.on("weberror", lambda error: window.wrong.append(f"script: {error.error} at {window.page.url}"))
        context.on("console", lambda message: window._note_message(message.type, message.text))
        return window

    def open(self, path: str) -> Page:
        """Open a page of ours."""
        self.page.goto(self.url + path)
        return self.page

    def close(self) -> None:
        """Close it."""
        self.context.close()

    def _open_mail(self, route: Route) -> None:
        self.mails.append(route.request.url)
        route.fulfill(status=200, content_type="text/html", body="<title>Mail</title><h1>The mail program</h1>")

    def _note_request(self, request: Request) -> None:
        if not _ELSEWHERE.fullmatch(request.url):
            return
        # The preview of a mail shows the pictures that its template names, as the recipient sees them.
        if request.resource_type == "image" and urlsplit(request.frame.url).path.endswith("/preview"):
            return
        self.wrong.append(f"request: {request.url} of {self.page.url}")

    def _note_dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note_message(self, kind: str, text: str) -> None:
        if "Content Security Policy" in text or "Blocked script execution" in text or "Uncaught" in text:
            self.wrong.append(f"{kind}: {text}")
