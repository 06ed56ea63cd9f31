"""The clients: the steps of `_calls.core`, done by blocking or by awaiting."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Unpack

from asr_contract.parameters import DecodeParameters

from asr_client._audio import Audio, AudioSource, Encoding
from asr_client._calls import batch as _batch
from asr_client._calls.core import READY_TIMEOUT_S, Core, one_of_many, recording
from asr_client._calls.live import AnyChunks, Chunks, Live
from asr_client._calls.long import OnSegment
from asr_client._calls.protocol import Answer, Operation
from asr_client._calls.steps import END, Dialogue, Give, Hear, Next, Pause, Read, Result, Run, Send, Step, Steps
from asr_client._errors import AsrError, InvalidOption
from asr_client._options import DEFAULT_CONCURRENCY, DEFAULT_OPTIONS, DecodeOptions, decode_options
from asr_client._results import Outcome, StreamResult, Transcription
from asr_client._transports.base import AsyncTransport, Transport
from asr_client._transports.opening import open_async_transport, open_transport


class Client(Core[Transport]):
    """Transcribes recordings by a server; safe to share between threads.

    with Client("localhost:8001") as client:
        print(client.transcribe("speech.wav").text)
    """

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def transcribe(
        self,
        audio: AudioSource | Audio,
        *,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        on_segment: OnSegment | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Transcription:
        """The transcript of one recording.

        Args:
            audio: path, bytes or binary file object of an audio file; or a numpy array `[samples]` or
                `[samples, channels]` of floats within ±1, int16, int32 (full scale) or uint8 (offset 128).
            sampling_rate: in Hz; needed by arrays and raw PCM, refused for files, whose header tells it.
            encoding: "pcm_s16le" or "pcm_f32le" when a path, bytes or a file object hold raw PCM.
            channels: of raw PCM, interleaved; 1 by default.
            options: how the server is to decode, for many calls.
            timeout_s: seconds from the first attempt, retries included; by default the client's. Of a long recording:
                how long the server may say nothing.
            on_segment: called in this thread with each segment of a long recording, a `Transcription` whose `duration`
                is how far the server has come. Long is what the model does not take at once: over gRPC it goes to the
                server in pieces, and is transcribed there window by window.
            decoding: any field of `DecodeOptions`, such as `hotwords=["acme"]`; goes before `options`.

        Raises:
            TypeError: there is no such option.
            InvalidAudio: the recording cannot be sent.
            InvalidRequest: the server refuses it.
            AsrError: another branch of the error tree.
        """
        audio = recording(audio, sampling_rate, encoding, channels)
        decode = decode_options("transcribe", options, decoding)
        return self._run(self._transcription(audio, decode, timeout_s, on_segment))

    def transcribe_iter(
        self,
        items: Iterable[AudioSource | Audio],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: _batch.OnProgress | None = None,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Iterator[Outcome]:
        """The transcripts of any number of recordings, one at a time and in their order.

        An item that fails has its error in its outcome; the others go on.

        Args:
            items: paths and whatever else `transcribe` takes. Read as requests become free: at most `concurrency`
                recordings are in memory.
            concurrency: requests under way at a time; twice the server's largest batch keeps it busy.
            on_progress: called in this thread with each outcome as it comes, which may be out of order.
            sampling_rate: as in `transcribe`, of all items; one that is an `Audio` has its own format.
            encoding: likewise.
            channels: likewise.
            options: as in `transcribe`.
            timeout_s: for each item, from its own first attempt.
            decoding: as in `transcribe`.

        Raises:
            TypeError: there is no such decoding option.
            InvalidOption: `items` is a single recording, or `concurrency` is below 1.
            ClientClosed: the client was closed meanwhile.
        """
        _batch.check(items, concurrency)
        decode = decode_options("transcribe_iter", options, decoding)

        def steps(index: int, item: AudioSource | Audio) -> Steps[Outcome]:
            return self._outcome(index, one_of_many(item, sampling_rate, encoding, channels), decode, timeout_s)

        return _batch.in_threads(
            items,
            lambda index, item: self._run(steps(index, item)),
            concurrency,
            on_progress,
        )

    def transcribe_many(
        self,
        items: Iterable[AudioSource | Audio],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: _batch.OnProgress | None = None,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> list[Outcome]:
        """`transcribe_iter` as a list."""
        return list(
            self.transcribe_iter(
                items,
                concurrency=concurrency,
                on_progress=on_progress,
                sampling_rate=sampling_rate,
                encoding=encoding,
                channels=channels,
                options=decode_options("transcribe_many", options, decoding),
                timeout_s=timeout_s,
            )
        )

    def stream(
        self,
        chunks: Chunks,
        *,
        sampling_rate: int,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Generator[StreamResult, None, None]:
        """Yield what is being said, while it is being said.

        Each chunk is sent when it comes, small ones together, and what the server makes of it is given at once. A
        result that is not final takes the place of the one before; a final one is a segment that is over. Leave it
        early by `break` or `close()`: the server then forgets the stream.

        Args:
            chunks: raw samples of any length: bytes, or numpy arrays as in `transcribe`.
            sampling_rate: Hz.
            encoding: of bytes, "pcm_s16le" (the default) or "pcm_f32le".
            channels: of bytes, interleaved; 1 by default.
            options: how the server is to decode final segments.
            timeout_s: how long the server may take for a piece; by default the client's.
            decoding: any field of `DecodeOptions`, as in `transcribe`.

        Raises:
            TypeError: there is no such decoding option.
            InvalidAudio: a chunk that is not what it should be.
            InvalidOption: over HTTP.
            StreamLost: nothing was sent for so long that the server has forgotten the stream.
            AsrError: another branch of the error tree. Nothing is retried: what was said before is gone.
        """
        decode = decode_options("stream", options, decoding)
        return self._given(self._live(iter(chunks), sampling_rate, encoding, channels, decode, timeout_s))

    def server_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Return whether the server takes requests; False, too, when nobody answers within `timeout_s` seconds."""
        return self._run(self._server_readiness(timeout_s))

    def model_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Whether the client's model takes requests; False, too, when nobody answers within `timeout_s` seconds."""
        return self._run(self._model_readiness(timeout_s))

    def check_model(self, *, timeout_s: float | None = None) -> frozenset[str]:
        """Make sure that the model has the inputs and outputs of this kit's ensemble.

        Returns:
            The names of all its outputs; LANGUAGE is among those of a Whisper.

        Raises:
            ModelMismatch: it has not; the message names every difference.
            ModelNotFound: there is no such model.
            AsrError: another branch of the error tree.
        """
        return self._run(self._model_check(timeout_s))

    def close(self) -> None:
        """Close the connections; requests under way in other threads fail with ClientClosed."""
        self._closing.set()
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _run(self, steps: Steps[Result]) -> Result:
        """Do the steps, one after the other, in this thread."""
        with closing(Run(steps)) as run:
            while run.step is not None:
                self._proceed(run, run.step)
            return run.result

    def _given(self, live: Live) -> Generator[StreamResult, None, None]:
        """Do the steps of a dialogue, and give what they give."""
        with (
            closing(self._opened().open_stream(live.silence_s)) as stream,
            closing(Run(live.steps(stream))) as run,
        ):
            while (step := run.step) is not None:
                if isinstance(step, Give):
                    yield step.value
                    run.succeed(None)
                else:
                    self._proceed(run, step)

    def _proceed(self, run: Run[Any], step: Step) -> None:
        try:
            value = self._do(step)
        except AsrError as error:
            run.fail(self._closed_error() if self._closing.is_set() else error)
        else:
            run.succeed(value)

    def _do(self, step: Step) -> Any:
        match step:
            case Read(function):
                return function()
            case Pause(seconds):
                self._closing.wait(seconds)
                return None
            case Hear(stream):
                return stream.receive()
            case Next(source):
                return next(source, END)  # type: ignore[arg-type]
            case Send(operation, timeout_s) if isinstance(operation, Dialogue):
                del timeout_s  # a dialogue lasts as long as the server says something
                with closing(self._opened().open_stream(operation.silence_s)) as stream:
                    return self._run(operation.steps(stream))
            case Send(operation, timeout_s):
                return self._opened().send(operation, timeout_s)
            case _:
                raise TypeError(f"unknown step {step!r}")

    def _opened(self) -> Transport:
        with self._lock:
            if self._closing.is_set():
                raise self._closed_error()
            if self._transport is None:
                self._transport = open_transport(self._endpoint)
            return self._transport


