"""The base of both clients: every request as steps, without threads or event loops."""

import contextlib
import dataclasses
import functools
import math
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from asr_contract.names import RESERVED_ENDS

from asr_client import _audio, _fork, _options
from asr_client._address import checked_addresses, checked_headers
from asr_client._audio import Audio, AudioSource, Encoding, Pieces
from asr_client._calls import protocol as _protocol
from asr_client._calls import retry as _retry
from asr_client._calls.live import Chunk, Live
from asr_client._calls.long import LongRecording, OnSegment
from asr_client._calls.protocol import DescribeModel, ListModels, ModelReady, Operation, ServerReady
from asr_client._calls.steps import Read, Steps
from asr_client._errors import (
    AsrError,
    AudioTooLong,
    ClientClosed,
    DeadlineExceeded,
    InvalidAudio,
    InvalidOption,
    MessageTooLarge,
    ModelMismatch,
    ModelNotFound,
    ProcessForked,
    ServerUnavailable,
)
from asr_client._options import DecodeOptions, RetryPolicy, Tls
from asr_client._results import Outcome, Transcription
from asr_client._transports.base import AsyncTransport, Endpoint, Transport

READY_TIMEOUT_S = 5.0  # a server that takes longer to answer is not ready
DEFAULT_RETRY = RetryPolicy()

_LONG_ATTEMPTS = 5
_NO_RETRY = RetryPolicy(max_attempts=1)

AnyTransport = TypeVar("AnyTransport", Transport, AsyncTransport)


