"""Compare a served Whisper with transformers' `generate()`, recording by recording."""

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr_client import Audio, DecodeOptions, Transcription
from asr_contract.word_errors import compare
from whisper_reference import Reference

from real.results import Results
from real.service import PATIENCE_S, Service, command
from real.speech import RATE, Recording, Samples, write_manifest

CALLERS = 8  # requests of different lengths that are under way together
ROUNDING_S = 0.0011  # the service gives times in milliseconds


@dataclass(frozen=True)
class Said:
    """A transcript, by either side, without spaces around its texts."""

    text: str
    segments: tuple[tuple[str, float], ...] = ()  # text and start in seconds; empty unless timestamps were asked for

    def differs(self, other: "Said") -> bool:
        """Return whether a text differs, or a start by more than the service rounds it."""
        if (self.text, [text for text, _ in self.segments]) != (other.text, [text for text, _ in other.segments]):
            return True
        pairs = zip(self.segments, other.segments, strict=True)
        return any(abs(ours - theirs) > ROUNDING_S for (_, ours), (_, theirs) in pairs)


@dataclass(frozen=True)
class ComparedWhisper:
    """A real Whisper in both forms."""

    name: str
    service: Service
    reference: Reference
    results: Results
    _known: dict[tuple[bytes, str], Said] = field(default_factory=dict)

    @staticmethod
    def of(name: str, checkpoint: Path, service: Service, results: Results) -> "ComparedWhisper":
        """Load the reference of a service, and note what the export made of the checkpoint."""
        results.models.append(
            {
                "model": name,
                "checkpoint_bytes": (checkpoint / "model.safetensors").stat().st_size,
                "repository_bytes": service.bytes,
                "export_s": round(service.export_s, 1),
            }
        )
        return ComparedWhisper(name, service, Reference.load(checkpoint), results)

    def compare(self, what: str, recordings: Sequence[Samples], **asked: Any) -> list[str]:
        """Return the differences of recordings, many at a time, while `generate()` hears them one by one."""
        with ThreadPoolExecutor(1) as beside:
            ours = beside.submit(self._ask_many, recordings, asked)
            theirs = [self._generate(samples, asked) for samples in recordings]
        return self._differences(what, recordings, ours.result(), theirs, asked)

    def compare_in_turns(self, what: str, recordings: Sequence[Samples]) -> list[str]:
        """Return the differences of recordings, one at a time, and note how fast each side was."""
        ours, theirs, ours_s, theirs_s = [], [], 0.0, 0.0
        for samples in recordings:
            begin = time.monotonic()
            ours.append(_said(self.service.client.transcribe(samples, sampling_rate=RATE), {}))
            between = time.monotonic()
            theirs.append(self._generate(samples, {}))
            ours_s, theirs_s = ours_s + between - begin, theirs_s + time.monotonic() - between
        seconds = sum(map(len, recordings)) / RATE
        self.results.speeds.append(
            {
                "model": self.name,
                "recordings": len(recordings),
                "seconds": round(seconds, 1),
                "served_rtfx": round(seconds / ours_s, 1),
                "generate_rtfx": round(seconds / theirs_s, 1),
            }
        )
        return self._differences(f"{what}, one caller", recordings, ours, theirs, {})

    def word_errors(self, what: str, recordings: Sequence[Recording], work: Path) -> float:
        """Return the word error rate that `triton-asr evaluate` finds in the files, 0 to 1, and note it.

        Beside it stands that of `generate()`, which hears the same files at 16 kHz.
        """
        manifest, report = write_manifest(recordings, work / "manifest.tsv"), work / "report.json"
        url = self.service.url
        command("evaluate", str(manifest), "--url", url, "--json", str(report), "--timeout", str(PATIENCE_S))
        found = json.loads(report.read_text(encoding="utf-8"))
        theirs = compare((item.text, self._generate(item.samples(), {}).text) for item in recordings)
        self.results.word_errors.append(
            {
                "model": self.name,
                "recordings": what,
                "files": found["files"],
                "words": found["words"],
                "served_wer": found["wer"],
                "generate_wer": theirs.wer or 0.0,
            }
        )
        return float(found["wer"])

    def _ask_many(self, recordings: Sequence[Samples], asked: dict[str, Any]) -> list[Said]:
        audio = [Audio(samples, sampling_rate=RATE) for samples in recordings]
        options = DecodeOptions(**asked)
        outcomes = self.service.client.transcribe_many(audio, concurrency=CALLERS, options=options)
        return [_said(outcome.unwrap(), asked) for outcome in outcomes]

    def _generate(self, samples: Samples, asked: dict[str, Any]) -> Said:
        """Return what `generate()` says; it is asked once for each recording and options."""
        key = (hashlib.sha256(samples.tobytes()).digest(), repr(sorted(asked.items())))
        if key not in self._known:
            self._known[key] = self._ask_reference(samples, dict(asked))
        return self._known[key]

    def _ask_reference(self, samples: Samples, asked: dict[str, Any]) -> Said:
        timestamps, prompt = asked.pop("timestamps", False), asked.pop("prompt", "")
        if getattr(self.reference.model.generation_config, "is_multilingual", False):
            asked = {"task": "transcribe", "language": None, **asked}
        answer = self.reference.generate(samples, prompt, **{"return_timestamps": True} if timestamps else {}, **asked)
        text = self.reference.text(answer["tokens"]).strip()
        if not timestamps:
            return Said(text)
        spoken = [(self.reference.text(segment["tokens"].tolist()), segment) for segment in answer["segments"]]
        return Said(text, tuple((part.strip(), float(segment["start"])) for part, segment in spoken if part.strip()))

    def _differences(
        self,
        what: str,
        recordings: Sequence[Samples],
        ours: Sequence[Said],
        theirs: Sequence[Said],
        asked: dict[str, Any],
    ) -> list[str]:
        pairs = zip(ours, theirs, strict=True)
        different = [f"served: {our}\ngenerate(): {their}" for our, their in pairs if our.differs(their)]
        self.results.comparisons.append(
            {
                "model": self.name,
                "recordings": what,
                "options": ", ".join(_label(name, value) for name, value in asked.items()),
                "compared": len(recordings),
                "different": len(different),
                "shortest_s": round(min(map(len, recordings)) / RATE, 2),
                "longest_s": round(max(map(len, recordings)) / RATE, 1),
            }
        )
        return different


def _label(option: str, value: Any) -> str:
    """Return how a table names an option of a request."""
    if option == "task":
        return str(value)
    return f"language {'detected' if value == 'auto' else 'named'}" if option == "language" else option


def _said(answer: Transcription, asked: dict[str, Any]) -> Said:
    if not asked.get("timestamps"):
        return Said(answer.text.strip())
    return Said(answer.text.strip(), tuple((word.word.strip(), word.start) for word in answer.words))
