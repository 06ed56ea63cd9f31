"""What an error tells strangers. `conftest.py` looks at each error of all other tests of the client as well."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asr_client import (
    AsrError,
    Audio,
    AudioTooLong,
    Client,
    DecodeOptions,
    InvalidAudio,
    InvalidOption,
    InvalidRequest,
    MessageTooLarge,
    ModelNotFound,
    OptionRefused,
    QueueFull,
    ServerError,
    ServerUnavailable,
    StreamLost,
    Tls,
)
from asr_client._audio import load
from asr_client._transports.base import Endpoint
from asr_client._transports.errors import translate
from asr_client._transports.servers import Servers
from asr_client._uploads import prepare
from asr_contract.errors import ErrorCode
from client_caller import Caller
from fake_inference import FakeTriton
from hypothesis import given
from hypothesis import strategies as st
from strangers import secrets

ENDPOINT = Endpoint("asr-7.internal:8001", "grpc", None, {}, 1000)
SECRET = "10.1.2.3:8001 /models/acoustic/1/model.py"
STATUSES = ["INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"]
STATUSES += ["UNAUTHENTICATED", "PERMISSION_DENIED", "CANCELLED", "INTERNAL", "UNKNOWN", "UNIMPLEMENTED"]
HTTP_STATUSES = ["400", "401", "403", "404", "413", "429", "499", "500", "502", "503", "504", "418"]
# Words by which the client tells one error from another.
WORDS = ["", "Exceeds maximum queue size", "Request timeout expired", "unknown model: 'x' is not found", "too large"]
WORDS += ["has no available versions", "Stub process 'a_0_0' is not healthy", "must specify the START flag"]
WORDS += ["Socket closed", "failed to connect to all addresses", "This protocol is restricted", "Bad status line"]


def kinds(kind: type[AsrError] = AsrError) -> list[type[AsrError]]:
    """The class, and all classes below it."""
    return [kind, *(found for below in kind.__subclasses__() for found in kinds(below))]


class Foreign(Exception):
    """As tritonclient's exception."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"[{status}] {message}")
        self.status = lambda: status if status.isdigit() else f"StatusCode.{status}"
        self.message = lambda: message


@pytest.mark.parametrize("kind", kinds())
def test_a_message_is_not_public(kind: type[AsrError]) -> None:
    error = kind(SECRET)
    assert str(error) == SECRET
    assert error.public
    assert not set(SECRET.split()) & set(error.public.split())
    assert secrets(error.public) == []


@pytest.mark.parametrize("kind", kinds())
def test_an_error_may_have_public_words_of_its_own(kind: type[AsrError]) -> None:
    error = pickle.loads(pickle.dumps(kind(SECRET, public="so sorry")))
    assert (str(error), error.public) == (SECRET, "so sorry")


def test_the_number_of_attempts_is_not_public() -> None:
    error = ServerUnavailable("gone")
    error.attempts = 7
    assert str(error) == "gone (after 7 attempts)"
    assert error.public == "no server is available at the moment"


@given(st.sampled_from([*STATUSES, *HTTP_STATUSES]), st.sampled_from(WORDS), st.booleans(), st.none() | st.just(2.0))
def test_the_words_of_a_server_are_not_public(
    status: str, words: str, secret_first: bool, timeout_s: float | None
) -> None:
    message = f"{SECRET} {words}" if secret_first else f"{words}: {SECRET}"
    error = translate(Foreign(status, message), ENDPOINT, timeout_s)
    assert not {*SECRET.split(), ENDPOINT.address} & set(error.public.split())
    assert secrets(error.public) == []


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionRefusedError(111, "Connect call failed", "10.1.2.3:8001"),
        ConnectionResetError(104, "Connection reset by peer /run/asr.sock"),
        RuntimeError("Session is closed"),
        KeyError("/models"),
    ],
)
def test_what_the_system_says_is_not_public(error: Exception) -> None:
    public = translate(error, ENDPOINT, 2.0).public
    assert secrets(public) == []
    assert "internal" not in public


def test_how_long_was_waited_is_public() -> None:
    assert translate(TimeoutError(), ENDPOINT, 2.0).public == "no answer within 2 s"


