"""The decode step without Triton around it."""

from collections.abc import Sequence

import numpy as np
from decoding import Decoder
from hypotheses import Hypothesis
from labels import Labels
from language_model import LanguageModel
from options import parse


def decode(
    log_probs: Sequence[np.ndarray],
    frames: Sequence[int],
    labels: Labels,
    language_model: LanguageModel | None = None,
    **parameters: object,
) -> list[Hypothesis]:
    """What a batch of float32 `[width, vocab]` says, with the same request parameters for each."""
    decoder = Decoder(labels, language_model)
    options = parse(parameters)
    tasks = [decoder.task(*item, options) for item in zip(log_probs, frames, strict=True)]
    return [result.best for result in decoder.decode(tasks)]
