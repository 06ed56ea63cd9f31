"""The word error rates of a graph and of its checkpoint, on recordings with a known text.

The service's code reads the recordings, and `asr_contract.word_errors` compares words, as in the rest of the kit.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from asr_contract.manifest import Entry, ManifestError
from asr_contract.manifest import read as read_manifest
from asr_contract.word_errors import Score, compare, normalize
from numpy.typing import NDArray

from asr_export.checkpoint.loading import Checkpoint
from asr_export.errors import ExportError, GateError
from asr_export.graph.feeds import Feed, ragged_feed
from asr_export.graph.gate import ask_pytorch, open_session, run_graph

_EXTRAS = "triton-asr-kit[export,server,evaluate]"


@dataclass(frozen=True)
class Spoken:
    """A manifest's recordings."""

    waves: list[NDArray[np.float32]]  # `[samples]` at the model's rate
    texts: list[str]  # the spoken texts
    transcripts: list[str]  # the reference's: PyTorch's greedy ones, of each recording alone


@dataclass(frozen=True)
class WordErrors:
    """Word error rates in percent, over all words of all recordings, normalized."""

    recordings: int
    words: int
    reference_wer: float
    graph_wer: float
    transcripts_changed: int  # of the recordings
    reference: str = "PyTorch"


def hear(manifest: Path, checkpoint: Checkpoint, max_seconds: float) -> Spoken:
    """Read a manifest's recordings, and ask PyTorch for their transcripts.

    Call it before the model is wrapped, like `asr_export.graph.gate.make_probe`.

    Args:
        manifest: a file that `asr_contract.manifest` reads.
        checkpoint: gives the sampling rate, the shortest recording and the tokenizer.
        max_seconds: the longest recording that is accepted.

    Raises:
        ExportError: the manifest or a recording cannot be read, or a package is missing.
    """
    rate = checkpoint.feature_extractor.sampling_rate
    waves, texts = read_recordings(manifest, rate, checkpoint.geometry.shortest, max_seconds)
    transcripts = [_transcript(checkpoint, ask_pytorch(checkpoint, wave)) for wave in waves]
    return Spoken(waves, texts, transcripts)


def read_recordings(
    manifest: Path, rate: int, shortest: int, max_seconds: float
) -> tuple[list[NDArray[np.float32]], list[str]]:
    """Return a manifest's recordings, `[samples]` at `rate` Hz, and the spoken texts.

    Args:
        manifest: a file that `asr_contract.manifest` reads.
        rate: of the model.
        shortest: samples that the model needs.
        max_seconds: the longest recording that is accepted.

    Raises:
        ExportError: the manifest or a recording cannot be read, or a package is missing.
    """
    entries = _read(manifest)
    audio = _waveforms()
    limits = audio.Limits(rate, shortest, max_seconds)
    waves = []
    for entry in entries:
        try:
            waves.append(audio.load(entry.path.read_bytes(), limits)[0])
        except (OSError, ValueError) as error:
            raise ExportError(f"cannot read {entry.path} of {manifest}: {error}") from error
    return waves, [entry.text for entry in entries]


def check_word_errors(
    path: Path, checkpoint: Checkpoint, spoken: Spoken, max_loss: float, batch: int, feed: Feed = ragged_feed
) -> WordErrors:
    """Compare the word errors of a graph, run on batches of recordings, with PyTorch's.

    Args:
        path: the graph.
        checkpoint: its tokenizer writes the texts.
        spoken: the recordings.
        max_loss: percentage points by which the graph's word error rate may be above PyTorch's.
        batch: recordings in a run.
        feed: makes the graph's inputs from a batch.

    Raises:
        GateError: the word error rate of the graph is higher than that.
    """
    session = open_session(path)
    runs = [spoken.waves[start : start + batch] for start in range(0, len(spoken.waves), batch)]
    transcripts = [_transcript(checkpoint, log_probs) for run in runs for log_probs in run_graph(session, run, feed)]
    found = count_word_errors(spoken, transcripts)
    require_few_word_errors(found, max_loss)
    return found


def count_word_errors(spoken: Spoken, transcripts: list[str], reference: str = "PyTorch") -> WordErrors:
    """Compare a graph's transcripts with the spoken texts, and with the transcripts of a reference."""
    expected = compare(zip(spoken.texts, spoken.transcripts, strict=True))
    return WordErrors(
        recordings=len(spoken.texts),
        words=expected.words,
        reference_wer=_percent(expected),
        graph_wer=_percent(compare(zip(spoken.texts, transcripts, strict=True))),
        transcripts_changed=sum(ours != theirs for ours, theirs in zip(transcripts, spoken.transcripts, strict=True)),
        reference=reference,
    )


def require_few_word_errors(found: WordErrors, max_loss: float) -> None:
    """Refuse a word error rate that is more than `max_loss` points above the reference's.

    Raises:
        GateError: it is; the message has both.
    """
    if found.graph_wer > found.reference_wer + max_loss:
        raise GateError(
            f"the graph's word error rate on the manifest is {found.graph_wer:.2f} %, that of {found.reference} "
            f"{found.reference_wer:.2f} %; it may be at most {max_loss:g} points higher (--max-wer-loss)"
        )


def _read(manifest: Path) -> list[Entry]:
    try:
        entries = read_manifest(manifest)
    except ManifestError as error:
        raise ExportError(f"--check-manifest: {error}") from error
    if not any(normalize(entry.text) for entry in entries):
        raise ExportError(f"the manifest {manifest} has no words in its column text")
    return entries


def _waveforms() -> ModuleType:
    """Return the module that reads audio; raise early if it or a package for the comparison is missing."""
    try:
        import jiwer  # noqa: F401
        from asr_serving.audio import waveform
    except ModuleNotFoundError as error:
        raise ExportError(
            f'--check-manifest needs the package {error.name}, which is missing: pip install "{_EXTRAS}"'
        ) from error
    return waveform


def _transcript(checkpoint: Checkpoint, log_probs: NDArray[np.float32]) -> str:
    """Return the greedy text of log-probs `[frames, vocab]`."""
    return checkpoint.decode(log_probs.argmax(axis=1).tolist())


def _percent(found: Score) -> float:
    return 100 * (found.wer or 0.0)
