"""The checks that the artefacts of a Whisper must pass before the export writes anything."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asr_serving.whisper.graphs.backend import Backend, Encoded
from asr_serving.whisper.recording import Transcript
from asr_serving.whisper.service import Service
from asr_serving.whisper.settings import Settings
from numpy.typing import NDArray

from asr_export.choices import Precision
from asr_export.errors import GateError
from asr_export.graph.attention import OPERATOR as FUSED_ATTENTION
from asr_export.graph.gate import (
    DECIDED,
    EXACT,
    Parity,
    Tolerance,
    check_finite_weights,
    check_format,
    check_graph,
    require_agreement,
    require_finite,
    synthetic_speech,
)
from asr_export.graph.precision import OPERATORS, TOLERANCES
from asr_export.graph.tensorrt import TENSORRT_OPERATORS
from asr_export.whisper.artefacts import quiet
from asr_export.whisper.checkpoint import WhisperCheckpoint
from asr_export.whisper.reference import PyTorch, Reference

_STEPS = 6  # of single tokens after a prompt: enough to show an error in its positions or its cache
_PROMPT_LENGTHS = (2, 5)
_ALONE = "the same recording alone"
_TOKENS = 24  # at most, of each transcript that the gate compares
# Limits for encoder outputs, which have no scale of their own: shares of a recording's largest output. In real
# checkpoints, PyTorch itself is up to 2e-5 and 2e-7 from float64 (docs/decisions/0059).
_LARGEST_SHARE, _MEAN_SHARE = 1e-3, 1e-6
# For a CPU, an encoder has attention as one operator.
_OPERATORS = TENSORRT_OPERATORS | {FUSED_ATTENTION}
_CONVERTED = {**OPERATORS, "int8": OPERATORS["int8"] | {FUSED_ATTENTION}}


@dataclass(frozen=True)
class Standard:
    """What the graphs must equal, and how closely."""

    reference: Reference
    tolerance: Tolerance = EXACT
    rows: int = 16  # recordings in one run of a graph


@dataclass
class _Differences:
    """The differences that the gate has measured so far."""

    standard: Standard
    from_reference: list[float] = field(default_factory=list)
    from_solo: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    encoder_shares: list[float] = field(default_factory=list)  # largest differences, by the largest output
    # For every position of the logits: is the best token the reference's, is it that of a solo run, is it decided?
    agreements: list[bool] = field(default_factory=list)
    solo_agreements: list[bool] = field(default_factory=list)
    decided: list[bool] = field(default_factory=list)

    def compare_encoders(self, batched: Any, solo: Any, reference: Any) -> None:
        """Compare encoder outputs `[positions, size]` of one row of a batch with those of the same recording alone.

        Raises:
            GateError: NaN or Inf, or float32 outputs differ by more than the limits.
        """
        require_finite(batched, "encoder outputs, by the graph,")
        for expected, source in ((reference, self.standard.reference.name), (solo, _ALONE)):
            gap, largest = np.abs(batched - expected), float(np.abs(expected).max())
            shares = float(gap.max()) / largest, float(gap.mean()) / largest
            if self.standard.tolerance is EXACT and (shares[0] > _LARGEST_SHARE or shares[1] > _MEAN_SHARE):
                raise GateError(
                    f"encoder outputs from {source} differ by {shares[0]:.1e} of the largest output, {shares[1]:.1e} "
                    f"in the mean; needs {_LARGEST_SHARE:.0e} and {_MEAN_SHARE:.0e} or less"
                )
            self.encoder_shares.append(shares[0])

    def compare_logits(self, batched: Any, solo: Any, reference: Any) -> None:
        """Compare logits `[length, vocab]` of one row of a batch with those of the same recording alone.

        Raises:
            GateError: NaN or Inf, another shape, or a difference beyond the tolerance.
        """
        require_finite(batched, "logits, by the graph,")
        tolerance, name = self.standard.tolerance, self.standard.reference.name
        self.from_reference.append(_difference(batched, reference, f"logits from {name}", tolerance))
        self.from_solo.append(_difference(batched, solo, f"logits from {_ALONE}", tolerance))
        self.means.append(float(np.abs(batched - reference).mean()))
        self.agreements += (batched.argmax(-1) == reference.argmax(-1)).reshape(-1).tolist()
        self.solo_agreements += (batched.argmax(-1) == solo.argmax(-1)).reshape(-1).tolist()
        second, best = np.moveaxis(np.partition(reference, -2, axis=-1)[..., -2:], -1, 0)
        self.decided += (best - second >= DECIDED).reshape(-1).tolist()

    def decided_agreement(self) -> float:
        """Return the share of the decided positions whose best token is the reference's, 0 to 1."""
        decided = [agrees for agrees, is_decided in zip(self.agreements, self.decided, strict=True) if is_decided]
        return float(np.mean(decided)) if decided else 1.0


