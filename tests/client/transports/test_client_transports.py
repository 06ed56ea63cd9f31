"""Both clients over both protocols, against a real local server."""

import threading
import time
from dataclasses import replace

import pytest
from asr_client import (
    AccessDenied,
    AsrError,
    DeadlineExceeded,
    DecodeOptions,
    InvalidRequest,
    MessageTooLarge,
    ModelMismatch,
    ModelNotFound,
    QueueFull,
    RequestInterrupted,
    RetryPolicy,
    ServerError,
    ServerUnavailable,
    Tls,
    Transcription,
)
from certificates import Certificate
from client_caller import Caller
from fake_inference import HELLO, FakeTriton, Refusal, Seen, serving


def test_answer_becomes_a_transcription(triton: FakeTriton, call: Caller) -> None:
    result = call(triton.url, triton.protocol, "transcribe", b"RIFF", word_timestamps=True)
    assert result == HELLO


def test_words_are_not_asked_for_by_default(triton: FakeTriton, call: Caller) -> None:
    result = call(triton.url, triton.protocol, "transcribe", b"RIFF")
    assert result == Transcription("hello world", 0.875, 1.5)
    assert "word_timestamps" not in triton.seen[0].parameters


def test_a_model_that_tells_the_language(triton: FakeTriton, call: Caller) -> None:
    triton.model = lambda seen: replace(HELLO, language="de")
    options = DecodeOptions(language="auto", word_timestamps=True)
    result = call(triton.url, triton.protocol, "transcribe", b"RIFF", options=options)
    assert result == replace(HELLO, language="de")
    assert {"language": "auto", "word_timestamps": True}.items() <= triton.seen[0].parameters.items()


def test_audio_travels_unchanged_as_one_element(triton: FakeTriton, call: Caller) -> None:
    audio = bytes(range(256)) + b"\0\0"
    call(triton.url, triton.protocol, "transcribe", audio)
    assert (triton.seen[0].audio, triton.seen[0].shape) == (audio, [1, 1])


def test_options_travel_as_request_parameters(triton: FakeTriton, call: Caller) -> None:
    call(
        triton.url,
        triton.protocol,
        "transcribe",
        b"\0\0",
        encoding="pcm_s16le",
        sampling_rate=8000,
        word_timestamps=True,
    )
    parameters = triton.seen[0].parameters
    assert (
        parameters.items()
        >= {
            "encoding": "pcm_s16le",
            "sample_rate": 8000,
            "channels": 1,
            "word_timestamps": True,
        }.items()
    )
    assert 0 < parameters["timeout"] <= 60_000_000


def test_no_limit_sends_no_timeout(triton: FakeTriton, call: Caller) -> None:
    call(triton.url, triton.protocol, "transcribe", b"RIFF", timeout_s=float("inf"))
    assert "timeout" not in triton.seen[0].parameters


def test_headers_reach_the_server(triton: FakeTriton, call: Caller) -> None:
    call(triton.url, triton.protocol, "transcribe", b"RIFF", client={"headers": {"Authorization": "Bearer x"}})
    assert triton.seen[0].headers["authorization"] == "Bearer x"


def test_full_queue_is_tried_again(triton: FakeTriton, call: Caller) -> None:
    triton.queue_full(times=2)
    assert call(triton.url, triton.protocol, "transcribe", b"RIFF").text == "hello world"
    assert len(triton.seen) == 3


def test_queue_that_stays_full(triton: FakeTriton, call: Caller) -> None:
    triton.queue_full(times=99)
    with pytest.raises(QueueFull, match=r": Exceeds maximum queue size \(after 4 attempts\)") as caught:
        call(triton.url, triton.protocol, "transcribe", b"RIFF", client={"retry": RetryPolicy(max_attempts=4)})
    assert caught.value.attempts == len(triton.seen) == 4


def test_request_that_a_proxy_cancels_is_tried_again(triton: FakeTriton, call: Caller) -> None:
    def cancelled_once(seen: Seen) -> Transcription:
        if len(triton.seen) == 1:
            raise Refusal("CANCELLED", "RST_STREAM with error code 8")
        return HELLO

    triton.model = cancelled_once
    outcomes = call(triton.url, triton.protocol, "transcribe_many", [b"a", b"b"], concurrency=1)
    assert [outcome.unwrap().text for outcome in outcomes] == ["hello world"] * 2


def test_refused_audio_is_not_tried_again(triton: FakeTriton, call: Caller) -> None:
    triton.refuse("INVALID_ARGUMENT", "in ensemble 'asr', audio is too short: 1.0 ms")
    with pytest.raises(InvalidRequest, match=r"^audio is too short: 1.0 ms$"):
        call(triton.url, triton.protocol, "transcribe", b"RIFF")
    assert len(triton.seen) == 1


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        ("NOT_FOUND", "Request for unknown model: 'asr' is not found", ModelNotFound),
        ("INVALID_ARGUMENT", "Request for unknown model: 'asr' is not found", ModelNotFound),
        ("INVALID_ARGUMENT", "audio is too large", InvalidRequest),
        ("UNAVAILABLE", "Request for unknown model: 'asr' has no available versions", ServerUnavailable),
        ("NOT_FOUND", "Request for unknown model: 'asr' has no available versions", ServerUnavailable),
        ("UNAVAILABLE", "Request timeout expired", DeadlineExceeded),
        ("RESOURCE_EXHAUSTED", "rate limited", QueueFull),
        ("UNAUTHENTICATED", "token expired", AccessDenied),
        ("INTERNAL", "backend died", ServerError),
        ("INTERNAL", "Stub process 'acoustic_0_0' is not healthy.", RequestInterrupted),
        ("UNAVAILABLE", "Socket closed", RequestInterrupted),
    ],
)
def test_every_refusal_has_its_error(
    triton: FakeTriton, call: Caller, status: str, message: str, error: type[AsrError]
) -> None:
    triton.refuse(status, message)
    with pytest.raises(error) as caught:
        call(triton.url, triton.protocol, "transcribe", b"RIFF", client={"retry": RetryPolicy(max_attempts=1)})
    assert type(caught.value) is error
    assert type(caught.value.__cause__).__name__ == "InferenceServerException"


