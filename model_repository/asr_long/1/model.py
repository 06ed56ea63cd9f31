"""Triton adapter for recordings of any length: pieces in, segments of the transcript out, by way of other models."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_contract.labels import Labels
from asr_serving.long import service, transcription
from asr_serving.triton import models, responses
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each paragraph what config.pbtxt lists, each [1, 1].

    The last response to each piece, which Triton marks as final, is empty; the paragraphs come before that of the last.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        settings = incoming.settings(args, service.SETTINGS)
        labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        acoustic, decode = models.Acoustic(settings["acoustic"]), models.Decode(settings["ctc_decode"])
        self.recordings = service.LongRecordings(settings, labels, acoustic.ask, decode.ask)

    def execute(self, requests: list[Any]) -> None:
        """Take each piece; with the last one of a recording, begin to transcribe it."""
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
        """Give up what is under way."""
        self.recordings.close()


class _Answer:
    def __init__(self, request: Any) -> None:
        self._sender = request.get_response_sender()

    def tell(self, segment: transcription.Segment) -> None:
        responses.send(self._sender, responses.response(segment.outputs()), is_final=False)

    def finish(self, failed: Exception | None) -> None:
        # tritonclient's asyncio client cannot ask for a last response without tensors.
        last = responses.response(transcription.NOTHING.outputs()) if failed is None else responses.error(failed)
        responses.send(self._sender, last)
