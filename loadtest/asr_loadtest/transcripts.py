"""Transcripts without load (the baselines), and the comparison of transcripts under load with them.

A server that answers quickly and wrongly has no capacity. Transcripts are compared after a step, never during one.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from asr_client import AsrError, Transcription
from asr_contract import word_errors

from asr_loadtest.errors import NotReady
from asr_loadtest.recordings import Recording

# Sends one recording to the server, without retries, and returns its transcript; raises AsrError.
Send = Callable[[Recording], Awaitable[Transcription]]


@dataclass(frozen=True)
class Baseline:
    """The transcript of one recording without load."""

    text: str
    latency_s: float


@dataclass(frozen=True)
class Comparison:
    """The differences of transcripts under load from the baselines, and from the references."""

    checked: int  # transcripts that were compared
    changed: int  # transcripts that differ from the baseline
    wer: float | None  # 0 to 1, under load; None without references
    baseline_wer: float | None  # 0 to 1, without load; None without references


async def take_baselines(
    send: Send, recordings: Sequence[Recording], on_progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Recording], list[Baseline]]:
    """Transcribe the recordings one at a time. This also warms the server up.

    Returns:
        The recordings, with lengths that only the server knew, and their baselines in the same order.

    Raises:
        NotReady: a recording gets no transcript.
    """
    complete, found = [], []
    for recording in recordings:
        begin = time.monotonic()
        try:
            answer = await send(recording)
        except AsrError as error:
            raise NotReady(f"{recording.name}, sent alone: {error}") from error
        found.append(Baseline(answer.text, time.monotonic() - begin))
        seconds = answer.duration if recording.seconds is None else recording.seconds
        complete.append(replace(recording, seconds=seconds))
        on_progress(len(found), len(recordings))
    return complete, found


def compare(
    answers: Iterable[tuple[int, str]], recordings: Sequence[Recording], baselines: Sequence[Baseline] | None
) -> Comparison:
    """Compare transcripts with the baselines and the references.

    Args:
        answers: index of the recording, and its transcript under load.
        recordings: were sent; some have references.
        baselines: in the order of the recordings; None: nothing is compared.
    """
    if baselines is None:
        return Comparison(0, 0, None, None)
    # The same few texts come again and again, so each is scored once.
    counts = Counter(answers)
    changed = sum(count for (index, text), count in counts.items() if text != baselines[index].text)
    scored = {key: count for key, count in counts.items() if recordings[key[0]].text is not None}
    return Comparison(
        checked=sum(counts.values()),
        changed=changed,
        wer=_wer((recordings[index].text or "", text, count) for (index, text), count in scored.items()),
        baseline_wer=_wer(
            (recordings[index].text or "", baselines[index].text, count) for (index, _), count in scored.items()
        ),
    )


def _wer(triples: Iterable[tuple[str, str, int]]) -> float | None:
    """Return the word error rate of (reference, transcript, how often), without case and punctuation."""
    errors = words = 0
    for reference, transcript, count in triples:
        score = word_errors.compare([(reference, transcript)])
        errors += count * score.word_errors
        words += count * score.words
    return errors / words if words else None
