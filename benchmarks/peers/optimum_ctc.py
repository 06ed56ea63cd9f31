"""optimum's `ORTModelForCTC`, as its documentation uses it: its own export of the checkpoint in onnxruntime.

It gets one decoded recording after the other. (With optimum-onnx 0.1.0, it fails in `transformers.pipeline`.)
"""

import warnings
from typing import Any

import onnxruntime
import torch
import transformers
from speech import RATE, Recording

from peers.peer import Peer


class Optimum(Peer):
    """A peer that uses all cores for each recording."""

    callers = 1

    def start(self) -> None:
        from optimum.exporters.onnx import main_export
        from optimum.onnxruntime import ORTModelForCTC

        torch.set_num_threads(self.setting.cores)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.setting.cores
        checkpoint, folder = self.setting.exported.checkpoint, self.setting.scratch / "optimum"
        library: Any = transformers  # its classes have no types
        self._processor = library.Wav2Vec2Processor.from_pretrained(checkpoint)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns
            main_export(str(checkpoint), folder, task="automatic-speech-recognition", do_validation=False)
        self._model = ORTModelForCTC.from_pretrained(folder, session_options=options)

    def run(self, recording: Recording) -> Any:
        inputs = self._processor(recording.samples, sampling_rate=RATE, return_tensors="pt")
        logits = self._model(inputs.input_values).logits
        return self._processor.batch_decode(logits.argmax(dim=-1))[0]
