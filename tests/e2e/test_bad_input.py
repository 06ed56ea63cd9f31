"""A bad request is told what is wrong with it; the good ones beside it do not notice."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import pytest
import soundfile
import tritonclient.grpc
from asr_client import Client, ServerUnavailable
from asr_server import TritonServer
from triton_counts import settled
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.e2e
RATE = 16_000


def wav(samples: np.ndarray, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype=subtype)
    return buffer.getvalue()


GOOD = wav(0.1 * np.random.default_rng(0).normal(size=RATE))
NAN, INF = (np.full(RATE, value, "<f4").tobytes() for value in (np.nan, np.inf))
FLOATS = {"encoding": "pcm_f32le", "sample_rate": RATE}
INTEGERS = {"encoding": "pcm_s16le", "sample_rate": RATE}
BAD: dict[str, tuple[bytes, dict[str, object], str]] = {
    "empty": (b"", {}, "AUDIO is empty"),
    "text": (b"mister quilter is the apostle", {}, "cannot read this as audio"),
    "truncated": (GOOD[:-1000], {}, "cut short"),
    "no samples": (wav(np.zeros(0)), {}, "0 samples"),
    "below the receptive field": (wav(np.zeros(399)), {}, "too short: 24.9 ms.*25.0 ms"),
    "too long": (wav(np.zeros(41 * RATE)), {}, "too long: .* up to 40 s"),
    "NaN": (NAN, FLOATS, "NaN"),
    "Inf": (INF, FLOATS, "Inf"),
    "NaN in a file": (wav(np.full(RATE, np.nan), "FLOAT"), {}, "NaN"),
    "odd byte count": (b"\0" * 3201, INTEGERS, "whole number of 2-byte frames"),
    "rate 0": (b"\0" * 3200, {**INTEGERS, "sample_rate": 0}, "sample_rate is 0; needs a whole number from 4000"),
    "unknown encoding": (b"\0" * 3200, {"encoding": "mulaw"}, "needs one of file, pcm_s16le, pcm_f32le"),
    "unknown parameter": (GOOD, {"beam": 4}, "unknown parameter 'beam'; needs some of encoding"),
    "of live streams": (GOOD, {"silence_ms": 500}, "silence_ms is for live streams, not for recordings"),
    "unknown decoder": (GOOD, {"decoder": "magic"}, "decoder is 'magic'; needs one of greedy"),
    "malformed flag": (GOOD, {"word_timestamps": "maybe"}, "needs true or false"),
}


def infer(triton: tritonclient.grpc.InferenceServerClient, data: bytes, parameters: dict[str, object]) -> str | None:
    """Without the kit's client, which would refuse some of these by itself. Returns the error, None when it is fine."""
    audio = tritonclient.grpc.InferInput("AUDIO", [1, 1], "BYTES")
    audio.set_data_from_numpy(np.array([[data]], dtype=object))
    try:
        triton.infer("asr", [audio], parameters=parameters or None, client_timeout=60)
    except InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    return None


def test_every_bad_request_has_its_own_answer_and_the_good_ones_succeed(server: TritonServer) -> None:
    # A busy machine may take the requests of a round one by one.
    assert any(good_and_bad_share_batches(server) for _ in range(5))


def good_and_bad_share_batches(server: TritonServer) -> bool:
    requests = [(name, *BAD[name]) for name in BAD]
    before = settled(server, "preprocess")
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as triton, ThreadPoolExecutor(4 * len(BAD)) as pool:
        bad = [
            (name, message, pool.submit(infer, triton, data, parameters))
            for name, data, parameters, message in requests
        ]
        good = [pool.submit(infer, triton, GOOD, {}) for _ in range(3 * len(BAD))]
        assert [future.result() for future in good] == [None] * len(good)
        for name, message, future in bad:
            answer = future.result()
            assert answer is not None, name
            assert answer.startswith("StatusCode.INVALID_ARGUMENT"), (name, answer)
            assert re.search(message, answer), (name, answer)
    done = settled(server, "preprocess") - before
    assert done.inferences == 4 * len(BAD)
    return done.executions < done.inferences


def test_several_recordings_in_one_request_are_refused(server: TritonServer) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as triton:
        audio = tritonclient.grpc.InferInput("AUDIO", [2, 1], "BYTES")
        audio.set_data_from_numpy(np.array([[GOOD], [GOOD]], dtype=object))
        with pytest.raises(InferenceServerException, match="one recording per request"):
            triton.infer("asr", [audio])


@pytest.mark.parametrize(("protocol", "port"), [("grpc", "http"), ("http", "grpc")])
def test_the_port_of_the_other_protocol_is_recognised(
    protocol: Literal["grpc", "http"], port: str, server: TritonServer
) -> None:
    address = {"grpc": server.grpc_url, "http": server.http_url}[port]
    with (
        Client(address, protocol=protocol, timeout_s=20) as wrong,
        pytest.raises(ServerUnavailable, match=f"{address}, but .* say protocol='{port}'"),
    ):
        wrong.transcribe(b"RIFF")