@pytest.mark.parametrize(
    ("code", "kind", "is_public"),
    [
        (ErrorCode.INVALID_AUDIO, InvalidRequest, True),
        (ErrorCode.INVALID_PARAMETER, OptionRefused, True),
        (ErrorCode.AUDIO_TOO_LONG, AudioTooLong, True),
        (ErrorCode.INVALID_REQUEST, InvalidRequest, False),
        (ErrorCode.QUEUE_FULL, QueueFull, False),
        (ErrorCode.STOPPING, ServerUnavailable, False),
        (ErrorCode.MODEL_FAILED, ServerError, False),
        (ErrorCode.UNKNOWN_SEQUENCE, StreamLost, False),
        (ErrorCode.CANCELLED, ServerUnavailable, False),
    ],
)
def test_what_the_kit_says_of_a_recording_is_public(code: ErrorCode, kind: type[AsrError], is_public: bool) -> None:
    error = translate(Foreign("INVALID_ARGUMENT", f"in ensemble 'asr', {code}: odd thing"), ENDPOINT)
    assert isinstance(error, kind)
    assert (error.public == "odd thing") is is_public
    assert is_public or "odd" not in error.public


class Named(io.BytesIO):
    name = "/srv/spool/7f3a"


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error", "/srv/spool/7f3a")


@pytest.mark.parametrize(
    ("make", "public"),
    [
        (lambda folder: folder / "missing.wav", "the recording cannot be read"),
        (lambda folder: folder, "the recording cannot be read"),
        (lambda folder: f"{folder}/a\0b", "the recording cannot be read"),
        (lambda folder: Broken(), "the recording cannot be read"),
        (lambda folder: "s3://bucket/a.wav", "audio is an address, and the client downloads nothing"),
        (lambda folder: str(folder) + "A" * 5000, "characters; a str has to be a path"),
        (lambda folder: Named(), "audio is empty: 0 bytes"),
    ],
)
def test_files_are_not_public(tmp_path: Path, make: Callable[[Path], Any], public: str) -> None:
    with pytest.raises(InvalidAudio) as caught:
        prepare(Audio(make(tmp_path)), 10_000, None)
    assert public in caught.value.public
    assert str(tmp_path) not in caught.value.public
    assert secrets(caught.value.public) == []


def test_what_is_wrong_with_a_recording_is_public() -> None:
    with pytest.raises(InvalidAudio) as caught:
        load(Audio(b"RIFF", encoding="pcm_s16le"), 10_000)
    assert caught.value.public == str(caught.value)
    with pytest.raises(MessageTooLarge) as too_large:
        load(Audio(bytes(10_000)), 10_000)
    assert too_large.value.public.startswith("audio of 10,000 bytes does not fit the message limit of 10,000 bytes")


def test_options_of_a_recording_are_public_and_settings_are_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption) as option:
        DecodeOptions(hotwords=["a, b"])
    assert option.value.public == str(option.value)
    for make in (lambda: Tls(ca_file=tmp_path / "ca.pem"), lambda: Client("http://asr-7.internal:8001")):
        with pytest.raises(InvalidOption) as setting:
            make()
        assert setting.value.public == "an option is not valid"


def test_models_are_public_and_where_they_are_is_not(triton: FakeTriton, call: Caller) -> None:
    with pytest.raises(ModelNotFound) as caught:
        call(triton.url, triton.protocol, "check_model", client={"model": "other"})
    assert triton.url in str(caught.value)
    assert caught.value.public == "there is no model 'other'; it has asr"


def test_the_number_of_servers_is_not_public() -> None:
    servers = Servers([ENDPOINT, ENDPOINT])
    for place in (servers.take(), servers.take()):
        assert place is not None
        servers.failed(place, ServerUnavailable(SECRET))
    error = servers.none_works()
    assert SECRET in str(error)
    assert error.public == "no server is available at the moment"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("needs WAV, FLAC, OGG/Opus, MP3 …", []),
        ("audio is too short: 24.9 ms; this model needs at least 25.0 ms (400 samples at 16000 Hz)", []),
        ("no answer within 2 s", []),
        ("the gRPC server at localhost:8001", ["localhost"]),
        ("no route to 10.0.0.1", ["10.0.0.1"]),
        ("cannot read /srv/a.wav", ["/srv/a.wav"]),
        ("asr-7.internal:8001", ["l:8001"]),
    ],
)
def test_what_is_taken_for_a_secret(text: str, found: list[str]) -> None:
    assert [secret for secret in secrets(text) if secret in found] == found
    assert bool(secrets(text)) is bool(found)
