"""One batch of recordings, each decoded as its request asks."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import greedy
import numpy as np
from beam import Alternative, BeamOptions, BeamSearch
from hotwords import Found, Hotword, HotwordTree, apply
from hypotheses import Hypothesis, hypothesis, runs_of
from labels import Labels
from language_model import LanguageModel
from numpy.typing import NDArray
from options import DecodeOptions

# Lists of hotwords that are kept ready: callers send the same ones with every recording.
_TREES = 32


@dataclass(frozen=True)
class Task:
    """A recording to decode; made by `Decoder.task`, which has checked it."""

    log_probs: NDArray[np.float32]  # float32 `[frames, vocab]`, without padding
    options: DecodeOptions
    tree: HotwordTree | None


@dataclass(frozen=True)
class Result:
    """What was heard in a recording."""

    best: Hypothesis
    alternatives: list[Alternative]  # the likeliest texts, best first, without hotwords; of beam search


class Decoder:
    """Decodes what an acoustic model with these labels has heard.

    Args:
        labels: of the acoustic model.
        language_model: what beam search asks; None for none.

    Raises:
        ImportError: there is a language model, but not the package of beam search.
    """

    def __init__(self, labels: Labels, language_model: LanguageModel | None = None) -> None:
        self._labels = labels
        self._language_model = language_model
        self._beam = BeamSearch(labels, language_model) if language_model else None
        self._spot: Callable[[HotwordTree, NDArray[np.float32]], list[Found]] | None = None
        self._no_spot = ""  # the reason
        try:
            import spotting  # compiled when a model is loaded rather than under its first request

            self._spot = spotting.search
        except ImportError as error:  # of numba, which nothing else needs
            self._no_spot = str(error)
        self._tree = functools.lru_cache(_TREES)(self._grow)

    def task(self, log_probs: NDArray[np.float32], frames: int, options: DecodeOptions) -> Task:
        """Check a request.

        Args:
            log_probs: float32 `[width, vocab]`.
            frames: how many of them are real; the others are padding.
            options: how to decode them.

        Raises:
            ValueError: shapes that do not fit, a hotword that the labels cannot write, an option of a language model
                that is not there, or beam search or hotwords where their package is missing.
        """
        greedy.check(log_probs, frames, self._labels)
        if options.decoder == "beam" and self._beam is None:
            try:
                self._beam = BeamSearch(self._labels)
            except ImportError as missing:
                raise ValueError("decoder=beam needs the package flashlight-text in the server's Python") from missing
        if options.hotwords and self._spot is None:
            raise ValueError(f"hotwords need the package numba in the server's Python: {self._no_spot}")
        if options.lm_weight is not None and self._language_model is None:
            raise ValueError("lm_weight given, but this model has no language model; needs one from export --lm")
        if options.word_score is not None and not (self._language_model and self._language_model.is_of_words):
            raise ValueError("word_score given, but this model has no language model of words (export --lm)")
        tree = self._tree(options.hotwords) if options.hotwords else None
        return Task(log_probs[:frames], options, tree)

    def _grow(self, wished: tuple[Hotword, ...]) -> HotwordTree:
        return HotwordTree(wished, self._labels)

    def _beam_options(self, options: DecodeOptions) -> BeamOptions:
        model = self._language_model
        if model is None:
            return BeamOptions(options.beam_width, options.nbest)
        weight = model.lm_weight if options.lm_weight is None else options.lm_weight
        score = model.word_score if options.word_score is None else options.word_score
        return BeamOptions(options.beam_width, options.nbest, weight, score)

    def decode(self, tasks: Sequence[Task], is_wanted: Callable[[int], bool] = lambda index: True) -> list[Result]:
        """What was heard, for each task.

        One whose log-probs hold NaN comes back with confidence NaN and no text; its neighbours are not touched.

        Args:
            tasks: the batch.
            is_wanted: asked before each search, which takes long, with the index of its task: False leaves it out, and
                the result is that of greedy decoding.
        """
        runs = greedy.best_paths([task.log_probs for task in tasks])
        paths: dict[int, NDArray[np.int64]] = {}  # of the tasks whose path is not the best one
        alternatives: dict[int, list[Alternative]] = {}
        for index, task in enumerate(tasks):
            searches = task.options.decoder == "beam" or task.tree is not None
            if not searches or np.isnan(task.log_probs).any() or not is_wanted(index):
                continue
            if self._beam is not None and task.options.decoder == "beam":
                alternatives[index] = self._beam.search(task.log_probs, self._beam_options(task.options))
                if alternatives[index]:  # none where no text has any probability
                    paths[index] = alternatives[index][0].path
            if self._spot is not None and task.tree is not None and (found := self._spot(task.tree, task.log_probs)):
                path = paths[index] if index in paths else task.log_probs.argmax(axis=1)
                paths[index] = apply(path, found, self._labels)
        for index, path in paths.items():
            runs[index] = runs_of(path, tasks[index].log_probs)
        return [Result(hypothesis(run, self._labels), alternatives.get(index, [])) for index, run in enumerate(runs)]
