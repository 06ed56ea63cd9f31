"""The checks that an exported graph must pass before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from asr_export.acoustic import shortest_recording
from asr_export.checkpoint import Checkpoint
from asr_export.errors import GateError
from asr_export.graph import MAX_IR_VERSION, MAX_OPSET

# float32 against float32. The second term is for checkpoints that are very sure: a log-prob of -60 carries more noise.
ABSOLUTE_TOLERANCE = 1e-4
RELATIVE_TOLERANCE = 1e-5

# Operators of the graph that TensorRT 10 takes, from the operator table of onnx-tensorrt. Left out on purpose, though
# the table has some of them under conditions: CumSum (no integers), NonZero and Compress (shapes that depend on data),
# ScatterND and ScatterElements, If, Loop, Scan and Sequence*.
_OPERATORS = """
    Abs Add And BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Div Einsum
    Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements Gelu Gemm GlobalAveragePool Greater GreaterOrEqual
    HardSigmoid Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max
    MaxPool Mean Min Mod Mul Neg Not Or PRelu Pad Pow Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum Relu Reshape Round Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Split Sqrt Squeeze Sub
    Sum Tanh Tile Transpose Unsqueeze Where Xor
"""
TENSORRT_OPERATORS = frozenset(_OPERATORS.split())


@dataclass(frozen=True)
class Probe:
    """Recordings on which the graph is compared, and what PyTorch says of each one alone."""

    batches: list[list[NDArray[np.float32]]]  # float32 waveforms `[samples]`, batches of mixed lengths
    references: list[list[NDArray[np.float32]]]  # float32 log-probs `[frames, vocab]`, one per waveform


@dataclass(frozen=True)
class Parity:
    """How close the graph is to the checkpoint."""

    shapes: int  # batches compared
    recordings: int
    max_abs_difference: (
        float  # of log-probs (Whisper: of encoder outputs and logits): ONNX in a batch against PyTorch alone
    )
    max_abs_batch_difference: float  # of the same: ONNX in a batch against ONNX alone
    argmax_agreement: float  # share of frames, 0 to 1


def make_probe(checkpoint: Checkpoint) -> Probe:
    """Seeded waveforms from the receptive field up to 20 seconds, and PyTorch's own solo answers to them.

    Must run before the model is wrapped: the wrapper changes modules of the model in place.
    """
    rate = checkpoint.feature_extractor.sampling_rate
    shortest = shortest_recording(checkpoint.model.config)
    second = max(rate, 2 * shortest)
    lengths = [
        [shortest],
        [second],
        [second // 2, 2 * second + 1],
        [3 * second - 7, shortest, second + 160, second // 3 + shortest],
        [shortest + 1, 2 * second, 2 * second],
        [20 * second],  # long sums are where float32 goes astray
    ]
    random = np.random.default_rng(0)
    batches = [[synthetic_speech(random, length, rate) for length in batch] for batch in lengths]
    batches.append([np.zeros(second, np.float32), synthetic_speech(random, second + 333, rate)])  # silence among speech
    return Probe(batches, [[_reference(checkpoint, wave) for wave in batch] for batch in batches])


def check_graph(path: Path) -> None:
    """Checker, opset and IR limits, operator allow-list, finite weights.

    Raises:
        GateError: what does not pass, by name.
    """
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"the ONNX checker refuses the graph: {error}") from error
    model = onnx.load(path)
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset > MAX_OPSET or model.ir_version > MAX_IR_VERSION:
        raise GateError(
            f"the graph has opset {opset} and IR {model.ir_version}; "
            f"Triton 24.10 takes {MAX_OPSET} and {MAX_IR_VERSION}"
        )
    foreign = sorted({node.op_type for node in model.graph.node} - TENSORRT_OPERATORS)
    if foreign:
        raise GateError(f"the graph has operators that TensorRT does not take: {', '.join(foreign)}")
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight, str(path.parent))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise GateError(f"the weight {weight.name} holds NaN or Inf")


def check_parity(path: Path, probe: Probe) -> Parity:
    """Run the graph on the probe's batches, and on each recording alone.

    Raises:
        GateError: NaN or Inf, a wrong number of frames, or a difference beyond the tolerance.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences, batch_differences, agreements = [0.0], [0.0], []
    for batch, references in zip(probe.batches, probe.references, strict=True):
        answers = run_ragged(session, batch)
        for wave, answer, reference in zip(batch, answers, references, strict=True):
            samples = len(wave)
            require_finite(answer, f"the graph's output for {samples} samples")
            if answer.shape != reference.shape:
                raise GateError(
                    f"{samples} samples gave log-probs of shape {answer.shape}; the checkpoint gives {reference.shape}"
                )
            differences.append(_difference(answer, reference, f"PyTorch, for {samples} samples"))
            solo = run_ragged(session, [wave])[0]
            batch_differences.append(_difference(answer, solo, f"the same recording alone, for {samples} samples"))
            agreements.append(answer.argmax(axis=1) == reference.argmax(axis=1))
    return Parity(
        shapes=len(probe.batches),
        recordings=sum(len(batch) for batch in probe.batches),
        max_abs_difference=max(differences),
        max_abs_batch_difference=max(batch_differences),
        argmax_agreement=float(np.concatenate(agreements).mean()),
    )


def run_ragged(session: Any, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Log-probs `[frames, vocab]` of each waveform, from one run over the batch."""
    shape = np.array([[len(wave)] for wave in batch], dtype=np.int32)
    log_probs, frames = session.run(None, {"audio": np.concatenate(batch), "audio_shape": shape})
    return [row[:count] for row, count in zip(log_probs, frames[:, 0], strict=True)]


def synthetic_speech(random: np.random.Generator, length: int, rate: int) -> NDArray[np.float32]:
    """float32 `[length]`: a voiced-like sweep in noise at speech level.

    Noise alone drives some encoders into saturation.
    """
    time = np.arange(length) / rate
    pitch = random.uniform(80, 250)
    tone = sum(np.sin(2 * np.pi * pitch * k * time + random.uniform(0, 6)) / k for k in range(1, 12))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(2, 5) * time)
    noise = random.normal(size=length)
    # The offset is what a cheap sound card adds, and what the normalisation has to remove.
    wave: NDArray[np.float32] = (0.05 * envelope * tone + 0.02 * noise + 0.01).astype(np.float32)
    return wave


def _reference(checkpoint: Checkpoint, wave: NDArray[np.float32]) -> NDArray[np.float32]:
    extractor = checkpoint.feature_extractor
    values = extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="pt").input_values
    with torch.inference_mode():
        log_probs = torch.log_softmax(checkpoint.model(values).logits[0], dim=-1).numpy()
    require_finite(log_probs, f"the checkpoint's own output (PyTorch) for {len(wave)} samples")
    return np.asarray(log_probs, dtype=np.float32)


def require_finite(values: NDArray[np.float32], what: str) -> None:
    """Raise GateError, which names `what`, where a value is NaN or Inf."""
    # Explicitly: Python's max() and most comparisons let NaN pass.
    if not np.isfinite(values).all():
        raise GateError(f"{what} holds NaN or Inf")


def _difference(answer: NDArray[np.float32], expected: NDArray[np.float32], what: str) -> float:
    gap = np.abs(answer - expected)
    if not (gap <= ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(expected)).all():
        raise GateError(f"log-probs differ by {gap.max():.2e} from {what}; needs {ABSOLUTE_TOLERANCE:.0e} or less")
    return float(gap.max())
