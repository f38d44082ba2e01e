"""`connector.yaml` as it is now, in a process that goes on while the file is changed.

Lives here: `SettingsNow`. Does not live here: reading the file (`settings`). Who may come in and whose work they see
follows the file at once; mailboxes, accounts and all else of a process are as it found them when it began.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from connector.errors import BadInput
from connector.ports import Adapter
from connector.settings import Settings, load_settings

_log = logging.getLogger(__name__)


class SettingsNow:
    """The settings of a file, read anew when it has changed."""

    def __init__(self, first: Settings, adapters: Mapping[str, Adapter]) -> None:
        """Take what the file said when the process began."""
        self._said = first
        self._adapters = adapters
        #: What tells one state of the file from another; it is read once more than it must be, at the first request.
        self._seen: tuple[int, ...] | None = None
        self._turn = Lock()

    def __call__(self) -> Settings:
        """Return what the file says; while it has a fault, or is not there, what it said last."""
        with self._turn:
            seen = _state(self._said.file)
            if seen is not None and seen != self._seen:
                self._seen = seen
                try:
                    self._said = load_settings(self._said.file, self._adapters)
                except (BadInput, OSError) as error:
                    sentence = str(error).splitlines()[0]
                    _log.warning("who may sign in stays as it was: connector.yaml cannot be used (%s)", sentence)
            return self._said


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
