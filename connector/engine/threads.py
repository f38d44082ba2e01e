"""Work in threads that do not hold the process up.

Lives here: `in_thread`. Does not live here: what is worked.

The threads of the standard library's pools are waited for when the process ends, however long that takes. These are
not: an engine that may not wait any longer leaves them, and they go with the process as if it had been killed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], name: str) -> T:
    """Do something in a thread of its own and return what it returns; when this is cancelled the thread goes on."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(how: Callable[[Any], None], what: object) -> None:
        if not done.done():
            how(what)

    def body() -> None:
        told: tuple[Callable[[Any], None], object]
        try:
            told = (done.set_result, work())
        except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
            told = (done.set_exception, error)
        with suppress(RuntimeError):  # nobody waits any more: the loop has ended
            loop.call_soon_threadsafe(tell, *told)

    threading.Thread(target=body, name=name, daemon=True).start()
    return await done
