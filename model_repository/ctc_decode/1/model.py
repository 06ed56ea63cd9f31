"""Triton adapter of the CTC decode step."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_contract import parameters
from asr_contract.labels import Labels
from asr_serving.ctc import decoding, language_model
from asr_serving.triton import requests as incoming
from asr_serving.triton import responses


class TritonPythonModel:
    """The inputs in config.pbtxt, one recording each -> the outputs there, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read what the export put beside the model: the vocabulary, and a language model if there is one."""
        folder = Path(args["model_repository"])
        labels = Labels.load(folder / "labels.json")
        self.decoder = decoding.Decoder(labels, language_model.load(folder, labels))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decode all valid requests of the batch at once; answer each of the others with its own error."""
        return responses.answer_batch(requests, self._unpack, self.decoder.decode, decoding.outputs)

    def _unpack(self, request: Any) -> decoding.Task:
        options = parameters.read(incoming.parameters(request), "ctc")
        frames = int(incoming.row(request, "frames")[0])
        log_probs, speech = incoming.row(request, "log_probs"), incoming.optional_row(request, "speech")
        return self.decoder.task(log_probs, frames, options, request.is_cancelled, speech)
