"""`transcribe_many` and `transcribe_iter`."""

import asyncio
import io
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asr_client import (
    AsyncClient,
    Audio,
    Client,
    ClientClosed,
    InvalidAudio,
    InvalidOption,
    InvalidRequest,
    Outcome,
    Transcription,
)
from asr_client._calls import batch
from asr_client._calls.protocol import Infer
from asr_client.testing import MockTransport

Many = Callable[..., list[Outcome]]


def echo(request: Infer) -> Transcription:
    if request.audio == b"bad":
        raise InvalidRequest("not audio")
    return Transcription(request.audio.decode(), 1.0, 1.0)


@pytest.fixture(params=["sync", "async"])
def many(request: pytest.FixtureRequest) -> Many:
    """`transcribe_many` of a client whose server is the handler."""

    def run(items: Any, handler: Callable[[Infer], Transcription] = echo, **named: Any) -> list[Outcome]:
        transport = MockTransport(handler)
        if request.param == "sync":
            with Client(transport=transport) as client:
                return client.transcribe_many(items, **named)

        async def call() -> list[Outcome]:
            async with AsyncClient(transport=transport.asynchronous()) as client:
                return await client.transcribe_many(items, **named)

        return asyncio.run(call())

    return run


def test_results_are_in_the_order_of_the_items(many: Many) -> None:
    items = [str(number).encode() for number in range(50)]

    def uneven(request: Infer) -> Transcription:
        time.sleep(0.01 if int(request.audio) % 7 == 0 else 0)
        return echo(request)

    outcomes = many(items, uneven)
    assert [outcome.unwrap().text for outcome in outcomes] == [item.decode() for item in items]
    assert [outcome.index for outcome in outcomes] == list(range(50))


def test_an_item_that_fails_has_its_error_in_its_slot(many: Many, tmp_path: Path) -> None:
    good = tmp_path / "good.wav"
    good.write_bytes(b"good")
    outcomes = many([good, tmp_path / "missing.wav", b"bad", np.zeros(3), b"last"])
    assert [outcome.ok for outcome in outcomes] == [True, False, False, False, True]
    assert [type(outcome.error) for outcome in outcomes[1:4]] == [InvalidAudio, InvalidRequest, InvalidAudio]
    assert outcomes[1].source == str(tmp_path / "missing.wav")
    assert outcomes[2].source == "item 2"
    with pytest.raises(InvalidRequest, match="not audio"):
        outcomes[2].unwrap()


def test_items_carry_their_own_formats(many: Many) -> None:
    seen = []

    def look(request: Infer) -> Transcription:
        seen.append(request.parameters.get("sample_rate"))
        return Transcription("", 1.0, 1.0)

    many([Audio(np.zeros(8), 16000), b"file", Audio(b"\0\0", 8000, "pcm_s16le")], look, concurrency=1)
    assert seen == [16000, None, 8000]


def test_no_items(many: Many) -> None:
    assert many([]) == []


def test_progress_sees_every_outcome_in_the_calling_thread(many: Many) -> None:
    seen = []
    outcomes = many(
        [b"a", b"bad", b"c"], on_progress=lambda outcome: seen.append((outcome.index, threading.get_ident()))
    )
    assert sorted(seen) == [(outcome.index, threading.get_ident()) for outcome in outcomes]


def test_items_are_taken_as_places_become_free() -> None:
    taken: list[int] = []
    answered: list[int] = []

    def items() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            assert len(taken) - len(answered) <= 3 + 1
            yield str(number).encode()

    def count(outcome: Outcome) -> None:
        answered.append(outcome.index)

    with Client(transport=MockTransport(echo)) as client:
        assert len(client.transcribe_many(items(), concurrency=3, on_progress=count)) == 100


def test_concurrency_is_reached_and_not_exceeded(many: Many) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def busy(request: Infer) -> Transcription:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= 1
        return echo(request)

    many([b"x"] * 30, busy, concurrency=4)
    assert 1 <= most[0] <= 4


def test_audio_is_not_kept(tmp_path: Path) -> None:
    references: list[weakref.ref[Any]] = []

    def arrays() -> Iterator[Audio]:
        for _ in range(12):
            array = np.zeros(1000, dtype=np.int16)
            references.append(weakref.ref(array))
            yield Audio(array, 16000)
            del array
            assert sum(reference() is not None for reference in references) <= 4 + 1

    def refuse(request: Infer) -> Transcription:
        raise InvalidRequest("no")

    with Client(transport=MockTransport(refuse)) as client:
        outcomes = client.transcribe_many(arrays(), concurrency=4)
    assert len(outcomes) == 12
    assert not any(reference() for reference in references)


def test_a_slow_item_does_not_let_results_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_WAITING", 5)
    release = threading.Event()
    taken = []

    def first_is_slow(request: Infer) -> Transcription:
        if request.audio == b"0":
            release.wait(20)
        return echo(request)

    def items() -> Iterator[bytes]:
        for number in range(30):
            taken.append(number)
            yield str(number).encode()

    def progress(outcome: Outcome) -> None:
        if len(taken) >= 6:
            threading.Timer(0.05, release.set).start()

    with Client(transport=MockTransport(first_is_slow)) as client:
        outcomes = client.transcribe_iter(items(), concurrency=2, on_progress=progress)
        next(outcomes)
        assert len(taken) <= 8
        assert [outcome.index for outcome in outcomes] == list(range(1, 30))


def test_iterating_gives_results_before_the_end() -> None:
    def forever() -> Iterator[bytes]:
        while True:
            yield b"again"

    with Client(transport=MockTransport(echo)) as client:
        outcomes = client.transcribe_iter(forever(), concurrency=2)
        assert [next(outcomes).index for _ in range(5)] == [0, 1, 2, 3, 4]


def test_async_iterables_are_items_too() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for text in (b"a", b"b"):
            await asyncio.sleep(0)
            yield text

    async def run() -> list[str]:
        async with AsyncClient(transport=MockTransport(echo).asynchronous()) as client:
            return [outcome.unwrap().text async for outcome in client.transcribe_iter(stream())]

    assert asyncio.run(run()) == ["a", "b"]


def test_an_error_of_the_iterable_ends_the_run(many: Many) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError, match="disk gone"):
        many(broken())


@pytest.mark.parametrize(
    "items",
    [
        "speech.wav",
        b"RIFF",
        memoryview(b"RIFF"),
        7,
        Audio("speech.wav"),
        io.BytesIO(b"RIFF"),
        np.zeros(8),
        np.ones(8, "i2"),
    ],
)
def test_one_recording_is_not_many(many: Many, items: object) -> None:
    with pytest.raises(InvalidOption, match=r"for one, \[recording\]"):
        many(items)


def test_an_array_of_paths_is_many(many: Many, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello")
    assert [outcome.unwrap().text for outcome in many(np.array([str(tmp_path / "a")]))] == ["hello"]


def test_options_are_checked_before_anything_is_sent(many: Many) -> None:
    with pytest.raises(InvalidOption, match="concurrency is 0"):
        many([b"a"], concurrency=0)
    with pytest.raises(InvalidOption, match="timeout_s is -1"):
        many([b"a"], timeout_s=-1)


def test_closing_the_client_ends_the_run() -> None:
    client = Client(transport=MockTransport(echo))
    outcomes = client.transcribe_iter([b"a"] * 100, concurrency=2)
    next(outcomes)
    client.close()
    with pytest.raises(ClientClosed):
        list(outcomes)
