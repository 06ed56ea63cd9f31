"""The base of both clients: every request as steps, without threads or event loops."""

import dataclasses
import functools
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Generic, Self

from asr_contract.parameters import StreamOptions, whole_only

from asr_client import _audio, _options, _uploads
from asr_client._address import checked_addresses, checked_headers
from asr_client._audio import Audio, AudioSource, Encoding, Payload, Pieces
from asr_client._calls import catalogue as _catalogue
from asr_client._calls import protocol as _protocol
from asr_client._calls import retry as _retry
from asr_client._calls.channels import separate
from asr_client._calls.limit import Limit
from asr_client._calls.live import Chunk, Live
from asr_client._calls.long import LongRecording, OnSegment
from asr_client._calls.protocol import DescribeModel, ModelReady, Operation, ServerReady
from asr_client._calls.shared import AnyTransport, Shared
from asr_client._calls.steps import Read, Steps
from asr_client._errors import (
    AsrError,
    AudioTooLong,
    ClientClosed,
    DeadlineExceeded,
    InvalidAudio,
    InvalidOption,
    MessageTooLarge,
    ModelNotFound,
    ProcessForked,
    ServerUnavailable,
)
from asr_client._options import DecodeOptions, RetryPolicy, Tls
from asr_client._results import ModelInfo, Outcome, Transcription
from asr_client._transports.base import CONNECTING_S, Endpoint

ChannelArgument = int | _options.Channels | None

READY_TIMEOUT_S = 5.0  # a server that takes longer to answer is not ready
DEFAULT_RETRY = RetryPolicy()

