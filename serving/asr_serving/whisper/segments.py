"""The tokens of one window -> segments with their times, and how far to move on (transformers' `_retrieve_segment`)."""

from dataclasses import dataclass

from asr_serving.whisper.settings import FRAMES_PER_TIMESTAMP, SECONDS_PER_TIMESTAMP, Settings


@dataclass(frozen=True)
class Segment:
    """A stretch of tokens between two timestamps of one window."""

    first: int  # index of its first token
    end: int  # the index after its last token
    start_s: float  # seconds from the start of the window
    end_s: float  # seconds


def split(tokens: list[int], frames: int, settings: Settings) -> tuple[list[Segment], int]:
    """Segments of a window, and the number of frames after which the next window begins.

    Args:
        tokens: what was written, without the end token.
        frames: of the window that are not padding.
        settings: of the checkpoint.

    Two timestamps in a row end a segment. Where the last one is followed by something unfinished, that is thrown away
    and the next window begins at the timestamp: the recording was cut in the middle of a sentence.
    """
    begin = settings.timestamp_begin
    is_timestamp = [token >= begin for token in tokens]
    cuts = [index for index in range(1, len(tokens)) if is_timestamp[index - 1] and is_timestamp[index]]
    if not cuts:
        return [Segment(0, len(tokens), 0.0, _last_time(tokens, frames, begin))], frames
    ends_with_one = is_timestamp[-2:] == [False, True]
    if ends_with_one:
        cuts.append(len(tokens))
    else:
        cuts[-1] += 1  # the last segment holds both timestamps, which tells it from one that ended the window
    segments = []
    for number, (first, end) in enumerate(zip([0, *cuts], cuts, strict=False)):
        last = end - 1 if ends_with_one or number < len(cuts) - 1 else end - 2
        start_s, end_s = ((tokens[index] - begin) * SECONDS_PER_TIMESTAMP for index in (first, last))
        segments.append(Segment(first, end, start_s, end_s))
    if ends_with_one:
        return segments, frames
    moved = (tokens[cuts[-1] - 2] - begin) * FRAMES_PER_TIMESTAMP
    # 0 s or less would be the same window again, for ever; the reference hangs there.
    return segments, moved if moved > 0 else frames


def _last_time(tokens: list[int], frames: int, begin: int) -> float:
    """Where a window without a finished segment ends: at its last timestamp, or with the window."""
    timestamps = [token for token in tokens if token >= begin]
    if timestamps and timestamps[-1] != begin:
        return (timestamps[-1] - begin) * SECONDS_PER_TIMESTAMP
    return frames // FRAMES_PER_TIMESTAMP * SECONDS_PER_TIMESTAMP
