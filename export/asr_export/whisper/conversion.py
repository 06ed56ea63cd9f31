"""The graphs of a Whisper in float32 -> the same in fewer bits: fp16 for GPUs, int8 for CPUs."""

import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from asr_serving.whisper.graphs import names
from numpy.typing import NDArray

from asr_export.choices import Precision
from asr_export.graph.int8 import to_int8
from asr_export.graph.precision import Peak
from asr_export.graph.trace import save_graph
from asr_export.whisper.checkpoint import WhisperCheckpoint
from asr_export.whisper.decoder_int8 import decoder_to_int8
from asr_export.whisper.gate import example_text, example_waveforms
from asr_export.whisper.halves import decoder_to_half, encoder_to_half
from asr_export.whisper.reference import PyTorch

GRAPHS = (names.ENCODER, names.DECODER)


def write_converted(
    plain: Path, folder: Path, precision: Precision, graphs: Collection[str], checkpoint: WhisperCheckpoint
) -> Peak | None:
    """Write artefacts in which some graphs have fewer bits.

    Args:
        plain: the artefacts in float32.
        folder: where to write; empty.
        precision: fp16 or int8.
        graphs: which of GRAPHS become so; the others stay as they are.
        checkpoint: of which they are.

    Returns:
        The largest value that fp16 had to hold.

    Raises:
        GateError: a graph does not fit into the precision.
    """
    changed = [Path(graph).stem for graph in graphs]
    for file in plain.iterdir():
        if file.name.partition(".")[0] not in changed:
            shutil.copy(file, folder)
    windows = _windows(checkpoint) if precision == "fp16" else []
    peaks: list[Peak] = []
    for graph in graphs:
        model = onnx.load(plain / graph)
        if precision == "int8":
            (to_int8 if graph == names.ENCODER else decoder_to_int8)(model)
        elif graph == names.ENCODER:
            peaks.append(encoder_to_half(model, windows))
        else:
            peaks.append(decoder_to_half(model, plain / names.ENCODER, windows, _text(checkpoint, windows[-1])))
        with TemporaryDirectory(dir=folder) as work:
            save_graph(model, Path(work) / graph)
            for made in Path(work).iterdir():
                made.rename(folder / made.name)
    return max(peaks, key=lambda peak: peak.value, default=None)


def _windows(checkpoint: WhisperCheckpoint) -> list[NDArray[np.float32]]:
    """Return log-mel windows `[mels, frames]` of the gate's recordings, the last one of the longest at full scale."""
    waves = example_waveforms(checkpoint)
    extractor = checkpoint.feature_extractor
    waves.append(np.clip(30 * max(waves, key=len), -1, 1))
    return [
        extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="np").input_features[0] for wave in waves
    ]


def _text(checkpoint: WhisperCheckpoint, window: NDArray[np.float32]) -> NDArray[np.int64]:
    reference = PyTorch(checkpoint.model)
    return np.array(example_text(checkpoint.settings, reference, reference.encode(window[None])))
