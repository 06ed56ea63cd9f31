"""The limit: the exported graph in bare onnxruntime, from decoded recordings to log-probs, without text.

There are two ways to use all cores: on one recording at a time, or one core for each recording. The model decides which
is faster.
"""

from typing import Any

import numpy as np
import onnxruntime
import transformers
from speech import Recording

from peers.peer import Peer, Setting


class BareLoop(Peer):
    """A peer that runs one recording after the other, each on all cores."""

    callers = 1

    def threads(self) -> int:
        """Return the number of threads for one recording."""
        return self.setting.cores

    def start(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads()
        self._session = onnxruntime.InferenceSession(self.setting.exported.graph("fp32"), options)
        library: Any = transformers  # its classes have no types
        self._tokenizer = library.AutoTokenizer.from_pretrained(self.setting.exported.checkpoint)

    def run(self, recording: Recording) -> Any:
        shape = np.array([[len(recording.samples)]], np.int32)
        return self._session.run(["log_probs", "frames"], {"audio": recording.samples, "audio_shape": shape})

    def text(self, answer: Any) -> str:
        log_probs, frames = answer
        return str(self._tokenizer.decode(log_probs[0, : frames[0, 0]].argmax(axis=-1)))


class BareWorkers(BareLoop):
    """A peer that runs one recording on each core, with one thread; a single caller has one core."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.callers = setting.cores

    def threads(self) -> int:
        return 1
