"""Several reads in one HTTP call.

Lives here: sending a batch and taking its answer apart. Does not live here: which calls may be in one (`session`),
what an error means (`errors`).

Only for what may be repeated: a batch whose answer is lost is sent again as a whole. The library's own way to a batch
ignores `endpoint`, so the address is given here. Source: reference apis 2.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from googleapiclient.errors import BatchError, HttpError
from googleapiclient.http import BatchHttpRequest, HttpRequest

from adapters.gmail.api import Api
from adapters.gmail.transport import Transport

#: Calls in one batch: Google takes 100 and recommends no more than 50.
LARGEST_BATCH = 50


class GarbledBatch(Exception):  # noqa: N818 - named for what it tells
    """The answer is no batch, or lacks one of its parts."""


def send_batch(api: Api, transport: Transport, requests: Sequence[HttpRequest]) -> list[Any | HttpError]:
    """Send reads as one call; return the answer or the error of each, in order.

    Raises `HttpError` when the whole batch was refused, `GarbledBatch`, and the errors of `requests`.
    """
    answers: dict[str, Any | HttpError] = {}

    def take(number: str, answer: Any, error: HttpError | None) -> None:
        answers[number] = answer if error is None else error

    batch = BatchHttpRequest(callback=take, batch_uri=f"{api.base}/batch/gmail/v1")
    for number, request in enumerate(requests):
        batch.add(request, request_id=str(number))
    try:
        batch.execute(http=transport)
        return [answers[str(number)] for number in range(len(requests))]
    except BatchError as error:
        raise GarbledBatch from error
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, OSError):
            raise  # the line: some of its errors are derived from ValueError as well
        raise GarbledBatch from error
