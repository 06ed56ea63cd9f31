"""Decoding options as keyword arguments of every method that decodes, and one format for many recordings."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from asr_client import AsyncClient, Audio, Client, DecodeOptions, InvalidAudio, InvalidOption
from asr_contract.parameters import DecodeParameters
from client_caller import Caller
from fake_inference import FakeTriton

METHODS = ("transcribe", "transcribe_many", "transcribe_iter", "stream")
RATE = 16_000
PCM = {"encoding": "pcm_s16le", "sample_rate": RATE, "channels": 1}


def heard(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
    return {"PARTIAL": "one", "STABLE": 0, "FINALS": [], "DURATION": 1.0}


def ask(triton: FakeTriton, call: Caller, method: str, audio: Any, **named: Any) -> list[Any]:
    """All that comes of a call, whatever the method gives."""
    triton.live_model = heard
    source = audio if method == "transcribe" else [audio]

    async def collect() -> list[Any]:
        async with AsyncClient(triton.url) as client:
            asked = getattr(client, method)(source, **named)
            if hasattr(asked, "__aiter__"):
                return [one async for one in asked]
            found = await asked
            return found if isinstance(found, list) else [found]

    if call.is_async:
        return asyncio.run(collect())
    with Client(triton.url) as client:
        found = getattr(client, method)(source, **named)
        return [found] if method == "transcribe" else list(found)


def sent(triton: FakeTriton) -> Mapping[str, Any]:
    """The parameters that the server was sent, but for those of the transport."""
    return {name: value for name, value in triton.seen[-1].parameters.items() if name != "timeout"}


@pytest.mark.parametrize("method", METHODS)
def test_options_are_keyword_arguments(grpc_triton: FakeTriton, call: Caller, method: str) -> None:
    options = {"hotwords": ["acme", "Quilter^5"], "decoder": "beam", "beam_width": 8, "timestamps": True}
    assert ask(grpc_triton, call, method, np.zeros(RATE, np.int16), sampling_rate=RATE, **options)
    assert sent(grpc_triton) == {**PCM, **options, "hotwords": "acme,Quilter^5"}


@pytest.mark.parametrize("method", METHODS)
def test_options_of_whisper_are_keyword_arguments(grpc_triton: FakeTriton, call: Caller, method: str) -> None:
    options = {
        "language": "German",
        "task": "translate",
        "timestamps": True,
        "word_timestamps": True,
        "prompt": "Quilter",
        "max_new_tokens": 100,
        "temperature_fallback": True,
    }
    assert ask(grpc_triton, call, method, np.zeros(RATE, np.int16), sampling_rate=RATE, **options)
    assert sent(grpc_triton) == {**PCM, **options}
    given = DecodeOptions(**options)
    assert ask(grpc_triton, call, method, np.zeros(RATE, np.int16), sampling_rate=RATE, options=given)
    assert sent(grpc_triton) == {**PCM, **options}


@pytest.mark.parametrize("method", METHODS)
def test_a_keyword_goes_before_the_same_option(grpc_triton: FakeTriton, call: Caller, method: str) -> None:
    options = DecodeOptions(hotwords="acme", decoder="beam", word_timestamps=True)
    named = {"options": options, "hotwords": "quilter", "word_timestamps": False}
    ask(grpc_triton, call, method, np.zeros(RATE, np.int16), sampling_rate=RATE, **named)
    assert sent(grpc_triton) == {**PCM, "hotwords": "quilter", "decoder": "beam"}


@pytest.mark.parametrize("method", METHODS)
def test_a_typo_names_the_options(grpc_triton: FakeTriton, call: Caller, method: str) -> None:
    message = (
        rf"^{method}\(\) got an unexpected keyword argument 'hotword': did you mean 'hotwords'\? decoding options "
    )
    with pytest.raises(TypeError, match=message) as caught:
        ask(grpc_triton, call, method, np.zeros(RATE, np.int16), sampling_rate=RATE, hotword="acme")
    assert all(field.name in str(caught.value) for field in fields(DecodeOptions))
    with pytest.raises(TypeError, match=r"argument 'xyzzy'; decoding options are word_timestamps, decoder, "):
        ask(grpc_triton, call, method, np.zeros(RATE, np.int16), sampling_rate=RATE, xyzzy=1)
    assert not grpc_triton.seen


def test_a_typo_shows_before_the_first_result() -> None:
    for client in (Client(), AsyncClient()):
        for method in ("stream", "transcribe_iter"):
            with pytest.raises(TypeError, match="did you mean 'prompt'"):
                getattr(client, method)([], sampling_rate=RATE, promt="x")


def test_keywords_are_the_fields_of_the_options() -> None:
    assert get_type_hints(DecodeParameters) == get_type_hints(DecodeOptions)


def test_a_type_checker_knows_the_keywords(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        "from asr_client import AsyncClient, Client\n"
        "client, other = Client(), AsyncClient()\n"
        "client.transcribe('a.wav', hotwords=['acme'], decoder='beam')\n"
        "client.transcribe_many(['a.wav'], sampling_rate=16000, nbest=3)\n"
        "other.stream([b''], sampling_rate=16000, lm_weight=0.5)\n"
        "client.transcribe('a.wav', decoder='beem')\n"
        "client.transcribe_iter(['a.wav'], hotword='acme')\n"
        "other.stream([b''], sampling_rate=16000, beam_width='8')\n"
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path), str(snippet)]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False).stdout
    assert [line.split(":")[1] for line in found.splitlines() if "error:" in line] == ["6", "7", "8"], found


@pytest.mark.parametrize(
    ("hotwords", "parameter"),
    [
        (["acme"], "acme"),
        (("New York", "Quilter^5"), "New York,Quilter^5"),
        ("acme, Quilter^5", "acme, Quilter^5"),
    ],
)
def test_hotwords_are_a_list_or_one_text(hotwords: Any, parameter: str) -> None:
    assert DecodeOptions(hotwords=hotwords).parameters() == {"hotwords": parameter}


def test_no_hotwords_are_not_sent() -> None:
    assert DecodeOptions(hotwords=[]).parameters() == {}


@pytest.mark.parametrize(
    ("hotwords", "message"),
    [
        (["a, b"], "hotwords holds 'a, b'; needs a word or a phrase, without a comma, for each item"),
        (["a", ""], "hotwords holds ''"),
        ([b"a"], "hotwords holds b'a'"),
        ({"acme": 5.0}, "hotwords is dict; needs a list of words, or text such as"),
        (None, "hotwords is NoneType"),
    ],
)
def test_hotwords_that_cannot_be(hotwords: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        DecodeOptions(hotwords=hotwords)


@pytest.mark.parametrize("method", ["transcribe_many", "transcribe_iter"])
def test_one_rate_for_many_arrays(grpc_triton: FakeTriton, call: Caller, method: str) -> None:
    assert ask(grpc_triton, call, method, np.zeros(RATE, np.int16), sampling_rate=RATE)[0].ok
    assert sent(grpc_triton) == PCM


def test_one_format_for_many(grpc_triton: FakeTriton, call: Caller, tmp_path: Path) -> None:
    raw = tmp_path / "a.pcm"
    raw.write_bytes(bytes(8))
    own = Audio(np.zeros(8, np.float32), sampling_rate=8000)  # has its own format
    format = {"sampling_rate": RATE, "encoding": "pcm_s16le", "channels": 2}
    outcomes = call(grpc_triton.url, "grpc", "transcribe_many", [raw, bytes(8), own], concurrency=1, **format)
    assert all(outcome.ok for outcome in outcomes)
    rates = [(seen.parameters["sample_rate"], seen.parameters["channels"]) for seen in grpc_triton.seen]
    assert rates == [(RATE, 2), (RATE, 2), (8000, 1)]


def test_a_rate_is_refused_for_the_files_among_many(grpc_triton: FakeTriton, call: Caller, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    items = [tmp_path / "a.wav", np.zeros(8, np.int16)]
    file, array = call(grpc_triton.url, "grpc", "transcribe_many", items, sampling_rate=RATE)
    assert array.ok
    assert isinstance(file.error, InvalidAudio)
    assert "sampling_rate is given for an audio file" in str(file.error)
