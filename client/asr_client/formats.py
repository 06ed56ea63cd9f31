"""Writes a transcription as the text of a file: plain text, JSON, subtitles, tables.

txt   the transcript; of speakers, a line for each turn
json  one object: audio, text, confidence, duration, words, segments; language where the model names it; alternatives if
      asked for
srt   SubRip subtitles
vtt   WebVTT subtitles
tsv   start, end (whole milliseconds) and text of each subtitle, with a header; as whisper writes it
ctm   NIST CTM, one word a line: file, channel, start, duration (seconds), word, confidence

Where segments have speakers (`channels="separate"`), a name stands before each turn or subtitle: "Speaker 0: " or, in
WebVTT, "<v Speaker 0>". The channel of a CTM is 1 for the first speaker, and for a transcript without speakers.
"""

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import count
from typing import Any, Literal, get_args

from asr_client._cues import Cue, cues
from asr_client._results import Transcription, Word
from asr_client._turns import turns_of

Format = Literal["txt", "json", "srt", "vtt", "tsv", "ctm"]
FORMATS: tuple[Format, ...] = get_args(Format)
# Formats that say when something was said.
TIMED_FORMATS: frozenset[Format] = frozenset(("srt", "vtt", "tsv", "ctm"))
# Formats in which one file can hold several recordings.
JOINABLE_FORMATS: frozenset[Format] = frozenset(("txt", "json", "ctm"))
# Decimal places of numbers in JSON; the server's numbers are float32.
DECIMALS = {"confidence": 4, "duration": 3, "start": 3, "end": 3}

# JSON allows them within a string, but readers of JSON lines may take them for the end of a line.
_UNICODE_LINE_ENDS = "\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"


def render(transcription: Transcription, format: Format, *, name: str = "audio") -> str:
    """Return the text of a file in `format`; it ends with a newline unless it is empty.

    Args:
        transcription: what to write; subtitles are made of its words, or else of its segments.
        format: one of FORMATS.
        name: of the recording, for the formats that hold it (json, ctm: white space becomes _).
    """
    return _RENDERERS[format](transcription, name)


def speaker_name(speaker: str) -> str:
    """Return how a speaker is called in text: "Speaker 0" for a number, anything else as it is."""
    return f"Speaker {speaker}" if speaker.isdecimal() else speaker


def _txt(transcription: Transcription, name: str) -> str:
    if not _has_speakers(transcription):
        return f"{transcription.text}\n"
    return "".join(f"{_prefix(speaker)}{text}\n" for speaker, text in turns_of(transcription))


def _has_speakers(transcription: Transcription) -> bool:
    return any(segment.speaker is not None for segment in transcription.segments)


def _prefix(speaker: str | None) -> str:
    return "" if speaker is None else f"{speaker_name(speaker)}: "


def _json(transcription: Transcription, name: str) -> str:
    content = _rounded(asdict(transcription))
    if transcription.language is None:  # the model names no language
        del content["language"]
    if not transcription.alternatives:
        del content["alternatives"]
    for parts in ("words", "segments"):
        # The measures of a Whisper are not known of other models, nor are speakers of mixed channels.
        content[parts] = [{key: value for key, value in part.items() if value is not None} for part in content[parts]]
    text = json.dumps({"audio": name, **content}, ensure_ascii=False)
    for end in _UNICODE_LINE_ENDS:
        text = text.replace(end, f"\\u{ord(end):04x}")
    return f"{text}\n"


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without digits that float32 cannot hold: milliseconds, and confidences to four places."""
    rounded = {name: round(value, DECIMALS[name]) for name, value in values.items() if name in DECIMALS}
    parts: dict[str, Any] = {
        name: [_rounded(part) for part in values[name]] for name in ("words", "segments") if name in values
    }
    return {**values, **rounded, **parts}


def _srt(transcription: Transcription, name: str) -> str:
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        # Readers would take a line with the arrow for a line of times, and SRT has no way to escape it.
        + f"{_prefix(cue.speaker)}{_lines(cue)}".replace("-->", "->")
        for number, cue in enumerate(cues(transcription), 1)
    )


def _vtt(transcription: Transcription, name: str) -> str:
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        + _voice(cue.speaker)
        + html.escape(_lines(cue), quote=False)
        for cue in cues(transcription)
    )


def _lines(cue: Cue) -> str:
    return "".join(f"{line}\n" for line in cue.lines)


def _voice(speaker: str | None) -> str:
    return "" if speaker is None else f"<v {html.escape(speaker_name(speaker), quote=False)}>"


def _tsv(transcription: Transcription, name: str) -> str:
    return "start\tend\ttext\n" + "".join(
        f"{_milliseconds(cue.start)}\t{_milliseconds(cue.end)}\t{_prefix(cue.speaker)}{cue.text}\n"
        for cue in cues(transcription)
    )


def _ctm(transcription: Transcription, name: str) -> str:
    # White space separates the fields, so no field may hold any.
    file = "_".join(name.split()) or "audio"
    channels = _channels(transcription.words)
    return "".join(
        f"{file} {channels[word.speaker]} {word.start:.3f} {max(0.0, word.end - word.start):.3f} "
        f"{'_'.join(word.word.split())} {word.confidence:.3f}\n"
        for word in sorted(transcription.words, key=lambda word: channels[word.speaker])
        if word.word.strip()
    )


def _channels(words: Sequence[Word]) -> dict[str | None, int]:
    """Return the channel of each speaker, from 1: that of its number, or the first free one for another name."""
    speakers = dict.fromkeys(word.speaker for word in words)
    numbered = {speaker: int(speaker or 0) + 1 for speaker in speakers if speaker is None or speaker.isdecimal()}
    free = (number for number in count(1) if number not in numbered.values())
    return {speaker: numbered[speaker] if speaker in numbered else next(free) for speaker in speakers}


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _clock(seconds: float, separator: str) -> str:
    minutes, milliseconds = divmod(_milliseconds(seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{separator}{milliseconds % 1000:03}"


_RENDERERS: dict[Format, Callable[[Transcription, str], str]] = {
    "txt": _txt,
    "json": _json,
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
    "ctm": _ctm,
}
