"""Callers who go: what is under way for them ends, in a real Triton."""

import _thread
import asyncio
import io
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import soundfile
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
from asr_client import AsyncClient, Client, ClientClosed, Transcription
from asr_server import TritonServer
from triton_counts import counted, settled

pytestmark = pytest.mark.e2e
RATE = 16_000
WINDOW_S = 20
MINUTES = 90
ALL = MINUTES * 60 // WINDOW_S  # windows of the recording


@pytest.fixture(scope="module")
def recording() -> bytes:
    """Silence."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(MINUTES * 60 * RATE, np.int16), RATE, format="FLAC")
    return buffer.getvalue()


class Windows:
    """How many windows the acoustic model has heard."""

    def __init__(self, server: TritonServer) -> None:
        self._server = server
        self._before = settled(server, "acoustic")

    def begin(self) -> None:
        """Return when some have been heard."""
        deadline = time.monotonic() + 60
        while (counted(self._server, "acoustic") - self._before).inferences < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> int:
        """The number that have been heard when there are no more."""
        return (settled(self._server, "acoustic", still_s=1) - self._before).inferences


def cancel_a_task(url: str, recording: bytes, begin: Callable[[], None]) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            task = asyncio.create_task(client.transcribe(recording))
            await asyncio.to_thread(begin)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def fail_at_a_segment(url: str, recording: bytes, begin: Callable[[], None]) -> None:
    def fail(segment: Transcription) -> None:
        raise LookupError

    with Client(url) as client, pytest.raises(LookupError):
        client.transcribe(recording, on_segment=fail)


def close_the_client(url: str, recording: bytes, begin: Callable[[], None]) -> None:
    client = Client(url)
    closer = threading.Thread(target=lambda: (begin(), client.close()))
    closer.start()
    with pytest.raises(ClientClosed):
        client.transcribe(recording)
    closer.join()


def leave_the_block(url: str, recording: bytes, begin: Callable[[], None]) -> None:
    """Ctrl-C, say, which a process in a shell's background ignores unless it is told to heed it."""

    def interrupt() -> None:
        begin()
        _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with Client(url) as client, pytest.raises(KeyboardInterrupt):
            client.transcribe(recording)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("go", [cancel_a_task, fail_at_a_segment, close_the_client, leave_the_block])
def test_a_long_recording_ends_with_its_caller(
    go: Callable[[str, bytes, Callable[[], None]], None], server: TritonServer, recording: bytes
) -> None:
    windows = Windows(server)
    go(server.grpc_url, recording, windows.begin)
    assert windows.end() < ALL // 2


def test_one_that_waits_for_its_turn_is_not_begun(server: TritonServer, recording: bytes) -> None:
    async def run() -> None:
        async with AsyncClient(server.grpc_url) as client:
            tasks = [asyncio.create_task(client.transcribe(recording)) for _ in range(8)]  # four at a time
            await asyncio.to_thread(windows.begin)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    windows = Windows(server)
    asyncio.run(run())
    assert windows.end() < ALL


STREAMS = 64  # as many as there may be


async def begin_and_leave(url: str, windows: Windows) -> None:
    """Begin as many live streams as there may be, and go while the server has a piece of each."""

    def piece(samples: int, sequence: int, is_first: bool) -> dict[str, Any]:
        audio = triton_grpc.InferInput("AUDIO", [1, 1], "BYTES")
        audio.set_data_from_numpy(np.array([[np.ones(samples, "<i2").tobytes()]], dtype=object))
        format = {"encoding": "pcm_s16le", "sample_rate": RATE}
        return {
            "model_name": "asr_stream",
            "inputs": [audio],
            "sequence_id": sequence,
            "sequence_start": is_first,
            "parameters": format,
        }

    async with triton_grpc_aio.InferenceServerClient(url) as client:

        async def stream(sequence: int) -> None:
            has_begun = asyncio.Event()

            async def pieces() -> AsyncIterator[dict[str, Any]]:
                yield piece(100, sequence, is_first=True)
                await has_begun.wait()
                yield piece(2 * RATE, sequence, is_first=False)
                await asyncio.Event().wait()  # for ever

            answers = client.stream_infer(pieces())
            try:
                _, error = await anext(answers)
                assert error is None
                has_begun.set()
                await anext(answers)
            finally:
                answers.cancel()

        streams = [asyncio.create_task(stream(100 + index)) for index in range(STREAMS)]
        await asyncio.to_thread(windows.begin)
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


def test_a_live_stream_whose_caller_goes_leaves_its_place(server: TritonServer, client: Client) -> None:
    asyncio.run(begin_and_leave(server.grpc_url, Windows(server)))
    second = np.zeros(RATE, np.int16)
    assert list(client.stream([second], sampling_rate=RATE)) == []


def test_the_server_goes_on(client: Client) -> None:
    assert client.transcribe(np.zeros(RATE, np.float32), sampling_rate=RATE).text == ""
