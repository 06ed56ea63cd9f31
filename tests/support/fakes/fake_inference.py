"""A fake Triton: its gRPC service and HTTP protocol on a local port, with a Python function for a model."""

import json
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import grpc
import numpy as np
from asr_client import Transcription, Word
from certificates import Certificate
from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

HELLO = Transcription("hello world", 0.875, 1.5, (Word("hello", 0.25, 0.5, 0.75), Word("world", 0.625, 1.25, 1.0)))
NOTHING = Transcription("", 0.0, 0.0)
INPUTS = [{"name": "AUDIO", "datatype": "BYTES", "shape": [-1, 1]}]
OUTPUTS = [
    {"name": "TRANSCRIPT", "datatype": "BYTES", "shape": [-1, 1]},
    {"name": "CONFIDENCE", "datatype": "FP32", "shape": [-1, 1]},
    {"name": "DURATION", "datatype": "FP32", "shape": [-1, 1]},
    {"name": "WORDS", "datatype": "BYTES", "shape": [-1, 1]},
]
LANGUAGE = {"name": "LANGUAGE", "datatype": "BYTES", "shape": [-1, 1]}
INDEX = [{"name": "asr", "state": "READY"}, {"name": "gone", "state": "READY"}, {"name": "old", "state": "UNAVAILABLE"}]
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}


@dataclass(frozen=True)
class Seen:
    """One request as it reached the server."""

    model: str
    audio: bytes
    shape: list[int]
    parameters: dict[str, Any]
    outputs: list[str]
    headers: dict[str, str]
    sequence: int = 0  # of which it is a piece
    is_first: bool = False


