"""The checks that the artefacts of a Whisper must pass before the export writes anything."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asr_serving.whisper.service import Service
from numpy.typing import NDArray

from asr_export.errors import GateError
from asr_export.graph.gate import (
    DECIDED,
    EXACT,
    Parity,
    check_graph,
    require_finite,
    synthetic_speech,
)
from asr_export.whisper.artefacts import GRAPHS, quiet
from asr_export.whisper.checkpoint import WhisperCheckpoint

_STEPS = 6  # of the decoder with past: enough to show an error in its positions or its cache
_PROMPT_LENGTHS = (2, 5)
_TOKENS = 24  # at most, of each transcript that the gate compares


@dataclass
class _Differences:
    """The differences that the gate has measured so far."""

    from_pytorch: list[float] = field(default_factory=list)
    from_solo: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    # For every position of the logits: is the best token PyTorch's, is it that of a solo run, is it decided?
    agreements: list[bool] = field(default_factory=list)
    solo_agreements: list[bool] = field(default_factory=list)
    decided: list[bool] = field(default_factory=list)

    def compare(self, what: str, batched: Any, solo: Any, reference: Any) -> None:
        """Compare one row of a batch with the graph's and PyTorch's outputs for the same recording alone.

        Raises:
            GateError: NaN or Inf, another shape, or a difference beyond the tolerance.
        """
        require_finite(batched, f"{what}, by the graph,")
        self.from_pytorch.append(_difference(batched, reference, f"{what} from PyTorch"))
        self.from_solo.append(_difference(batched, solo, f"{what} from the same recording alone"))
        self.means.append(float(np.abs(batched - reference).mean()))
        if what.startswith("logits"):
            self.agreements += (batched.argmax(-1) == reference.argmax(-1)).reshape(-1).tolist()
            self.solo_agreements += (batched.argmax(-1) == solo.argmax(-1)).reshape(-1).tolist()
            second, best = np.moveaxis(np.partition(reference, -2, axis=-1)[..., -2:], -1, 0)
            self.decided += (best - second >= DECIDED).reshape(-1).tolist()

    def decided_agreement(self) -> float:
        """Return the share of the decided positions whose best token is PyTorch's, 0 to 1."""
        decided = [agrees for agrees, is_decided in zip(self.agreements, self.decided, strict=True) if is_decided]
        return float(np.mean(decided)) if decided else 1.0


def check_artefacts(folder: Path, checkpoint: WhisperCheckpoint) -> Parity:
    """Check graphs, features, parity of encoder and decoders, and whole transcripts against `generate()`.

    Raises:
        GateError: a check fails; the message says which and by how much.
    """
    for name in GRAPHS:
        check_graph(folder / f"{name}.onnx")
    service = Service.load(folder)
    waveforms = _waveforms(checkpoint)
    features = [_check_features(service, checkpoint, waveform) for waveform in waveforms]
    differences = _Differences()
    with torch.inference_mode():
        _check_graphs(service.graphs, checkpoint, features, differences)
        _check_transcripts(service, checkpoint, waveforms)
    return Parity(
        shapes=len(_PROMPT_LENGTHS),
        recordings=len(waveforms),
        max_abs_difference=max(differences.from_pytorch),
        max_abs_batch_difference=max(differences.from_solo),
        argmax_agreement=float(np.mean(differences.agreements)),
        mean_abs_difference=float(np.mean(differences.means)),
        decided_frames=sum(differences.decided),
        decided_agreement=differences.decided_agreement(),
        batch_agreement=float(np.mean(differences.solo_agreements)),
    )


