"""One batch of recordings, each decoded as its request asks."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import greedy
import hotwords
import numpy as np
from beam import Alternative, BeamSearch
from hotwords import Hotword, HotwordTree
from hypotheses import Hypothesis, hypothesis, runs_of
from labels import Labels
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
    """Decodes what an acoustic model with these labels has heard."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._beam: BeamSearch | None = None
        self._tree = functools.lru_cache(_TREES)(self._grow)

    def task(self, log_probs: NDArray[np.float32], frames: int, options: DecodeOptions) -> Task:
        """Check a request.

        Args:
            log_probs: float32 `[width, vocab]`.
            frames: how many of them are real; the others are padding.
            options: how to decode them.

        Raises:
            ValueError: shapes that do not fit, a hotword that the labels cannot write, or beam search where its package
                is missing.
        """
        greedy.check(log_probs, frames, self._labels)
        if options.decoder == "beam" and self._beam is None:
            try:
                self._beam = BeamSearch(self._labels)
            except ImportError as missing:
                raise ValueError("decoder=beam needs the package flashlight-text in the server's Python") from missing
        tree = self._tree(options.hotwords) if options.hotwords else None
        return Task(log_probs[:frames], options, tree)

    def _grow(self, wished: tuple[Hotword, ...]) -> HotwordTree:
        return HotwordTree(wished, self._labels)

    def decode(self, tasks: Sequence[Task]) -> list[Result]:
        """What was heard, for each task.

        One whose log-probs hold NaN comes back with confidence NaN and no text; its neighbours are not touched.
        """
        runs = greedy.best_paths([task.log_probs for task in tasks])
        paths: dict[int, NDArray[np.int64]] = {}  # of the tasks whose path is not the best one
        alternatives: dict[int, list[Alternative]] = {}
        for index, task in enumerate(tasks):
            if self._beam is not None and task.options.decoder == "beam" and not np.isnan(task.log_probs).any():
                alternatives[index] = self._beam.search(task.log_probs, task.options.beam_width, task.options.nbest)
                if alternatives[index]:  # none where no text has any probability
                    paths[index] = alternatives[index][0].path
        wishing = [(index, task.log_probs, task.tree) for index, task in enumerate(tasks) if task.tree is not None]
        found = hotwords.search([tree for *_, tree in wishing], [log_probs for _, log_probs, _ in wishing])
        for (index, log_probs, _), places in zip(wishing, found, strict=True):
            if places:
                path = paths[index] if index in paths else log_probs.argmax(axis=1)
                paths[index] = hotwords.apply(path, places, self._labels)
        for index, path in paths.items():
            runs[index] = runs_of(path, tasks[index].log_probs)
        return [Result(hypothesis(run, self._labels), alternatives.get(index, [])) for index, run in enumerate(runs)]
