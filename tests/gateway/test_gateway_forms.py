"""What the fields of a form mean, and which are refused."""

import contextlib
import io
from typing import Any

import pytest
from asr_gateway.errors import ApiError
from asr_gateway.forms import FORMATS, Form, parse
from gateway_app import BOUNDARY, Service, form
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData, UploadFile

FILE = ("file", UploadFile(io.BytesIO(b"RIFF"), filename="a.wav"))


def read(*fields: tuple[str, Any]) -> Form:
    return parse(FormData([FILE, *fields]))


def refused(*fields: tuple[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(*fields)
    return caught.value


def test_a_recording_suffices() -> None:
    form = read()
    assert (form.model, form.format, form.languages, form.prompt, form.keywords) == ("", "json", (), "", ())
    assert (form.is_streamed, form.vad, form.wants_logprobs, form.granularities) == (False, False, False, frozenset())
    assert form.audio.read() == b"RIFF"
    form.audio.seek(0)


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities", "timestamp_granularities[0]"])
def test_arrays_have_brackets_or_none(name: str) -> None:
    assert read((name, "word"), (name, "segment")).granularities == {"word", "segment"}


def test_of_a_field_that_comes_twice_the_last_one_counts() -> None:
    assert read(("model", "a"), ("model", " b ")).model == "b"


def test_language_goes_before_languages() -> None:
    assert read(("languages[]", "de"), ("languages[]", "fr")).languages == ("de", "fr")
    assert read(("languages[]", "fr"), ("language", "de")).languages == ("de",)
    assert read(("language", "")).languages == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "0.5"},
        {"chunking_strategy": "server_vad"},
        {"chunking_strategy": '{"type": "server_vad", "silence_duration_ms": 200}'},
    ],
)
def test_server_vad_is_asked_for_in_three_ways(fields: dict[str, str]) -> None:
    assert read(*fields.items()).vad


def test_auto_is_no_voice_detector() -> None:
    assert not read(("chunking_strategy", "auto")).vad


@pytest.mark.parametrize("word", ["true", "True", "1"])
def test_flags(word: str) -> None:
    assert read(("stream", word)).is_streamed
    assert not read(("stream", "false")).is_streamed


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("response_format", "xml", "response_format"),
        ("response_format", "diarized", "response_format"),
        ("channels", "left", "channels"),
        ("stream", "maybe", "stream"),
        ("temperature", "hot", "temperature"),
        ("temperature", "1.5", "temperature"),
        ("temperature", "nan", "temperature"),
        ("timestamp_granularities[]", "sentence", "timestamp_granularities[]"),
        ("include[]", "everything", "include[]"),
        ("chunking_strategy", "magic", "chunking_strategy"),
        ("chunking_strategy", "{", "chunking_strategy"),
        ("chunking_strategy", "{" * 100_000, "chunking_strategy"),
        ("chunking_strategy[threshold]", "high", "chunking_strategy[threshold]"),
    ],
)
def test_what_is_refused_is_named(name: str, value: str, param: str) -> None:
    error = refused((name, value))
    assert (error.status, error.code, error.param) == (400, "invalid_value", param)
    assert "needs" in error.message
    assert len(error.message) < 300


def test_the_valid_formats_are_named() -> None:
    assert ", ".join(FORMATS) in refused(("response_format", "xml")).message


@pytest.mark.parametrize("format", ["srt", "vtt", "verbose_json"])
def test_a_stream_is_text(format: str) -> None:
    error = refused(("stream", "true"), ("response_format", format))
    assert (error.code, error.param) == ("unsupported_value", "stream")


def test_a_recording_is_needed() -> None:
    for fields, said in (([], "no recording"), ([("file", "RIFF")], "without a filename")):
        with pytest.raises(ApiError, match=said) as caught:
            parse(FormData(fields))
        assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "file")


def test_a_recording_in_another_field_is_none() -> None:
    with pytest.raises(ApiError, match="no recording"):
        parse(FormData([("audio", FILE[1])]))


def test_unknown_fields_are_ignored() -> None:
    assert read(("known_speaker_names[]", "alice"), ("vad_filter", "true")) == read()


NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["model", "language", "stream", "include[]", "temperature", "chunking_strategy", "response_format", "file"]
    ),
)


@given(st.lists(st.tuples(NAMES, st.text(max_size=40)), max_size=8))
def test_any_fields_give_a_form_or_an_answer(fields: list[tuple[str, str]]) -> None:
    with contextlib.suppress(ApiError):
        assert read(*fields).format in FORMATS


def test_another_content_type_is_refused(called: Service) -> None:
    answer = called.http.post("/v1/audio/transcriptions", json={"file": "…"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_content_type")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x"),  # without a boundary
        ("multipart/form-data; boundary=x", b"not a form"),
        ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data\r\n\r\nnameless\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b""),
        (f"multipart/form-data; boundary={BOUNDARY}", form()[:-4]),  # without its end
    ],
)
def test_a_broken_form_is_an_error_in_shape(called: Service, content_type: str, body: bytes) -> None:
    answer = called.http.post("/v1/audio/transcriptions", content=body, headers={"content-type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("fields", [{"prompt": "x" * 40_000}, {f"field {number}": "x" for number in range(300)}])
def test_fields_take_little_memory(called: Service, fields: dict[str, str]) -> None:
    answer = called.post(more=fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("size", [10, 2**20, 2**20 + 1, 2**21])
def test_a_recording_is_sent_whole_wherever_it_lies(called: Service, size: int) -> None:
    audio = bytes(range(256)) * (size // 256 + 1)
    answer = called.http.post("/v1/audio/transcriptions", files={"file": ("a.wav", audio[:size])})
    assert answer.status_code == 200
    assert called.kit.seen[0].audio == audio[:size]


def test_two_recordings_are_one_too_many(called: Service) -> None:
    files = [("file", ("a.wav", b"RIFF")), ("file", ("b.wav", b"RIFF"))]
    answer = called.http.post("/v1/audio/transcriptions", files=files)
    assert answer.status_code == 400
    assert "Too many files" in answer.json()["error"]["message"]