def _waveforms(checkpoint: WhisperCheckpoint) -> list[NDArray[np.float32]]:
    """Return recordings from one sample to a whole window, with silence among them."""
    window, rate = checkpoint.settings.window_samples, checkpoint.settings.sampling_rate
    random = np.random.default_rng(0)
    lengths = [1, window // 7, window // 2 + 1, window]
    return [*(synthetic_speech(random, length, rate) for length in lengths), np.zeros(window // 3, np.float32)]


def _check_features(service: Any, checkpoint: WhisperCheckpoint, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the decode step's features of one recording, after comparing them with the feature extractor's."""
    extractor = checkpoint.feature_extractor
    reference = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="np").input_features[0]
    features: NDArray[np.float32] = service.generator.features(waveform)
    _difference(features, reference, f"log-mel features of {len(waveform)} samples from the feature extractor")
    return features


def _check_graphs(graphs: Any, checkpoint: WhisperCheckpoint, features: list[Any], differences: _Differences) -> None:
    model, settings = checkpoint.model, checkpoint.settings
    random = np.random.default_rng(1)
    hidden = graphs.encode(np.stack(features))
    encoded = [model.model.encoder(torch.from_numpy(window[None])).last_hidden_state for window in features]
    solo_hidden = [graphs.encode(window[None]) for window in features]
    for row in range(len(features)):
        differences.compare("encoder outputs", hidden[row], solo_hidden[row][0], encoded[row][0].numpy())
    for prompt_length in _PROMPT_LENGTHS:
        shape = (len(features), prompt_length + _STEPS)
        tokens = random.integers(0, settings.vocab_size, shape)
        tokens[:, 0] = settings.start
        batched = _teacher_forced(graphs, tokens, hidden, prompt_length)
        for row in range(len(features)):
            ids = tokens[row : row + 1]
            logits = model(encoder_outputs=(encoded[row],), decoder_input_ids=torch.from_numpy(ids)).logits[0].numpy()
            solo = _teacher_forced(graphs, ids, solo_hidden[row], prompt_length)[0]
            differences.compare("logits", batched[row], solo, logits)


def _teacher_forced(graphs: Any, tokens: NDArray[np.int64], hidden: Any, prompt_length: int) -> NDArray[np.float32]:
    """Return logits `[n, length, vocab]` of given ids: the decoder takes the prompt, the decoder with past the rest."""
    logits, cache = graphs.begin(tokens[:, :prompt_length], hidden)
    pieces = [logits]
    for column in range(prompt_length, tokens.shape[1]):
        logits, cache = graphs.step(tokens[:, column], cache)
        pieces.append(logits)
    return np.concatenate(pieces, axis=1)


def _check_transcripts(service: Any, checkpoint: WhisperCheckpoint, waveforms: list[NDArray[np.float32]]) -> None:
    """Compare all recordings in one batch, with and without timestamps, with `generate()` on each alone."""
    limit = min(_TOKENS, checkpoint.settings.max_positions // 2)
    asked = [(wave, stamps) for wave in waveforms for stamps in (False, True)]
    requests = [(wave, service.options({"timestamps": stamps, "max_new_tokens": limit})) for wave, stamps in asked]
    answers = service.generator.transcribe(requests)
    for (waveform, stamps), answer in zip(asked, answers, strict=True):
        expected = reference_tokens(checkpoint, waveform, stamps, limit)
        tokens = getattr(answer, "tokens", answer)
        if tokens != expected:
            raise GateError(
                f"the transcript of {len(waveform)} samples {'with' if stamps else 'without'} timestamps is {tokens}; "
                f"generate() gives {expected}"
            )


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
    with quiet():
        tokens = checkpoint.model.generate(inputs, return_timestamps=timestamps, max_new_tokens=max_new_tokens, **task)
    return [int(token) for token in tokens[0]]


def _difference(answer: NDArray[np.float32], expected: NDArray[np.float32], what: str) -> float:
    if answer.shape != expected.shape:
        raise GateError(f"{what}: shapes {answer.shape} and {expected.shape} differ")
    gap = np.abs(answer - expected)
    if not (gap <= EXACT.absolute + EXACT.relative * np.abs(expected)).all():
        raise GateError(f"{what} differ by {gap.max():.2e}; needs {EXACT.absolute:.0e} or less")
    return float(gap.max())