_LONG_ATTEMPTS = 5
_NO_RETRY = RetryPolicy(max_attempts=1)
_SHORTEST_TIMEOUT_S = 0.001  # for a question after the deadline of all


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
            connecting_s=min(CONNECTING_S, retry.max_wait_s or math.inf),
        )
        self._endpoints = tuple(endpoint(address) for address in checked_addresses(url, protocol))
        self._model = model
        self._model_version = model_version
        self._timeout_s = _seconds(timeout_s)
        self._retry = retry
        # A long recording has no deadline as a whole, so a number bounds its retries.
        self._long_retry = dataclasses.replace(retry, max_attempts=retry.max_attempts or _LONG_ATTEMPTS)
        self._shared: Shared[AnyTransport] = Shared(retry, transport)
        self._limit = Limit(model, model_version)
        self._owns_connection = True
        self._is_closed = False  # by itself; the connection may be closed as well

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes a copy, mostly in another process: it has the same settings, and its own connections."""
        if self._shared.given is not None:
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

    def with_model(self, name: str, version: str = "") -> Self:
        """Return a client for another model of the same servers. It costs no more than an object.

        Both have one connection, one budget of retries and one pace, and the same settings otherwise. When the new
        client is closed, nothing else is; when this one is closed, the new one is closed as well. A pickled or copied
        client has its own connection, wherever it came from.

        Args:
            name: of the ensemble, as in `Client(model=…)`; `models` has the names.
            version: as in `Client(model_version=…)`.

        Raises:
            ClientClosed: the client is closed.
        """
        if self._is_over:
            raise self._closed_error()
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._model, other._model_version, other._limit = name, version, Limit(name, version)
        other._owns_connection = False
        return other

    @property
    def _is_over(self) -> bool:
        """Return whether the client takes no more requests."""
        return self._is_closed or self._shared.closing.is_set()

    def __repr__(self) -> str:
        state = "closed" if self._is_over else "open"
        others = "".join(f", {endpoint.address}" for endpoint in self._endpoints[1:])
        return f"<{type(self).__name__} {state}: model {self._model!r} of the {self._endpoints[0]}{others}>"

    def _heard(
        self,
        audio: Audio,
        is_separate: bool,
        options: DecodeOptions,
        timeout_s: float | None,
        on_segment: OnSegment | None = None,
    ) -> Steps[Transcription]:
        """Return the transcript of a recording, of its channels together or of each."""
        if not is_separate:
            return self._transcription(audio, options, timeout_s, on_segment)

        def transcribe(audio: Audio, options: DecodeOptions, on_segment: OnSegment) -> Steps[Transcription]:
            return self._transcription(audio, options, timeout_s, on_segment)

        return separate(audio, options, transcribe, on_segment)

    def _transcription(
        self, audio: Audio, options: DecodeOptions, timeout_s: float | None, on_segment: OnSegment | None
    ) -> Steps[Transcription]:
        prepared = yield from self._prepared(audio, options, timeout_s)
        if isinstance(prepared, _uploads.InPieces):
            if not self._opened().supports_streams:
                raise prepared.reason
            return (yield from self._long(prepared.pieces, options, timeout_s, on_segment, prepared.reason))
        request = _protocol.infer(self._model, self._model_version, prepared, options)
        try:
            tensors = yield from self._ask(request, timeout_s)
        except (AudioTooLong, MessageTooLarge) as error:
            if not self._opened().supports_streams:
                raise
            self._limit.note(error)
            return (yield from self._long(prepared.pieces(), options, timeout_s, on_segment, error))
        return _protocol.transcription(request, tensors)

    def _prepared(
        self, audio: Audio, options: DecodeOptions, timeout_s: float | None
    ) -> Steps[Payload | _uploads.InPieces]:
        """Return the recording as it travels.

        A recording that is known to be too long for the model does not go there first. Its length may be a claim of its
        header, so a request with options that only that model has goes there in any case.
        """
        goes_first = bool(whole_only(options.parameters()))
        longest_s = None if goes_first else self._limit.longest_s
        prepare = functools.partial(_uploads.prepare, audio, self._max_message_bytes, longest_s)
        # Bytes are there: a thread for them would cost more than it does.
        prepared: Payload | _uploads.InPieces = prepare() if isinstance(audio.source, bytes) else (yield Read(prepare))
        if goes_first or not isinstance(prepared, Payload):
            return prepared
        if self._limit.matters(prepared) and self._opened().supports_streams:
            patience_s = self._timeout_s if timeout_s is None else _seconds(timeout_s)
            yield from self._limit.ask(self._shared.retry_state, min(READY_TIMEOUT_S, patience_s))
        return _uploads.divided(prepared, self._limit.longest_s)

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
            segments = yield from _retry.ask(recording, self._long_retry, self._shared.retry_state, math.inf)
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
        division: StreamOptions,
        timeout_s: float | None,
    ) -> Live:
        silence_s = self._timeout_s if timeout_s is None else _seconds(timeout_s)
        return Live(self._model, chunks, sampling_rate, encoding, channels, options, division, silence_s)

    def _outcome(
        self, index: int, audio: Audio, is_separate: bool, options: DecodeOptions, timeout_s: float | None
    ) -> Steps[Outcome]:
        source = audio.name or f"item {index}"
        try:
            transcription = yield from self._heard(audio, is_separate, options, timeout_s)
        except (ClientClosed, InvalidOption, ProcessForked):
            raise  # an error of the whole run, not of this item
        except AsrError as error:
            return Outcome(index, source, error=_without_tracebacks(error))
        return Outcome(index, source, transcription)

    def _readiness(self, operation: Operation[bool], timeout_s: float) -> Steps[bool]:
        try:
            ready: bool = yield from self._ask_once(operation, _seconds(timeout_s))
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
            there = yield from self._models_there()
            raise ModelNotFound(f"{error}{there}", public=f"there is no model {self._model!r}{there}") from error
        _protocol.check_description(self._model, description)
        return frozenset(description.outputs)

    def _models_there(self) -> Steps[str]:
        """Return which models of this kit the server has, for a message; "" if it does not tell."""
        try:
            models = yield from _catalogue.models(self._ask_once)
        except AsrError:  # many servers keep their list to themselves
            return ""
        return f"; it has {', '.join(model.name for model in models)}" if models else "; it has no model of this kit"

    def _models(self, timeout_s: float | None) -> Steps[tuple[ModelInfo, ...]]:
        timeout_s = self._timeout_s if timeout_s is None else _seconds(timeout_s)
        deadline = time.monotonic() + timeout_s

        def ask(operation: Operation[_protocol.Answer]) -> Steps[_protocol.Answer]:
            return self._ask(operation, max(deadline - time.monotonic(), _SHORTEST_TIMEOUT_S))

        try:
            return (yield from _catalogue.models(ask))
        except DeadlineExceeded as error:
            _retry.name_all_of(timeout_s, error)
            raise

    def _look(self, live: Live) -> Steps[None]:
        """Return the steps before a live stream: nobody hears it where nobody answers."""
        silence_s = math.inf if live.silence_s is None else live.silence_s
        return _retry.look(self._retry, self._shared.retry_state, silence_s)

    def _ask_once(
        self, operation: Operation[_protocol.Answer], timeout_s: float = READY_TIMEOUT_S
    ) -> Steps[_protocol.Answer]:
        return _retry.ask(operation, _NO_RETRY, self._shared.retry_state, timeout_s)

    def _ask(self, operation: Operation[_protocol.Answer], timeout_s: float | None) -> Steps[_protocol.Answer]:
        timeout_s = self._timeout_s if timeout_s is None else _seconds(timeout_s)
        return _retry.ask(operation, self._retry, self._shared.retry_state, timeout_s)

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
    channels: ChannelArgument,
) -> tuple[Audio, bool]:
    """Return the audio with its format, and whether its channels are heard one by one.

    Raises:
        InvalidAudio: the format is given twice.
        InvalidOption: `channels` is a word that says nothing.
    """
    count, is_separate = _channels(channels)
    if not isinstance(audio, Audio):
        return Audio(audio, sampling_rate, encoding, count), is_separate
    if (sampling_rate, encoding, count) != (None, None, None):
        raise InvalidAudio.for_anybody(
            "the format is given twice, in the Audio and as arguments; give it in the Audio only"
        )
    return audio, is_separate


def one_of_many(
    item: AudioSource | Audio, sampling_rate: int | None, encoding: Encoding | None, channels: ChannelArgument
) -> tuple[Audio, bool]:
    """Return what `recording` returns, with the format of all items; an `Audio` keeps its own format."""
    count, is_separate = _channels(channels)
    return item if isinstance(item, Audio) else Audio(item, sampling_rate, encoding, count), is_separate


def _channels(channels: ChannelArgument) -> tuple[int | None, bool]:
    """Return how many channels raw samples have, None if that is not given, and whether each is heard by itself."""
    if not isinstance(channels, str):
        return channels, False
    if channels not in _options.CHANNELS:
        words = ", ".join(map(repr, _options.CHANNELS))
        raise InvalidOption.for_anybody(
            f"channels is {channels!r}; needs {words}, or the number of channels of raw samples"
        )
    return None, channels == "separate"


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
