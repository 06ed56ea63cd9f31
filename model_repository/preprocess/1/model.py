"""Triton adapter of the preprocess step."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

import triton_python_backend_utils as pb_utils
from asr_serving.audio import preprocess
from asr_serving.triton import requests as incoming
from asr_serving.triton import responses


class TritonPythonModel:
    """One AUDIO element per request -> the tensors of `Preprocess.prepare`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        settings = incoming.settings(args, preprocess.SETTINGS, preprocess.OPTIONAL)
        try:
            self.step = preprocess.Preprocess(settings, lambda line: pb_utils.Logger.log_warn(line))
        except ValueError as refused:
            raise pb_utils.TritonModelException(str(refused)) from refused

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer each request separately, as soon as it is done; a bad one does not affect the others."""
        taken, refusal = self.step.admit(len(requests))
        if len(requests) == 1:  # a response that is returned arrives a little sooner than one that is sent
            return [self._answer(requests[0]) if taken else responses.error(refusal)]
        for request in requests[taken:]:
            responses.send(request.get_response_sender(), responses.error(refusal))
        for request in requests[:taken]:
            responses.send(request.get_response_sender(), self._answer(request))
        return None

    def finalize(self) -> None:
        """Close the connection to the metrics; Triton calls this before it ends the process."""
        self.step.close()

    def _answer(self, request: Any) -> Any:
        try:
            responses.refuse_cancelled(request)
            audio, parameters = incoming.audio(request), incoming.parameters(request)
            return responses.response(self.step.prepare(audio, parameters, request.requested_output_names()))
        except Exception as failed:  # noqa: BLE001 - raised from `execute`, it would fail the whole batch
            return responses.error(failed)
