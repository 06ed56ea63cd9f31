"""What the server says: of each recording alone, before the load, and whether it says the same under load.

A server that answers quickly and wrongly has no capacity. All that is compared here is compared after a step, never
during one.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from asr_client import AsrError, Transcription, scoring

from asr_loadtest.errors import NotReady
from asr_loadtest.recordings import Recording

# Has the server transcribe one recording.
Send = Callable[[Recording], Awaitable[Transcription]]


@dataclass(frozen=True)
class Baseline:
    """One recording's transcript without load."""

    text: str
    latency_s: float


@dataclass(frozen=True)
class Comparison:
    """Transcripts under load beside those without."""

    checked: int
    changed: int
    wer: float | None  # 0 to 1; None without references
    baseline_wer: float | None


async def take_baselines(
    send: Send, recordings: Sequence[Recording], on_progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Recording], list[Baseline]]:
    """Transcribe each recording, one at a time, which warms the server up as well.

    Returns:
        The recordings, with the lengths that only the server could tell; and the transcripts in their order.

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
    """Hold answers, (index of the recording, text), against the baselines and the references.

    Without baselines nothing is compared.
    """
    if baselines is None:
        return Comparison(0, 0, None, None)
    # The same few texts come again and again: each is scored once.
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
    """Word error rate of (reference, transcript, how often), without case and punctuation."""
    errors = words = 0
    for reference, transcript, count in triples:
        score = scoring.score(scoring.normalize(reference), scoring.normalize(transcript))
        errors += count * score.word_errors
        words += count * score.words
    return errors / words if words else None
