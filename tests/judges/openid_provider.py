"""`oidc-provider`, which nobody here wrote, as the provider that people sign in to the web app with.

Lives here: starting it, and a browser that walks through its pages. Does not live here: the tests, and the same program
as the sign-in of a mailbox (`oidc_provider`).

It judges the authorization request, PKCE, how the client proves itself, and what we do with its tokens and with UserInfo.
It is no judge of what Google and Microsoft put into their tokens beside the standard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import requests

from tests.judges.programs import HERE, serving

SECRET = "a-secret-of-the-tests-that-is-long-enough"

_FORM = re.compile(r'<form[^>]* action="([^"]+)" method="post"')
_PROMPT = re.compile(r'name="prompt" value="(login|consent)"')
_CANCEL = re.compile(r'<a href="([^"]+/abort)"')


@contextmanager
def providing(clients: Sequence[Mapping[str, Any]], people: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Run it for these clients and people (login -> claims), and yield its address."""
    asked = json.dumps({"clients": [{"client_secret": SECRET, **client} for client in clients], "people": people})
    with serving(HERE / "openid_provider.cjs", asked) as url:
        yield url


@dataclass(kw_only=True)
class Person:
    """Somebody at a browser of their own; where a site leads to is not followed unasked."""

    site: str
    window: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str) -> requests.Response:
        """Ask the site for a page."""
        return self.window.get(urljoin(self.site, path), allow_redirects=False, timeout=30)

    def post(self, path: str, **fields: str) -> requests.Response:
        """Send the site a form."""
        return self.window.post(self.site + path, data=fields, allow_redirects=False, timeout=30)

    def agree(self, address: str, login: str | None) -> str:
        """Go to the provider, sign in as somebody and agree; return the address it leads back to.

        Without a login, cancel.
        """
        for _ in range(12):
            if address.startswith(self.site):
                return address
            page = self.window.get(address, allow_redirects=False, timeout=30)
            if page.is_redirect:
                address = urljoin(address, page.headers["location"])
                continue
            form, prompt, cancel = (one.search(page.text) for one in (_FORM, _PROMPT, _CANCEL))
            assert page.status_code == 200, page.text
            assert form is not None, page.text
            assert prompt is not None, page.text
            assert cancel is not None, page.text
            if login is None:
                address = unescape(cancel[1])
                continue
            fields = {"prompt": prompt[1], "login": login, "password": "any"}
            done = self.window.post(unescape(form[1]), data=fields, allow_redirects=False, timeout=30)
            address = urljoin(address, done.headers["location"])
        raise AssertionError("the provider does not come to an end")

    def cookie(self, word: str) -> str | None:
        """Return the value of the site's cookie whose name has a word in it."""
        return next((one.value for one in self.window.cookies if f"connector_{word}" in one.name), None)


def changed(address: str, **said: str | None) -> str:
    """Return an address with some of its query changed; None leaves it out."""
    parts = urlsplit(address)
    query = {name: value for name, value in (dict(parse_qsl(parts.query)) | said).items() if value is not None}
    return parts._replace(query=urlencode(query)).geturl()


def said_in(address: str) -> dict[str, str]:
    """Return what the query of an address says."""
    return dict(parse_qsl(urlsplit(address).query))
