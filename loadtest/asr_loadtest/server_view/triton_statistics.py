"""Triton's statistics of a model and its members: inferences, executions, time in the queue and in compute.

Triton's counters only grow. Two readings, at the edges of a measurement, give what happened between them.
"""

import asyncio
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any

from asr_client import Tls
from asr_client._address import proxy_arguments

from asr_loadtest.results import MemberLoad

TIMEOUT_S = 10.0  # a server at its limit still answers this within milliseconds
ENSEMBLE_DEPTH = 8  # ensembles may hold ensembles; Triton refuses circles
# Parameters in which a model of this kit names the models that it calls, in the order of its calls.
ASKED_MODELS = ("preprocess", "acoustic", "ctc_decode", "whisper_generate")
WORDS_WIDTH = 200  # characters of a message; a server of another protocol may put its bytes there

_NS_PER_MS = 1e6


@dataclass(frozen=True)
class Counts:
    """The counters of one model since it was loaded, over all of its versions."""

    inferences: int = 0  # batch items that were computed
    executions: int = 0  # batches that were computed
    failures: int = 0  # requests
    queued: int = 0  # requests that left the queue for an instance
    queue_ns: int = 0
    computed: int = 0  # requests that took the following three times
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, item.name) - getattr(other, item.name) for item in fields(self)))


@dataclass(frozen=True)
class Snapshot:
    """The counters of all members at one moment, in order; empty where they cannot be read."""

    counts: Mapping[str, Counts] = field(default_factory=dict)
    note: str | None = None  # why they cannot be read