def check_artefacts(folder: Path, checkpoint: WhisperCheckpoint) -> Parity:
    """Check graphs that the kit traced, features, parity with PyTorch, and transcripts against `generate()`.

    Raises:
        GateError: a check fails; the message says which and by how much.
    """
    for graph in folder.glob("*.onnx"):
        check_graph(graph, _OPERATORS)
    return _check(folder, checkpoint, Standard(PyTorch(checkpoint.model)))


def check_converted(folder: Path, checkpoint: WhisperCheckpoint, precision: Precision) -> Parity:
    """Check graphs that the kit converted from float32, as `check_artefacts` does, but after a text.

    Raises:
        GateError: a check fails; the message says which and by how much.
    """
    for graph in folder.glob("*.onnx"):
        check_graph(graph, _CONVERTED[precision])
    return _check(folder, checkpoint, Standard(PyTorch(checkpoint.model), TOLERANCES[precision]))


def check_ready_graphs(folder: Path, checkpoint: WhisperCheckpoint, standard: Standard) -> Parity:
    """Check graphs that came with a checkpoint, as `check_artefacts` does, but with the operators that they have.

    Without PyTorch's weights, transcripts in a batch are compared with those of each recording alone. With fewer bits
    than float32, transcripts may differ.

    Raises:
        GateError: a check fails; the message says which and by how much.
    """
    for graph in folder.glob("*.onnx"):
        check_format(graph)
        check_finite_weights(graph)
    try:
        return _check(folder, checkpoint, standard)
    except GateError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise GateError(f"the graphs do not run: {' '.join(str(error).split())}") from error


def _check(folder: Path, checkpoint: WhisperCheckpoint, standard: Standard) -> Parity:
    waveforms = example_waveforms(checkpoint)
    differences = _Differences(standard)
    with Service.load(folder, max_rows=standard.rows) as service:
        features = [_check_features(service, checkpoint, waveform) for waveform in waveforms]
        _check_graphs(service.backend, checkpoint, features, differences)
        _check_transcripts(service, checkpoint, waveforms, exact=standard.tolerance is EXACT)
    parity = Parity(
        shapes=len(_PROMPT_LENGTHS) if standard.tolerance is EXACT else 1,
        recordings=len(waveforms),
        max_abs_difference=max(differences.from_reference),
        max_abs_batch_difference=max(differences.from_solo),
        argmax_agreement=float(np.mean(differences.agreements)),
        mean_abs_difference=float(np.mean(differences.means)),
        decided_frames=sum(differences.decided),
        decided_agreement=differences.decided_agreement(),
        batch_agreement=float(np.mean(differences.solo_agreements)),
        max_encoder_share=max(differences.encoder_shares),
    )
    require_agreement(parity, standard.tolerance, standard.reference.name, "tokens")
    return parity