class AsyncClient(Core[AsyncTransport]):
    """`Client` for asyncio: the same methods, to be awaited, in one event loop at a time.

    async with AsyncClient("localhost:8001") as client:
        print((await client.transcribe("speech.wav")).text)
    """

    _loop: asyncio.AbstractEventLoop | None = None  # that the connections belong to

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def transcribe(
        self,
        audio: AudioSource | Audio,
        *,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        on_segment: OnSegment | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Transcription:
        """See `Client.transcribe`. Files are read in a thread."""
        audio = recording(audio, sampling_rate, encoding, channels)
        decode = decode_options("transcribe", options, decoding)
        return await self._run(self._transcription(audio, decode, timeout_s, on_segment))

    def transcribe_iter(
        self,
        items: Iterable[AudioSource | Audio] | AsyncIterable[AudioSource | Audio],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: _batch.OnProgress | None = None,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> AsyncIterator[Outcome]:
        """See `Client.transcribe_iter`; for `async for`, and of async iterables too."""
        _batch.check(items, concurrency)
        decode = decode_options("transcribe_iter", options, decoding)

        def steps(index: int, item: AudioSource | Audio) -> Steps[Outcome]:
            return self._outcome(index, one_of_many(item, sampling_rate, encoding, channels), decode, timeout_s)

        return _batch.in_tasks(
            items,
            lambda index, item: self._run(steps(index, item)),
            concurrency,
            on_progress,
        )

    async def transcribe_many(
        self,
        items: Iterable[AudioSource | Audio] | AsyncIterable[AudioSource | Audio],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: _batch.OnProgress | None = None,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> list[Outcome]:
        """`transcribe_iter` as a list."""
        outcomes = self.transcribe_iter(
            items,
            concurrency=concurrency,
            on_progress=on_progress,
            sampling_rate=sampling_rate,
            encoding=encoding,
            channels=channels,
            options=decode_options("transcribe_many", options, decoding),
            timeout_s=timeout_s,
        )
        return [outcome async for outcome in outcomes]

    def stream(
        self,
        chunks: AnyChunks,
        *,
        sampling_rate: int,
        encoding: Encoding | None = None,
        channels: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> AsyncGenerator[StreamResult, None]:
        """See `Client.stream`; for `async for`, and of async iterables too. Leave it early by `aclose()`."""
        decode = decode_options("stream", options, decoding)
        source = _batch.asynchronous(chunks)
        return self._given(self._live(source, sampling_rate, encoding, channels, decode, timeout_s))

    async def server_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """See `Client.server_ready`."""
        return await self._run(self._server_readiness(timeout_s))

    async def model_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """See `Client.model_ready`."""
        return await self._run(self._model_readiness(timeout_s))

    async def check_model(self, *, timeout_s: float | None = None) -> frozenset[str]:
        """See `Client.check_model`."""
        return await self._run(self._model_check(timeout_s))

    async def aclose(self) -> None:
        """Close the connections; requests under way in other tasks fail with ClientClosed."""
        self._closing.set()
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def _run(self, steps: Steps[Result]) -> Result:
        """Do the steps, one after the other, in this task."""
        with closing(Run(steps)) as run:
            while run.step is not None:
                await self._proceed(run, run.step)
            return run.result

    async def _given(self, live: Live) -> AsyncGenerator[StreamResult, None]:
        """Do the steps of a dialogue, and give what they give."""
        async with aclosing(self._opened().open_stream(live.silence_s)) as stream:
            with closing(Run(live.steps(stream))) as run:
                while (step := run.step) is not None:
                    if isinstance(step, Give):
                        yield step.value
                        run.succeed(None)
                    else:
                        await self._proceed(run, step)

    async def _proceed(self, run: Run[Any], step: Step) -> None:
        try:
            value = await self._do(step)
        except AsrError as error:
            run.fail(self._closed_error() if self._closing.is_set() else error)
        else:
            run.succeed(value)

    async def _do(self, step: Step) -> Any:
        match step:
            case Read(function):
                return await asyncio.to_thread(function)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Hear(stream):
                return await stream.receive()  # type: ignore[misc]
            case Next(source):
                return await anext(source, END)  # type: ignore[arg-type]
            case Send(operation, timeout_s) if isinstance(operation, Dialogue):
                del timeout_s  # a dialogue lasts as long as the server says something
                async with aclosing(self._opened().open_stream(operation.silence_s)) as stream:
                    return await self._run(operation.steps(stream))
            case Send(operation, timeout_s):
                return await self._send(operation, timeout_s)
            case _:
                raise TypeError(f"unknown step {step!r}")

    async def _send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        try:
            return await self._opened().send(operation, timeout_s)
        except asyncio.CancelledError as error:
            # Closing a connection cancels what waits for it: that is not this task's own cancellation.
            if self._closing.is_set() and not _is_cancelled(asyncio.current_task()):
                raise self._closed_error() from error
            raise

    def _opened(self) -> AsyncTransport:
        if self._closing.is_set():
            raise self._closed_error()
        loop = asyncio.get_running_loop()
        if self._transport is not None and self._loop not in (None, loop):
            if self._loop is not None and not self._loop.is_closed():
                raise InvalidOption("the AsyncClient is in use in another event loop; make one for each loop")
            self._transport = None  # each asyncio.run has a loop of its own, and connections end with theirs
        if self._transport is None:
            self._transport, self._loop = open_async_transport(self._endpoint), loop
        return self._transport


def _is_cancelled(task: "asyncio.Task[Any] | None") -> bool:
    """Return whether somebody asked the task to end."""
    return task is not None and task.cancelling() > 0