class MemberStatistics:
    """Reads the counters of a model and, when it is an ensemble, of its steps.

    No method raises for a server that has no statistics, refuses them or is down. Readings are then empty, and their
    note says why.

        async with MemberStatistics("127.0.0.1:8001", "grpc", "asr") as statistics:
            before = await statistics.read()
            ...
            members = difference(before, await statistics.read())

    Args:
        url: HOST:PORT.
        protocol: "grpc" or "http".
        model: an ensemble; or a plain model, which is its own first member, followed by those that it calls.
        tls: as `asr_client` takes it.
        headers: are sent with every request.
    """

    def __init__(
        self,
        url: str,
        protocol: str,
        model: str,
        *,
        tls: Tls | bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url, self._protocol, self._model = url, protocol, model
        self._tls = Tls() if tls is True else tls or None
        # gRPC refuses header names with capitals; HTTP does not care.
        self._headers = {name.lower(): value for name, value in (headers or {}).items()} or None
        self._client: Any = None
        self._members: tuple[str, ...] | None = None

    async def __aenter__(self) -> "MemberStatistics":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def server(self) -> str:
        """Return the server's name and version, such as "triton 2.51.0"; "unknown" where it does not give them."""
        try:
            metadata = await self._ask("get_server_metadata")
        except _failures():
            return "unknown"
        return f"{metadata.get('name', '')} {metadata.get('version', '')}".strip() or "unknown"

    async def members(self) -> tuple[str, ...]:
        """Return the steps of the ensemble in order, each once; empty where the server does not give them."""
        try:
            return await self._find_members()
        except _failures():
            return ()

    async def read(self) -> Snapshot:
        """Return the counters now; empty, with a note, where they cannot be read."""
        try:
            members = await self._find_members()
            # One request for all models reads the counters of all members at one moment.
            answer = await self._ask("get_inference_statistics")
        except _failures() as error:
            return Snapshot(note=f"the server gives no statistics: {_words(error)}")
        found: dict[str, Counts] = {}
        for model in answer.get("model_stats", ()):
            found[model["name"]] = found.get(model["name"], Counts()) + _counts(model)
        if not any(member in found for member in members):
            return Snapshot(note=f"the server gives no statistics of {', '.join(members)}")
        return Snapshot({member: found.get(member, Counts()) for member in members})

    async def aclose(self) -> None:
        """Close the connection."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _find_members(self) -> tuple[str, ...]:
        if self._members is None:
            self._members = tuple(dict.fromkeys(await self._steps(self._model, ENSEMBLE_DEPTH)))
        return self._members

    async def parameters(self) -> dict[str, str]:
        """Return the parameters of the model's configuration; empty where the server does not give them."""
        try:
            return parameters_of(await self._config(self._model))
        except _failures():
            return {}

    async def _steps(self, model: str, depth: int) -> list[str]:
        config = await self._config(model)
        steps = config.get("ensemble_scheduling", {}).get("step", [])
        if not steps or not depth:
            parameters = parameters_of(config)
            return [model, *(parameters[name] for name in ASKED_MODELS if name in parameters)]
        return [member for step in steps for member in await self._steps(step["model_name"], depth - 1)]

    async def _config(self, model: str) -> dict[str, Any]:
        return _unwrapped(await self._ask("get_model_config", model_name=model))

    async def _ask(self, method: str, **arguments: str) -> dict[str, Any]:
        if self._client is None:
            self._client = self._open()
        as_json = {"as_json": True} if self._protocol == "grpc" else {}
        call = getattr(self._client, method)(**arguments, **as_json, headers=self._headers)
        answer: dict[str, Any] = await asyncio.wait_for(call, TIMEOUT_S)
        return answer

    def _open(self) -> Any:
        tls = self._tls
        if self._protocol == "grpc":
            import tritonclient.grpc.aio as triton_grpc

            return triton_grpc.InferenceServerClient(
                self._url,
                ssl=tls is not None,
                root_certificates=tls and tls.ca_file,
                private_key=tls and tls.key_file,
                certificate_chain=tls and tls.cert_file,
                channel_args=proxy_arguments(self._url) or None,
            )
        import tritonclient.http.aio as triton_http
        from asr_client._transports.http import ssl_context

        return triton_http.InferenceServerClient(
            self._url, ssl=tls is not None, ssl_context=ssl_context(tls) if tls else True
        )


def difference(before: Snapshot, after: Snapshot) -> tuple[MemberLoad, ...]:
    """Return what the members did between two readings, in their order; empty when one reading is empty.

    A server that was restarted in between counts from 0 again. The result is then what they did since the restart.
    """
    return tuple(
        _load(model, _since(before.counts[model], counts))
        for model, counts in after.counts.items()
        if model in before.counts
    )


def parameters_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a model's configuration, given in the form that tritonclient returns."""
    parameters = _unwrapped(config).get("parameters", {})
    return {name: str(value.get("string_value", "")) for name, value in parameters.items()}


def _unwrapped(config: Mapping[str, Any]) -> dict[str, Any]:
    return dict(config.get("config", config))  # gRPC wraps the configuration


def _since(before: Counts, after: Counts) -> Counts:
    restarted = after.inferences < before.inferences or after.failures < before.failures
    return after if restarted else after - before


def _load(model: str, counts: Counts) -> MemberLoad:
    return MemberLoad(
        model=model,
        inferences=counts.inferences,
        executions=counts.executions,
        failures=counts.failures,
        average_batch=_ratio(counts.inferences, counts.executions),
        queue_ms=_ratio(counts.queue_ns, counts.queued) / _NS_PER_MS,
        input_ms=_ratio(counts.input_ns, counts.computed) / _NS_PER_MS,
        infer_ms=_ratio(counts.infer_ns, counts.computed) / _NS_PER_MS,
        output_ms=_ratio(counts.output_ns, counts.computed) / _NS_PER_MS,
    )


def _counts(model: Mapping[str, Any]) -> Counts:
    """Return the counters of one version. gRPC's JSON holds them as strings, and leaves out those that are 0."""
    statistics = model.get("inference_stats", {})

    def of(name: str, key: str) -> int:
        return int(statistics.get(name, {}).get(key, 0))

    return Counts(
        inferences=int(model.get("inference_count", 0)),
        executions=int(model.get("execution_count", 0)),
        failures=of("fail", "count"),
        queued=of("queue", "count"),
        queue_ns=of("queue", "ns"),
        computed=of("compute_infer", "count"),
        input_ns=of("compute_input", "ns"),
        infer_ns=of("compute_infer", "ns"),
        output_ns=of("compute_output", "ns"),
    )


def _ratio(total: float, number: int) -> float:
    return total / number if number else 0.0


def _failures() -> tuple[type[Exception], ...]:
    """Return the errors of a question to a server: it refuses, is not there, does not answer, or is not Triton."""
    from aiohttp import ClientError
    from tritonclient.utils import InferenceServerException

    return (InferenceServerException, ClientError, OSError, TimeoutError, ValueError)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return textwrap.shorten(str(error), WORDS_WIDTH, placeholder=" …") or type(error).__name__
