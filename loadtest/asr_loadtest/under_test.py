"""The server under test: how it takes a recording, what watches it, and what the report says about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from asr_client import AsyncClient, RetryPolicy, Transcription
from asr_client.commands.connection import Connection

from asr_loadtest.openai.caller import OpenAICaller
from asr_loadtest.openai.endpoint import Endpoint
from asr_loadtest.recordings import Recording
from asr_loadtest.results import Target
from asr_loadtest.server_view.probes import ResourceProbe, ServerProbe, TritonProbe
from asr_loadtest.server_view.resources import Resources
from asr_loadtest.server_view.triton_statistics import MemberStatistics

# A second attempt would be load beside the schedule, and would hide that the first one failed.
NO_RETRIES = RetryPolicy(max_attempts=1)


class UnderTest(Protocol):
    """A server that takes requests."""

    @property
    def probe(self) -> ServerProbe:
        """Return what watches it during a step."""

    async def transcribe(self, recording: Recording) -> Transcription:
        """Return the transcript of a recording, without retries; raise AsrError."""

    async def target(self) -> Target:
        """Return what the report says about it."""


@dataclass(frozen=True)
class Triton:
    """A server of this kit, asked by the kit's client. `triton` opens one."""

    client: AsyncClient
    statistics: MemberStatistics
    probe: TritonProbe
    connection: Connection
    model: str
    is_local: bool

    async def transcribe(self, recording: Recording) -> Transcription:
        """See UnderTest."""
        return await self.client.transcribe(recording.audio)

    async def target(self) -> Target:
        """See UnderTest."""
        return Target(
            url=self.connection.address,
            protocol=self.connection.protocol,
            model=self.model,
            members=await self.statistics.members(),
            server=await self.statistics.server(),
            local=self.is_local,
        )


@dataclass(frozen=True)
class OpenAIService:
    """The kit's gateway, or another service that speaks OpenAI's protocol. `openai_service` opens one.

    Its models are not known. What is watched is the process that listens, which of the kit is the gateway's own.
    """

    caller: OpenAICaller
    probe: ResourceProbe
    endpoint: Endpoint
    owner: str
    is_local: bool

    async def transcribe(self, recording: Recording) -> Transcription:
        """See UnderTest."""
        return await self.caller.transcribe(recording.audio)

    async def target(self) -> Target:
        """See UnderTest."""
        return Target(
            url=self.endpoint.api,
            protocol=self.endpoint.protocol,
            model=self.endpoint.model,
            members=(),
            server=self.owner or "unknown",
            local=self.is_local,
        )


@asynccontextmanager
async def triton(connection: Connection, model: str, metrics_url: str | None) -> AsyncIterator[Triton]:
    """Open the connections to a server of this kit, and close them after the block.

    Args:
        connection: to the server.
        model: of the report and of the statistics; of live streams not that of requests.
        metrics_url: HOST:PORT of the metrics of its GPUs; None: GPUs are not watched.

    Raises:
        AsrError: the server does not answer, or the model is not there.
    """
    async with (
        connection.async_client(NO_RETRIES) as client,
        MemberStatistics(
            connection.address,
            connection.protocol,
            model,
            tls=connection.security,
            headers=connection.header_fields,
        ) as statistics,
    ):
        await client.check_model()
        resources = Resources(connection.address, metrics_url)
        probe = TritonProbe(statistics, resources)
        yield Triton(client, statistics, probe, connection, model, resources.local)


@asynccontextmanager
async def openai_service(endpoint: Endpoint) -> AsyncIterator[OpenAIService]:
    """Open the connections to a service, and close them after the block.

    Raises:
        AsrError: the service does not answer, refuses the key, or has no such model.
    """
    async with OpenAICaller(endpoint) as caller:
        owner = await caller.check_model()
        resources = Resources(endpoint.address)
        yield OpenAIService(caller, ResourceProbe(resources), endpoint, owner, resources.local)
