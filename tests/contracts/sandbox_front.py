"""One real HTTP server for a whole test module, with a fresh sandbox behind it for every test."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from adapters.sandbox.app import Sandbox


class Front(Sandbox):
    """Serves whatever application stands behind it now."""

    def app(self):
        async def behind(scope, receive, send):
            await self.behind(scope, receive, send)

        return behind

    def fresh(self, start: datetime) -> Sandbox:
        """Put a new sandbox, its clock frozen at `start`, behind this server."""
        sandbox = Sandbox(start)
        sandbox.url = self.url
        self.behind = sandbox.app()
        return sandbox


@contextmanager
def open_front() -> Iterator[Front]:
    """Serve until the block ends."""
    with Front() as front:
        yield front
