"""Runs a test's call by either client."""

import asyncio
from typing import Any

from asr_client import AsyncClient, Client, RetryPolicy

QUICK = RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.001)


class Caller:
    """Calls one method of a fresh client: a `Client`, or an `AsyncClient` in an event loop of its own."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def __call__(self, url: str, protocol: str, method: str, *arguments: Any, **named: Any) -> Any:
        """Settings of the client are given as `client={...}`, the rest goes to the method."""
        settings = {"protocol": protocol, "retry": QUICK, **named.pop("client", {})}
        if not self.is_async:
            with Client(url, **settings) as client:
                return getattr(client, method)(*arguments, **named)

        async def call() -> Any:
            async with AsyncClient(url, **settings) as client:
                return await getattr(client, method)(*arguments, **named)

        return asyncio.run(call())
