"""A fake Triton in a process of its own, over gRPC, which answers after a time that is known exactly.

`python fake_server.py '{"delay_s": 0.1, …}'` prints its port and serves until its standard input ends. The settings are
those of `Behaviour`. Of a live stream each piece is a request; it has a partial result for each chunk, and a final one
at its end.
"""

import asyncio
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import grpc
from known_delays import AFTER_S, CHUNK_S, ENDPOINT_S, Behaviour, Full, Work, chunks_heard, seconds_of, text_of
from tritonclient.grpc import service_pb2, service_pb2_grpc


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._work = Work(behaviour)

    async def ModelMetadata(self, request, context):
        kinds = {"TRANSCRIPT": "BYTES", "CONFIDENCE": "FP32", "DURATION": "FP32", "WORDS": "BYTES"}
        return service_pb2.ModelMetadataResponse(
            name=request.name,
            inputs=[{"name": "AUDIO", "datatype": "BYTES", "shape": [-1, 1]}],
            outputs=[{"name": name, "datatype": kind, "shape": [-1, 1]} for name, kind in kinds.items()],
        )

    async def RepositoryIndex(self, request, context):
        return service_pb2.RepositoryIndexResponse(models=[{"name": "asr", "state": "READY"}])

    async def ModelInfer(self, request, context):
        try:
            text = await self._work.answer(request.raw_input_contents[0][4:])
        except Full as full:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(full))
        return _response(request.model_name, text.encode())

    async def ModelConfig(self, request, context):
        paces = {"chunk_seconds": CHUNK_S, "after_seconds": AFTER_S, "endpoint_seconds": ENDPOINT_S}
        is_stream = request.name.endswith("_stream")
        parameters = {name: {"string_value": str(value)} for name, value in paces.items()} if is_stream else {}
        return service_pb2.ModelConfigResponse(config={"name": request.name, "parameters": parameters})

    async def ModelStreamInfer(self, requests, context):
        try:
            with self._work.stream() as leave:
                audio = b""
                async for request in requests:
                    audio += request.raw_input_contents[0][4:]
                    await self._work.piece()
                    if request.parameters["sequence_end"].bool_param:
                        leave()  # before the caller hears of it, and begins the next one
                    yield _live(request, audio)
        except Full as full:
            yield service_pb2.ModelStreamInferResponse(error_message=f"QUEUE_FULL: {full}")


def _live(request, audio: bytes) -> service_pb2.ModelStreamInferResponse:
    seconds = seconds_of(len(audio))
    final = {"text": text_of(audio), "start": 0.0, "end": seconds, "confidence": 0.5, "words": []}
    is_last = request.parameters["sequence_end"].bool_param
    chunks = 0 if is_last else chunks_heard(len(audio))
    tensors = {
        "PARTIAL": ("BYTES", _text(b"word " * chunks)),
        "STABLE": ("INT32", struct.pack("<i", 0)),
        "FINALS": ("BYTES", _text(json.dumps([final] if is_last else []).encode())),
        "DURATION": ("FP32", struct.pack("<f", seconds)),
    }
    response = _tensors(request.model_name, tensors)
    response.parameters["triton_final_response"].bool_param = True
    return service_pb2.ModelStreamInferResponse(infer_response=response)


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
