"""The report of an evaluation: figures, a table, the worst items, JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asr_contract.word_errors import Score, total

from asr_client import _columns
from asr_client.formats import DECIMALS

_GAP = "  "
_MIN_TRANSCRIPT_WIDTH = 20


@dataclass(frozen=True)
class Item:
    """One recording of the manifest after the run."""

    audio: str  # as the manifest has it
    reference: str  # as it was compared
    transcript: str | None = None  # as it was compared; None: it failed
    score: Score | None = None
    confidence: float | None = None  # 0 to 1
    duration: float | None = None  # seconds
    error: str | None = None  # why it failed


@dataclass(frozen=True)
class Report:
    """A whole evaluation. The rates leave failed items out; these are counted and shown, and make the exit code 1."""

    items: Sequence[Item]
    wall_s: float  # seconds from the first request to the last answer

    @property
    def failed(self) -> list[Item]:
        """Return the items without a transcript."""
        return [item for item in self.items if item.error is not None]

    @property
    def score(self) -> Score:
        """Return all errors and all words, summed over the items."""
        return total(item.score for item in self.items if item.score is not None)

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio that were transcribed."""
        return sum(item.duration or 0.0 for item in self.items)

    @property
    def rtfx(self) -> float:
        """Return the seconds of audio per second of time; 0 when no time passed."""
        return self.audio_s / self.wall_s if self.wall_s > 0 else 0.0

    def worst(self, number: int) -> list[Item]:
        """Return up to `number` items with errors, highest WER first, then most errors.

        A transcript without a reference counts as the highest WER.
        """
        wrong = [item for item in self.items if item.score is not None and item.score.word_errors]
        return sorted(wrong, key=_badness, reverse=True)[:number]

    def to_json(self) -> dict[str, Any]:
        """Return everything, for `json.dump`."""
        return {
            "wer": self.score.wer,
            "cer": self.score.cer,
            **asdict(self.score),
            "files": len(self.items),
            "failed": len(self.failed),
            "audio_seconds": round(self.audio_s, DECIMALS["duration"]),
            "wall_seconds": round(self.wall_s, DECIMALS["duration"]),
            "rtfx": self.rtfx,
            "items": [
                {
                    "audio": item.audio,
                    "reference": item.reference,
                    "transcript": item.transcript,
                    "wer": item.score.wer if item.score else None,
                    "cer": item.score.cer if item.score else None,
                    "confidence": _rounded(item.confidence, "confidence"),
                    "duration": _rounded(item.duration, "duration"),
                    "error": item.error,
                }
                for item in self.items
            ],
        }

    def table(self, width: int) -> list[str]:
        """Return lines of at most `width` columns, if the file names allow it: file, transcript, WER."""
        file_width = max([len("file"), *(_columns.width(item.audio) for item in self.items)])
        text_width = max(_MIN_TRANSCRIPT_WIDTH, width - file_width - len("100.0 %") - 2 * len(_GAP))
        lines = [
            _row("file", "transcript", "WER", file_width, text_width),
            _row("-" * file_width, "-" * text_width, "-" * len("100.0 %"), file_width, text_width),
        ]
        for item in self.items:
            text = item.transcript if item.transcript is not None else f"failed: {item.error}"
            first, *rest = _columns.wrap(text, text_width) or [""]
            wer = percent(item.score.wer) if item.score else "failed"
            lines.append(_row(item.audio, first, wer, file_width, text_width))
            lines += [_row("", line, "", file_width, text_width) for line in rest]
        return lines

    def worst_lines(self, number: int) -> list[str]:
        """Return lines of the worst items, reference above transcript."""
        lines = []
        for item in self.worst(number):
            wer = percent(item.score.wer) if item.score else ""
            lines += [f"{wer:>7}  {item.audio}", f"    reference   {item.reference}"]
            lines += [f"    transcript  {item.transcript}"]
        return lines

    def summary(self) -> list[str]:
        """Return lines of the figures; the last one is the total WER."""
        files = len(self.items)
        counted = f"{files} files" if not self.failed else f"{files - len(self.failed)} of {files} files"
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return [
            f"CER {percent(self.score.cer)}; {self.audio_s:.1f} s of audio in {self.wall_s:.1f} s "
            f"(RTFx {self.rtfx:.1f})",
            f"total WER {percent(self.score.wer)}  ({self.score.words} words, {counted}{failed})",
        ]


def percent(rate: float | None) -> str:
    """Return `4.2 %`, or `n/a` if there was nothing to compare with."""
    return "n/a" if rate is None else f"{100 * rate:.1f} %"


def _rounded(value: float | None, name: str) -> float | None:
    return None if value is None else round(value, DECIMALS[name])


def _badness(item: Item) -> tuple[float, int]:
    if item.score is None:
        return (0.0, 0)
    return (float("inf") if item.score.wer is None else item.score.wer, item.score.word_errors)


def _row(file: str, text: str, wer: str, file_width: int, text_width: int) -> str:
    return f"{_columns.pad(file, file_width)}{_GAP}{_columns.pad(text, text_width)}{_GAP}{wer:>7}".rstrip()