class Core(Generic[AnyTransport]):
    """The settings of a client, and the steps of all its methods."""

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        protocol: _options.Protocol = "grpc",
        model: str = _options.DEFAULT_MODEL,
        model_version: str = "",
        timeout_s: float = _options.DEFAULT_TIMEOUT_S,
        retry: RetryPolicy = DEFAULT_RETRY,
        tls: Tls | bool = False,
        headers: Mapping[str, str] | None = None,
        max_message_bytes: int = _options.DEFAULT_MAX_MESSAGE_BYTES,
        transport: AnyTransport | None = None,
    ) -> None:
        """Prepare a client; it connects with the first request.

        Args:
            url: HOST:PORT, without a scheme; by default 127.0.0.1 and Triton's port for the protocol (8001, 8000). Or
                several servers with the same models, as a list: each request goes to the one with the fewest under way.
            protocol: "grpc" or "http".
            model: name of the ensemble, as in `triton-asr export --name`.
            model_version: a version of it; "" leaves the choice to the server.
            timeout_s: seconds that a request may take, retries included; `math.inf` for no limit.
            retry: when to send a request again.
            tls: True for an encrypted connection that trusts the system's authorities, or a `Tls`.
            headers: sent with every request (as metadata by gRPC), for authentication and tracing.
            max_message_bytes: largest message in either direction; a longer recording is refused before it is sent.
            transport: takes the place of the network in tests; see `asr_client.testing`.

        Raises:
            InvalidOption: an argument is not valid.
        """
        if protocol not in _options.PROTOCOLS:
            raise InvalidOption(f"protocol is {protocol!r}; needs one of {', '.join(_options.PROTOCOLS)}")
        if not _audio.MESSAGE_OVERHEAD_BYTES < max_message_bytes < 2**31:
            raise InvalidOption(
                f"max_message_bytes is {max_message_bytes}; needs more than {_audio.MESSAGE_OVERHEAD_BYTES} and less "
                "than 2 GiB, the limit of gRPC and Triton"
            )
        endpoint = functools.partial(
            Endpoint,
            protocol=protocol,
            tls=Tls() if tls is True else tls or None,
            headers=checked_headers(headers),
            max_message_bytes=max_message_bytes,
        )
        self._endpoints = tuple(endpoint(address) for address in checked_addresses(url, protocol))
        self._model = model
        self._model_version = model_version
        self._timeout_s = _seconds(timeout_s)
        self._retry = retry
        # A long recording has no deadline as a whole, so a number bounds its retries.
        self._long_retry = dataclasses.replace(retry, max_attempts=retry.max_attempts or _LONG_ATTEMPTS)
        self._given_transport: AnyTransport | None = transport
        self._begin()
        _fork.register(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes a copy, mostly in another process: it has the same settings, and its own connections."""
        if self._given_transport is not None:
            raise TypeError(f"{self!r} was given its transport, and cannot be pickled or copied")
        endpoint = self._endpoints[0]  # they differ in their address
        settings: dict[str, Any] = {
            "protocol": endpoint.protocol,
            "model": self._model,
            "model_version": self._model_version,
            "timeout_s": self._timeout_s,
            "retry": self._retry,
            "tls": endpoint.tls or False,
            "headers": endpoint.headers,
            "max_message_bytes": endpoint.max_message_bytes,
        }
        return functools.partial(type(self), [each.address for each in self._endpoints], **settings), ()

    def _begin(self) -> None:
        """Reset the client: no connection, and no request under way."""
        self._retry_state = _retry.RetryState(self._retry)
        self._transport: AnyTransport | None = self._given_transport
        self._lock = threading.Lock()  # for the opening and closing of the transport
        self._closing = threading.Event()

    def after_fork(self) -> None:
        """Reset the client in a forked process: the parent owns the connection, and its threads may hold a lock."""
        was_closed = self._closing.is_set()
        self._begin()
        if was_closed:
            self._closing.set()

    def __repr__(self) -> str:
        state = "closed" if self._closing.is_set() else "open"
        others = "".join(f", {endpoint.address}" for endpoint in self._endpoints[1:])
        return f"<{type(self).__name__} {state}: model {self._model!r} of the {self._endpoints[0]}{others}>"

    def _transcription(
        self, audio: Audio, options: DecodeOptions, timeout_s: float | None, on_segment: OnSegment | None = None
    ) -> Steps[Transcription]:
        try:
            payload = yield Read(lambda: _audio.load(audio, self._max_message_bytes))
        except MessageTooLarge as error:
            pieces = _audio.pieces(audio)
            if pieces is None or not self._opened().supports_streams:
                raise
            return (yield from self._long(pieces, options, timeout_s, on_segment, error))
        request = _protocol.infer(self._model, self._model_version, payload, options)
        try:
            tensors = yield from self._ask(request, timeout_s)
        except (AudioTooLong, MessageTooLarge) as error:
            if not self._opened().supports_streams:
                raise
            return (yield from self._long(payload.pieces(), options, timeout_s, on_segment, error))
        return _protocol.transcription(request, tensors)

    def _long(
        self,
        pieces: Pieces,
        options: DecodeOptions,
        timeout_s: float | None,
        on_segment: OnSegment | None,
        error: AsrError,
    ) -> Steps[Transcription]:
        """Return the transcript of a recording that was refused, with `error`, because of its length."""
        silence_s = self._timeout_s if timeout_s is None else _seconds(timeout_s)
        room = self._max_message_bytes - _audio.MESSAGE_OVERHEAD_BYTES
        recording = LongRecording(self._model, pieces, options, silence_s, room, on_segment)
        try:
            segments = yield from _retry.ask(recording, self._long_retry, self._retry_state, math.inf)
        except ModelNotFound:
            raise error from None
        return _protocol.joined(segments)

    def _live(
        self,
        chunks: Iterator[Chunk] | AsyncIterator[Chunk],
        sampling_rate: int,
        encoding: Encoding | None,
        channels: int | None,
        options: DecodeOptions,
        timeout_s: float | None,
    ) -> Live:
        silence_s = self._timeout_s if timeout_s is None else _seconds(timeout_s)
        return Live(self._model, chunks, sampling_rate, encoding, channels, options, silence_s)

    def _outcome(self, index: int, audio: Audio, options: DecodeOptions, timeout_s: float | None) -> Steps[Outcome]:
        source = audio.name or f"item {index}"
        try:
            transcription = yield from self._transcription(audio, options, timeout_s)
        except (ClientClosed, InvalidOption, ProcessForked):
            raise  # an error of the whole run, not of this item
        except AsrError as error:
            return Outcome(index, source, error=_without_tracebacks(error))
        return Outcome(index, source, transcription)

    def _readiness(self, operation: Operation[bool], timeout_s: float) -> Steps[bool]:
        try:
            ready: bool = yield from _retry.ask(operation, _NO_RETRY, self._retry_state, _seconds(timeout_s))
        except (ServerUnavailable, DeadlineExceeded):
            return False
        return ready

    def _server_readiness(self, timeout_s: float) -> Steps[bool]:
        return self._readiness(ServerReady(), timeout_s)

    def _model_readiness(self, timeout_s: float) -> Steps[bool]:
        return self._readiness(ModelReady(self._model, self._model_version), timeout_s)

    def _model_check(self, timeout_s: float | None) -> Steps[frozenset[str]]:
        try:
            description = yield from self._ask(DescribeModel(self._model, self._model_version), timeout_s)
        except ModelNotFound as error:
            names = yield from self._models_there()
            raise ModelNotFound(f"{error}{names}") from error
        _protocol.check_description(self._model, description)
        return frozenset(description.outputs)

    def _models_there(self) -> Steps[str]:
        """Return which models of this kit the server has, for a message; "" if it does not tell."""
        names = []
        try:
            for name in (yield from _retry.ask(ListModels(), _NO_RETRY, self._retry_state, READY_TIMEOUT_S)):
                if name.endswith(RESERVED_ENDS):  # one that callers do not name, such as NAME_long
                    continue
                with contextlib.suppress(ModelMismatch, ModelNotFound):  # of another kind, or unloaded just now
                    asked = DescribeModel(name, "")
                    description = yield from _retry.ask(asked, _NO_RETRY, self._retry_state, READY_TIMEOUT_S)
                    _protocol.check_description(name, description)
                    names.append(name)
        except AsrError:  # many servers keep their list to themselves
            return ""
        return f"; it has {', '.join(names)}" if names else "; it has no model of this kit"

    def _ask(self, operation: Operation[_protocol.Answer], timeout_s: float | None) -> Steps[_protocol.Answer]:
        timeout_s = self._timeout_s if timeout_s is None else _seconds(timeout_s)
        return _retry.ask(operation, self._retry, self._retry_state, timeout_s)

    def _opened(self) -> AnyTransport:
        """Return the transport; its first use opens it."""
        raise NotImplementedError

    @property
    def _max_message_bytes(self) -> int:
        return self._endpoints[0].max_message_bytes

    def _closed_error(self) -> ClientClosed:
        return ClientClosed("the client is closed: make a new one, or stay inside its `with` block")


def recording(
    audio: AudioSource | Audio,
    sampling_rate: int | None,
    encoding: Encoding | None,
    channels: int | None,
) -> Audio:
    """Return the audio with its format. Raise InvalidAudio if the format is given twice."""
    if not isinstance(audio, Audio):
        return Audio(audio, sampling_rate, encoding, channels)
    if (sampling_rate, encoding, channels) != (None, None, None):
        raise InvalidAudio("the format is given twice, in the Audio and as arguments; give it in the Audio only")
    return audio


def one_of_many(
    item: AudioSource | Audio, sampling_rate: int | None, encoding: Encoding | None, channels: int | None
) -> Audio:
    """Return the item with the format of all items; an `Audio` keeps its own format."""
    return item if isinstance(item, Audio) else Audio(item, sampling_rate, encoding, channels)


def _seconds(timeout_s: float) -> float:
    if not timeout_s > 0 or math.isnan(timeout_s):
        raise InvalidOption(f"timeout_s is {timeout_s!r}; needs seconds above 0, or math.inf for no limit")
    return float(timeout_s)


def _without_tracebacks(error: AsrError) -> AsrError:
    """Return the error without tracebacks, whose frames would keep the audio of every failed item in memory."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link.__context__ = None if link.__cause__ is None else link.__cause__
        link = link.__cause__
    return error
