"""The speakers of a recording: its channels, by number or by the names that a caller gives them."""

from collections.abc import Sequence
from dataclasses import replace

from asr_client import Transcription


def named(transcription: Transcription, names: Sequence[str]) -> Transcription:
    """Return the transcript with names in place of the numbers of its speakers.

    Args:
        transcription: one without speakers stays as it is.
        names: of the first channels, in their order; "" for one that keeps its number.
    """
    called = {str(number): name for number, name in enumerate(names) if name}
    if not called:
        return transcription

    def name(speaker: str | None) -> str | None:
        return None if speaker is None else called.get(speaker, speaker)

    return replace(
        transcription,
        words=tuple(replace(word, speaker=name(word.speaker)) for word in transcription.words),
        segments=tuple(replace(segment, speaker=name(segment.speaker)) for segment in transcription.segments),
    )
