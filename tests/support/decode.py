"""The decode step without Triton around it."""

from collections.abc import Sequence

import numpy as np
from asr_contract import parameters as contract
from asr_contract.labels import Labels
from asr_serving.ctc.decoding import Decoder
from asr_serving.ctc.hypotheses import Hypothesis
from asr_serving.ctc.language_model import LanguageModel


def decode(
    log_probs: Sequence[np.ndarray],
    frames: Sequence[int],
    labels: Labels,
    language_model: LanguageModel | None = None,
    **parameters: object,
) -> list[Hypothesis]:
    """What a batch of float32 `[width, vocab]` says, with the same request parameters for each."""
    decoder = Decoder(labels, language_model)
    options = contract.read(parameters, "ctc")
    tasks = [decoder.task(*item, options) for item in zip(log_probs, frames, strict=True)]
    return [result.best for result in decoder.decode(tasks)]
