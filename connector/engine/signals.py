"""SIGTERM and SIGINT as a wish to stop.

Lives here: `stopped_by_signals`. Does not live here: what stopping means (each engine).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT call `stop`; in any thread but the main one, which alone gets signals, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    # A handler runs between two instructions of the main thread, which may hold the very lock that `stop` takes: it
    # only leaves word, by the one queue that is made for it, and another thread stops. None ends that thread.
    word: SimpleQueue[int | None] = SimpleQueue()

    def end(number: int, _frame: FrameType | None) -> None:
        word.put(number)

    def listen() -> None:
        while word.get() is not None:
            stop()

    listener = threading.Thread(target=listen, name="connector-signals", daemon=True)
    listener.start()
    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        word.put(None)
        listener.join()
