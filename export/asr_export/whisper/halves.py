"""The graphs of a Whisper in float16, for GPUs.

Products run in float16, as in other graphs (`asr_export.graph.precision.plan_half`). The keys and values that go from
one run to the next are float16, too: a step reads all of them, and would convert them each time.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from asr_serving.whisper.graphs import names
from numpy.typing import NDArray

from asr_export.graph.feeds import Feed
from asr_export.graph.gate import open_session
from asr_export.graph.precision import HalfPlan, Peak, find_peak, plan_half, require_half_range, to_half

_SINGLE = (
    *(names.FEATURES, names.HIDDEN, names.LOGITS, names.ALIGNMENT),
    *(names.TOKENS, names.PADDING, names.READ),
)


def encoder_to_half(model: onnx.ModelProto, windows: Sequence[NDArray[np.float32]]) -> Peak:
    """Convert an encoder of `asr_export.whisper.networks`; return the largest value that had to fit.

    Args:
        model: the graph.
        windows: log-mel features `[mels, frames]`, which show how large values become.

    Raises:
        GateError: a weight or a value does not fit into float16.
    """
    return _convert(model, _plan(model), windows, lambda batch: {names.FEATURES: np.stack(batch)})


def decoder_to_half(
    model: onnx.ModelProto, encoder: Path, windows: Sequence[NDArray[np.float32]], tokens: NDArray[np.int64]
) -> Peak:
    """Convert a decoder of `asr_export.whisper.networks`; return the largest value that had to fit.

    Args:
        model: the graph.
        encoder: its encoder, in float32.
        windows: log-mel features `[mels, frames]`.
        tokens: ids `[length]` of any text, which the decoder writes for each of them.

    Raises:
        GateError: a weight or a value does not fit into float16.
    """
    session = open_session(encoder)
    heard = [output.name for output in session.get_outputs() if output.name != names.HIDDEN]
    shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    none = {
        name: np.zeros((1, shapes[name][1].dim_value, 0, shapes[name][3].dim_value), np.float32)
        for name in names.past(len(heard) // 2)
    }
    everywhere = np.arange(len(tokens))[None]
    written = {names.TOKENS: tokens[None], names.PADDING: np.zeros(1, np.int64), names.READ: everywhere, **none}

    def feed(batch: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        return {**written, **dict(zip(heard, session.run(heard, {names.FEATURES: np.stack(batch)}), strict=True))}

    plan = _plan(model)
    weights = {weight.name for weight in model.graph.initializer}
    heads = {node.input[1] for node in model.graph.node if node.op_type == "Gemm"} & weights
    # The output layer becomes float16. Tokens are looked up in the same matrix, so that it is stored once.
    tables = {
        index for index, node in enumerate(model.graph.node) if node.op_type == "Gather" and node.input[0] in heads
    }
    return _convert(model, replace(plan, nodes=plan.nodes | tables), windows, feed)


def _plan(model: onnx.ModelProto) -> HalfPlan:
    ends = [value.name for value in (*model.graph.input, *model.graph.output)]
    return plan_half(model, [name for name in ends if name not in _SINGLE])


def _convert(model: onnx.ModelProto, plan: HalfPlan, windows: Sequence[NDArray[np.float32]], feed: Feed) -> Peak:
    peak = find_peak(model, plan, [[window] for window in windows], feed)
    require_half_range(peak)
    to_half(model, plan)
    return peak
