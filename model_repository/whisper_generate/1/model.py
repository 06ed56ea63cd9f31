"""Triton adapter of the Whisper step: unpack, `Generator.transcribe` over the batch, pack."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

SETTINGS = {"intra_op_thread_count"}


class TritonPythonModel:
    """`audio` FP32 [1, samples] -> TRANSCRIPT, CONFIDENCE, WORDS and LANGUAGE, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graphs and what the export put beside them; Triton itself would ignore a misspelt key."""
        import whisper_service  # here: Triton imports this file once more, to look for an auto_complete_config

        config = json.loads(args["model_config"])
        settings = {key: item["string_value"] for key, item in config["parameters"].items()}
        if settings.keys() != SETTINGS:
            raise pb_utils.TritonModelException(f"parameters are {sorted(settings)}; needs {sorted(SETTINGS)}")
        gpu = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        folder = Path(args["model_repository"], args["model_version"])
        try:
            self.service = whisper_service.Service.load(
                folder, gpu, int(settings["intra_op_thread_count"]), config["max_batch_size"]
            )
        except Exception as error:  # the errors of ONNX Runtime and tokenizers have no common base
            raise pb_utils.TritonModelException(f"cannot load {folder}: {error}") from error

    def execute(self, requests: list) -> list:
        """Transcribe all valid requests of the batch at once; answer each of the others with its own error."""
        responses: list = [None] * len(requests)
        accepted = []
        for index, request in enumerate(requests):
            try:
                accepted.append((index, *self._unpack(request)))
            except ValueError as refused:
                responses[index] = _error(str(refused), pb_utils.TritonError.INVALID_ARG)
        try:
            answers = self.service.answer([(waveform, option) for _, waveform, option in accepted])
        except Exception as failed:  # noqa: BLE001 - a graph that failed; raised, it would fail the refused ones, too
            answers = [failed] * len(accepted)
        for (index, *_), answer in zip(accepted, answers, strict=True):
            responses[index] = _response(answer)
        return responses

    def _unpack(self, request: "pb_utils.InferenceRequest") -> tuple[np.ndarray, object]:
        audio = pb_utils.get_input_tensor_by_name(request, "audio").as_numpy()
        if len(audio) != 1 or not audio.size:
            raise ValueError(f"audio has shape {list(audio.shape)}; needs [1, samples]: one recording a request")
        return audio[0], self.service.options(json.loads(request.parameters() or "{}"))


def _response(answer: object) -> object:
    if isinstance(answer, Exception):
        return _error(str(answer) or repr(answer), pb_utils.TritonError.INTERNAL)
    return pb_utils.InferenceResponse(
        [
            _text("TRANSCRIPT", answer.text),
            pb_utils.Tensor("CONFIDENCE", np.array([[answer.confidence]], dtype=np.float32)),
            _text("WORDS", json.dumps(answer.words, ensure_ascii=False)),
            _text("LANGUAGE", answer.language),
        ]
    )


def _text(name: str, value: str) -> object:
    return pb_utils.Tensor(name, np.array([[value.encode()]], dtype=object))


def _error(message: str, code: int) -> object:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