def test_deadline_is_kept_and_not_tried_again(triton: FakeTriton, call: Caller) -> None:
    finish = threading.Event()

    def hang(seen: Seen) -> Transcription:
        finish.wait(20)
        return HELLO

    triton.model = hang
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"no answer from the \w+ server at localhost:\d+ within 0\.3 s"):
        call(triton.url, triton.protocol, "transcribe", b"RIFF", timeout_s=0.3)
    finish.set()
    assert time.monotonic() - begin < 15
    assert len(triton.seen) <= 1


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_nobody_listens(protocol: str, call: Caller) -> None:
    with pytest.raises(ServerUnavailable, match=r"is this its \w+ port\?.*\(after 5 attempts\)"):
        call("localhost:9", protocol, "transcribe", b"RIFF")
    assert not call("localhost:9", protocol, "server_ready")
    assert not call("localhost:9", protocol, "model_ready")


def test_wrong_protocol_for_the_port(triton: FakeTriton, call: Caller) -> None:
    other = {"grpc": "http", "http": "grpc"}[triton.protocol]
    name = {"grpc": "gRPC", "http": "HTTP"}[triton.protocol]
    message = (
        rf"{triton.url}, but it does not speak \w+; it seems to be the {name} port: say protocol='{triton.protocol}'"
    )
    with pytest.raises(ServerUnavailable, match=message) as caught:
        call(triton.url, other, "transcribe", b"RIFF", timeout_s=20)
    assert "x00" not in str(caught.value)


def test_server_says_that_the_message_is_too_large(triton: FakeTriton, call: Caller) -> None:
    with pytest.raises(MessageTooLarge, match=r"This client's limit is 67,108,864 bytes.*max_message_bytes"):
        call(triton.url, triton.protocol, "transcribe", bytes(2**20))
    assert not triton.seen


def test_message_too_large_for_the_client_is_not_sent(triton: FakeTriton, call: Caller) -> None:
    with pytest.raises(MessageTooLarge, match=r"60,000 bytes does not fit the message limit of 50,000") as caught:
        call(triton.url, triton.protocol, "transcribe", bytes(60_000), client={"max_message_bytes": 50_000})
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (60_000, 50_000)


def test_largest_message_that_the_client_allows_does_fit(triton: FakeTriton, call: Caller) -> None:
    audio = bytes(50_000 - 4096)
    headers = {"traceparent": "x" * 1000}
    client = {"max_message_bytes": 50_000, "headers": headers}
    assert call(triton.url, triton.protocol, "transcribe", audio, client=client) == Transcription(
        "hello world", 0.875, 1.5
    )


def test_readiness(triton: FakeTriton, call: Caller) -> None:
    for is_ready in (True, False):
        triton.is_ready = is_ready
        assert call(triton.url, triton.protocol, "server_ready") is is_ready
        assert call(triton.url, triton.protocol, "model_ready") is is_ready


def test_check_model_passes_for_an_ensemble(triton: FakeTriton, call: Caller) -> None:
    call(triton.url, triton.protocol, "check_model")


def test_check_model_names_every_difference(triton: FakeTriton, call: Caller) -> None:
    triton.inputs = [{"name": "audio", "datatype": "FP32", "shape": [-1]}]
    triton.outputs = [*triton.outputs[1:], {"name": "TRANSCRIPT", "datatype": "FP32", "shape": [1]}]
    with pytest.raises(ModelMismatch, match="no input AUDIO .*TRANSCRIPT is FP32, not BYTES; unknown input audio"):
        call(triton.url, triton.protocol, "check_model")


def test_check_model_that_is_not_there(triton: FakeTriton, call: Caller) -> None:
    with pytest.raises(ModelNotFound, match="'other' is not found; it has asr$"):
        call(triton.url, triton.protocol, "check_model", client={"model": "other"})


def test_check_model_at_a_server_without_models_of_this_kit(triton: FakeTriton, call: Caller) -> None:
    triton.inputs = []
    with pytest.raises(ModelNotFound, match="'other' is not found; it has no model of this kit$"):
        call(triton.url, triton.protocol, "check_model", client={"model": "other"})


def test_check_model_at_a_server_that_keeps_its_list_to_itself(triton: FakeTriton, call: Caller) -> None:
    triton.index = None
    with pytest.raises(ModelNotFound, match="'other' is not found$"):
        call(triton.url, triton.protocol, "check_model", client={"model": "other"})


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tls(protocol: str, call: Caller, certificate: Certificate) -> None:
    with serving(FakeTriton(protocol), certificate) as triton:
        trusting = {"tls": Tls(ca_file=certificate.cert)}
        assert call(triton.url, protocol, "transcribe", b"RIFF", client=trusting).text == "hello world"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tls_refuses_a_certificate_that_nobody_vouches_for(
    protocol: str, call: Caller, certificate: Certificate
) -> None:
    with serving(FakeTriton(protocol), certificate) as triton:
        with pytest.raises(ServerUnavailable, match=r"(?i)certificate|ssl|handshake"):
            call(
                triton.url, protocol, "transcribe", b"RIFF", client={"tls": True, "retry": RetryPolicy(max_attempts=1)}
            )
        assert not triton.seen
