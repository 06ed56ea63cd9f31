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
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from asr_client import _columns
from asr_client._results import Transcription, Word

Format = Literal["txt", "json", "srt", "vtt", "tsv", "ctm"]
FORMATS: tuple[Format, ...] = get_args(Format)
# Formats that say when something was said.
TIMED_FORMATS: frozenset[Format] = frozenset(("srt", "vtt", "tsv", "ctm"))
# Formats in which one file can hold several recordings.
JOINABLE_FORMATS: frozenset[Format] = frozenset(("txt", "json", "ctm"))
# Decimal places of numbers in JSON; the server's numbers are float32.
DECIMALS = {"confidence": 4, "duration": 3, "start": 3, "end": 3}

# Subtitle guides (BBC, Netflix) agree on these limits, for a viewer who reads about 17 characters a second.
LINE_COLUMNS = 42
CUE_LINES = 2
MIN_CUE_S = 1.0
MAX_CUE_S = 7.0
PAUSE_S = 0.6  # a silence between words that begins a new cue

# Characters that readers of subtitles may take for the end of a line, and spaces around them. A blank line would end
# the cue. No-break spaces are not among them.
_WHITE_SPACE = re.compile("[ \t\n\v\f\r\x1c-\x1f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]+")

# JSON allows them within a string, but readers of JSON lines may take them for the end of a line.
_UNICODE_LINE_ENDS = "\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"


@dataclass(frozen=True)
class Cue:
    """One subtitle."""

    start: float  # seconds
    end: float  # seconds
    lines: tuple[str, ...]
    text: str  # the lines as one line


@dataclass(frozen=True)
class _Part:
    """A word, or a part of one that is too long for a cue: its place in the text, and when it was said."""

    first: int
    last: int  # the character after it
    start: float  # seconds
    end: float  # seconds


def render(transcription: Transcription, format: Format, *, name: str = "audio") -> str:
    """Return the text of a file in `format`; it ends with a newline unless it is empty.

    Args:
        transcription: what to write; the timed formats need its words, else the whole text is one subtitle.
        format: one of FORMATS.
        name: of the recording, for the formats that hold it (json, ctm: white space becomes _).
    """
    return _RENDERERS[format](transcription, name)


def cues(transcription: Transcription) -> list[Cue]:
    """Return subtitles of at most 2 lines of 42 columns and 7 s (a single longer word excepted), broken at pauses.

    A word, or a segment in place of words, gets several subtitles when it does not fit into 2 lines; they share its
    time by their length. A subtitle lasts at least 1 s if the next one leaves room. Words have spaces between them
    where the transcript's text has spaces.
    """
    text, parts = _placed(transcription)
    groups: list[list[_Part]] = []
    for part in parts:
        if groups and _belongs(text, groups[-1], part):
            groups[-1].append(part)
        else:
            groups.append([part])
    next_starts = [*(group[0].start for group in groups[1:]), float("inf")]
    found = []
    for group, next_start in zip(groups, next_starts, strict=False):  # without groups there is one start
        said = text[group[0].first : group[-1].last]
        lines = tuple(_columns.balanced(said, LINE_COLUMNS))
        found.append(Cue(group[0].start, _cue_end(group, next_start), lines, said))
    return found


def _placed(transcription: Transcription) -> tuple[str, list[_Part]]:
    """Return the text in one line, and the places of the words in it."""
    words = transcription.words
    if not words and transcription.text:
        words = (Word(transcription.text, 0.0, transcription.duration, transcription.confidence),)
    text = " ".join(_pieces(transcription.text))
    if _letters(text) != "".join(_letters(word.word) for word in words):  # they are not the words of this text
        text = _joined([word.word for word in words])
    places = [place for place, character in enumerate(text) if character != " "]
    parts: list[_Part] = []
    done = 0
    for word in words:
        size = len(_letters(word.word))
        done += size
        if word.word.strip():
            parts += _parts(text, _Part(places[done - size], places[done - 1] + 1, word.start, word.end))
    return text, parts


def _letters(text: str) -> str:
    return "".join(_pieces(text))


def _pieces(text: str) -> list[str]:
    """Return the parts of the text between white space."""
    return [piece for piece in _WHITE_SPACE.split(text) if piece]


def _joined(words: Sequence[str]) -> str:
    """Return the words as one line, with spaces where their scripts have them."""
    text = ""
    for word in (" ".join(_pieces(word)) for word in words):
        text += word if _columns.are_written_together(text, word) else f" {word}"
    return text.strip(" ")


def _parts(text: str, whole: _Part) -> list[_Part]:
    """Return the word in parts that fit into a cue."""
    lines = _columns.balanced(text[whole.first : whole.last], LINE_COLUMNS)
    if len(lines) <= CUE_LINES:
        return [whole]
    column_s = (whole.end - whole.start) / max(1, sum(map(_columns.width, lines)))
    parts: list[_Part] = []
    first, start = whole.first, whole.start
    for begin in range(0, len(lines), CUE_LINES):
        own = lines[begin : begin + CUE_LINES]
        last = first
        for line in own:
            last = text.index(line, last) + len(line)
        end = start + column_s * sum(map(_columns.width, own))
        parts.append(_Part(text.index(own[0], first), last, start, end))
        first, start = last, end
    return parts


def _belongs(text: str, group: Sequence[_Part], part: _Part) -> bool:
    if part.start - group[-1].end >= PAUSE_S or part.end - group[0].start > MAX_CUE_S:
        return False
    return len(_columns.wrap(text[group[0].first : part.last], LINE_COLUMNS)) <= CUE_LINES


def _cue_end(group: Sequence[_Part], next_start: float) -> float:
    """Return the end of the last word; later if the cue would be too short to read, earlier if the next one begins."""
    return max(group[0].start, min(max(group[-1].end, group[0].start + MIN_CUE_S), next_start))


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
