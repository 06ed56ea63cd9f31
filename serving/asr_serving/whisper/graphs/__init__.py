"""The graphs of a Whisper, run by ONNX Runtime."""

from pathlib import Path

from asr_serving.whisper.graphs import apart, joined, names
from asr_serving.whisper.graphs.backend import Backend


def load(folder: Path, gpu: int | None = None, threads: int = 0) -> Backend:
    """Load the graphs in a folder: the two that the kit traces, or the three that optimum makes.

    Args:
        folder: with the files.
        gpu: number of the GPU; None for the CPU.
        threads: within one operator; 0 leaves the choice to ONNX Runtime.

    Raises:
        asr_contract.gpu.GpuError: a GPU is requested and cannot be used.
    """
    if (folder / names.DECODER).exists():
        return joined.Graphs(folder, gpu, threads)
    return apart.Graphs(folder, gpu, threads)
