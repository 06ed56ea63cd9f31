"""A transcription as the text of a file: plain, JSON, subtitles, tables.

txt   the transcript
json  one object: audio, text, confidence, duration, words; language where the model names it; alternatives if asked for
srt   SubRip subtitles
vtt   WebVTT subtitles
tsv   start, end (whole milliseconds) and text of each subtitle, with a header; as whisper writes it
ctm   NIST CTM, one word a line: file, channel, start, duration (seconds), word, confidence
"""

import html
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from asr_client._results import Transcription, Word

Format = Literal["txt", "json", "srt", "vtt", "tsv", "ctm"]
FORMATS: tuple[Format, ...] = get_args(Format)
# Formats that say when something was said.
TIMED_FORMATS: frozenset[Format] = frozenset(("srt", "vtt", "tsv", "ctm"))
# Formats of which the texts of several recordings can follow each other in one file.
JOINABLE_FORMATS: frozenset[Format] = frozenset(("txt", "json", "ctm"))
# Of numbers in JSON: the server's are float32.
DECIMALS = {"confidence": 4, "duration": 3, "start": 3, "end": 3}

# What subtitle guides (BBC, Netflix) agree on, for a viewer who reads about 17 characters a second.
LINE_CHARACTERS = 42
CUE_LINES = 2
MIN_CUE_S = 1.0
MAX_CUE_S = 7.0
PAUSE_S = 0.6  # a silence between words that begins a new cue

# What readers of subtitles may take for the end of a line, with the spaces around it; a blank line would end the cue.
# A no-break space is none of it.
_WHITE_SPACE = re.compile("[ \t\n\v\f\r\x1c-\x1f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]+")

# JSON allows them within a string, and readers of JSON lines may take them for the end of one.
_UNICODE_LINE_ENDS = "\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"


@dataclass(frozen=True)
class Cue:
    """One subtitle."""

    start: float  # seconds
    end: float  # seconds
    lines: tuple[str, ...]


def render(transcription: Transcription, format: Format, *, name: str = "audio") -> str:
    """The text of a file in `format`, which ends with a newline unless it is empty.

    Args:
        transcription: what to write; the timed formats need its words, else the whole text is one subtitle.
        format: one of FORMATS.
        name: of the recording, for the formats that hold it (json, ctm: white space becomes _).
    """
    return _RENDERERS[format](transcription, name)


def cues(transcription: Transcription) -> list[Cue]:
    """Subtitles of at most 2 lines of 42 characters and 7 s (a single longer word excepted), broken at pauses.

    They last at least 1 s where the next one leaves the room.
    """
    words = _spoken(transcription.words)
    if not words and transcription.text.strip():
        words = [Word(transcription.text, 0.0, transcription.duration, transcription.confidence)]
    groups: list[list[Word]] = []
    for word in words:
        if groups and _belongs(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    next_starts = [*(group[0].start for group in groups[1:]), float("inf")]
    return [
        Cue(group[0].start, _cue_end(group, next_start), _lines(group))
        for group, next_start in zip(groups, next_starts, strict=False)  # of no groups: none
    ]


def _spoken(words: Sequence[Word]) -> list[Word]:
    """The words that there is something to read of."""
    return [word for word in words if word.word.strip()]


def _belongs(group: Sequence[Word], word: Word) -> bool:
    if word.start - group[-1].end >= PAUSE_S or word.end - group[0].start > MAX_CUE_S:
        return False
    return len(_wrap(_text([*group, word]), LINE_CHARACTERS)) <= CUE_LINES


def _cue_end(group: Sequence[Word], next_start: float) -> float:
    """The end of the last word, later if the cue would be too short to read, earlier if the next one begins."""
    return max(group[0].start, min(max(group[-1].end, group[0].start + MIN_CUE_S), next_start))


def _lines(group: Sequence[Word]) -> tuple[str, ...]:
    """The narrowest lines of the least number: two of about the same length are easier to read."""
    text = _text(group)
    number = len(_wrap(text, LINE_CHARACTERS))
    for width in range(max(1, len(text) // max(1, number)), LINE_CHARACTERS):
        if len(lines := _wrap(text, width)) <= number and max(map(len, lines), default=0) <= width:
            return tuple(lines)
    return tuple(_wrap(text, LINE_CHARACTERS))


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _text(words: Sequence[Word]) -> str:
    return _WHITE_SPACE.sub(" ", " ".join(word.word for word in words)).strip(" ")


def _txt(transcription: Transcription, name: str) -> str:
    return f"{transcription.text}\n"


def _json(transcription: Transcription, name: str) -> str:
    content = _rounded(asdict(transcription))
    if transcription.language is None:  # the model names none
        del content["language"]
    if not transcription.alternatives:
        del content["alternatives"]
    text = json.dumps({"audio": name, **content}, ensure_ascii=False)
    for end in _UNICODE_LINE_ENDS:
        text = text.replace(end, f"\\u{ord(end):04x}")
    return f"{text}\n"


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Without the digits that float32 has too many: milliseconds, and confidences to four places."""
    words = [_rounded(word) for word in values.get("words", ())]
    rounded = {name: round(value, DECIMALS[name]) for name, value in values.items() if name in DECIMALS}
    return {**values, **rounded, **({"words": words} if "words" in values else {})}


def _srt(transcription: Transcription, name: str) -> str:
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        # The arrow would make a line of times of it, and there is no way to escape it.
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
        f"{_milliseconds(cue.start)}\t{_milliseconds(cue.end)}\t{' '.join(cue.lines)}\n" for cue in cues(transcription)
    )


def _ctm(transcription: Transcription, name: str) -> str:
    # Fields are parted by white space, so that none may hold any.
    file = "_".join(name.split()) or "audio"
    return "".join(
        f"{file} 1 {word.start:.3f} {max(0.0, word.end - word.start):.3f} {'_'.join(word.word.split())} "
        f"{word.confidence:.3f}\n"
        for word in _spoken(transcription.words)
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
