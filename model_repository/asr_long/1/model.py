"""Triton adapter for recordings of any length; it calls the acoustic model and the decode step."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_contract.labels import Labels
from asr_serving.long import service, transcription
from asr_serving.triton import models, responses
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each paragraph the outputs in config.pbtxt, each [1, 1].

    The final response to each piece is empty; the paragraphs come before the final response to the last piece.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        settings = incoming.settings(args, service.SETTINGS)
        labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        acoustic, decode = models.Acoustic(settings["acoustic"]), models.Decode(settings["ctc_decode"])
        self.recordings = service.LongRecordings(settings, labels, acoustic.ask, decode.ask)

    def execute(self, requests: list[Any]) -> None:
        """Take each piece; start to transcribe a recording after its last piece."""
        for request in requests:
            answer = _Answer(request)
            try:
                piece = incoming.piece(request)
                file = self.recordings.take(piece)
            except Exception as failed:  # noqa: BLE001 - raised from here, it would leave the caller waiting
                answer.finish(failed)
            else:
                if file is None:
                    answer.finish(None)
                else:
                    self.recordings.start(file, piece.parameters, answer.tell, answer.finish, request.is_cancelled)

    def finalize(self) -> None:
        """Give up all recordings."""
        self.recordings.close()


class _Answer:
    def __init__(self, request: Any) -> None:
        self._sender = request.get_response_sender()

    def tell(self, segment: transcription.Segment) -> None:
        responses.send(self._sender, responses.response(segment.outputs()), is_final=False)

    def finish(self, failed: Exception | None) -> None:
        # The last response has tensors, because tritonclient's asyncio client cannot ask for one without.
        last = responses.response(transcription.NOTHING.outputs()) if failed is None else responses.error(failed)
        responses.send(self._sender, last)
