"""Triton adapter of the CTC decode step: unpack, decode the batch, pack."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import decoding
import language_model
import numpy as np
import options
import triton_python_backend_utils as pb_utils
from labels import Labels


class TritonPythonModel:
    """`log_probs` FP32 [1, width, vocab], `frames` INT32 [1, 1] -> what config.pbtxt lists, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read what the export put beside the model: the vocabulary, and a language model where there is one."""
        folder = Path(args["model_repository"])
        labels = Labels.load(folder / "labels.json")
        self.decoder = decoding.Decoder(labels, language_model.load(folder, labels))

    def execute(self, requests: list) -> list:
        """Decode all valid requests of the batch at once; answer each of the others with its own error."""
        responses: list = [None] * len(requests)
        accepted: list[tuple[int, decoding.Task]] = []
        for index, request in enumerate(requests):
            try:
                accepted.append((index, self._unpack(request)))
            except ValueError as refused:
                responses[index] = _error(str(refused), pb_utils.TritonError.INVALID_ARG)
        gone: set[int] = set()

        def is_wanted(number: int) -> bool:
            index, _ = accepted[number]
            if requests[index].is_cancelled():
                gone.add(index)
            return index not in gone

        results = self.decoder.decode([task for _, task in accepted], is_wanted)
        for (index, task), result in zip(accepted, results, strict=True):
            responses[index] = _response(result, task.options)
        for index in gone:
            responses[index] = _error("the caller has gone", pb_utils.TritonError.CANCELLED)
        return responses

    def _unpack(self, request: "pb_utils.InferenceRequest") -> decoding.Task:
        option = options.parse(json.loads(request.parameters() or "{}"))
        log_probs = pb_utils.get_input_tensor_by_name(request, "log_probs").as_numpy()
        if len(log_probs) != 1:
            raise ValueError(f"request with {len(log_probs)} rows; needs 1: one recording a request")
        frames = int(pb_utils.get_input_tensor_by_name(request, "frames").as_numpy()[0, 0])
        return self.decoder.task(log_probs[0], frames, option)


def _response(result: decoding.Result, option: options.DecodeOptions) -> object:
    hypothesis = result.best
    if math.isnan(hypothesis.confidence):
        return _error("the acoustic model returned NaN for this recording", pb_utils.TritonError.INTERNAL)
    alternatives = [{"text": one.text, "score": round(one.score, 4)} for one in result.alternatives]
    words = [asdict(word) for word in hypothesis.words] if option.word_timestamps else []
    return pb_utils.InferenceResponse(
        [
            _text("TRANSCRIPT", hypothesis.text),
            pb_utils.Tensor("CONFIDENCE", np.array([[hypothesis.confidence]], dtype=np.float32)),
            _text("WORDS", json.dumps(words, ensure_ascii=False)),
            _text("ALTERNATIVES", json.dumps(alternatives if option.nbest > 1 else [], ensure_ascii=False)),
        ]
    )


def _text(name: str, value: str) -> object:
    return pb_utils.Tensor(name, np.array([[value.encode()]], dtype=object))


def _error(message: str, code: int) -> object:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
