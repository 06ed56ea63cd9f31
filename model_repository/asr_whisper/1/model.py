"""Triton adapter of the model that callers of a Whisper know; it calls the steps for audio and for the graphs."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_serving.triton import models, responses
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """AUDIO BYTES [1, 1] -> the outputs in config.pbtxt, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings, and what the export put beside this file."""
        from asr_serving.whisper import front  # here: Triton imports this file twice
        from asr_serving.whisper.codec import Codec

        settings = incoming.settings(args, front.SETTINGS)
        codec = incoming.load(args, Codec.load)
        prepare, write = models.Preprocess(settings["preprocess"]), models.Whisper(settings["whisper_generate"])
        self.front = front
        self.recordings = front.Recordings(settings, codec, front.Models(prepare.ask, write.ask))

    def execute(self, requests: list[Any]) -> None:
        """Start to transcribe each recording; the answer follows when it is there."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                timeout_s = request.timeout() / 1e6
                call = self.front.Call(
                    incoming.audio(request), incoming.parameters(request), timeout_s, request.is_cancelled
                )
                self.recordings.start(call, partial(_send, sender))
            except Exception as refused:  # noqa: BLE001 - raised from here, it would leave the caller waiting
                _send(sender, refused)

    def finalize(self) -> None:
        """Give up the recordings that wait."""
        self.recordings.close()


def _send(sender: Any, answer: Any) -> None:
    failed = isinstance(answer, Exception)
    responses.send(sender, responses.error(answer) if failed else responses.response(answer))
