"""Sessions of ONNX Runtime on the CPU or a GPU; on a GPU, tensors stay there from one run to the next."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from asr_contract import gpu as gpus
from numpy.typing import NDArray

# By default cuDNN times every algorithm for each new shape, and here each number of windows is one.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}
_HOST = ("cpu", 0)


class Graph:
    """A graph in a session of its own.

    Args:
        file: of the graph.
        gpu: number of the GPU; None for the CPU.
        threads: within one operator; 0 leaves the choice to ONNX Runtime.

    Raises:
        asr_contract.gpu.GpuError: a GPU is requested and cannot be used.
    """

    def __init__(self, file: Path, gpu: int | None, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Sessions whose idle threads spin take the processors from each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._device = None if gpu is None else ("cuda", gpu)
        self.session: Any = (
            ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            if gpu is None
            else gpus.open_session(file, options, gpu, _CUDA_OPTIONS)
        )
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(
        self, feeds: Mapping[str, Any], on_host: list[str], on_device: list[str]
    ) -> tuple[list[NDArray[Any]], dict[str, Any]]:
        """Run the graph.

        Args:
            feeds: input -> array, or what an earlier run left on the device.
            on_host: outputs to return as arrays.
            on_device: outputs that a later run needs.

        Returns:
            The arrays, and by name what stays on the device; on the CPU these are arrays, too.
        """
        if self._device is None:
            values = self.session.run([*on_host, *on_device], dict(feeds))
            return values[: len(on_host)], dict(zip(on_device, values[len(on_host) :], strict=True))
        binding = self.session.io_binding()
        for name, value in feeds.items():
            binding.bind_ortvalue_input(name, self._on_device(value))
        for name in on_host:
            binding.bind_output(name, *_HOST)
        for name in on_device:
            binding.bind_output(name, *self._device)
        with gpus.under_way():
            self.session.run_with_iobinding(binding)
        outputs = binding.get_outputs()
        kept = dict(zip(on_device, outputs[len(on_host) :], strict=True))
        return [value.numpy() for value in outputs[: len(on_host)]], kept

    def _on_device(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        assert self._device is not None
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), *self._device)


def to_host(value: Any) -> NDArray[Any]:
    """Return an array of what `Graph.run` left on the device."""
    array: NDArray[Any] = value if isinstance(value, np.ndarray) else value.numpy()
    return array
