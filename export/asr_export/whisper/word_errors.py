"""The word error rate of a Whisper's graphs on a manifest, as the service transcribes its recordings."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from asr_serving.whisper.service import Service
from asr_serving.whisper.tasks import BrokenOutput
from numpy.typing import NDArray

from asr_export.errors import GateError

# Their tokens equal PyTorch's (`asr_export.whisper.gate`), at a fraction of the time.
REFERENCE = "the graphs in fp32"
_SECONDS_BETWEEN_NEWS = 20.0


def transcribe(folder: Path, waves: list[NDArray[np.float32]], rows: int, on_step: Callable[[str], None]) -> list[str]:
    """Return the texts of recordings, with the options that a request has by default.

    Args:
        folder: the artefacts.
        waves: float32 `[samples]` each.
        rows: recordings side by side.
        on_step: is told now and then how many are done.

    Raises:
        GateError: the graphs give NaN for a recording.
    """
    texts: list[str] = []
    told = time.monotonic()
    with Service.load(folder, max_rows=rows) as service:
        options = service.codec.options({})
        for start in range(0, len(waves), rows):
            for answer in service.answer([(wave, options) for wave in waves[start : start + rows]]):
                if isinstance(answer, BrokenOutput):
                    raise GateError(f"recording {len(texts) + 1} of the manifest: {answer}")
                texts.append(answer.text)
            if time.monotonic() - told > _SECONDS_BETWEEN_NEWS and len(texts) < len(waves):
                on_step(f"transcribed {len(texts)} of {len(waves)} recordings")
                told = time.monotonic()
    return texts
