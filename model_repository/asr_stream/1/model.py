"""Triton adapter for live streams; it calls the acoustic model and the decode step."""

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

import triton_python_backend_utils as pb_utils
from asr_contract.labels import Labels
from asr_serving.live import service
from asr_serving.triton import models, responses
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each piece the outputs in config.pbtxt, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        settings = incoming.settings(args, service.SETTINGS)
        labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        acoustic, decode = models.Acoustic(settings["acoustic"]), models.Decode(settings["ctc_decode"])
        self.streams = service.LiveStreams(settings, labels, acoustic.ask_async, decode.ask_async)
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
        for failed in await asyncio.gather(*map(self._answer, requests), return_exceptions=True):
            if failed is not None:  # raised from `execute`, it would fail pieces that already have their answer
                pb_utils.Logger.log_warn(f"a piece of a live stream could not be answered: {failed!r}")

    async def _answer(self, request: Any) -> None:
        try:
            responses.refuse_cancelled(request)
            update = await self.streams.answer(incoming.piece(request))
            response = responses.response(service.outputs(update))
        except Exception as failed:  # noqa: BLE001 - raised from `execute`, it would fail the whole batch
            response = responses.error(failed)
        if request.is_cancelled():  # the caller may have gone meanwhile, and then nobody continues the stream
            self.streams.forget(request.correlation_id())
        responses.send(request.get_response_sender(), response)
