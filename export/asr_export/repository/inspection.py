"""The facts of a graph or an exported model, read from its files."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from asr_export.errors import OutputError
from asr_export.graph.tensorrt import TENSORRT_OPERATORS
from asr_export.repository.model_folder import read_config


@dataclass(frozen=True)
class GraphFacts:
    """The facts of one ONNX graph."""

    path: Path
    size_bytes: int  # together with the weights beside it
    opset: int
    ir_version: int
    inputs: list[str]  # "name float32 [n, 1]"
    outputs: list[str]
    weights: dict[str, int]  # type -> number of values, which shows the precision
    outside_tensorrt: list[str]  # operators that TensorRT does not take


@dataclass(frozen=True)
class ModelFacts:
    """The facts of one exported model of a repository, from its `export.json` and the files beside it."""

    name: str
    source: str
    architecture: str
    padding_safe: bool
    platform: str  # as Triton names it: onnxruntime or tensorrt_plan
    engine_is_built: bool  # a TensorRT engine is in the folder where Triton looks for it
    buckets: list[int]  # lengths in samples to which audio is padded, for TensorRT
    max_batch_size: int
    labels: list[str]  # of a CTC model's outputs; empty for a Whisper
    languages: list[str]  # codes, of a Whisper; empty for a CTC model
    max_abs_difference: float  # of log-probs (Whisper: logits) from the source, measured by the export
    graphs: list[GraphFacts]


def inspect_graph(path: Path) -> GraphFacts:
    """Return the facts of an ONNX file.

    Raises:
        OutputError: the file does not exist, or holds no ONNX graph.
    """
    if not path.exists():
        raise OutputError(f"there is no file or folder {path}")
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise OutputError(f"cannot read {path} as an ONNX graph: {error}") from error
    if not model.graph.node:
        raise OutputError(f"{path} holds no ONNX graph")
    graph = model.graph
    weights: Counter[str] = Counter()
    for weight in graph.initializer:
        weights[_type_name(weight.data_type)] += _count(weight.dims)
    fed = {weight.name for weight in graph.initializer}
    return GraphFacts(
        path=path,
        size_bytes=sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")),
        opset=max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        ir_version=model.ir_version,
        inputs=[_tensor(value) for value in graph.input if value.name not in fed],
        outputs=[_tensor(value) for value in graph.output],
        weights=dict(weights.most_common()),
        outside_tensorrt=sorted({node.op_type for node in graph.node} - TENSORRT_OPERATORS),
    )


def inspect_repository(repository: Path) -> list[ModelFacts]:
    """Return the facts of every exported model in a repository, sorted by name.

    Raises:
        OutputError: the folder does not exist, or holds no export.
    """
    reports = sorted(repository.glob("*/export.json"))
    if not reports:
        raise OutputError(f"{repository} holds no exported model; needs a folder that `triton-asr export` wrote")
    return [_model(repository, report) for report in reports]


def _model(repository: Path, file: Path) -> ModelFacts:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        models = report["models"]
        is_whisper = "whisper_generate" in models
        runner = repository / models["whisper_generate" if is_whisper else "acoustic"]
        config = read_config(runner)
        settings = read_config(repository / models["preprocess"]).parameters
        buckets = settings["bucket_samples"].string_value if "bucket_samples" in settings else ""
        folder = runner / "1"
        vocabulary = folder / "whisper.json" if is_whisper else repository / models["ctc_decode"] / "labels.json"
        content = json.loads(vocabulary.read_text(encoding="utf-8"))
        return ModelFacts(
            name=file.parent.name,
            source=report["source"],
            architecture=report["architecture"],
            padding_safe=report["padding_safe"],
            platform=config.platform or config.backend,
            engine_is_built=(runner / "1" / "model.plan").is_file(),
            buckets=[int(samples) for samples in buckets.split(",") if samples],
            max_batch_size=read_config(file.parent).max_batch_size,
            labels=[] if is_whisper else content["labels"],
            languages=sorted(content["languages"]) or [content["language"]] if is_whisper else [],
            max_abs_difference=report["parity"]["max_abs_difference"],
            graphs=[inspect_graph(path) for path in sorted(folder.glob("*.onnx"))],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{file.parent} is not a whole export: {error!r}") from error


def _tensor(value: Any) -> str:
    dims = [dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
    return f"{value.name} {_type_name(value.type.tensor_type.elem_type)} [{', '.join(dims)}]"


def _type_name(data_type: int) -> str:
    return str(onnx.helper.tensor_dtype_to_np_dtype(data_type).name)


def _count(dims: Any) -> int:
    count = 1
    for size in dims:
        count *= size
    return count
