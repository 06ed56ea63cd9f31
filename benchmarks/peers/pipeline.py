"""`pipeline("automatic-speech-recognition")` of transformers; it gets one decoded recording after the other."""

from typing import Any

import torch
import transformers
from speech import RATE, Recording

from peers.peer import Peer


class Pipeline(Peer):
    """A peer with batches of one, the default; on a CPU, larger ones only add padding."""

    callers = 1

    def start(self) -> None:
        torch.set_num_threads(self.setting.cores)
        library: Any = transformers  # its classes have no types
        checkpoint = self.setting.exported.checkpoint
        self._pipeline = library.pipeline(
            "automatic-speech-recognition",
            model=library.AutoModelForCTC.from_pretrained(checkpoint),
            tokenizer=library.AutoTokenizer.from_pretrained(checkpoint),
            feature_extractor=library.AutoFeatureExtractor.from_pretrained(checkpoint),
            device="cpu",
        )

    def run(self, recording: Recording) -> Any:
        # The pipeline takes the dictionary apart: it needs a new one each time.
        return self._pipeline({"raw": recording.samples, "sampling_rate": RATE})["text"]
