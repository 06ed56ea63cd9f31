"""`triton-asr export` and `triton-asr inspect`."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr_export.choices import Exporter, Precision

if TYPE_CHECKING:
    from asr_export import Labels
    from asr_export.repository.inspection import GraphFacts, ModelFacts
    from asr_export.repository.language_model import LanguageModel


def export(
    checkpoint: Annotated[
        str,
        typer.Argument(help="A hub id (facebook/wav2vec2-base-960h), a checkpoint folder, or a ready graph (*.onnx)."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Triton model repository to write into.")],
    name: Annotated[str, typer.Option(help="Name of the model that clients call.")] = "asr",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Language of a multi-lingual checkpoint (MMS), as its vocabulary names it: eng, por …"),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="For a folder with ONNX graphs of optimum: fp32, fp16, quantized …, as the files end.",
            show_default="its weights; fp32 without any",
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="For a ready graph: text file of labels, one a line.")] = None,
    sample_rate: Annotated[int | None, typer.Option(metavar="HZ", help="For a ready graph: rate of its audio.")] = None,
    blank: Annotated[
        str | None, typer.Option(help="For a ready graph: label or column of the CTC blank, if its name is unusual.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="For a ready graph: the label between words, if its name is unusual.")
    ] = None,
    max_batch_size: Annotated[int, typer.Option(min=1, max=1024, help="Recordings in one run of the model.")] = 16,
    max_queue: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Recordings that may wait for the model; the server refuses any more immediately. Default: one batch.",
            show_default=False,
        ),
    ] = None,
    max_streams: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Live streams at a time; the server refuses any more. Default: 64; for Whisper, 16.",
            show_default=False,
        ),
    ] = None,
    max_audio_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=3600,
            help="Longest recording that the server accepts, in seconds.",
            show_default="40; 600 for Whisper",
        ),
    ] = None,
    platform: Annotated[
        Literal["onnxruntime", "tensorrt"],
        typer.Option(help="Runtime of the acoustic model; a TensorRT engine is built later, on the GPU host."),
    ] = "onnxruntime",
    ragged: Annotated[
        bool,
        typer.Option(
            "--ragged",
            help="With --platform tensorrt: an engine that batches recordings of any length, without padding requests.",
        ),
    ] = False,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Precision of the acoustic model: fp16 for GPUs, int8 for CPUs.", show_default="fp32; fp16 with --gpu"
        ),
    ] = None,
    exporter: Annotated[Exporter, typer.Option(help="PyTorch's ONNX exporter that traces the graph.")] = "torchscript",
    gpu: Annotated[bool, typer.Option("--gpu", help="Run the acoustic model, or Whisper, only on a GPU.")] = False,
    lm: Annotated[
        Path | None,
        typer.Option(help="An n-gram language model for beam search: an ARPA file, or KenLM's binary form of one."),
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option(
            help="With --lm: file of the words that it may write, one a line. Default: all words of the model."
        ),
    ] = None,
    check_manifest: Annotated[
        Path | None,
        typer.Option(help="Manifest of recordings and texts, as for `evaluate`: compare word errors with PyTorch's."),
    ] = None,
    max_wer_loss: Annotated[
        float,
        typer.Option(min=0, help="Percentage points of word error rate that the graph may lose on that manifest."),
    ] = 0.5,
    word_lag_ms: Annotated[
        float,
        typer.Option(
            help="Whisper: by how much its attention is late; word times become earlier (docs/whisper-word-times.md)."
        ),
    ] = 0.0,
) -> None:
    """Turn a HuggingFace checkpoint (CTC or Whisper) or a ready CTC graph into a Triton repository, and check it."""
    is_graph = checkpoint.lower().endswith(".onnx")
    _check_kind(checkpoint, is_graph, {"--labels": labels, "--sample-rate": sample_rate}, (blank, delimiter))

    def tell(step: str) -> None:
        typer.echo(f"{step} …", err=True)

    # The libraries that the export uses print to stdout, which is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        from asr_export import ExportOptions, GraphOptions, export_checkpoint, export_graph

        options = ExportOptions(
            name,
            revision,
            language,
            max_batch_size,
            max_audio_seconds,
            platform,
            precision,
            exporter,
            gpu,
            str(check_manifest) if check_manifest else None,
            max_wer_loss,
            max_queue,
            str(lm) if lm else None,
            str(lexicon) if lexicon else None,
            max_streams,
            ragged,
            variant,
            word_lag_ms,
        )
        if labels is not None and sample_rate is not None:
            given = GraphOptions(labels, sample_rate, blank, delimiter)
            result = export_graph(checkpoint, output, given, options, tell)
        else:
            result = export_checkpoint(checkpoint, output, options, tell)
    typer.echo(
        f"{result.output}: {', '.join(filter(None, vars(result.models).values()))}\n"
        f"{_about_labels(result.labels)}"
        f"a batch holds {'mixed lengths' if result.padding_safe else 'equal lengths only, because padding leaks'}\n"
        f"parity with {result.reference} over {result.parity.recordings} recordings: max |Δ| "
        f"{result.parity.max_abs_difference:.1e}, batched against solo {result.parity.max_abs_batch_difference:.1e}, "
        f"best label agrees in {result.parity.argmax_agreement:.2%} of the frames"
    )
    if found := result.language_model:
        typer.echo(_about_language_model(found))
    if errors := result.word_errors:
        typer.echo(
            f"word error rate over {errors.words} words: {errors.reference} {errors.reference_wer:.2f} %, this graph "
            f"{errors.graph_wer:.2f} %; {errors.transcripts_changed} of {errors.recordings} transcripts changed"
        )
    if platform == "tensorrt":
        script = result.output / result.models.runner / "build_engine.sh"
        typer.echo(f"next, on the GPU host, with the TensorRT of your Triton: {script}")


def _check_kind(source: str, is_graph: bool, needed: dict[str, object], others: tuple[str | None, ...]) -> None:
    """Raise BadParameter if a ready graph lacks the options that describe it, or if a checkpoint has any of them."""
    missing = [name for name, value in needed.items() if value is None]
    if is_graph and missing:
        raise typer.BadParameter(f"{source} is a ready graph, which needs {' and '.join(missing)}, too")
    if not is_graph and (len(missing) < len(needed) or any(others)):
        raise typer.BadParameter(
            "--labels, --sample-rate, --blank and --delimiter are for a ready graph (*.onnx); "
            f"{source} is taken for a checkpoint, which holds these facts itself"
        )


def _about_labels(labels: "Labels | None") -> str:
    if labels is None:
        return ""
    stride_ms = 1000 * labels.stride_samples / labels.sampling_rate
    return f"{len(labels.labels)} labels, {labels.sampling_rate} Hz, frame every {stride_ms:g} ms\n"


def _about_language_model(found: "LanguageModel") -> str:
    what = "of the model's labels" if found.kind == "labels" else f"of {found.words:,} words"
    more = ", …" if found.left_out > len(found.examples) else ""
    left_out = (
        f"; left out, because the labels cannot write them: {found.left_out:,} ({', '.join(found.examples)}{more})"
    )
    own = f", lm_weight {found.weights.lm_weight:g}, word_score {found.weights.word_score:g}" if found.weights else ""
    return f"language model {what}{own}{left_out if found.left_out else ''}"


def inspect(
    path: Annotated[Path, typer.Argument(help="A repository that `triton-asr export` wrote, or an ONNX file.")],
) -> None:
    """Show the facts of exported models or of an ONNX graph: platform, limits, labels, inputs, outputs, weights."""
    from asr_export.repository.inspection import inspect_graph, inspect_repository

    if not path.is_dir():
        typer.echo(_describe(inspect_graph(path)))
        return
    for model in inspect_repository(path):
        known, kind = (model.labels, "labels") if model.labels else (model.languages, "languages")
        more = f" and {len(known) - 40} more" if len(known) > 40 else ""
        typer.echo(
            f"{model.name}: {model.architecture} from {model.source}\n"
            f"  platform {_platform(model)}\n"
            f"  max batch size {model.max_batch_size}, padding safe: {'yes' if model.padding_safe else 'no'}, "
            f"max abs difference from its source {model.max_abs_difference:.1e}\n"
            f"  {len(known)} {kind}: {' '.join(known[:40])}{more}\n"
            + "\n".join(_describe(graph) for graph in model.graphs)
        )


def _platform(model: "ModelFacts") -> str:
    if model.platform != "tensorrt_plan":
        return model.platform
    built = "engine built" if model.engine_is_built else "engine not built yet (build_engine.sh)"
    if not model.buckets:
        return f"{model.platform}, {built}; ragged batches of any lengths, up to {model.max_batch_size} at once"
    lengths = f"{len(model.buckets)} lengths of {model.buckets[0]:,} to {model.buckets[-1]:,} samples"
    return f"{model.platform}, {built}; padded to {lengths}, up to {model.max_batch_size} at once"


def _describe(graph: "GraphFacts") -> str:
    weights = ", ".join(f"{count:,} {name}" for name, count in graph.weights.items())
    return (
        f"  {graph.path}: {graph.size_bytes / 1e6:.1f} MB, opset {graph.opset}, IR {graph.ir_version}\n"
        f"  inputs: {'; '.join(graph.inputs)}\n"
        f"  outputs: {'; '.join(graph.outputs)}\n"
        f"  weights: {weights or 'none'}\n"
        f"  operators outside TensorRT's table: {', '.join(graph.outside_tensorrt) or 'none'}"
    )