class Refusal(Exception):
    """Raised by a model: an error answer with this gRPC status name."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


Model = Callable[[Seen], Transcription]


@dataclass
class FakeTriton:
    """What a test sets and sees."""

    protocol: Literal["grpc", "http"]
    url: str = ""
    model: Model = lambda seen: HELLO
    seen: list[Seen] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=lambda: list(INPUTS))
    outputs: list[dict[str, Any]] = field(default_factory=lambda: list(OUTPUTS))
    # Name -> kind, of the models that describe themselves.
    models: dict[str, Literal["ctc", "whisper", "other"]] = field(default_factory=lambda: {"asr": "ctc"})
    is_ready: bool = True
    tells_segments: bool = False  # as a Whisper does; older servers do not
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # configurations; it keeps the others to itself
    index: list[dict[str, str]] | None = field(default_factory=lambda: list(INDEX))  # None: it keeps its list to itself
    long_model: Callable[[Seen], Iterator[Transcription]] | None = None  # None: there is no asr_long
    live_model: Callable[[bytes, int, bool], dict[str, Any]] | None = None  # None: there is no asr_stream
    live_pieces: list[bytes] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)  # models of sequences that were given up
    pieces: list[int] = field(default_factory=list)  # sizes of those that long recordings came in
    was_left: threading.Event = field(default_factory=threading.Event)  # by a caller of gRPC, before the answer

    def answer(self, seen: Seen) -> dict[str, tuple[str, bytes]]:
        """Name -> Triton data type and raw tensor, of the outputs that were asked for: all where none was named."""
        self.seen.append(seen)
        return self.tensors(self.model(seen), seen)

    def tensors(self, result: Transcription, seen: Seen) -> dict[str, tuple[str, bytes]]:
        """The same for what a model has heard."""
        words = json.dumps([asdict(word) for word in result.words])
        alternatives = json.dumps([asdict(alternative) for alternative in result.alternatives])
        tensors = {
            "TRANSCRIPT": ("BYTES", _bytes_tensor(result.text.encode())),
            "CONFIDENCE": ("FP32", np.float32(result.confidence).tobytes()),
            "DURATION": ("FP32", np.float32(result.duration).tobytes()),
            "WORDS": ("BYTES", _bytes_tensor(words.encode())),
            "ALTERNATIVES": ("BYTES", _bytes_tensor(alternatives.encode())),
        }
        if self.tells_segments:
            tensors["SEGMENTS"] = ("BYTES", _bytes_tensor(json.dumps([asdict(it) for it in result.segments]).encode()))
        if result.language is not None:
            tensors["LANGUAGE"] = ("BYTES", _bytes_tensor(result.language.encode()))
        return {name: tensors[name] for name in seen.outputs or tensors}

    def metadata(self, name: str) -> dict[str, Any]:
        """What a model says of itself."""
        if name not in self.models:
            raise Refusal("NOT_FOUND", f"Request for unknown model: '{name}' is not found")
        if self.models[name] == "other":
            image = {"name": "IMAGE", "datatype": "FP32", "shape": [-1, 3]}
            return {"name": name, "inputs": [image], "outputs": [image]}
        language = [LANGUAGE] if self.models[name] == "whisper" else []
        return {"name": name, "inputs": self.inputs, "outputs": [*self.outputs, *language]}

    def queue_full(self, times: int) -> None:
        """Refuse the first requests as a full queue does."""

        def model(seen: Seen) -> Transcription:
            if len(self.seen) <= times:
                raise Refusal("UNAVAILABLE", "in ensemble 'asr', [request id: <id_unknown>] Exceeds maximum queue size")
            return HELLO

        self.model = model

    def refuse(self, status: str, message: str) -> None:
        """Refuse all requests."""

        def model(seen: Seen) -> Transcription:
            raise Refusal(status, message)

        self.model = model


def _bytes_tensor(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def _element(tensor: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", tensor)
    assert len(tensor) == 4 + length
    return tensor[4:]


@contextmanager
def serving(fake: FakeTriton, certificate: Certificate | None = None, port: int = 0) -> Iterator[FakeTriton]:
    """Run the fake until the block ends."""
    start = _serving_grpc if fake.protocol == "grpc" else _serving_http
    with start(fake, certificate, port):
        yield fake


@contextmanager
def _serving_grpc(fake: FakeTriton, certificate: Certificate | None, port: int) -> Iterator[None]:
    # Room for 1 MiB of audio, so that a test of the server's own limit stays small.
    options = [("grpc.max_receive_message_length", 2**20)]
    with ThreadPoolExecutor(16) as pool:
        server = grpc.server(pool, options=options)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(fake), server)
        address = f"localhost:{port}"
        if certificate:
            pair = (certificate.key.read_bytes(), certificate.cert.read_bytes())
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            port = server.add_insecure_port(address)
        fake.url = f"localhost:{port}"
        server.start()
        try:
            yield
        finally:
            server.stop(grace=None).wait()


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, fake: FakeTriton) -> None:
        self._fake = fake

    def ServerReady(self, request, context):
        return service_pb2.ServerReadyResponse(ready=self._fake.is_ready)

    def ModelReady(self, request, context):
        return service_pb2.ModelReadyResponse(ready=self._fake.is_ready)

    def ModelMetadata(self, request, context):
        try:
            return service_pb2.ModelMetadataResponse(**self._fake.metadata(request.name))
        except Refusal as refusal:
            context.abort(grpc.StatusCode[refusal.status], str(refusal))

    def ModelConfig(self, request, context):
        if request.name not in self._fake.settings:
            context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted")
        config = json_format.ParseDict(self._fake.settings[request.name], model_config_pb2.ModelConfig())
        return service_pb2.ModelConfigResponse(config=config)

    def RepositoryIndex(self, request, context):
        if self._fake.index is None:
            header = "triton-grpc-protocol-admin"
            context.abort(grpc.StatusCode.UNAVAILABLE, f"This protocol is restricted, expecting header '{header}'")
        return service_pb2.RepositoryIndexResponse(models=self._fake.index)

    def ModelInfer(self, request, context):
        seen, answers = _seen(request, context), []
        context.add_callback(lambda: answers or self._fake.was_left.set())
        try:
            tensors = self._fake.answer(seen)
            answers.append(tensors)
        except Refusal as refusal:
            context.abort(grpc.StatusCode[refusal.status], str(refusal))
        return _response(request, tensors)

    def ModelStreamInfer(self, requests, context):
        fake, audio = self._fake, b""
        for number, request in enumerate(requests):
            seen = _seen(request, context)
            if seen.parameters.get("discard"):
                fake.discarded.append(seen.model)
                yield _in_stream(_response(request, {}), is_final=True)
                continue
            if seen.model == "asr_stream":
                yield self._live(request, seen, number)
                continue
            fake.pieces.append(len(seen.audio))
            audio += seen.audio
            try:
                if fake.long_model is None:
                    raise Refusal("", f"Request for unknown model: '{seen.model}' is not found")
                if request.parameters["sequence_end"].bool_param:
                    fake.seen.append(replace(seen, audio=audio))
                    for segment in fake.long_model(fake.seen[-1]):
                        yield _in_stream(_response(request, fake.tensors(segment, seen)), is_final=False)
                yield _in_stream(_response(request, fake.tensors(NOTHING, seen)), is_final=True)
            except Refusal as refusal:
                yield service_pb2.ModelStreamInferResponse(error_message=str(refusal))

    def _live(self, request, seen, number):
        fake = self._fake
        try:
            if fake.live_model is None:
                raise Refusal("", f"Request for unknown model: '{seen.model}' is not found")
            fake.seen.append(seen)
            fake.live_pieces.append(seen.audio)
            heard = fake.live_model(seen.audio, number, request.parameters["sequence_end"].bool_param)
        except Refusal as refusal:
            return service_pb2.ModelStreamInferResponse(error_message=str(refusal))
        tensors = {
            "PARTIAL": ("BYTES", _bytes_tensor(heard["PARTIAL"].encode())),
            "STABLE": ("INT32", np.int32(heard["STABLE"]).tobytes()),
            "FINALS": ("BYTES", _bytes_tensor(json.dumps(heard["FINALS"]).encode())),
            "DURATION": ("FP32", np.float32(heard["DURATION"]).tobytes()),
        }
        if (start := heard.get("START", -1.0)) is not None:  # None: an export of an earlier version
            tensors["START"] = ("FP32", np.float32(start).tobytes())
        return _in_stream(_response(request, tensors), is_final=True)


def _seen(request, context):
    names = ("sequence_id", "sequence_start", "sequence_end")
    return Seen(
        request.model_name,
        _element(request.raw_input_contents[0]),
        list(request.inputs[0].shape),
        {
            name: getattr(value, value.WhichOneof("parameter_choice"))
            for name, value in request.parameters.items()
            if name not in names
        },
        [output.name for output in request.outputs],
        dict(context.invocation_metadata()),
        request.parameters["sequence_id"].int64_param,
        request.parameters["sequence_start"].bool_param,
    )


def _response(request, tensors):
    return service_pb2.ModelInferResponse(
        model_name=request.model_name,
        outputs=[{"name": name, "datatype": kind, "shape": [1, 1]} for name, (kind, _) in tensors.items()],
        raw_output_contents=[data for _, data in tensors.values()],
    )


def _in_stream(response, is_final):
    response.parameters["triton_final_response"].bool_param = is_final
    return service_pb2.ModelStreamInferResponse(infer_response=response)


@contextmanager
def _serving_http(fake: FakeTriton, certificate: Certificate | None, port: int) -> Iterator[None]:
    class Handler(_Handler):
        triton = fake

    class Server(ThreadingHTTPServer):
        request_queue_size = 256  # connections that may wait to be accepted; 5 by default

        def handle_error(self, request, client_address):
            pass  # the client hung up: some tests do

    with Server(("localhost", port), Handler) as server:
        if certificate:
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        fake.url = f"localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    triton: FakeTriton

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        if self.path.endswith("/ready"):
            self._reply(200 if self.triton.is_ready else 400, b"")
        else:
            try:
                metadata = self.triton.metadata(self.path.removeprefix("/v2/models/"))
            except Refusal as refusal:
                self._refuse(HTTP_STATUS[refusal.status], str(refusal))
            else:
                self._reply(200, json.dumps(metadata).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) > 2**20:
            self._refuse(413, "request body is too large")
            return
        if self.path == "/v2/repository/index":
            self._index()
            return
        header_length = int(self.headers["Inference-Header-Content-Length"])
        header = json.loads(body[:header_length])
        seen = Seen(
            self.path.split("/")[3],
            _element(body[header_length:]),
            header["inputs"][0]["shape"],
            header.get("parameters", {}),
            [output["name"] for output in header.get("outputs", [])],
            {name.lower(): value for name, value in self.headers.items()},
        )
        try:
            tensors = self.triton.answer(seen)
        except Refusal as refusal:
            self._refuse(HTTP_STATUS[refusal.status], str(refusal))
            return
        outputs = [
            {"name": name, "datatype": kind, "shape": [1, 1], "parameters": {"binary_data_size": len(data)}}
            for name, (kind, data) in tensors.items()
        ]
        head = json.dumps({"model_name": "asr", "outputs": outputs}).encode()
        data = head + b"".join(data for _, data in tensors.values())
        self._reply(200, data, {"Inference-Header-Content-Length": str(len(head))})

    def _index(self):
        if self.triton.index is None:
            self._refuse(403, "This API is restricted, expecting header 'admin'")
        else:
            self._reply(200, json.dumps(self.triton.index).encode())

    def _refuse(self, status, message):
        self._reply(status, json.dumps({"error": message}).encode())

    def _reply(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
