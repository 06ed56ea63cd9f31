"""Triton adapter of the CTC decode step: unpack, `greedy.decode` over the batch, pack."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import greedy
import numpy as np
import options
import triton_python_backend_utils as pb_utils
from labels import Labels


class TritonPythonModel:
    """`log_probs` FP32 [1, width, vocab] and `frames` INT32 [1, 1] -> TRANSCRIPT, CONFIDENCE, WORDS, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the vocabulary that the export put beside the model."""
        self.labels = Labels.load(Path(args["model_repository"]) / "labels.json")

    def execute(self, requests: list) -> list:
        """Decode all valid requests of the batch at once; answer each of the others with its own error."""
        responses: list = [None] * len(requests)
        accepted: list[tuple[int, options.DecodeOptions, np.ndarray, int]] = []
        for index, request in enumerate(requests):
            try:
                accepted.append((index, *self._unpack(request)))
            except ValueError as refused:
                responses[index] = _error(str(refused), pb_utils.TritonError.INVALID_ARG)
        hypotheses = greedy.decode([item[2] for item in accepted], [item[3] for item in accepted], self.labels)
        for (index, option, *_), hypothesis in zip(accepted, hypotheses, strict=True):
            responses[index] = _response(hypothesis, option)
        return responses

    def _unpack(self, request: "pb_utils.InferenceRequest") -> tuple[options.DecodeOptions, np.ndarray, int]:
        option = options.parse(json.loads(request.parameters() or "{}"))
        log_probs = pb_utils.get_input_tensor_by_name(request, "log_probs").as_numpy()
        if len(log_probs) != 1:
            raise ValueError(f"request with {len(log_probs)} rows; needs 1: one recording a request")
        frames = int(pb_utils.get_input_tensor_by_name(request, "frames").as_numpy()[0, 0])
        greedy.check(log_probs[0], frames, self.labels)
        return option, log_probs[0], frames


def _response(hypothesis: greedy.Hypothesis, option: options.DecodeOptions) -> object:
    if math.isnan(hypothesis.confidence):
        return _error("the acoustic model returned NaN for this recording", pb_utils.TritonError.INTERNAL)
    words = [asdict(word) for word in hypothesis.words] if option.word_timestamps else []
    return pb_utils.InferenceResponse(
        [
            _text("TRANSCRIPT", hypothesis.text),
            pb_utils.Tensor("CONFIDENCE", np.array([[hypothesis.confidence]], dtype=np.float32)),
            _text("WORDS", json.dumps(words, ensure_ascii=False)),
        ]
    )


def _text(name: str, value: str) -> object:
    return pb_utils.Tensor(name, np.array([[value.encode()]], dtype=object))


def _error(message: str, code: int) -> object:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
