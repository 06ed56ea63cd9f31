"""One batch of recordings, each decoded as its request asks."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import greedy
import hotwords
import numpy as np
from hotwords import Hotword, HotwordTree
from hypotheses import Hypothesis, hypothesis, runs_of
from labels import Labels
from numpy.typing import NDArray
from options import DecodeOptions

# Lists of hotwords that are kept ready: callers send the same ones with every recording.
_TREES = 64


@dataclass(frozen=True)
class Task:
    """A recording to decode; made by `Decoder.task`, which has checked it."""

    log_probs: NDArray[np.float32]  # float32 `[frames, vocab]`, without padding
    options: DecodeOptions
    tree: HotwordTree | None


class Decoder:
    """Decodes what an acoustic model with these labels has heard."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._tree = functools.lru_cache(_TREES)(self._grow)

    def task(self, log_probs: NDArray[np.float32], frames: int, options: DecodeOptions) -> Task:
        """Check a request.

        Args:
            log_probs: float32 `[width, vocab]`.
            frames: how many of them are real; the others are padding.
            options: how to decode them.

        Raises:
            ValueError: shapes that do not fit, or a hotword that the labels cannot write.
        """
        greedy.check(log_probs, frames, self._labels)
        tree = self._tree(options.hotwords) if options.hotwords else None
        return Task(log_probs[:frames], options, tree)

    def _grow(self, wished: tuple[Hotword, ...]) -> HotwordTree:
        return HotwordTree(wished, self._labels)

    def decode(self, tasks: Sequence[Task]) -> list[Hypothesis]:
        """What was heard, for each task.

        One whose log-probs hold NaN comes back with confidence NaN and no text; its neighbours are not touched.
        """
        runs = greedy.best_paths([task.log_probs for task in tasks])
        wishing = [(index, task.log_probs, task.tree) for index, task in enumerate(tasks) if task.tree is not None]
        found = hotwords.search([tree for *_, tree in wishing], [log_probs for _, log_probs, _ in wishing])
        for (index, log_probs, _), places in zip(wishing, found, strict=True):
            if places:
                path = hotwords.apply(log_probs.argmax(axis=1), places, self._labels)
                runs[index] = runs_of(path, log_probs)
        return [hypothesis(run, self._labels) for run in runs]
