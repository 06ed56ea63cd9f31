"""The three graphs of a Whisper, run by ONNX Runtime: encoder, decoder, decoder with past.

The decoder's keys and values stay on the device of the graphs from one token to the next (on a GPU: in its memory).
Only token ids go in, and only logits come out.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from asr_contract import gpu as gpus
from numpy.typing import NDArray

ENCODER, DECODER, DECODER_WITH_PAST = "encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"
# By default cuDNN times every algorithm for each new shape, and here each number of windows is one.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}


@dataclass(frozen=True)
class Cache:
    """The keys and values of a batch of rows, on the device."""

    tensors: dict[str, Any]  # input of the graph -> `[n, heads, length, size]`
    device: tuple[str, int]

    def keep(self, rows: NDArray[np.int64]) -> "Cache":
        """Return only these rows, in this order."""
        return Cache(
            {name: _tensor(value.numpy()[rows], self.device) for name, value in self.tensors.items()}, self.device
        )


class Graphs:
    """Sessions of the three graphs in one folder.

    Attributes:
        drops_rows: whether it pays to take finished rows out of a cache. On a GPU, all of it would travel to the host
            and back, and a row more costs a step next to nothing.
    """

    def __init__(self, folder: Path, gpu: int | None = None, threads: int = 0) -> None:
        """Load the graphs.

        Args:
            folder: with the three files.
            gpu: number of the GPU; None for the CPU.
            threads: within one operator; 0 leaves the choice to ONNX Runtime.

        Raises:
            asr_contract.gpu.GpuError: a GPU is requested and cannot be used.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Three sessions whose idle threads spin take the processors from each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._device = ("cpu", 0) if gpu is None else ("cuda", gpu)
        self.drops_rows = gpu is None
        self._mark: Callable[[], contextlib.AbstractContextManager[None]] = (
            contextlib.nullcontext if gpu is None else gpus.under_way
        )
        self._encoder, self._decoder, self._decoder_with_past = (
            ort.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
            if gpu is None
            else gpus.open_session(folder / file, options, gpu, _CUDA_OPTIONS)
            for file in (ENCODER, DECODER, DECODER_WITH_PAST)
        )

    def encode(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the hidden states `[n, positions, size]` of log-mel windows, float32 `[n, mels, frames]`."""
        with self._mark():
            hidden: NDArray[np.float32] = self._encoder.run(["last_hidden_state"], {"input_features": features})[0]
        return hidden

    def begin(self, tokens: NDArray[np.int64], hidden: NDArray[np.float32]) -> tuple[NDArray[np.float32], Cache]:
        """Run the decoder on ids `[n, length]` and hidden states; return logits `[n, length, vocab]` and the cache."""
        inputs: dict[str, NDArray[Any]] = {"input_ids": tokens, "encoder_hidden_states": hidden}
        return self._run(self._decoder, {name: _tensor(value, self._device) for name, value in inputs.items()}, {})

    def step(self, tokens: NDArray[np.int64], cache: Cache) -> tuple[NDArray[np.float32], Cache]:
        """Run the decoder on one more token `[n]` of every row; return logits `[n, 1, vocab]` and the cache."""
        inputs = {"input_ids": _tensor(tokens[:, None], self._device), **cache.tensors}
        return self._run(self._decoder_with_past, inputs, cache.tensors)

    def _run(self, session: Any, inputs: dict[str, Any], past: dict[str, Any]) -> tuple[NDArray[np.float32], Cache]:
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        names = [output.name for output in session.get_outputs()]
        for name in names:
            # Logits are read here; everything else stays on the device for the next run.
            binding.bind_output(name, *(("cpu", 0) if name == "logits" else self._device))
        with self._mark():
            session.run_with_iobinding(binding)
        outputs = dict(zip(names, binding.get_outputs(), strict=True))
        logits: NDArray[np.float32] = outputs.pop("logits").numpy()
        present = {name.replace("present", "past_key_values", 1): value for name, value in outputs.items()}
        # The encoder's keys and values never change, so the decoder with past does not return them.
        return logits, Cache({**past, **present}, self._device)


def _tensor(values: NDArray[Any], device: tuple[str, int]) -> Any:
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values), *device)
