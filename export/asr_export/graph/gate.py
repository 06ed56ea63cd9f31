"""The checks that an exported graph must pass before the export writes anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from asr_export.checkpoint.loading import Checkpoint
from asr_export.errors import GateError
from asr_export.graph.feeds import Feed, ragged_feed
from asr_export.graph.tensorrt import TENSORRT_OPERATORS
from asr_export.graph.trace import MAX_IR_VERSION, MAX_OPSET

# A frame counts as decided if its two best labels are at least this many nats apart. Rounding may change the best label
# of an undecided frame; a checkpoint with random weights has many of these.
DECIDED = 0.5

# Nats below 0. A log-prob that is lower, as of a label that a graph masks, says nothing of the size of the others.
_FARTHEST = 100.0


@dataclass(frozen=True)
class Tolerance:
    """The difference that a graph may have from its source."""

    absolute: float  # of log-probs
    # Added to it: a share of the recording's largest log-prob. Nothing scales logits, and the rounding of all of them
    # grows with their spread. Figures: docs/decisions/0059-encoder-outputs-are-measured-by-their-size.md.
    relative: float
    agreement: float  # least share of frames with the same best label
    decided_agreement: float  # least share of the decided frames with the same best label


EXACT = Tolerance(absolute=1e-4, relative=1e-5, agreement=0.0, decided_agreement=1.0)


@dataclass(frozen=True)
class Probe:
    """Recordings for the comparison, and the expected log-probs of each recording alone."""

    batches: list[list[NDArray[np.float32]]]  # float32 waveforms `[samples]`, batches of mixed lengths
    references: list[list[NDArray[np.float32]]]  # float32 log-probs `[frames, vocab]`, one per waveform
    origin: str = "PyTorch"  # where the references come from


@dataclass(frozen=True)
class Parity:
    """The measured differences between the graph and its source."""

    shapes: int  # number of batches
    recordings: int
    # Largest difference of log-probs (Whisper: of logits) between the graph, run on a batch, and its source, run on
    # each recording alone. The source is PyTorch or the graph as it came.
    max_abs_difference: float
    max_abs_batch_difference: float  # largest between the graph run on a batch and on each recording alone
    argmax_agreement: float  # share of frames with the same best label as the source, 0 to 1
    mean_abs_difference: float  # mean of the differences whose largest is `max_abs_difference`
    decided_frames: int  # in all recordings: the two best labels of the source are `DECIDED` nats or more apart
    decided_agreement: float  # share of the decided frames with the same best label as the source, 0 to 1
    batch_agreement: float  # share of frames with the same best label in a batch and alone, 0 to 1
    # Of Whisper: largest difference of encoder outputs, as a share of a recording's largest output.
    max_encoder_share: float | None = None


def make_probe(checkpoint: Checkpoint) -> Probe:
    """Make seeded waveforms from the receptive field up to 20 seconds, and ask PyTorch about each alone.

    Call it before the model is wrapped: the wrapper changes modules of the model in place.
    """
    quietest = 0.0 if checkpoint.family.defined_in_silence else 1e-3  # a quiet room, 60 dB below full scale
    batches = probe_batches(checkpoint.feature_extractor.sampling_rate, checkpoint.geometry.shortest, quietest)
    return Probe(batches, [[ask_pytorch(checkpoint, wave) for wave in batch] for batch in batches])


def probe_batches(rate: int, shortest: int, quietest: float = 0.0) -> list[list[NDArray[np.float32]]]:
    """Return batches of seeded waveforms of mixed lengths, from `shortest` samples up to 20 seconds at `rate` Hz.

    The last batch holds silence beside speech; `quietest` is the deviation of its noise.
    """
    second = max(rate, 2 * shortest)
    lengths = [
        [shortest],
        [second],
        [second // 2, 2 * second + 1],
        [3 * second - 7, shortest, second + 160, second // 3 + shortest],
        [shortest + 1, 2 * second, 2 * second],
        [20 * second],  # float32 loses precision in long sums
    ]
    random = np.random.default_rng(0)
    batches = [[synthetic_speech(random, length, rate) for length in batch] for batch in lengths]
    silence = random.normal(scale=quietest, size=second).astype(np.float32)
    batches.append([silence, synthetic_speech(random, second + 333, rate)])
    return batches


def check_graph(path: Path, operators: frozenset[str] = TENSORRT_OPERATORS) -> None:
    """Check the format of a graph (`check_format`), its operators against an allow-list, and that weights are finite.

    Raises:
        GateError: a check fails; the message names the operators or the weight.
    """
    check_format(path)
    model = onnx.load(path)
    foreign = sorted({node.op_type for node in model.graph.node} - operators)
    if foreign:
        raise GateError(f"the graph has operators that TensorRT does not take: {', '.join(foreign)}")
    check_finite_weights(path)


def check_finite_weights(path: Path) -> None:
    """Check that no weight of a graph is NaN or Inf.

    Raises:
        GateError: one is; the message names it.
    """
    for weight in onnx.load(path, load_external_data=False).graph.initializer:
        values = onnx.numpy_helper.to_array(weight, str(path.parent))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise GateError(f"the weight {weight.name} holds NaN or Inf")


def check_format(path: Path) -> None:
    """Run the ONNX checker, and check the opset and the IR version against the limits of Triton 24.10.

    Raises:
        GateError: a check fails; the message says which.
    """
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"the ONNX checker refuses the graph: {error}") from error
    model = onnx.load(path, load_external_data=False)
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset > MAX_OPSET or model.ir_version > MAX_IR_VERSION:
        raise GateError(
            f"the graph has opset {opset} and IR {model.ir_version}; "
            f"Triton 24.10 takes at most {MAX_OPSET} and {MAX_IR_VERSION}"
        )


def check_parity(path: Path, probe: Probe, tolerance: Tolerance = EXACT, feed: Feed = ragged_feed) -> Parity:
    """Run the graph on the probe's batches, and on each recording alone.

    Args:
        path: the graph.
        probe: recordings and the expected log-probs of each alone.
        tolerance: the difference that the graph may have.
        feed: makes the graph's inputs from a batch: a function of `asr_export.graph.feeds`.

    Raises:
        GateError: NaN or Inf, a wrong number of frames, or a difference beyond the tolerance.
    """
    session = open_session(path)
    gaps, batch_gaps, agreements, batch_agreements, decided = [], [], [], [], []
    for batch, references in zip(probe.batches, probe.references, strict=True):
        answers = run_graph(session, batch, feed)
        for wave, answer, reference in zip(batch, answers, references, strict=True):
            samples = len(wave)
            require_finite(answer, f"the graph's output for {samples} samples")
            if answer.shape != reference.shape:
                raise GateError(
                    f"{samples} samples gave log-probs of shape {answer.shape}; {probe.origin} gives {reference.shape}"
                )
            gaps.append(_gap(answer, reference, tolerance, f"{probe.origin}, for {samples} samples"))
            solo = run_graph(session, [wave], feed)[0]
            what = f"the same recording alone, for {samples} samples"
            batch_gaps.append(_gap(answer, solo, tolerance, what))
            agreements.append(answer.argmax(axis=1) == reference.argmax(axis=1))
            batch_agreements.append(answer.argmax(axis=1) == solo.argmax(axis=1))
            second, best = np.partition(reference, -2, axis=1)[:, -2:].T
            decided.append(best - second >= DECIDED)
    agrees, is_decided = np.concatenate(agreements), np.concatenate(decided)
    parity = Parity(
        shapes=len(probe.batches),
        recordings=sum(len(batch) for batch in probe.batches),
        max_abs_difference=float(np.concatenate(gaps).max()),
        max_abs_batch_difference=float(np.concatenate(batch_gaps).max()),
        argmax_agreement=float(agrees.mean()),
        mean_abs_difference=float(np.concatenate(gaps).mean()),
        decided_frames=int(is_decided.sum()),
        decided_agreement=float(agrees[is_decided].mean()) if is_decided.any() else 1.0,
        batch_agreement=float(np.concatenate(batch_agreements).mean()),
    )
    require_agreement(parity, tolerance, probe.origin)
    return parity


def open_session(path: Path) -> Any:
    """Open a graph in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    # Errors only: the warning that it cannot fold a float16 constant on the CPU helps nobody.
    options.log_severity_level = 3
    # PyTorch, whose turn it is in between, finds the processors busy otherwise.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_ragged(session: Any, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the log-probs of a ragged graph for each waveform, as `run_graph` does."""
    return run_graph(session, batch, ragged_feed)


