"""Segments of live streams through a real Triton: ended by FLUSH or a chosen silence; and streams that pause."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from asr_client import FLUSH, AsyncClient, Client, StreamResult
from asr_client._calls import live
from asr_server import TritonServer

from tests.e2e.test_live_streams import Raw, finals, pieces
from tests.e2e.test_long_recordings import RATE, sentences  # noqa: F401 - a fixture

pytestmark = pytest.mark.e2e
Said = tuple[str, float, list[tuple[str, float]]]


@pytest.fixture(scope="module")
def two(sentences: list[np.ndarray]) -> list[np.ndarray]:  # noqa: F811
    return [(np.clip(sentence, -1, 1) * 32767).astype(np.int16) for sentence in sentences[:2]]


def room(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, int(seconds * RATE)).astype(np.int16)


def heard(client: Client, chunks: Any, **named: Any) -> list[StreamResult]:
    return list(client.stream(chunks, sampling_rate=RATE, **named))


def said(result: StreamResult, later_s: float = 0.0) -> Said:
    assert result.start is not None
    words = [(word.word, round(word.start + later_s, 2)) for word in result.words]
    return result.text, round(result.start + later_s, 2), words


def alone(client: Client, samples: np.ndarray) -> StreamResult:
    (final,) = finals(heard(client, pieces(samples, 0.1)))
    return final


def test_sentences_with_a_flush_between_them_are_as_two_streams(client: Client, two: list[np.ndarray]) -> None:
    first, second = two
    results = heard(client, [*pieces(first, 0.1), FLUSH, *pieces(second, 0.13)])
    assert [result.flushed for result in finals(results)] == [True, False]
    seconds = len(first) / RATE
    assert [said(result) for result in finals(results)] == [
        said(alone(client, first)),
        said(alone(client, second), seconds),
    ]
    assert results[-1].seconds == pytest.approx(seconds + len(second) / RATE, abs=1e-3)


def test_a_flush_at_another_rate(client: Client, two: list[np.ndarray]) -> None:
    """Pieces end within a sample of two channels, and the server resamples."""
    first, second = (np.repeat(np.stack([samples] * 2, axis=1), 3, axis=0).tobytes() for samples in two)
    chunks = [first[:100_001], first[100_001:-3], FLUSH, first[-3:] + second]
    results = finals(list(client.stream(chunks, sampling_rate=3 * RATE, channels=2)))
    assert [result.text for result in results] == [alone(client, samples).text for samples in two]
    assert results[1].words[0].start == pytest.approx(
        len(two[0]) / RATE + alone(client, two[1]).words[0].start, abs=0.04
    )


@pytest.mark.parametrize(
    ("pattern", "flushed"),
    [
        ("FA", [False]),
        ("FFAF", [False, False, True]),
        ("AFF", [True, False]),
        ("ArF", [False]),  # the silence has ended the segment
        ("rF", [False]),
    ],
)
def test_each_flush_says_whether_something_was_said(
    client: Client, two: list[np.ndarray], pattern: str, flushed: list[bool]
) -> None:
    kinds = {"F": [FLUSH], "A": pieces(two[0], 0.2), "r": pieces(room(2.0), 0.2)}
    results = finals(heard(client, [chunk for kind in pattern for chunk in kinds[kind]]))
    assert [bool(result.text) for result in results if result.flushed] == flushed
    texts = [result.text for result in results if result.text]
    assert texts == [alone(client, two[0]).text] * pattern.count("A")


def test_partial_results_tell_where_the_segment_begins(client: Client, two: list[np.ndarray]) -> None:
    samples = np.concatenate([room(1.5), two[0], room(1.5), two[1], room(1.5)])
    results = heard(client, pieces(samples, 0.1))
    starts = [[result.start for result in segment if result.text] for segment in by_segment(results)]
    assert len(starts) == 2
    assert all(len(segment) > 3 and len(set(segment)) == 1 for segment in starts)
    assert starts[0][0] == pytest.approx(1.0, abs=0.4)


def by_segment(results: list[StreamResult]) -> list[list[StreamResult]]:
    ends = [index + 1 for index, result in enumerate(results) if result.is_final]
    return [results[begin:end] for begin, end in itertools.pairwise([0, *ends])]


def test_with_the_voice_detector_speech_begins_before_its_first_word(client: Client, two: list[np.ndarray]) -> None:
    results = heard(client, pieces(np.concatenate([room(1.0), two[0]]), 0.1), vad=True)
    assert not results[0].is_final
    assert results[0].seconds < 2.0
    assert results[0].start == results[-1].start


@pytest.mark.parametrize(("silence_ms", "segments"), [(None, 1), (300, 2), (2000, 1)])
def test_the_silence_that_ends_a_segment(
    client: Client, two: list[np.ndarray], silence_ms: int | None, segments: int
) -> None:
    samples = np.concatenate([two[0], room(0.1), two[1], room(0.2)])  # the sentences have silence around them
    assert len(finals(heard(client, pieces(samples, 0.1), silence_ms=silence_ms))) == segments


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_paused_for_long_goes_on(
    server: TritonServer,
    client: Client,
    two: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    is_async: bool,
) -> None:
    """As after a minute in which nothing was sent; here somebody else ends the sequence."""
    monkeypatch.setattr(live, "IDLE_S", 0.0)
    first, second = two
    expected = [said(alone(client, first)), said(alone(client, second), len(first) / RATE + 2.0)]
    sequence = 7001 + 10 * is_async
    ids = itertools.count(sequence - 1)
    monkeypatch.setattr("secrets.randbelow", lambda below: next(ids))

    def chunks() -> Iterator[Any]:
        yield from pieces(np.concatenate([first, room(2.0)]), 0.2)
        yield FLUSH
        raw = Raw(server.grpc_url)
        assert raw.send(sequence, b"", end=True) == "[]"
        raw.close()
        yield from pieces(second, 0.2)

    async def listen() -> list[StreamResult]:
        async with AsyncClient(server.grpc_url) as asking:
            return [result async for result in asking.stream(chunks(), sampling_rate=RATE)]

    results = asyncio.run(listen()) if is_async else heard(client, chunks())
    assert [said(result) for result in finals(results) if result.text] == expected
