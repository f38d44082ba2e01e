"""Programs that speak to the API of a small world, each with a key of its user, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.sync.api_keys import Scope, add_key
from tests.web.visitors import WEB, Visitors
from tests.world import World


@dataclass(kw_only=True)
class Programs:
    """The web app of a world, and keys to it."""

    world: World
    visitors: Visitors
    _line: requests.Session = field(default_factory=requests.Session)
    _keys: dict[tuple[str, tuple[Scope, ...]], str] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World) -> Programs:
        """Serve the app of a world's office as it is now."""
        return cls(world=world, visitors=Visitors.of(world))

    def key(self, user: str, scopes: Collection[Scope] = tuple(Scope)) -> str:
        """Return a key of a user; the same each time for the same scopes."""
        wanted = (user, tuple(scopes))
        if wanted not in self._keys:
            self._keys[wanted] = add_key(self.world.office, user=user, name="test", scopes=scopes).secret
        return self._keys[wanted]

    def ask(
        self,
        user: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        scopes: Collection[Scope] = tuple(Scope),
        once: str | None = None,
        **query: Any,
    ) -> requests.Response:
        """Send a request below `/api/v1` with a key of a user, and see that trouble is a problem."""
        headers = {"Authorization": f"Bearer {self.key(user, scopes)}"}
        if once is not None:
            headers["Idempotency-Key"] = once
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self.send(
            method, f"/api/v1{path}", headers, params=query, data=None if body is None else json.dumps(body)
        )

    def send(self, method: str, path: str, headers: dict[str, str], **options: Any) -> requests.Response:
        """Send a request as it is, and see that trouble is a problem."""
        answer = self._line.request(
            method, self.visitors.url + path, headers=headers, allow_redirects=False, timeout=30, **options
        )
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", answer.text
            said = answer.json()
            assert (said["status"], said["type"]) == (answer.status_code, "about:blank")
            assert said["title"]
            assert said["detail"]
        return answer


@contextmanager
def programs_of(folder: Path, **options: Any) -> Iterator[Programs]:
    """Make a world for a whole module, and its programs."""
    with pytest.MonkeyPatch.context() as patch:
        world = World.make(folder / "world", patch, **({"web": WEB} | options))
        programs = Programs.of(world)
        yield programs
        programs.visitors.leave()
        world.close()
