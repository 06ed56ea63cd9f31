"""Callers who go: their work ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

Result = TypeVar("Result")


class CallerGone(Exception):
    """The caller closed the connection before the answer was complete."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of the work, or cancel it when the caller goes.

    Args:
        receive: of a request whose body has been read.
        work: what the caller waits for.

    Raises:
        CallerGone: the caller went first.
    """
    loop = asyncio.get_running_loop()
    leaving = loop.create_task(_disconnected(receive))
    limit = asyncio.timeout(None)  # the work stays in this task, which costs least
    is_waiting = True

    def leave(_: asyncio.Task[None]) -> None:
        if is_waiting:
            limit.reschedule(loop.time())

    leaving.add_done_callback(leave)
    try:
        async with limit:
            try:
                return await work
            finally:
                is_waiting = False
                leaving.cancel()
    except TimeoutError:
        if not limit.expired():
            raise
        leaving.result()
        raise CallerGone from None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
