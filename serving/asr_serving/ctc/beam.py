"""CTC prefix beam search: the likeliest text over all of its alignments, with or without a language model.

flashlight-text does the search, in C++. It is the maintained successor of wav2letter's decoder (Collobert et al. 2016;
for the prefix search, Hannun et al. 2014). A text's score is its log-probability by the acoustic model, plus
`lm_weight` times its log-probability by the language model (shallow fusion), plus `word_score` for each word.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.ctc.language_model import LanguageModel

# Labels that one frame may add to a prefix; a frame's other labels are far less likely. The search takes a third of the
# time that it takes with all 32 labels of the demo checkpoint.
LABELS_PER_FRAME = 8
# The search gives up a prefix this many nats below the best one. 25 takes 1.3 times as long and makes as many errors.
THRESHOLD = 20.0
_NATS = math.log(10)  # KenLM's scores are logarithms to base 10
# The penalty of a text whose last word is incomplete. It outweighs any other score, so such a text is the last resort.
_INCOMPLETE = -1000.0
_NO_WORD = -1

_Result = tuple[NDArray[np.int64], float]  # a path through the frames, and its score


@dataclass(frozen=True)
class Alternative:
    """One of the likeliest texts."""

    text: str
    score: float  # log-probability of the text, summed over its alignments within the beam, with the language model's
    path: NDArray[np.int64]  # int64 `[frames]`, the column of each frame on its likeliest alignment


@dataclass(frozen=True)
class BeamOptions:
    """The options of one search."""

    beam_width: int  # prefixes that are kept from frame to frame
    nbest: int = 1  # texts to return, up to `beam_width`
    lm_weight: float = 0.0  # of the language model; 0: it is not used
    word_score: float = 0.0  # nats for each word, with a language model of words


class BeamSearch:
    """Beam search over the labels of one vocabulary.

    Args:
        labels: the vocabulary.
        language_model: of labels, or of words; with one of words, results hold only its words. None for none.

    Raises:
        ImportError: flashlight-text is not installed.
    """

    def __init__(self, labels: Labels, language_model: LanguageModel | None = None) -> None:
        from flashlight.lib.text import decoder  # not needed for greedy decoding

        self._flashlight = decoder
        self._labels = labels
        self._language_model = language_model
        self._trie = self._grow(language_model) if language_model and language_model.is_of_words else None

    def _grow(self, language_model: LanguageModel) -> Any:
        """Return the words as a prefix tree of columns; a delimiter ends each word."""
        trie = self._flashlight.Trie(len(self._labels.labels), self._labels.delimiter)
        start = language_model.model.start(False)
        for word, columns in language_model.spellings or ():
            _, score = language_model.model.score(start, word)
            trie.insert([*columns, self._labels.delimiter], word, score)
        # The beginning of a word scores as its likeliest word, so that the search does not give it up too early.
        trie.smear(self._flashlight.SmearingMode.MAX)
        return trie

    def search(self, log_probs: NDArray[np.float32], options: BeamOptions) -> list[Alternative]:
        """Return the likeliest texts, best first; fewer than `nbest` if the beam holds fewer different ones.

        Args:
            log_probs: float32 `[frames, vocab]`, without NaN.
            options: of the search.
        """
        words = self._trie is not None and options.lm_weight > 0
        results = self._words(log_probs, options) if words else self._labels_alone(log_probs, options)
        found: dict[str, Alternative] = {}
        for path, score in results:
            spoken = path[np.concatenate(([True], path[1:] != path[:-1])) & (path != self._labels.blank)]
            text = self._labels.text(spoken.tolist())
            found.setdefault(text, Alternative(text, score, path))
            if len(found) == options.nbest:
                break
        return list(found.values())

    def _labels_alone(self, log_probs: NDArray[np.float32], options: BeamOptions) -> Iterator[_Result]:
        """Yield paths of any labels."""
        flashlight, blank = self._flashlight, self._labels.blank
        settings = flashlight.LexiconFreeDecoderOptions(
            lm_weight=options.lm_weight * _NATS, **self._settings(log_probs, options)
        )
        scored = self._language_model is not None and options.lm_weight > 0
        model = self._language_model.model if self._language_model and scored else flashlight.ZeroLM()
        # A path begins and ends with flashlight's "silence": here the blank, as a delimiter would merge with others.
        decoder = flashlight.LexiconFreeDecoder(settings, model, blank, blank, [])
        emissions = np.ascontiguousarray(log_probs, dtype=np.float32)
        for result in decoder.decode(emissions.ctypes.data, *emissions.shape):
            yield np.array(result.tokens[1:-1], dtype=np.int64), result.score  # without the silences

    def _words(self, log_probs: NDArray[np.float32], options: BeamOptions) -> Iterator[_Result]:
        """Yield paths that spell only words of the tree."""
        flashlight, labels = self._flashlight, self._labels
        assert self._language_model is not None
        settings = flashlight.LexiconDecoderOptions(
            lm_weight=options.lm_weight * _NATS,
            word_score=options.word_score,
            unk_score=-math.inf,
            **self._settings(log_probs, options),
        )
        # A recording may have no delimiter after the last word, so the search gets one more frame with it.
        frames, delimiter = len(log_probs), labels.delimiter
        emissions = np.full((frames + 1, log_probs.shape[1]), _INCOMPLETE, dtype=np.float32)
        emissions[:-1] = log_probs
        emissions[-1, delimiter] = 0
        # Further delimiters between words, and those before the first word, are flashlight's "silence".
        decoder = flashlight.LexiconDecoder(
            settings, self._trie, self._language_model.model, delimiter, labels.blank, _NO_WORD, [], False
        )
        for result in decoder.decode(emissions.ctypes.data, *emissions.shape):
            score = result.score - (0 if result.tokens[frames + 1] == delimiter else _INCOMPLETE)
            if math.isfinite(score):
                yield np.array(result.tokens[1 : frames + 1], dtype=np.int64), score

    def _settings(self, log_probs: NDArray[np.float32], options: BeamOptions) -> dict[str, Any]:
        return {
            "beam_size": options.beam_width,
            "beam_size_token": min(LABELS_PER_FRAME, log_probs.shape[1]),
            "beam_threshold": THRESHOLD,
            "sil_score": 0.0,
            "log_add": True,
            "criterion_type": self._flashlight.CriterionType.CTC,
        }
