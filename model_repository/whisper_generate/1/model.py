"""Triton adapter of the Whisper step."""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

import triton_python_backend_utils as pb_utils
from asr_serving.triton import requests as incoming
from asr_serving.triton import responses

SETTINGS = {"intra_op_thread_count"}


class TritonPythonModel:
    """`audio` FP32 [1, samples] -> TRANSCRIPT, CONFIDENCE, WORDS and LANGUAGE, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graphs and what the export put beside them."""
        from asr_serving.whisper.service import Service  # here: Triton imports this file twice, ONNX Runtime is large

        settings = incoming.settings(args, SETTINGS)
        gpu = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        folder = Path(args["model_repository"], args["model_version"])
        most = json.loads(args["model_config"])["max_batch_size"]
        try:
            self.service = Service.load(folder, gpu, int(settings["intra_op_thread_count"]), most)
        except Exception as error:  # the errors of ONNX Runtime and tokenizers have no common base
            raise pb_utils.TritonModelException(f"cannot load {folder}: {error}") from error

    def execute(self, requests: list[Any]) -> list[Any]:
        """Transcribe all valid requests of the batch at once; answer each of the others with its own error."""
        return responses.answer_batch(requests, self._unpack, self.service.answer, _pack)

    def _unpack(self, request: Any) -> Any:
        return incoming.row(request, "audio"), self.service.options(incoming.parameters(request))


def _pack(_: Any, answer: Any) -> Any:
    return answer.outputs()
