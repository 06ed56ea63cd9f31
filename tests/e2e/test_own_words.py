"""A transcript is of what the file holds: no word of another request, none twice, none too early."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from asr_client import Client, InvalidRequest
from recordings import VBR, by_ffmpeg, decoded, recording, speech

pytestmark = pytest.mark.e2e
NO_XING = {"write_xing": "0", "id3v2_version": "0"}


def cut(data: bytes, share: float) -> bytes:
    return data[: int(share * len(data))]


FILES: dict[str, tuple[Callable[[], bytes], float]] = {
    "mp3 cut off": (lambda: cut(recording("mp3"), 0.55), 2.93),
    "mp3 vbr without xing": (lambda: recording("mp3 vbr without xing"), 5.40),
    "mp3 44.1 kHz vbr without xing": (lambda: recording("mp3 44.1 kHz vbr without xing"), 5.36),
    "two mp3s": (lambda: 2 * recording("mp3"), 10.68),
    "aac cut off": (lambda: cut(recording("aac"), 0.6), 3.2),
    "wma cut off": (lambda: cut(recording("wma"), 0.6), 3.3),
    "fragmented mp4 cut off": (lambda: cut(recording("mp4 fragments"), 0.7), 3.6),
    "gsm": (lambda: recording("wav gsm"), 5.32),
    "g721": (lambda: recording("wav g721"), 5.31),
    "wav from a pipe": (lambda: by_ffmpeg("wav", "pcm_s16le", pipe=True), 5.31),
}


@pytest.mark.parametrize("name", FILES)
def test_what_was_heard_before_is_not_heard_again(client: Client, samples: dict[Path, str], name: str) -> None:
    make, seconds = FILES[name]
    data = make()
    own, rate = decoded(data)
    expected = client.transcribe(own, sampling_rate=rate).text
    for _ in range(3):
        client.transcribe_many(list(samples))
        answer = client.transcribe(data)
        assert answer.text == expected
        assert answer.duration == pytest.approx(seconds, abs=0.15)


def test_a_sentence_is_heard_as_often_as_it_is_there(client: Client) -> None:
    sentence = client.transcribe(recording("mp3")).text
    assert client.transcribe(recording("mp3 vbr")).text == sentence
    assert client.transcribe(recording("mp3 vbr without xing")).text == sentence
    assert client.transcribe(2 * recording("mp3")).text == f"{sentence} {sentence}"


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_long_recordings_too(client: Client, samples: dict[Path, str], share: float) -> None:
    sentences = [(0.0, np.tile(speech(44_100), 12))]
    data = cut(by_ffmpeg("mp3", "libmp3lame", 44_100, sentences, NO_XING, VBR), share)
    own, rate = decoded(data)
    client.transcribe_many(list(samples))
    answer = client.transcribe(data)
    assert answer.duration == pytest.approx(share * 63.7, abs=1)
    assert answer.text == client.transcribe(own, sampling_rate=rate).text
    assert answer.text.count("QUILTER") == pytest.approx(share * 12, abs=1)


def test_words_are_heard_when_the_container_says(client: Client) -> None:
    at_once = client.transcribe(by_ffmpeg("mp4", "aac"), word_timestamps=True)
    later = by_ffmpeg("mp4", "aac", samples=[(3.0, speech())])
    answer = client.transcribe(later, word_timestamps=True)
    assert answer.words[0].start == pytest.approx(3 + at_once.words[0].start, abs=0.1)
    assert answer.words[-1].end == pytest.approx(3 + at_once.words[-1].end, abs=0.1)


def test_a_wav_that_was_cut_off_is_refused(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="WAV is cut short: its header claims 169862 bytes of samples"):
        client.transcribe(cut(recording("wav pcm16"), 0.9))
