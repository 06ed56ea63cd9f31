"""The behaviour of a ready graph, found by running it: axes, scores, frames in time, the shortest recording."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from asr_export.errors import GateError, GraphError
from asr_export.graph.gate import synthetic_speech
from asr_export.ready_graph.source import ForeignGraph

# Waveforms `[n, samples]` -> what the graph expects in their place, of the same shape.
Features = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Values = Literal["logits", "log_probs", "probabilities"]
# Largest distance from 1 of the sum of a frame's probabilities; float32 may sum over 100,000 labels.
_SUM_TOLERANCE = 1e-3
# Replaces a probability of 0, so that its logarithm is finite: the smallest normal float32.
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class FrameRule:
    """The rule for the number of frames of a recording: `(samples + offset) // stride`."""

    stride: int  # samples
    offset: int  # samples

    def frames(self, samples: int) -> int:
        """Return the number of frames of a recording."""
        return (samples + self.offset) // self.stride

    @property
    def receptive_field(self) -> int:
        """Samples that one frame spans, as the rule shows it: 0 for frames centred on multiples of the stride."""
        return self.stride - self.offset


@dataclass(frozen=True)
class Behaviour:
    """The properties of a graph that only running it shows."""

    layout: tuple[int, int, int]  # the axes of the scores that hold items, frames, columns
    columns: int
    values: Values  # the kind of scores
    rule: FrameRule
    min_samples: int  # the shortest recording that gives a frame


class Runner:
    """The graph as it came, in ONNX Runtime."""

    def __init__(self, graph: ForeignGraph, features: Features = lambda waves: waves) -> None:
        """Load the graph; `features` does what a caller of it does to waveforms first."""
        self._graph = graph
        self._features = features
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # the search for the shortest recording makes runs fail, as expected
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = _or_refuse(
            lambda: onnxruntime.InferenceSession(graph.path, options, providers=["CPUExecutionProvider"]),
            f"ONNX Runtime does not load {graph.path}",
        )

    def run(self, waves: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Run the graph on waveforms `[n, samples]`; return its scores, and its frame counts `[n]` or None.

        Raises:
            GraphError: the graph does not run; the message holds that of ONNX Runtime.
        """
        graph = self._graph
        audio = self._features(waves).astype(helper.tensor_dtype_to_np_dtype(graph.audio.type))
        feed: dict[str, NDArray[Any]] = {graph.audio.name: audio[:, None] if graph.audio.rank == 3 else audio}
        if graph.samples is not None:
            dtype = np.int32 if graph.samples.type == 6 else np.int64
            lengths = np.full(len(waves), waves.shape[1], dtype)
            feed[graph.samples.name] = lengths[:, None] if graph.samples.rank == 2 else lengths
        names = [graph.scores.name, *([graph.frames.name] if graph.frames else [])]
        scores, *counts = _or_refuse(
            lambda: self._session.run(names, feed),
            f"{graph.path} does not run on a batch of {len(waves)} recording(s) of {waves.shape[1]} samples",
        )
        return np.asarray(scores, np.float32), counts[0].reshape(-1).astype(np.int64) if counts else None


