"""Word error rate of a graph beside that of its checkpoint, on recordings whose text is known.

jiwer counts the edits: it is the maintained library that the field's published figures come from. Recordings are
decoded by the very code that the service runs.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_export.checkpoint.loading import Checkpoint
from asr_export.errors import ExportError, GateError
from asr_export.graph.gate import Feed, ask_pytorch, open_session, ragged_feed, run_graph

_EXTRAS = "triton-asr-kit[export,server,evaluate]"


@dataclass(frozen=True)
class Spoken:
    """A manifest's recordings."""

    waves: list[NDArray[np.float32]]  # `[samples]` at the model's rate
    texts: list[str]  # what is said
    transcripts: list[str]  # PyTorch's greedy ones, each recording alone


@dataclass(frozen=True)
class WordErrors:
    """Word error rates in percent, over all words of all recordings, without regard to case and punctuation."""

    recordings: int
    words: int
    pytorch_wer: float
    graph_wer: float
    transcripts_changed: int  # of the recordings


def hear(manifest: Path, checkpoint: Checkpoint, max_seconds: float) -> Spoken:
    """Decode a manifest's recordings, and ask PyTorch for their transcripts.

    Must run before the model is wrapped, as `asr_export.graph.gate.make_probe`.

    Args:
        manifest: TSV with the columns `audio` (paths relative to it) and `text`.
        checkpoint: whose sampling rate, shortest recording and tokenizer count.
        max_seconds: the longest recording that is taken.

    Raises:
        ExportError: the manifest or a recording cannot be read, or a package is missing.
    """
    entries = _read(manifest)
    audio = _waveforms()
    rate = checkpoint.feature_extractor.sampling_rate
    limits = audio.Limits(rate, checkpoint.geometry.shortest, max_seconds)
    waves = []
    for path, _ in entries:
        try:
            waves.append(audio.load(path.read_bytes(), limits)[0])
        except (OSError, ValueError) as error:
            raise ExportError(f"cannot read {path} of {manifest}: {error}") from error
    transcripts = [_transcript(checkpoint, ask_pytorch(checkpoint, wave)) for wave in waves]
    return Spoken(waves, [text for _, text in entries], transcripts)


def check_word_errors(
    path: Path, checkpoint: Checkpoint, spoken: Spoken, max_loss: float, batch: int, feed: Feed = ragged_feed
) -> WordErrors:
    """Compare a graph, which hears the recordings in batches, with PyTorch.

    Args:
        path: the graph.
        checkpoint: whose tokenizer writes the text.
        spoken: the recordings.
        max_loss: percentage points by which the graph's word error rate may be above PyTorch's.
        batch: recordings in a run.

    Raises:
        GateError: the graph loses more.
    """
    session = open_session(path)
    runs = [spoken.waves[start : start + batch] for start in range(0, len(spoken.waves), batch)]
    transcripts = [_transcript(checkpoint, log_probs) for run in runs for log_probs in run_graph(session, run, feed)]
    found = WordErrors(
        recordings=len(spoken.waves),
        words=sum(len(text.split()) for text in spoken.texts),
        pytorch_wer=_wer(spoken.texts, spoken.transcripts),
        graph_wer=_wer(spoken.texts, transcripts),
        transcripts_changed=sum(ours != theirs for ours, theirs in zip(transcripts, spoken.transcripts, strict=True)),
    )
    if found.graph_wer > found.pytorch_wer + max_loss:
        raise GateError(
            f"the graph's word error rate on the manifest is {found.graph_wer:.2f} %, PyTorch's {found.pytorch_wer:.2f}"
            f" %: it may lose {max_loss:g} points (--max-wer-loss)"
        )
    return found


def _read(manifest: Path) -> list[tuple[Path, str]]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"cannot read the manifest {manifest}: {error}") from error
    if not rows or any(not row.get("audio") or row.get("text") is None for row in rows):
        raise ExportError(
            f"the manifest {manifest} needs a header with the columns audio and text, parted by a TAB, and both in "
            "every line"
        )
    if not any(row["text"].split() for row in rows):
        raise ExportError(f"the manifest {manifest} has no words in its column text")
    return [(manifest.parent / row["audio"].strip(), row["text"].strip()) for row in rows]


def _waveforms() -> ModuleType:
    """Return the module that reads audio, once it is clear that nothing of what comes later is missing."""
    try:
        import jiwer  # noqa: F401
        from asr_serving.audio import waveform
    except ModuleNotFoundError as error:
        raise ExportError(
            f'--check-manifest needs the package {error.name}, which is missing: pip install "{_EXTRAS}"'
        ) from error
    return waveform


def _transcript(checkpoint: Checkpoint, log_probs: NDArray[np.float32]) -> str:
    """The greedy text of log-probs `[frames, vocab]`."""
    return str(checkpoint.tokenizer.decode(log_probs.argmax(axis=1)))


def _wer(texts: Sequence[str], transcripts: Sequence[str]) -> float:
    import jiwer

    tools: Any = jiwer  # its transforms have no types
    words = tools.Compose([tools.ToLowerCase(), tools.RemovePunctuation(), tools.ReduceToListOfListOfWords()])
    return 100 * float(jiwer.wer(list(texts), list(transcripts), words, words))