def run_graph(session: Any, batch: Sequence[NDArray[np.float32]], feed: Feed) -> list[NDArray[np.float32]]:
    """Run a graph once over a batch, and return the log-probs `[frames, vocab]` of each waveform."""
    log_probs, frames = session.run(["log_probs", "frames"], feed(batch))
    return [row[:count] for row, count in zip(log_probs, frames[:, 0], strict=True)]


def synthetic_speech(random: np.random.Generator, length: int, rate: int) -> NDArray[np.float32]:
    """Return a tone like a voice in noise, at the level of speech: float32 `[length]`.

    Noise alone drives some encoders into saturation.
    """
    time = np.arange(length) / rate
    pitch = random.uniform(80, 250)
    tone = sum(np.sin(2 * np.pi * pitch * k * time + random.uniform(0, 6)) / k for k in range(1, 12))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(2, 5) * time)
    noise = random.normal(size=length)
    # A cheap sound card adds such an offset, and the normalisation must remove it.
    wave: NDArray[np.float32] = (0.05 * envelope * tone + 0.02 * noise + 0.01).astype(np.float32)
    return wave


def ask_pytorch(checkpoint: Checkpoint, wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return PyTorch's log-probs `[frames, vocab]` of a waveform `[samples]` alone.

    Raises:
        GateError: the log-probs hold NaN or Inf.
    """
    extractor = checkpoint.feature_extractor
    features = extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    with torch.inference_mode():
        logits = checkpoint.model(**checkpoint.family.inputs(features)).logits[0]
        log_probs = torch.log_softmax(logits, dim=-1).numpy()
    require_finite(log_probs, f"the checkpoint's own output (PyTorch) for {len(wave)} samples")
    return np.asarray(log_probs, dtype=np.float32)


def require_finite(values: NDArray[np.float32], what: str) -> None:
    """Raise a GateError that names `what` if a value is NaN or Inf."""
    # An explicit check, because Python's max() and most comparisons let NaN pass.
    if not np.isfinite(values).all():
        raise GateError(f"{what} holds NaN or Inf")


def require_agreement(parity: Parity, tolerance: Tolerance, origin: str = "PyTorch", unit: str = "frames") -> None:
    """Raise a GateError if the graph's best label is too seldom that of its source, which is called `origin`."""
    for agreement, needed, frames in (
        (parity.argmax_agreement, tolerance.agreement, f"of all {unit}"),
        (
            parity.decided_agreement,
            tolerance.decided_agreement,
            f"of the {parity.decided_frames} {unit} that are decided by {DECIDED:g} nats or more",
        ),
    ):
        if agreement < needed:
            raise GateError(
                f"the graph's best label agrees with {origin} in {agreement:.2%} {frames}; needs {needed:.2%} or more"
            )


def _gap(
    answer: NDArray[np.float32], expected: NDArray[np.float32], tolerance: Tolerance, what: str
) -> NDArray[np.float32]:
    gap: NDArray[np.float32] = np.abs(answer - expected)
    sizes = np.abs(expected)
    limits = tolerance.absolute + tolerance.relative * np.maximum(sizes, min(float(sizes.max()), _FARTHEST))
    if not (gap <= limits).all():
        worst = np.unravel_index(int((gap / limits).argmax()), gap.shape)
        raise GateError(f"log-probs differ by {gap[worst]:.2e} from {what}; needs {limits[worst]:.1e} or less")
    return gap