class Reference:
    """The graph as it came, as a function from a single recording to log-probs."""

    def __init__(self, runner: Runner, behaviour: Behaviour) -> None:
        self._runner = runner
        self._behaviour = behaviour

    def __call__(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-probs, float32 `[frames, columns]`, of one waveform `[samples]`.

        Raises:
            GateError: the output holds NaN or Inf, or its number of frames breaks the rule.
        """
        scores, counts = self._runner.run(wave[None])
        rows = np.transpose(scores, self._behaviour.layout)[0].astype(np.float64)
        count = len(rows) if counts is None else int(counts[0])
        expected = self._behaviour.rule.frames(len(wave))
        if count != expected or count > len(rows):
            raise GateError(
                f"the graph makes {count} frames (of {len(rows)}) of {len(wave)} samples; {expected} were expected "
                "from its frames for other lengths"
            )
        rows = rows[:count]
        if not np.isfinite(rows).all():
            raise GateError(f"the graph's own output for {len(wave)} samples holds NaN or Inf")
        return _log_probs(rows, self._behaviour.values).astype(np.float32)


def observe(runner: Runner, sampling_rate: int, max_seconds: float) -> Behaviour:
    """Run the graph on synthetic audio of chosen lengths, and return its behaviour.

    Args:
        runner: the graph.
        sampling_rate: Hz.
        max_seconds: the longest recording that the server will accept.

    Raises:
        GraphError: the graph does not run, or its output does not follow the input in a way that the kit can serve.
    """
    longer = int(min(2, max_seconds) * sampling_rate)
    base = longer // 2
    probe = _Probe(runner, sampling_rate, longer)
    runner.run(probe.waves(1, base))  # a failure here has nothing to do with batches
    layout = _layout(probe, base, longer)
    scores, _ = runner.run(probe.waves(1, longer))
    rows = np.transpose(scores, layout)[0]
    count = _counter(probe, layout)
    if count(base) < 1:
        raise GraphError(f"{base} samples give no frame, or NaN; needs a graph for speech at {sampling_rate} Hz")
    shortest = _first(1, base, lambda samples: count(samples) >= 1)
    return Behaviour(layout, rows.shape[1], _values(rows), _fit(count, shortest, base, longer), shortest)


class _Probe:
    """Seeded audio of any length; shorter audio is the beginning of longer audio."""

    def __init__(self, runner: Runner, sampling_rate: int, samples: int) -> None:
        self.runner = runner
        random = np.random.default_rng(1)
        self._waves = np.stack([synthetic_speech(random, samples, sampling_rate) for _ in range(3)])

    def waves(self, n: int, samples: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._waves[:n, :samples])

    def shape(self, n: int, samples: int) -> tuple[int, ...]:
        return self.runner.run(self.waves(n, samples))[0].shape


def _layout(probe: _Probe, base: int, longer: int) -> tuple[int, int, int]:
    """Return the axis that follows the batch, the one that follows time, and the third."""
    two, three, long = probe.shape(2, base), probe.shape(3, base), probe.shape(2, longer)
    seen = f"2 x {base} samples give {list(two)}, 3 x {base} {list(three)}, 2 x {longer} {list(long)}"
    items = [axis for axis in range(3) if two[axis] != three[axis]]
    frames = [axis for axis in range(3) if two[axis] != long[axis]]
    if len(items) != 1 or len(frames) != 1 or items == frames or (two[items[0]], three[items[0]]) != (2, 3):
        raise GraphError(f"{seen}; needs one axis that is the batch and one that grows with time")
    return items[0], frames[0], 3 - items[0] - frames[0]


def _counter(probe: _Probe, layout: tuple[int, int, int]) -> Callable[[int], int]:
    """Return a function from samples to frames; it returns 0 if the graph does not run or gives NaN."""
    known: dict[int, int] = {}

    def count(samples: int) -> int:
        if samples not in known:
            known[samples] = run(samples)
        return known[samples]

    def run(samples: int) -> int:
        try:
            scores, counts = probe.runner.run(probe.waves(1, samples))
        except GraphError:
            return 0
        rows = np.transpose(scores, layout)[0]
        frames = len(rows) if counts is None else int(counts[0])
        return frames if 1 <= frames <= len(rows) and np.isfinite(rows[:frames]).all() else 0

    return count


def _fit(count: Callable[[int], int], shortest: int, base: int, longer: int) -> FrameRule:
    """Return the rule, found from the lengths at which two frames begin and checked at more lengths."""
    begins = [_begin(count, shortest, samples) for samples in (base, longer)]
    seen = {samples: count(samples) for samples in (shortest, *begins, base, longer)}
    new = seen[begins[1]] - seen[begins[0]]
    if new >= 1 and (begins[1] - begins[0]) % new == 0:
        stride = (begins[1] - begins[0]) // new
        rule = FrameRule(stride, seen[begins[0]] * stride - begins[0])
        step = max(1, (longer - shortest) // 7)
        checked = [begins[0] - 1, begins[1] - 1, shortest + 1, *range(shortest, longer, step)]
        seen |= {samples: count(samples) for samples in checked if shortest <= samples <= longer}
        if all(rule.frames(samples) == frames for samples, frames in seen.items()):
            return rule
    shown = ", ".join(f"{samples} → {frames}" for samples, frames in sorted(seen.items()))
    raise GraphError(
        f"the frames do not follow the samples evenly (samples → frames: {shown}); needs "
        "frames = (samples + offset) // stride, because word times depend on it"
    )


def _begin(count: Callable[[int], int], shortest: int, samples: int) -> int:
    """Return the shortest length that has as many frames as `samples`."""
    frames = count(samples)
    return _first(shortest, samples, lambda length: count(length) >= frames)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the least number from `low` to `high` for which `holds` is true, by bisection; it must hold for `high`."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _values(rows: NDArray[Any]) -> Values:
    rows = rows.astype(np.float64)
    if (rows >= 0).all() and (rows <= 1 + _SUM_TOLERANCE).all() and _is_one(rows.sum(axis=1)):
        return "probabilities"
    with np.errstate(over="ignore"):
        return "log_probs" if _is_one(np.exp(rows).sum(axis=1)) else "logits"


def _is_one(sums: NDArray[np.float64]) -> bool:
    return bool((np.abs(sums - 1) <= _SUM_TOLERANCE).all())


def _log_probs(rows: NDArray[np.float64], values: Values) -> NDArray[np.float64]:
    if values == "probabilities":
        return np.asarray(np.log(np.maximum(rows, TINY)))
    if values == "log_probs":
        return rows
    shifted = rows - rows.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _or_refuse(work: Callable[[], Any], what: str) -> Any:
    try:
        return work()
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise GraphError(f"{what}: {' '.join(str(error).split())}") from error
