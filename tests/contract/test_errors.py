"""Codes of errors, which travel at the head of a message."""

import pytest
from asr_contract import errors
from asr_contract.errors import AudioTooLong, ErrorCode, ModelFailed, QueueFull


def test_a_code_is_read_back_from_what_triton_makes_of_the_message() -> None:
    code, text = errors.encode(AudioTooLong("audio is too long: 61.00 s"))
    assert (code, text) == (ErrorCode.AUDIO_TOO_LONG, "AUDIO_TOO_LONG: audio is too long: 61.00 s")
    assert errors.decode(text) == (code, "audio is too long: 61.00 s")
    assert errors.decode(f"in ensemble 'asr', {text}") == (code, "audio is too long: 61.00 s")


@pytest.mark.parametrize("limit_s", [40.0, 0.5, 12.25, 86_400.0, 2e9])
@pytest.mark.parametrize("advice", ["", "cut it: 5 s are enough"])
def test_the_limit_of_a_recording_that_is_too_long_is_read_back(limit_s: float, advice: str) -> None:
    _, text = errors.encode(errors.too_long("61.00 s or more", limit_s, advice))
    assert errors.limit_of(text) == limit_s
    assert errors.limit_of("recording is larger than 5 bytes, the limit for one recording") is None


@pytest.mark.parametrize("channels", [1, 2, 64])
def test_the_number_of_channels_is_read_back(channels: int) -> None:
    code, text = errors.encode(errors.other_channels(channels, "of_channels=3 needs 3"))
    assert code is ErrorCode.INVALID_AUDIO
    assert errors.channels_of(f"in ensemble 'asr', {text} (after 2 attempts)") == channels
    assert errors.channels_of("audio has 65 channels; needs 1 to 64") is None


def test_words_of_others_have_no_code() -> None:
    assert errors.decode("Exceeds maximum queue size") == (None, "Exceeds maximum queue size")
    assert errors.decode("MY_QUEUE_FULL: no") == (None, "MY_QUEUE_FULL: no")


def test_what_nobody_foresaw_is_a_failure_of_the_model() -> None:
    assert errors.encode(KeyError("x")) == (ErrorCode.MODEL_FAILED, "MODEL_FAILED: KeyError('x')")


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_comes_back_as_the_exception_that_has_it(code: ErrorCode) -> None:
    raised = errors.raised(f"{code}: the reason")
    assert raised.code is code
    assert str(raised) == "the reason"


def test_another_models_words_without_a_code_are_a_failure() -> None:
    assert isinstance(errors.raised("the process ended"), ModelFailed)
    assert isinstance(errors.raised("QUEUE_FULL: later"), QueueFull)


def test_codes_have_the_status_that_clients_act_on() -> None:
    assert {code: code.status for code in ErrorCode if code.status != "INVALID_ARGUMENT"} == {
        ErrorCode.QUEUE_FULL: "UNAVAILABLE",
        ErrorCode.STOPPING: "UNAVAILABLE",
        ErrorCode.MODEL_FAILED: "INTERNAL",
        ErrorCode.CANCELLED: "CANCELLED",
    }
