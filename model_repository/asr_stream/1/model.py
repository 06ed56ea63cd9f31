"""Triton adapter for live streams; it calls the acoustic model and the decode step."""

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_contract.labels import Labels
from asr_serving.live import ctc
from asr_serving.live.service import LiveStreams
from asr_serving.triton import models, sequences
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each piece the outputs in config.pbtxt, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        settings = incoming.settings(args, ctc.SETTINGS)
        labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        acoustic, decode = models.Acoustic(settings["acoustic"]), models.Decode(settings["ctc_decode"])
        opener = ctc.CtcOpener(settings, labels, acoustic.ask_async, decode.ask_async)
        self.streams = LiveStreams(settings, opener)
        self.loop = asyncio.new_event_loop()

    def execute(self, requests: list[Any]) -> None:
        """Answer all pieces at once, so that the windows of all streams share batches.

        It returns when all are answered: Triton then takes the requests as ended, and continues their sequences.
        """
        self.loop.run_until_complete(self._answer_all(requests))

    def finalize(self) -> None:
        """Close the event loop."""
        self.loop.close()

    async def _answer_all(self, requests: list[Any]) -> None:
        answers = (sequences.answer_live(self.streams, request) for request in requests)
        sequences.warn_unanswered(await asyncio.gather(*answers, return_exceptions=True))
