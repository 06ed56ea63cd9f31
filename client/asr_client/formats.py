"""Writes a transcription as the text of a file: plain text, JSON, subtitles, tables.

txt   the transcript
json  one object: audio, text, confidence, duration, words; language where the model names it; alternatives if asked for
srt   SubRip subtitles
vtt   WebVTT subtitles
tsv   start, end (whole milliseconds) and text of each subtitle, with a header; as whisper writes it
ctm   NIST CTM, one word a line: file, channel, start, duration (seconds), word, confidence
"""

import html
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, get_args

from asr_client._cues import cues
from asr_client._results import Transcription

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
        transcription: what to write; the timed formats need its words, else the whole text is one subtitle.
        format: one of FORMATS.
        name: of the recording, for the formats that hold it (json, ctm: white space becomes _).
    """
    return _RENDERERS[format](transcription, name)


def _txt(transcription: Transcription, name: str) -> str:
    return f"{transcription.text}\n"


def _json(transcription: Transcription, name: str) -> str:
    content = _rounded(asdict(transcription))
    if transcription.language is None:  # the model names no language
        del content["language"]
    if not transcription.alternatives:
        del content["alternatives"]
    text = json.dumps({"audio": name, **content}, ensure_ascii=False)
    for end in _UNICODE_LINE_ENDS:
        text = text.replace(end, f"\\u{ord(end):04x}")
    return f"{text}\n"


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without digits that float32 cannot hold: milliseconds, and confidences to four places."""
    words = [_rounded(word) for word in values.get("words", ())]
    rounded = {name: round(value, DECIMALS[name]) for name, value in values.items() if name in DECIMALS}
    return {**values, **rounded, **({"words": words} if "words" in values else {})}


def _srt(transcription: Transcription, name: str) -> str:
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        # Readers would take a line with the arrow for a line of times, and SRT has no way to escape it.
        + "".join(f"{line.replace('-->', '->')}\n" for line in cue.lines)
        for number, cue in enumerate(cues(transcription), 1)
    )


def _vtt(transcription: Transcription, name: str) -> str:
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        + "".join(f"{html.escape(line, quote=False)}\n" for line in cue.lines)
        for cue in cues(transcription)
    )


def _tsv(transcription: Transcription, name: str) -> str:
    return "start\tend\ttext\n" + "".join(
        f"{_milliseconds(cue.start)}\t{_milliseconds(cue.end)}\t{cue.text}\n" for cue in cues(transcription)
    )


def _ctm(transcription: Transcription, name: str) -> str:
    # White space separates the fields, so no field may hold any.
    file = "_".join(name.split()) or "audio"
    return "".join(
        f"{file} 1 {word.start:.3f} {max(0.0, word.end - word.start):.3f} {'_'.join(word.word.split())} "
        f"{word.confidence:.3f}\n"
        for word in transcription.words
        if word.word.strip()
    )


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
