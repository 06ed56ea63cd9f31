"""The network of Silero VAD 6.2.3 (MIT, `silero_vad.LICENSE`): how likely is speech in each frame of 32 ms?

`silero_vad.onnx` is `silero_vad_16k_sequence.onnx` of the package silero-vad. The package itself needs PyTorch, which a
server does not have. This one of its graphs takes many frames in one run, and carries the state of its LSTM.
"""

from pathlib import Path
from typing import Any

import numpy as np
from asr_contract.errors import ParameterError
from numpy.typing import NDArray

RATE = 16_000  # Hz
FRAME = 512  # samples
_CONTEXT = 64  # samples of the frame before that the network hears again; without them it hears no speech at all
_STATE = (1, 1, 128)
_MOST_FRAMES = 256  # in one run; bounds its memory
_GRAPH = Path(__file__).with_name("silero_vad.onnx")


class Silero:
    """The network; it holds no state, so that many recordings can share it, in several threads.

    Args:
        path: of the graph; None for the one beside this module.

    Raises:
        ParameterError: the package onnxruntime is missing.
        RuntimeError: the file is missing or no such graph.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            import onnxruntime as ort
        except ImportError as missing:  # nothing else in a server of CTC models needs it
            raise ParameterError("vad=true needs the package onnxruntime in the server's Python") from missing
        options = ort.SessionOptions()
        # A frame is too little work to share, and threads that wait would take the processors from the models.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = path or _GRAPH
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as broken:  # ONNX Runtime's errors have no class of their own
            raise RuntimeError(f"cannot load the voice detector {path}: {broken}") from broken

    def run(
        self, frames: NDArray[np.float32], state: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return the probabilities `[n]` of frames, float32 `[n, 576]`, and the state after them."""
        probabilities, hidden, cell = self._session.run(
            ["speech_probs", "hn", "cn"], {"input": frames, "h": state[0], "c": state[1]}
        )
        return probabilities, (hidden, cell)


class Frames:
    """The frames of one recording: samples go in, probabilities come out. Its memory is bounded by one piece.

    The probabilities do not depend on how the samples were cut into pieces.
    """

    def __init__(self, network: Silero) -> None:
        self._network = network
        self._state = (np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32))
        self._held = np.zeros(_CONTEXT, np.float32)  # the end of the frame before, then samples of no whole frame

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of the frames that are complete with further samples, float32 `[samples]`, 16 kHz.

        Returns:
            float32 `[frames]`, from 0 to 1.
        """
        self._held = np.concatenate((self._held, samples))
        count = (len(self._held) - _CONTEXT) // FRAME
        if not count:
            return np.zeros(0, np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(self._held, _CONTEXT + FRAME)[: count * FRAME : FRAME]
        probabilities = []
        for first in range(0, count, _MOST_FRAMES):
            block = np.ascontiguousarray(frames[first : first + _MOST_FRAMES])
            found, self._state = self._network.run(block, self._state)
            probabilities.append(found)
        self._held = self._held[count * FRAME :].copy()
        return np.concatenate(probabilities)

    def finish(self) -> NDArray[np.float32]:
        """Return the probability of the last, incomplete frame, float32 `[0 or 1]`; silence fills it up."""
        rest = len(self._held) - _CONTEXT
        return self.push(np.zeros(FRAME - rest if rest else 0, np.float32))
