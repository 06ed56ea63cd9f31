"""The two clients, which do the steps of `_calls.core` by blocking or by awaiting."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Unpack

from asr_contract.parameters import DecodeParameters, StreamOptions

from asr_client._audio import Audio, AudioSource, Encoding
from asr_client._calls import batch as _batch
from asr_client._calls.core import READY_TIMEOUT_S, ChannelArgument, Core, one_of_many, recording
from asr_client._calls.live import AnyChunks, Chunks, Live
from asr_client._calls.long import OnSegment
from asr_client._calls.protocol import Answer, Operation
from asr_client._calls.steps import (
    END,
    Dialogue,
    Give,
    Hear,
    Next,
    Pause,
    Read,
    Result,
    Run,
    Send,
    Step,
    Steps,
    Together,
)
from asr_client._errors import AsrError, InvalidOption
from asr_client._options import DEFAULT_CONCURRENCY, DEFAULT_OPTIONS, DecodeOptions, decode_options
from asr_client._results import ModelInfo, Outcome, StreamResult, Transcription
from asr_client._transports.base import AsyncTransport, Transport
from asr_client._transports.opening import open_async_transport, open_transport


class Client(Core[Transport]):
    """Transcribes recordings with a server. Threads may share a client.

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
        channels: ChannelArgument = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        on_segment: OnSegment | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Transcription:
        """Return the transcript of one recording.

        Args:
            audio: path, bytes or binary file object of an audio file; or a numpy array `[samples]` or
                `[samples, channels]` of floats within ±1, int16, int32 (full scale) or uint8 (offset 128). A file
                object may be of any size, and need not be able to go back.
            sampling_rate: in Hz; required for arrays and raw PCM, not allowed for files, whose header has it.
            encoding: "pcm_s16le" or "pcm_f32le" when a path, bytes or a file object hold raw PCM.
            channels: of raw PCM, interleaved; 1 by default. Or "separate": each channel is a speaker, and all are
                transcribed at the same time, each by itself. The transcript is merged in time, and its words and
                segments have the `speaker`, "0" for the first channel. "mixed" is the default. For raw PCM, give the
                number in an `Audio`.
            options: how the server decodes; many calls can share it.
            timeout_s: seconds from the first attempt, retries included; by default the client's. For a long recording:
                the longest time without an answer of the server.
            on_segment: called in this thread with each segment of a long recording: a `Transcription` whose `duration`
                is the seconds that are done. A recording is long when the model does not take it at once. Over gRPC
                the client then sends it in pieces, and the server transcribes it window by window. With separate
                channels it gets parts of the merged transcript, in other threads, but one after the other.
            decoding: any field of `DecodeOptions`, such as `hotwords=["acme"]`; it overrides `options`.

        Raises:
            TypeError: there is no such option.
            InvalidAudio: the recording cannot be sent.
            InvalidRequest: the server refuses it.
            AsrError: another branch of the error tree.
        """
        audio, is_separate = recording(audio, sampling_rate, encoding, channels)
        decode = decode_options("transcribe", options, decoding)
        return self._run(self._heard(audio, is_separate, decode, timeout_s, on_segment))

    def transcribe_iter(
        self,
        items: Iterable[AudioSource | Audio],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: _batch.OnProgress | None = None,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: ChannelArgument = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Iterator[Outcome]:
        """Yield the outcomes of any number of recordings, in the order of the items.

        The outcome of a failed item holds its error; the other items go on.

        Args:
            items: paths and everything else that `transcribe` takes. An item is read when a request is free, so at
                most `concurrency` recordings are in memory.
            concurrency: requests under way at a time; twice the server's largest batch keeps it busy.
            on_progress: called in this thread with each outcome as it comes, which may be out of order.
            sampling_rate: as in `transcribe`, of all items; an `Audio` has its own format.
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
            return self._outcome(index, *one_of_many(item, sampling_rate, encoding, channels), decode, timeout_s)

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
        channels: ChannelArgument = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> list[Outcome]:
        """Return the outcomes of `transcribe_iter` as a list."""
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
        silence_ms: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Generator[StreamResult, None, None]:
        """Yield the results of a live stream, while somebody is speaking.

        Each chunk is sent when it comes (small ones together), and its results are given at once. A partial result
        replaces the one before; its text is empty while somebody speaks and no word is known. A final result is a
        finished segment. `break` or `close()` ends the stream early, and the server then forgets it.

        The server also forgets a stream for which nothing comes for a minute (ten seconds, if others wait for a place).
        With the next chunk, the client then begins it again: the audio without final text is heard again, and times go
        on.

        Args:
            chunks: raw samples of any length: bytes, or numpy arrays as in `transcribe`. FLUSH among them ends the
                current segment at once: its last result has `flushed`, and is empty if nothing was said.
            sampling_rate: Hz.
            encoding: of bytes, "pcm_s16le" (the default) or "pcm_f32le".
            channels: of bytes, interleaved; 1 by default.
            silence_ms: silence that ends a segment, 100 to 10,000; by default that of the model's configuration.
            options: how the server decodes final segments.
            timeout_s: longest time, in seconds, that the server may take for a piece; by default the client's.
            decoding: any field of `DecodeOptions`, as in `transcribe`.

        Raises:
            TypeError: there is no such decoding option.
            InvalidAudio: a chunk is empty, or has another format than the stream.
            InvalidOption: the protocol is HTTP.
            StreamLost: the server has forgotten the stream while audio came, as when its model is loaded again.
            AsrError: another branch of the error tree. Nothing is retried, because the earlier audio is gone.
        """
        decode, division = decode_options("stream", options, decoding), StreamOptions(silence_ms=silence_ms)
        return self._given(self._live(iter(chunks), sampling_rate, encoding, channels, decode, division, timeout_s))

    def server_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Return whether the server takes requests; False also when nobody answers within `timeout_s` seconds.

        With several servers: whether at least one does.
        """
        return self._run(self._server_readiness(timeout_s))

    def model_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Return whether the model takes requests; False also when nobody answers within `timeout_s` seconds."""
        return self._run(self._model_readiness(timeout_s))

    def check_model(self, *, timeout_s: float | None = None) -> frozenset[str]:
        """Make sure that the model has the inputs and outputs of this kit's ensemble.

        Returns:
            The names of all its outputs; a Whisper model has LANGUAGE among them.

        Raises:
            ModelMismatch: the model does not have them; the message names every difference.
            ModelNotFound: there is no such model.
            AsrError: another branch of the error tree.
        """
        return self._run(self._model_check(timeout_s))

    def models(self, *, timeout_s: float | None = None) -> tuple[ModelInfo, ...]:
        """Return the models of this kit that take requests, by name; `with_model` gives a client for one of them.

        Of several servers, those models that all have: a request may go to any of them. A server that does not answer
        is left out.

        Args:
            timeout_s: seconds for all questions, retries included; by default the client's.

        Raises:
            AccessDenied: the server, or a proxy before it, keeps its list to itself.
            ServerError: what answers knows of no list.
            AsrError: another branch of the error tree.
        """
        return self._run(self._models(timeout_s))

    def close(self) -> None:
        """Close the connections; requests under way in other threads fail with ClientClosed.

        A client that `with_model` made leaves the connections open, and its requests under way end as usual.
        """
        self._is_closed = True
        if not self._owns_connection:
            return
        shared = self._shared
        shared.closing.set()
        with shared.lock:
            transport, shared.transport = shared.transport, None
        if transport is not None:
            transport.close()

    def _run(self, steps: Steps[Result]) -> Result:
        """Do the steps, one after the other, in this thread."""
        with closing(Run(steps)) as run:
            while run.step is not None:
                self._proceed(run, run.step)
            return run.result

    def _given(self, live: Live) -> Generator[StreamResult, None, None]:
        """Do the steps of a dialogue, and yield the values that they give."""
        self._run(self._look(live))
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

    def _proceed(self, run: Run[Step, Any], step: Step) -> None:
        try:
            value = self._do(step)
        except AsrError as error:
            run.fail(self._closed_error() if self._shared.closing.is_set() else error)
        else:
            run.succeed(value)

    def _do(self, step: Step) -> Any:
        match step:
            case Read(function):
                return function()
            case Pause(seconds):
                self._shared.closing.wait(seconds)
                return None
            case Hear(stream):
                return stream.receive()
            case Next(source):
                return next(source, END)  # type: ignore[arg-type]
            case Together(runs):
                return self._run_together(runs)
            case Send(operation, timeout_s) if isinstance(operation, Dialogue):
                del timeout_s  # a dialogue has no deadline, only a limit of silence
                with closing(self._opened().open_stream(operation.silence_s)) as stream:
                    return self._run(operation.steps(stream))
            case Send(operation, timeout_s):
                return self._opened().send(operation, timeout_s)
            case _:
                raise TypeError(f"unknown step {step!r}")

    def _run_together(self, runs: Sequence[Steps[Any]]) -> list[Any]:
        """Do several runs of steps, each in a thread; return their results, or the errors with which they ended."""

        def outcome(steps: Steps[Any]) -> Any:
            try:
                return self._run(steps)
            except AsrError as error:
                return error

        executor = ThreadPoolExecutor(len(runs), thread_name_prefix="asr-channel")
        try:
            return list(executor.map(outcome, runs))
        finally:
            executor.shutdown(wait=False)

    def _opened(self) -> Transport:
        shared = self._shared
        with shared.lock:
            if self._is_over:
                raise self._closed_error()
            if shared.transport is None:
                shared.transport = open_transport(self._endpoints)
            return shared.transport


class AsyncClient(Core[AsyncTransport]):
    """The client for asyncio: the methods of `Client`, to be awaited, in one event loop at a time.

    async with AsyncClient("localhost:8001") as client:
        print((await client.transcribe("speech.wav")).text)
    """

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
        channels: ChannelArgument = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        on_segment: OnSegment | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Transcription:
        """Return the transcript of one recording, as `Client.transcribe` does. A thread reads the files."""
        audio, is_separate = recording(audio, sampling_rate, encoding, channels)
        decode = decode_options("transcribe", options, decoding)
        return await self._run(self._heard(audio, is_separate, decode, timeout_s, on_segment))

    def transcribe_iter(
        self,
        items: Iterable[AudioSource | Audio] | AsyncIterable[AudioSource | Audio],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: _batch.OnProgress | None = None,
        sampling_rate: int | None = None,
        encoding: Encoding | None = None,
        channels: ChannelArgument = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> AsyncIterator[Outcome]:
        """Yield outcomes as `Client.transcribe_iter` does, for `async for`. `items` may be an async iterable, too."""
        _batch.check(items, concurrency)
        decode = decode_options("transcribe_iter", options, decoding)

        def steps(index: int, item: AudioSource | Audio) -> Steps[Outcome]:
            return self._outcome(index, *one_of_many(item, sampling_rate, encoding, channels), decode, timeout_s)

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
        channels: ChannelArgument = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> list[Outcome]:
        """Return the outcomes of `transcribe_iter` as a list."""
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
        silence_ms: int | None = None,
        options: DecodeOptions = DEFAULT_OPTIONS,
        timeout_s: float | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> AsyncGenerator[StreamResult, None]:
        """Yield results as `Client.stream` does, for `async for`. `chunks` may be an async iterable, too.

        `aclose()` ends the stream early.
        """
        decode, division = decode_options("stream", options, decoding), StreamOptions(silence_ms=silence_ms)
        source = _batch.asynchronous(chunks)
        return self._given(self._live(source, sampling_rate, encoding, channels, decode, division, timeout_s))

    async def server_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """See `Client.server_ready`."""
        return await self._run(self._server_readiness(timeout_s))

    async def model_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """See `Client.model_ready`."""
        return await self._run(self._model_readiness(timeout_s))

    async def check_model(self, *, timeout_s: float | None = None) -> frozenset[str]:
        """See `Client.check_model`."""
        return await self._run(self._model_check(timeout_s))

    async def models(self, *, timeout_s: float | None = None) -> tuple[ModelInfo, ...]:
        """See `Client.models`."""
        return await self._run(self._models(timeout_s))

    async def aclose(self) -> None:
        """Close the connections as `Client.close` does; requests under way in other tasks fail with ClientClosed."""
        self._is_closed = True
        if not self._owns_connection:
            return
        shared = self._shared
        shared.closing.set()
        transport, shared.transport = shared.transport, None
        if transport is not None:
            await transport.aclose()

    async def _run(self, steps: Steps[Result]) -> Result:
        """Do the steps, one after the other, in this task."""
        with closing(Run(steps)) as run:
            while run.step is not None:
                await self._proceed(run, run.step)
            return run.result

    async def _given(self, live: Live) -> AsyncGenerator[StreamResult, None]:
        """Do the steps of a dialogue, and yield the values that they give."""
        await self._run(self._look(live))
        async with aclosing(self._opened().open_stream(live.silence_s)) as stream:
            with closing(Run(live.steps(stream))) as run:
                while (step := run.step) is not None:
                    if isinstance(step, Give):
                        yield step.value
                        run.succeed(None)
                    else:
                        await self._proceed(run, step)

    async def _proceed(self, run: Run[Step, Any], step: Step) -> None:
        try:
            value = await self._do(step)
        except AsrError as error:
            run.fail(self._closed_error() if self._shared.closing.is_set() else error)
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
            case Together(runs):
                return await self._run_together(runs)
            case Send(operation, timeout_s) if isinstance(operation, Dialogue):
                del timeout_s  # a dialogue has no deadline, only a limit of silence
                async with aclosing(self._opened().open_stream(operation.silence_s)) as stream:
                    return await self._run(operation.steps(stream))
            case Send(operation, timeout_s):
                return await self._send(operation, timeout_s)
            case _:
                raise TypeError(f"unknown step {step!r}")

    async def _run_together(self, runs: Sequence[Steps[Any]]) -> list[Any]:
        """Do several runs of steps, each in a task; return their results, or the errors with which they ended."""

        async def outcome(steps: Steps[Any]) -> Any:
            try:
                return await self._run(steps)
            except AsrError as error:
                return error

        tasks = [asyncio.ensure_future(outcome(steps)) for steps in runs]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        try:
            return await self._opened().send(operation, timeout_s)
        except asyncio.CancelledError as error:
            # A closed connection cancels the calls that wait on it. This is not the cancellation of this task.
            if self._shared.closing.is_set() and not _is_cancelled(asyncio.current_task()):
                raise self._closed_error() from error
            raise

    def _opened(self) -> AsyncTransport:
        if self._is_over:
            raise self._closed_error()
        shared = self._shared
        loop = asyncio.get_running_loop()
        if shared.transport is not None and shared.loop not in (None, loop):
            if shared.loop is not None and not shared.loop.is_closed():
                raise InvalidOption("the AsyncClient is in use in another event loop; make one for each loop")
            shared.transport = None  # each asyncio.run has its own loop, and a connection ends with its loop
        if shared.transport is None:
            shared.transport, shared.loop = open_async_transport(self._endpoints), loop
        return shared.transport


def _is_cancelled(task: "asyncio.Task[Any] | None") -> bool:
    """Return whether somebody asked the task to end."""
    return task is not None and task.cancelling() > 0
