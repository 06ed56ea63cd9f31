"""A fake Triton in a process of its own, over gRPC, which answers after a time that is known exactly.

`python fake_server.py '{"delay_s": 0.1, …}'` prints its port and serves until its standard input ends. The settings are
those of `Behaviour`; the text of every answer is the MD5 sum of the audio, so that answers can be told apart. Of a live
stream each piece is a request; it has a partial result for each chunk, and a final one at its end.
"""

import asyncio
import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


@dataclass(frozen=True)
class Behaviour:
    """How the fake answers."""

    delay_s: float = 0.0
    slow_delay_s: float = 0.0  # of every `slow_every`-th request
    slow_every: int = 0  # 0: none
    stall_at_request: int = 0  # which request, from 1, meets a standstill first; 0: none
    stall_s: float = 0.0  # how long nothing is answered from then on
    servers: int = 0  # requests that are worked on at a time; the others queue. 0: all
    queue_limit: int = 0  # of requests in all; beyond it they are refused at once. 0: none
    changes_every: int = 0  # every n-th answer has another text; 0: none
    streams: int = 0  # live streams at a time; beyond it they are refused. 0: any number


STREAM_RATE = 16_000  # Hz; its samples have 16 bits
CHUNK_S, AFTER_S, ENDPOINT_S = 0.32, 0.16, 0.8


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._places = asyncio.Semaphore(behaviour.servers) if behaviour.servers else None
        self._stall_end = 0.0
        self._received = 0
        self._under_way = 0
        self._streams = 0

    async def ModelMetadata(self, request, context):
        kinds = {"TRANSCRIPT": "BYTES", "CONFIDENCE": "FP32", "DURATION": "FP32", "WORDS": "BYTES"}
        return service_pb2.ModelMetadataResponse(
            name=request.name,
            inputs=[{"name": "AUDIO", "datatype": "BYTES", "shape": [-1, 1]}],
            outputs=[{"name": name, "datatype": kind, "shape": [-1, 1]} for name, kind in kinds.items()],
        )

    async def ModelInfer(self, request, context):
        behaviour = self._behaviour
        self._received += 1
        number = self._received
        if behaviour.queue_limit and self._under_way >= behaviour.queue_limit:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        self._under_way += 1
        try:
            await self._work(number)
        finally:
            self._under_way -= 1
        audio = request.raw_input_contents[0][4:]
        text = hashlib.md5(audio).hexdigest()
        if behaviour.changes_every and number % behaviour.changes_every == 0:
            text = "something else"
        return _response(request.model_name, text.encode())

    async def ModelConfig(self, request, context):
        paces = {"chunk_seconds": CHUNK_S, "after_seconds": AFTER_S, "endpoint_seconds": ENDPOINT_S}
        is_stream = request.name.endswith("_stream")
        parameters = {name: {"string_value": str(value)} for name, value in paces.items()} if is_stream else {}
        return service_pb2.ModelConfigResponse(config={"name": request.name, "parameters": parameters})

    async def ModelStreamInfer(self, requests, context):
        if self._behaviour.streams and self._streams >= self._behaviour.streams:
            yield service_pb2.ModelStreamInferResponse(error_message="QUEUE_FULL: as many as are taken")
            return
        self._streams += 1
        audio, is_last = b"", False
        try:
            async for request in requests:
                self._received += 1
                audio += request.raw_input_contents[0][4:]
                await self._work(self._received)
                is_last = request.parameters["sequence_end"].bool_param
                self._streams -= is_last  # before the caller hears of it, and begins the next one
                yield _live(request, audio)
        finally:
            self._streams -= not is_last

    async def _work(self, number: int) -> None:
        behaviour = self._behaviour
        loop = asyncio.get_running_loop()
        if number == behaviour.stall_at_request:
            self._stall_end = loop.time() + behaviour.stall_s
        if loop.time() < self._stall_end:
            await asyncio.sleep(self._stall_end - loop.time())
        is_slow = behaviour.slow_every and number % behaviour.slow_every == 0
        delay_s = behaviour.slow_delay_s if is_slow else behaviour.delay_s
        if self._places is None:
            await asyncio.sleep(delay_s)
        else:
            async with self._places:
                await asyncio.sleep(delay_s)


def _live(request, audio: bytes) -> service_pb2.ModelStreamInferResponse:
    seconds = len(audio) / (2 * STREAM_RATE)
    final = {"text": hashlib.md5(audio).hexdigest(), "start": 0.0, "end": seconds, "confidence": 0.5, "words": []}
    is_last = request.parameters["sequence_end"].bool_param
    chunks = 0 if is_last else max(0, int((seconds - AFTER_S + 1e-6) / CHUNK_S))
    tensors = {
        "PARTIAL": ("BYTES", _text(b"word " * chunks)),
        "STABLE": ("INT32", struct.pack("<i", 0)),
        "FINALS": ("BYTES", _text(json.dumps([final] if is_last else []).encode())),
        "DURATION": ("FP32", struct.pack("<f", seconds)),
    }
    return service_pb2.ModelStreamInferResponse(infer_response=_tensors(request.model_name, tensors))


def _text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def _response(model: str, text: bytes) -> service_pb2.ModelInferResponse:
    tensors = {
        "TRANSCRIPT": ("BYTES", _text(text)),
        "CONFIDENCE": ("FP32", struct.pack("<f", 0.5)),
        "DURATION": ("FP32", struct.pack("<f", 2.0)),
        "WORDS": ("BYTES", _text(b"[]")),
    }
    return _tensors(model, tensors)


def _tensors(model: str, tensors: dict[str, tuple[str, bytes]]) -> service_pb2.ModelInferResponse:
    return service_pb2.ModelInferResponse(
        model_name=model,
        outputs=[{"name": name, "datatype": kind, "shape": [1, 1]} for name, (kind, _) in tensors.items()],
        raw_output_contents=[data for _, data in tensors.values()],
    )


async def _serve(behaviour: Behaviour) -> None:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(behaviour), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(grace=None)


@contextmanager
def running(behaviour: Behaviour) -> Iterator[str]:
    """The fake's HOST:PORT while the block runs."""
    command = [sys.executable, __file__, json.dumps(asdict(behaviour))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    asyncio.run(_serve(Behaviour(**json.loads(sys.argv[1]))))