def example_waveforms(checkpoint: WhisperCheckpoint) -> list[NDArray[np.float32]]:
    """Return recordings from one sample to a whole window, with silence among them."""
    window, rate = checkpoint.settings.window_samples, checkpoint.settings.sampling_rate
    random = np.random.default_rng(0)
    lengths = [1, window // 7, window // 2 + 1, window]
    return [*(synthetic_speech(random, length, rate) for length in lengths), np.zeros(window // 3, np.float32)]


def _check_features(service: Any, checkpoint: WhisperCheckpoint, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the decode step's features of one recording, after comparing them with the feature extractor's."""
    extractor = checkpoint.feature_extractor
    reference = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="np").input_features[0]
    features: NDArray[np.float32] = service.codec.features(waveform)
    what = f"log-mel features of {len(waveform)} samples from the feature extractor"
    _difference(features, reference, what, EXACT)
    return features


def _check_graphs(graphs: Any, checkpoint: WhisperCheckpoint, features: list[Any], differences: _Differences) -> None:
    settings, config, reference = checkpoint.settings, checkpoint.config, differences.standard.reference
    together = min(differences.standard.rows, len(features))
    batches = [slice(start, start + together) for start in range(0, len(features), together)]
    windows = np.stack(features)
    hidden = np.concatenate([graphs.hidden(windows[batch]) for batch in batches])
    shape = (len(features), config.max_source_positions, config.d_model)
    if hidden.shape != shape:
        raise GateError(f"the encoder gives {list(hidden.shape)} for {len(features)} windows; needs {list(shape)}")
    encoded = [reference.encode(window[None]) for window in windows]
    for row in range(len(features)):
        solo = graphs.hidden(windows[row : row + 1])[0]
        differences.compare_encoders(hidden[row], solo, np.asarray(encoded[row][0]))
    heard = graphs.encode(windows)
    for prompt_length, tokens in _contexts(settings, differences.standard, encoded):
        batched = np.concatenate(
            [
                _teacher_forced(graphs, tokens[batch], heard.rows(list(range(len(features)))[batch]), prompt_length)
                for batch in batches
            ]
        )
        for row in range(len(features)):
            ids = tokens[row : row + 1]
            solo = _teacher_forced(graphs, ids, heard.rows([row]), prompt_length)[0]
            differences.compare_logits(batched[row], solo, reference.logits(ids, encoded[row]))


def _contexts(settings: Settings, standard: Standard, encoded: list[Any]) -> list[tuple[int, NDArray[np.int64]]]:
    """Return lengths of prompts, and the ids `[n, length]` of which the decoders get so many as a prompt.

    Random ids show an error of float32 graphs at any place. Fewer bits are judged after a text: after random ids, the
    tokens of a checkpoint are guesses, which every rounding changes.
    """
    if standard.tolerance is EXACT:
        random = np.random.default_rng(1)
        shapes = [(length, (len(encoded), length + _STEPS)) for length in _PROMPT_LENGTHS]
        found = [(length, random.integers(0, settings.vocab_size, shape)) for length, shape in shapes]
        for _, tokens in found:
            tokens[:, 0] = settings.start
        return found
    texts = [example_text(settings, standard.reference, hidden) for hidden in encoded]
    return [(len(_prompt(settings)), np.array(texts))]


def example_text(settings: Settings, reference: Reference, hidden: Any) -> list[int]:
    """Return the ids of a prompt, and of the best text that follows it without an end.

    Args:
        settings: of the checkpoint.
        reference: writes it.
        hidden: what its encoder says of a window.
    """
    ids = _prompt(settings)
    length = min(len(ids) + _TOKENS, settings.max_positions)
    while len(ids) < length:
        ids.append(int(reference.logits(np.array([ids]), hidden)[-1, : settings.end].argmax()))
    return ids


def _prompt(settings: Settings) -> list[int]:
    named = [*list(settings.languages.values())[:1], *list(settings.tasks.values())[:1]]
    return [settings.start, *named, settings.no_timestamps]


def _teacher_forced(
    graphs: Backend, tokens: NDArray[np.int64], heard: Encoded, prompt_length: int
) -> NDArray[np.float32]:
    """Return logits `[n, length, vocab]` of given ids: the first ones are a prompt, the rest come one by one."""
    everywhere = np.broadcast_to(np.arange(prompt_length), (len(tokens), prompt_length))
    logits, rows = graphs.begin(tokens[:, :prompt_length], np.zeros(len(tokens), np.int64), heard, everywhere)
    pieces = [logits]
    for column in range(prompt_length, tokens.shape[1]):
        pieces.append(rows.step(tokens[:, column])[:, None])
    return np.concatenate(pieces, axis=1)


def _check_transcripts(
    service: Any, checkpoint: WhisperCheckpoint, waveforms: list[NDArray[np.float32]], exact: bool
) -> None:
    """Compare all recordings in one batch, with and without timestamps, with `generate()` on each alone.

    Without a model, compare with the service on each alone; if not `exact`, only decode.
    """
    limit = min(_TOKENS, checkpoint.settings.max_positions // 2)
    asked = [(wave, stamps) for wave in waveforms for stamps in (False, True)]
    requests = [
        (wave, service.codec.options({"timestamps": stamps, "max_new_tokens": limit})) for wave, stamps in asked
    ]
    answers = service.transcribe(requests)
    for (waveform, stamps), request, answer in zip(asked, requests, answers, strict=True):
        what = f"the transcript of {len(waveform)} samples {'with' if stamps else 'without'} timestamps"
        if not isinstance(answer, Transcript):
            raise GateError(f"{what} fails: {answer}")
        if not exact:
            continue
        if checkpoint.model is not None:
            expected, source = reference_tokens(checkpoint, waveform, stamps, limit), "generate() gives"
        else:
            expected, source = service.transcribe([request])[0].tokens, "alone it is"
        if answer.tokens != expected:
            raise GateError(f"{what} is {answer.tokens}; {source} {expected}")


def reference_tokens(
    checkpoint: WhisperCheckpoint, waveform: NDArray[np.float32], timestamps: bool, max_new_tokens: int
) -> list[int]:
    """Return the tokens that transformers' `generate()` writes greedily for a recording of up to one window.

    `generate()` chooses language and task, so that the gate notices if the service misses what the checkpoint names.
    """
    extractor = checkpoint.feature_extractor
    inputs = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt").input_features
    is_ours = checkpoint.settings.languages and not checkpoint.names_language_or_task
    task = {"task": checkpoint.settings.task} if is_ours else {}
    with quiet(), torch.inference_mode():
        tokens = checkpoint.model.generate(inputs, return_timestamps=timestamps, max_new_tokens=max_new_tokens, **task)
    return [int(token) for token in tokens[0]]


def _difference(answer: NDArray[np.float32], expected: NDArray[np.float32], what: str, tolerance: Tolerance) -> float:
    if answer.shape != expected.shape:
        raise GateError(f"{what}: shapes {answer.shape} and {expected.shape} differ")
    gap = np.abs(answer - expected)
    # Rounding grows with the largest of them (docs/decisions/0059).
    most = tolerance.absolute + tolerance.relative * float(np.abs(expected).max())
    if not (gap <= most).all():
        raise GateError(f"{what} differ by {gap.max():.2e}; needs {most:.1e} or less")
    return float(gap.max())
