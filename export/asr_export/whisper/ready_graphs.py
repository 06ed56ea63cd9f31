"""The graphs of a Whisper in a folder that optimum made -> the three graphs that the service runs.

Weights and operators stay as they are. A merged decoder becomes two, the ends become float32, and what the service
does not read goes.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from asr_serving.whisper.graphs.apart import DECODER, DECODER_WITH_PAST, ENCODER
from onnx import TensorProto

from asr_export.checkpoint.graph_files import WHISPER, in_one_place
from asr_export.errors import GraphError
from asr_export.graph.fewer_bits import Bits, bits, one_scale_operators
from asr_export.graph.loading import require_loadable
from asr_export.graph.reading import ONNX_RUNTIME, read_model
from asr_export.graph.trace import finish
from asr_export.whisper.branches import USE_CACHE, cast_input, cast_output, count_positions, keep_outputs, take_branch

_ENCODER, _PROMPT, _STEP = (Path(file).stem for file in (ENCODER, DECODER, DECODER_WITH_PAST))
_MERGED = "decoder_model_merged"
_POSITIONS = "cache_position"
_PARTS = ("key", "value")


@dataclass(frozen=True)
class Taken:
    """What was found in the graphs."""

    bits: Bits  # of the one with the fewest
    one_scale: list[str]  # operators by which one row of a batch changes the others


def take_graphs(paths: dict[str, Path], layers: int, folder: Path) -> Taken:
    """Write the three graphs of the service as `.onnx` into an empty folder (and `.onnx.data` beside a large one).

    Args:
        paths: graph -> its file, a set of `graph_files.WHISPER`.
        layers: of the decoder.
        folder: where to write.

    Raises:
        GraphError: a file is no graph, has operators that ONNX Runtime lacks, or lacks an input or output.
    """
    kinds: list[Bits] = ["quantised", "fp16", "fp32"]
    found: list[Bits] = []
    operators: set[str] = set()
    caches: dict[str, int] = {}  # a tensor of the cache -> its type in the decoder with past
    with tempfile.TemporaryDirectory(dir=folder) as links:
        here = in_one_place(paths, Path(links))
        for name in (_ENCODER, _STEP, _PROMPT):  # the decoder with past says which cache it takes
            model, path = _read(here, name)
            _check_batch(model, path)
            if name == _ENCODER:
                _fit(model, path, {"input_features"}, ["last_hidden_state"])
            else:
                _fit_decoder(model, path, layers, name == _STEP, caches)
            found.append(bits(model))
            operators.update(one_scale_operators(model))
            _write(model, name, folder)
    return Taken(next(kind for kind in kinds if kind in found), sorted(operators))


def _read(paths: dict[str, Path], name: str) -> tuple[onnx.ModelProto, Path]:
    path = paths.get(name) or paths[_MERGED]
    model = read_model(path, (ONNX_RUNTIME,))
    onnx.load_external_data_for_model(model, str(path.parent))
    if name not in paths:
        take_branch(model, name == _STEP, str(path))
    return model, path


def _fit_decoder(model: onnx.ModelProto, path: Path, layers: int, with_past: bool, caches: dict[str, int]) -> None:
    """Bring a decoder to the inputs and outputs of the service."""
    own = [f"{layer}.decoder.{part}" for layer in range(layers) for part in _PARTS]
    heard = [f"{layer}.encoder.{part}" for layer in range(layers) for part in _PARTS]
    past = {f"past_key_values.{name}" for name in (*own, *heard)}
    present = [f"present.{name}" for name in (own if with_past else [*own, *heard])]
    _fit(model, path, {"input_ids", *(past if with_past else {"encoder_hidden_states"})}, ["logits", *present])
    cast_input(model, "input_ids", TensorProto.INT64)
    if with_past:
        types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
        caches.update({name.replace("past_key_values", "present"): types[name] for name in past})
    for name in present:
        cast_output(model, name, caches[name])


def _fit(model: onnx.ModelProto, path: Path, inputs: set[str], outputs: list[str]) -> None:
    """Keep these outputs, and require these inputs; floats at the ends, but not in the cache, become float32."""
    has = _names(model.graph.output)
    missing = [name for name in outputs if name not in has]
    if missing:
        raise GraphError(
            f"{path} lacks the output(s) {_some(missing)} (it has {_some(has)}): it was exported for another task or "
            f"without past; export it anew with --task {WHISPER.task}"
        )
    keep_outputs(model, outputs)
    if _POSITIONS in _names(model.graph.input):
        past = "past_key_values.0.decoder.key"
        counted, axis = (past, 2) if past in inputs else ("input_ids", 1)
        count_positions(model, _POSITIONS, counted, axis, after=past in inputs)
    found = set(_names(model.graph.input))
    if found != inputs:
        raise GraphError(
            f"{path} has the inputs {_some(sorted(found))}; needs {_some(sorted(inputs))}: export it anew with "
            f"--task {WHISPER.task}"
        )
    for name in found & {"input_features", "encoder_hidden_states"}:
        cast_input(model, name, TensorProto.FLOAT)
    cast_output(model, outputs[0], TensorProto.FLOAT)


def _check_batch(model: onnx.ModelProto, path: Path) -> None:
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name != USE_CACHE and dims and dims[0].dim_value:
            raise GraphError(
                f"{path}: the batch of {value.name} is fixed to {dims[0].dim_value}; needs a dynamic one, as optimum "
                "exports it"
            )


def _write(model: onnx.ModelProto, name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        finish(model, Path(work) / f"{name}.onnx")
        for file in Path(work).iterdir():
            file.rename(folder / file.name)
    require_loadable(folder / f"{name}.onnx")


def _names(values: Iterable[Any]) -> list[str]:
    return [str(value.name) for value in values]


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
