"""`triton-asr export` and `triton-asr inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asr_export import Labels
    from asr_export.inspection import GraphFacts


def export(
    checkpoint: Annotated[str, typer.Argument(help="A hub id (facebook/wav2vec2-base-960h) or a checkpoint folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Triton model repository to write into.")],
    name: Annotated[str, typer.Option(help="What clients call the model.")] = "asr",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Of a multi-lingual checkpoint (MMS), as its vocabulary names it: eng, por …")
    ] = None,
    max_batch_size: Annotated[int, typer.Option(min=1, max=1024, help="Recordings in one run of the model.")] = 16,
    max_audio_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=3600, help="Longest recording that is accepted, in seconds: 40 by default, 600 for Whisper."
        ),
    ] = None,
) -> None:
    """Turn a HuggingFace CTC or Whisper checkpoint into a Triton model repository, checked against PyTorch."""
    from asr_export import ExportOptions, export_checkpoint

    options = ExportOptions(name, revision, language, max_batch_size, max_audio_seconds)
    result = export_checkpoint(checkpoint, output, options, lambda step: typer.echo(f"{step} …", err=True))
    typer.echo(
        f"{result.output}: {', '.join(vars(result.models).values())}\n"
        f"{_about_labels(result.labels)}"
        f"parity with PyTorch over {result.parity.recordings} recordings: max |Δ| "
        f"{result.parity.max_abs_difference:.1e}, batched against solo {result.parity.max_abs_batch_difference:.1e}"
    )


def _about_labels(labels: "Labels | None") -> str:
    if labels is None:
        return ""
    stride_ms = 1000 * labels.stride_samples / labels.sampling_rate
    return f"{len(labels.labels)} labels, {labels.sampling_rate} Hz, frame every {stride_ms:g} ms\n"


def inspect(
    path: Annotated[Path, typer.Argument(help="A repository that `triton-asr export` wrote, or an ONNX file.")],
) -> None:
    """Tell what exported models, or an ONNX graph, are made of."""
    from asr_export.inspection import inspect_graph, inspect_repository

    if not path.is_dir():
        typer.echo(_describe(inspect_graph(path)))
        return
    for model in inspect_repository(path):
        known, kind = (model.labels, "labels") if model.labels else (model.languages, "languages")
        more = f" and {len(known) - 40} more" if len(known) > 40 else ""
        typer.echo(
            f"{model.name}: {model.architecture} from {model.source}\n"
            f"  max batch size {model.max_batch_size}, padding safe: {'yes' if model.padding_safe else 'no'}, "
            f"max abs difference from PyTorch {model.max_abs_difference:.1e}\n"
            f"  {len(known)} {kind}: {' '.join(known[:40])}{more}\n"
            + "\n".join(_describe(graph) for graph in model.graphs)
        )


def _describe(graph: "GraphFacts") -> str:
    weights = ", ".join(f"{count:,} {name}" for name, count in graph.weights.items())
    return (
        f"  {graph.path}: {graph.size_bytes / 1e6:.1f} MB, opset {graph.opset}, IR {graph.ir_version}\n"
        f"  inputs: {'; '.join(graph.inputs)}\n"
        f"  outputs: {'; '.join(graph.outputs)}\n"
        f"  weights: {weights or 'none'}\n"
        f"  operators outside TensorRT's table: {', '.join(graph.outside_tensorrt) or 'none'}"
    )
