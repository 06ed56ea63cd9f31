"""Triton adapter for live streams through a Whisper; it calls the model that runs the graphs."""

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_serving.triton import models, sequences
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each piece the outputs in config.pbtxt, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings, and what the export put beside this file."""
        from asr_serving.audio.speech import Detector  # here: Triton imports this file twice
        from asr_serving.live import whisper
        from asr_serving.live.service import LiveStreams
        from asr_serving.whisper.codec import Codec

        settings = incoming.settings(args, whisper.SETTINGS)
        codec, detector = incoming.load(args, Codec.load), Detector.load()
        write = models.Whisper(settings["whisper_generate"]).ask_async
        self.streams = LiveStreams(settings, whisper.WhisperOpener(settings, codec, write, detector))
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="streams", daemon=True)
        self.thread.start()

    def execute(self, requests: list[Any]) -> None:
        """Begin to answer each piece: no stream waits for the transcripts of another."""
        for request in requests:
            asyncio.run_coroutine_threadsafe(self._answer(request), self.loop)

    def finalize(self) -> None:
        """Stop the event loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _answer(self, request: Any) -> None:
        answer = sequences.answer_live(self.streams, request)
        sequences.warn_unanswered(await asyncio.gather(answer, return_exceptions=True))
