"""Decoding of a batch of recordings, each with the options of its own request."""

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from asr_contract import tensors
from asr_contract.errors import Cancelled, ModelFailed, ParameterError, RequestError
from asr_contract.labels import Labels
from asr_contract.parameters import DecodeOptions
from numpy.typing import NDArray

from asr_serving.ctc import greedy, hotwords
from asr_serving.ctc.beam import Alternative, BeamOptions, BeamSearch
from asr_serving.ctc.hotwords import Found, Hotword, HotwordTree, apply
from asr_serving.ctc.hushing import hush
from asr_serving.ctc.hypotheses import Hypothesis, hypothesis, runs_of
from asr_serving.ctc.language_model import LanguageModel

# Lists of hotwords that are kept ready, because callers send the same list with every recording.
_TREES = 32


@dataclass(frozen=True)
class Task:
    """A recording to decode; `Decoder.task` makes it and checks it."""

    log_probs: NDArray[np.float32]  # float32 `[frames, vocab]`, without padding
    options: DecodeOptions
    tree: HotwordTree | None
    is_cancelled: Callable[[], bool]  # returns whether the caller has gone


@dataclass(frozen=True)
class Result:
    """The outcome of decoding one recording."""

    best: Hypothesis
    alternatives: list[Alternative]  # the likeliest texts of beam search, best first, without hotwords
    is_cancelled: bool = False  # the caller has gone; `best` is that of greedy decoding


def outputs(task: Task, result: Result) -> dict[str, str | float]:
    """Return a recording's output tensors: text, confidence, and words and alternatives if the request asks for them.

    Raises:
        ModelFailed: the log-probs hold NaN.
        Cancelled: the caller has gone.
    """
    if result.is_cancelled:
        raise Cancelled("the caller has gone")
    heard = result.best
    if math.isnan(heard.confidence):
        raise ModelFailed("the acoustic model returned NaN for this recording")
    alternatives = [{"text": one.text, "score": round(one.score, 4)} for one in result.alternatives]
    words = [asdict(word) for word in heard.words] if task.options.word_timestamps else []
    return {
        tensors.TRANSCRIPT: heard.text,
        tensors.CONFIDENCE: heard.confidence,
        tensors.WORDS: json.dumps(words, ensure_ascii=False),
        tensors.ALTERNATIVES: json.dumps(alternatives if task.options.nbest > 1 else [], ensure_ascii=False),
    }


class Decoder:
    """Decodes the log-probs of one acoustic model.

    Args:
        labels: of the acoustic model.
        language_model: for beam search; None for none.

    Raises:
        ImportError: there is a language model, but the package of beam search is missing.
    """

    def __init__(self, labels: Labels, language_model: LanguageModel | None = None) -> None:
        self._labels = labels
        self._language_model = language_model
        self._beam = BeamSearch(labels, language_model) if language_model else None
        self._spot: Callable[[HotwordTree, NDArray[np.float32]], list[Found]] | None = None
        self._no_spot = ""  # why hotwords cannot be used
        try:
            from asr_serving.ctc import spotting  # compiled when the model loads, not during its first request

            self._spot = spotting.search
        except ImportError as error:  # numba is missing, which nothing else needs
            # Callers get these words: those of an error with a path name a folder of the server.
            self._no_spot = f"cannot import {error.name}" if error.path else str(error)
        self._tree = functools.lru_cache(_TREES)(self._grow)

    def task(
        self,
        log_probs: NDArray[np.float32],
        frames: int,
        options: DecodeOptions,
        is_cancelled: Callable[[], bool] = lambda: False,
        speech: NDArray[np.int32] | None = None,
    ) -> Task:
        """Check a request and return its task.

        Args:
            log_probs: float32 `[width, vocab]`.
            frames: number of real frames; the others are padding.
            options: how to decode them.
            is_cancelled: returns whether the caller has gone; called before a search, which takes long.
            speech: with `options.vad`, the first sample of each span with speech, and the one after its last; int32
                `[2 * spans]`. None if there is speech in all frames, or the caller has hushed the others.

        Raises:
            RequestError: the shapes do not fit.
            ParameterError: the labels cannot write a hotword, the model has no language model for an option, or the
                package for beam search or hotwords is missing.
        """
        greedy.check(log_probs, frames, self._labels)
        if options.decoder == "beam" and self._beam is None:
            try:
                self._beam = BeamSearch(self._labels)
            except ImportError as missing:
                raise ParameterError(
                    "decoder=beam needs the package flashlight-text in the server's Python"
                ) from missing
        if options.hotwords and self._spot is None:
            raise ParameterError(f"hotwords need the package numba in the server's Python: {self._no_spot}")
        if options.lm_weight is not None and self._language_model is None:
            raise ParameterError("lm_weight given, but this model has no language model; needs one from export --lm")
        if options.word_score is not None and not (self._language_model and self._language_model.is_of_words):
            raise ParameterError("word_score given, but this model has no language model of words (export --lm)")
        wished = hotwords.parse(options.hotword_text, options.hotword_weight)
        tree = self._tree(wished) if wished else None
        heard = log_probs[:frames]
        if options.vad and speech is not None:
            if len(speech) % 2:
                raise RequestError(f"speech has {len(speech)} values; needs two for each span")
            heard = hush(heard, [(int(start), int(end)) for start, end in speech.reshape(-1, 2)], self._labels)
        return Task(heard, options, tree, is_cancelled)

    def _grow(self, wished: tuple[Hotword, ...]) -> HotwordTree:
        return HotwordTree(wished, self._labels)

    def _beam_options(self, options: DecodeOptions) -> BeamOptions:
        model = self._language_model
        if model is None:
            return BeamOptions(options.beam_width, options.nbest)
        weight = model.lm_weight if options.lm_weight is None else options.lm_weight
        score = model.word_score if options.word_score is None else options.word_score
        return BeamOptions(options.beam_width, options.nbest, weight, score)

    def decode(self, tasks: Sequence[Task]) -> list[Result]:
        """Return the result of each task.

        A task whose log-probs hold NaN gets confidence NaN and no text; the others are not affected. A task whose
        caller has gone is not searched.
        """
        runs = greedy.best_paths([task.log_probs for task in tasks])
        paths: dict[int, NDArray[np.int64]] = {}  # of the tasks whose path is not the best path
        alternatives: dict[int, list[Alternative]] = {}
        cancelled: set[int] = set()
        for index, task in enumerate(tasks):
            searches = task.options.decoder == "beam" or task.tree is not None
            if not searches or np.isnan(task.log_probs).any():
                continue
            if task.is_cancelled():
                cancelled.add(index)
                continue
            if self._beam is not None and task.options.decoder == "beam":
                alternatives[index] = self._beam.search(task.log_probs, self._beam_options(task.options))
                if alternatives[index]:  # empty if no text has any probability
                    paths[index] = alternatives[index][0].path
            if self._spot is not None and task.tree is not None and (found := self._spot(task.tree, task.log_probs)):
                path = paths[index] if index in paths else task.log_probs.argmax(axis=1)
                paths[index] = apply(path, found, self._labels)
        for index, path in paths.items():
            runs[index] = runs_of(path, tasks[index].log_probs)
        return [
            Result(hypothesis(run, self._labels), alternatives.get(index, []), index in cancelled)
            for index, run in enumerate(runs)
        ]
