"""Triton adapter for recordings of any length; it calls the acoustic model and the decode step."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_contract.labels import Labels
from asr_serving.long import ctc, segments
from asr_serving.long.service import LongRecordings
from asr_serving.triton import models, sequences
from asr_serving.triton import requests as incoming


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each paragraph the outputs in config.pbtxt, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        settings = incoming.settings(args, ctc.SETTINGS)
        labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        acoustic, decode = models.Acoustic(settings["acoustic"]), models.Decode(settings["ctc_decode"])
        transcriber = ctc.CtcTranscriber(settings, labels, acoustic.ask, decode.ask)
        self.recordings = LongRecordings(settings, transcriber)
        self.answers = sequences.LongAnswers(self.recordings, segments.NOTHING)

    def execute(self, requests: list[Any]) -> None:
        """Take each piece; start to transcribe a recording after its last piece."""
        for request in requests:
            self.answers.take(request)

    def finalize(self) -> None:
        """Give up all recordings."""
        self.recordings.close()
