"""What comes back from a real Triton is what the checkpoint says, whatever else is under way."""

import asyncio
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
from asr_client import AsyncClient, Audio, Client
from asr_server import TritonServer
from reference import transformers_says
from triton_counts import settled

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
RATE = 16_000


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def speech(samples: dict[Path, str]) -> np.ndarray:
    """The demo's 16 kHz mono WAV recordings in a row, float32."""
    pieces = [soundfile.read(path, dtype="float32") for path in samples if path.suffix == ".wav"]
    return np.concatenate([piece for piece, rate in pieces if rate == RATE and piece.ndim == 1])


def test_a_transcript_is_that_of_transformers(client: Client, speech: np.ndarray) -> None:
    audio = speech[: 3 * RATE]
    answer = client.transcribe(audio, sampling_rate=RATE)
    assert answer.text == transformers_says(ROOT / "demo" / "checkpoint", audio)
    assert answer.text
    assert answer.duration == pytest.approx(3)


def test_the_samples_come_out_right(client: Client, samples: dict[Path, str]) -> None:
    outcomes = client.transcribe_many(list(samples))
    hypotheses = [outcome.unwrap().text.lower() for outcome in outcomes]
    assert len(hypotheses) >= 12
    assert jiwer.wer(list(samples.values()), hypotheses) <= 0.10


def test_grpc_http_sync_and_async_agree(client: Client, server: TritonServer, samples: dict[Path, str]) -> None:
    path = next(iter(samples))

    async def asynchronously(url: str, protocol: str) -> object:
        async with AsyncClient(url, protocol=protocol) as other:  # type: ignore[arg-type]
            return await other.transcribe(path, word_timestamps=True)

    expected = client.transcribe(path, word_timestamps=True)
    with Client(server.http_url, protocol="http") as http:
        assert http.transcribe(path, word_timestamps=True) == expected
    assert asyncio.run(asynchronously(server.grpc_url, "grpc")) == expected
    assert asyncio.run(asynchronously(server.http_url, "http")) == expected


def test_words_make_the_text_and_lie_in_order(client: Client, samples: dict[Path, str]) -> None:
    for path in samples:
        answer = client.transcribe(path, word_timestamps=True)
        assert [word.word for word in answer.words] == answer.text.split()
        times = [time for word in answer.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= answer.duration + 0.05
        assert all(0 <= word.confidence <= 1 for word in answer.words)
        assert 0 <= answer.confidence <= 1


def test_words_are_left_out_unless_asked_for(client: Client, samples: dict[Path, str]) -> None:
    assert list(client.transcribe(next(iter(samples))).words) == []


def test_subtitles_and_ctm_show_the_words_when_they_are_said(
    client: Client, server: TritonServer, samples: dict[Path, str], tmp_path: Path
) -> None:
    path = next(path for path in samples if path.stem == "quilter")
    for format in ("srt", "ctm"):
        command = [sys.executable, "-m", "triton_asr", "transcribe", "-u", server.grpc_url, "-f", format]
        subprocess.run([*command, "-o", str(tmp_path), str(path)], check=True, timeout=120)
    heard = client.transcribe(path, word_timestamps=True)
    rows = [line.split() for line in (tmp_path / "quilter.ctm").read_text(encoding="utf-8").splitlines()]
    assert [(row[4], float(row[2])) for row in rows] == [(word.word, round(word.start, 3)) for word in heard.words]
    cues = (tmp_path / "quilter.srt").read_text(encoding="utf-8").split("\n\n")
    shown = [line for cue in cues for line in cue.splitlines()[2:]]
    assert " ".join(shown) == heard.text
    assert all(len(cue.splitlines()) <= 4 for cue in cues)
    assert max(map(len, shown)) <= 42
    assert cues[0].splitlines()[1].startswith(f"00:00:{heard.words[0].start:06.3f}".replace(".", ","))


def test_200_requests_at_once_answer_as_one_at_a_time(client: Client, server: TritonServer, speech: np.ndarray) -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(RATE // 2, 4 * RATE, size=200)
    assert len(set(lengths.tolist())) >= 50
    starts = [int(random.integers(0, len(speech) - length)) for length in lengths]
    recordings = [wav(speech[start : start + length]) for start, length in zip(starts, lengths, strict=True)]
    alone = [client.transcribe(recording).text for recording in recordings]

    before = settled(server, "acoustic")
    outcomes = client.transcribe_many([Audio(recording) for recording in recordings], concurrency=200)
    done = settled(server, "acoustic") - before

    assert [outcome.unwrap().text for outcome in outcomes] == alone
    assert len(set(alone)) > 100
    assert done.inferences == 200
    assert done.inferences / done.executions > 2


def test_silence_is_an_empty_transcript(client: Client) -> None:
    answer = client.transcribe(wav(np.zeros(2 * RATE, np.float32)), word_timestamps=True)
    assert (answer.text, list(answer.words), answer.duration) == ("", [], 2.0)


def test_pcm_equals_the_file(client: Client, speech: np.ndarray) -> None:
    audio = (speech[: 2 * RATE] * 32767).astype(np.int16)
    expected = client.transcribe(wav(audio)).text
    assert client.transcribe(audio, sampling_rate=RATE).text == expected
    assert client.transcribe(audio.tobytes(), encoding="pcm_s16le", sampling_rate=RATE).text == expected


def test_many_threads_share_a_client(client: Client, samples: dict[Path, str]) -> None:
    path = next(iter(samples))
    expected = client.transcribe(path).text
    with ThreadPoolExecutor(16) as pool:
        assert {answer.text for answer in pool.map(client.transcribe, [path] * 64)} == {expected}
