"""Long recordings through a Whisper, whose windows are answered by the test."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from asr_contract.errors import AudioError, AudioTooLong, ParameterError
from asr_serving.audio.speech import Detector
from asr_serving.long.segments import Segment
from asr_serving.long.whisper import Context, WhisperTranscriber
from asr_serving.whisper.codec import Codec
from asr_serving.whisper.tasks import Task, Written
from recordings import speech
from sounds import RATE, music, silence

SETTINGS = {"max_seconds": "60"}
PCM = {"encoding": "pcm_f32le", "sample_rate": RATE}


@pytest.fixture(scope="module")
def codec(whisper_artefacts: Callable[[str], Path]) -> Codec:
    return Codec.load(whisper_artefacts("thirty-seconds"))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


class Writer:
    """Answers the windows with these texts, one after the other."""

    def __init__(self, codec: Codec, *texts: str) -> None:
        self._codec, self._texts = codec, iter(texts)
        self.tasks: list[Task] = []

    def __call__(self, task: Task) -> Written:
        self.tasks.append(task)
        tokens = self._codec.encode(next(self._texts))
        return Written(tokens, [-0.1] * len(tokens), -0.1, task.options.language or "de")


def segments(
    codec: Codec, detector: Detector, writer: Writer, samples: np.ndarray, is_given_up: Callable[[], bool] | None = None
) -> Callable[..., Iterator[Segment]]:
    def run(**parameters: object) -> Iterator[Segment]:
        asked: Mapping[str, object] = {**PCM, **parameters}
        transcriber = WhisperTranscriber(SETTINGS, codec, writer, detector)
        return transcriber.segments(io.BytesIO(samples.tobytes()), asked, is_given_up or (lambda: False))

    return run


def sentences(count: int) -> np.ndarray:
    return np.concatenate([part for _ in range(count) for part in (silence(1), speech(), silence(2.5))])


def test_each_part_is_a_segment_and_knows_the_text_before_it(codec: Codec, detector: Detector) -> None:
    writer = Writer(codec, " Mister Quilter", " is the apostle", " of the middle")
    run = segments(codec, detector, writer, sentences(3))
    *found, rest = run(prompt="classes", timestamps=False)
    assert [segment.heard.text for segment in found] == ["Mister Quilter", " is the apostle", " of the middle"]
    assert [segment.language for segment in found] == ["de"] * 3
    prompts = [codec.decode(list(task.options.prompt)) for task in writer.tasks]
    assert prompts == [" classes", " classes Mister Quilter", " classes Mister Quilter is the apostle"]
    assert [task.options.language for task in writer.tasks] == [None, "de", "de"]  # detected once
    ends = [segment.seconds_done for segment in found]
    period = 3.5 + len(speech()) / RATE
    assert ends == pytest.approx([period * index + 1 + len(speech()) / RATE for index in range(3)], abs=0.5)
    # What is after the last part has been heard, too.
    assert (rest.heard.text, rest.language, rest.segments) == ("", "de", [])
    assert rest.seconds_done == pytest.approx(3 * period)


def test_times_are_from_the_start_of_the_recording(codec: Codec, detector: Detector) -> None:
    begin = codec.settings.timestamp_begin

    def write(task: Task) -> Written:
        tokens = [begin + 10, *codec.encode(" classes"), begin + 60]
        return Written(tokens, [-0.1] * len(tokens), -0.1, "en")

    transcriber = WhisperTranscriber(SETTINGS, codec, write, detector)
    found = list(transcriber.segments(io.BytesIO(sentences(2).tobytes()), {**PCM, "timestamps": True}, lambda: False))
    starts = [word["start"] for segment in found for word in segment.heard.words]
    assert [word["word"] for segment in found for word in segment.heard.words] == ["classes"] * len(starts)
    assert [segment["start"] for part in found for segment in part.segments or ()] == pytest.approx(starts, abs=0.006)
    assert starts[0] == pytest.approx(1 + 0.2, abs=0.3)
    assert starts == sorted(starts)
    assert starts[-1] > 3.5 + len(speech()) / RATE


def test_silence_and_music_have_no_text(codec: Codec, detector: Detector) -> None:
    writer = Writer(codec)
    samples = np.concatenate((silence(5), music(15), silence(5)))
    (only,) = segments(codec, detector, writer, samples)(language="fr")
    assert (only.heard.text, only.heard.words, only.segments) == ("", [], [])
    assert (only.seconds_done, only.language) == (25.0, "fr")
    assert writer.tasks == []


def test_nothing_further_is_written_when_nobody_waits(codec: Codec, detector: Detector) -> None:
    writer = Writer(codec, " one", " two", " three")
    run = segments(codec, detector, writer, sentences(3), lambda: len(writer.tasks) == 1)
    assert len(list(run())) == 1
    assert len(writer.tasks) == 1


def test_bad_requests_cost_nothing(codec: Codec, detector: Detector) -> None:
    writer = Writer(codec)
    with pytest.raises(ParameterError, match="unknown parameter 'beams'"):
        list(segments(codec, detector, writer, sentences(1))(beams=3))
    with pytest.raises(AudioError, match="0 bytes"):
        list(segments(codec, detector, writer, np.zeros(0, np.float32))())
    with pytest.raises(AudioTooLong, match="more than 60 s"):
        list(segments(codec, detector, writer, silence(61))())


def test_text_that_repeats_itself_is_no_context() -> None:
    context = Context((1, 2), most=4)
    assert context.prompt(9) == (9, 1, 2)
    context.add([3, 4, 5], "three four five")
    assert context.prompt(9) == (9, 2, 3, 4, 5)
    context.add([6] * 50, "again and again and " * 20)
    assert context.prompt(9) == ()
    context.add([], "")
    assert context.prompt(9) == ()
