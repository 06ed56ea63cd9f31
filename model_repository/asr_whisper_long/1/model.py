"""Triton adapter for recordings of any length through a Whisper; it calls the model that runs the graphs."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_serving.triton import models, sequences
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each part the outputs in config.pbtxt, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings, and what the export put beside this file."""
        from asr_serving.audio.speech import Detector  # here: Triton imports this file twice
        from asr_serving.long import segments, whisper
        from asr_serving.long.service import LongRecordings
        from asr_serving.whisper.codec import Codec

        settings = incoming.settings(args, whisper.SETTINGS)
        codec, detector = incoming.load(args, Codec.load), Detector.load()
        write = models.Whisper(settings["whisper_generate"]).ask
        self.recordings = LongRecordings(settings, whisper.WhisperTranscriber(settings, codec, write, detector))
        self.answers = sequences.LongAnswers(self.recordings, segments.NOTHING_OF_WHISPER)

    def execute(self, requests: list[Any]) -> None:
        """Take each piece; start to transcribe a recording after its last piece."""
        for request in requests:
            self.answers.take(request)

    def finalize(self) -> None:
        """Give up all recordings."""
        self.recordings.close()
