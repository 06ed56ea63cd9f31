"""CTC prefix beam search: the text that is likeliest over all of its alignments, not the likeliest alignment.

The search is flashlight-text's, in C++: the maintained heir of wav2letter's decoder (Collobert et al. 2016; for the
prefix search, Hannun et al. 2014).
"""

from dataclasses import dataclass

import numpy as np
from labels import Labels
from numpy.typing import NDArray

# Labels that one frame may add to a prefix; the others of a frame are far less likely. A third of the time that all 32
# labels of the demo checkpoint take.
LABELS_PER_FRAME = 8
THRESHOLD = 25.0  # nats below the best prefix, at which one is given up


@dataclass(frozen=True)
class Alternative:
    """One of the likeliest texts."""

    text: str
    score: float  # log-probability of the text, summed over its alignments within the beam
    path: NDArray[np.int64]  # int64 `[frames]`, the column of each frame on its likeliest alignment


class BeamSearch:
    """Beam search over the labels of one vocabulary.

    Args:
        labels: the vocabulary.

    Raises:
        ImportError: flashlight-text is not installed.
    """

    def __init__(self, labels: Labels) -> None:
        from flashlight.lib.text import decoder  # not needed for greedy decoding

        self._flashlight = decoder
        self._labels = labels

    def search(self, log_probs: NDArray[np.float32], beam_width: int, nbest: int) -> list[Alternative]:
        """The likeliest texts, best first; fewer than `nbest` where the beam holds fewer different ones.

        Args:
            log_probs: float32 `[frames, vocab]`, without NaN.
            beam_width: prefixes that are kept from frame to frame.
            nbest: texts that are wanted, up to `beam_width`.
        """
        options = self._flashlight.LexiconFreeDecoderOptions(
            beam_size=beam_width,
            beam_size_token=min(LABELS_PER_FRAME, log_probs.shape[1]),
            beam_threshold=THRESHOLD,
            lm_weight=0.0,
            sil_score=0.0,
            log_add=True,
            criterion_type=self._flashlight.CriterionType.CTC,
        )
        # It begins and ends with a "silence": the blank, which does not merge with what is heard; a delimiter would.
        blank = self._labels.blank
        decoder = self._flashlight.LexiconFreeDecoder(options, self._flashlight.ZeroLM(), blank, blank, [])
        emissions = np.ascontiguousarray(log_probs, dtype=np.float32)
        found: dict[str, Alternative] = {}
        for result in decoder.decode(emissions.ctypes.data, *emissions.shape):
            path = np.array(result.tokens[1:-1], dtype=np.int64)  # without the silences before and after
            spoken = path[np.concatenate(([True], path[1:] != path[:-1])) & (path != blank)]
            text = self._labels.text(spoken.tolist())
            found.setdefault(text, Alternative(text, float(result.score), path))
            if len(found) == nbest:
                break
        return list(found.values())
