"""Division of a window's tokens into segments with their times (transformers' `_retrieve_segment`)."""

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
    """Return the segments of a window, and the number of frames after which the next window begins.

    Two timestamps in a row end a segment. If more tokens follow the last pair, they are part of a sentence that the end
    of the window cut off: they are dropped, and the next window begins at that timestamp.

    Args:
        tokens: that were written, without the end token.
        frames: of the window, without padding.
        settings: of the checkpoint.
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
        cuts[-1] += 1  # both timestamps are in the last segment, unlike in one that ends the window
    segments = []
    for number, (first, end) in enumerate(zip([0, *cuts], cuts, strict=False)):
        last = end - 1 if ends_with_one or number < len(cuts) - 1 else end - 2
        start_s, end_s = ((tokens[index] - begin) * SECONDS_PER_TIMESTAMP for index in (first, last))
        segments.append(Segment(first, end, start_s, end_s))
    if ends_with_one:
        return segments, frames
    moved = (tokens[cuts[-1] - 2] - begin) * FRAMES_PER_TIMESTAMP
    # With 0 s or less, the same window would come again for ever; the reference hangs there.
    return segments, moved if moved > 0 else frames


def text_tokens(tokens: list[int], frames: int, settings: Settings) -> list[int]:
    """Return the tokens of text in the segments of a window; see `split`."""
    kept = (tokens[segment.first : segment.end] for segment in split(tokens, frames, settings)[0])
    return [token for segment in kept for token in segment if token < settings.end]


def _last_time(tokens: list[int], frames: int, begin: int) -> float:
    """Return the end of a window without a finished segment: its last timestamp, or the end of the window."""
    timestamps = [token for token in tokens if token >= begin]
    if timestamps and timestamps[-1] != begin:
        return (timestamps[-1] - begin) * SECONDS_PER_TIMESTAMP
    return frames // FRAMES_PER_TIMESTAMP * SECONDS_PER_TIMESTAMP
