"""The whole export of a checkpoint: checkpoint -> graph -> gate -> repository."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr_contract.labels import Labels

from asr_export.checkpoint import graph_files
from asr_export.checkpoint import loading as checkpoints
from asr_export.checkpoint.labels import read_labels
from asr_export.checkpoint.text_gate import check_text
from asr_export.choices import Precision
from asr_export.errors import LanguageModelError
from asr_export.graph.feeds import Feed, dense_feed, ragged_feed, sized_feed
from asr_export.graph.folding import fold_constants
from asr_export.graph.gate import Parity, check_graph, check_parity, make_probe
from asr_export.graph.precision import Converted, convert, ragged_graph
from asr_export.graph.tensorrt import check_tensorrt
from asr_export.graph.trace import OPSETS, write_graph
from asr_export.graph.word_errors import check_word_errors, hear
from asr_export.networks.acoustic import CtcGraph, DenseCtc, SizedRaggedCtc
from asr_export.options import (
    DEFAULT_SECONDS,
    DEFAULT_STREAMS,
    ExportOptions,
    ExportResult,
    check_options,
    library_versions,
)
from asr_export.ready_graph.folder import export_folder
from asr_export.repository import own_language_model
from asr_export.repository.engine import Profile, bucket_samples, dense_profile, ragged_profile
from asr_export.repository.language_model import LanguageModel
from asr_export.repository.models import Deployment, check_output, write_models
from asr_export.whisper.checkpoint import MODEL_TYPE as WHISPER
from asr_export.whisper.pipeline import export_whisper

_DEFAULTS = ExportOptions()


def export_checkpoint(
    checkpoint: str,
    output: str | Path,
    options: ExportOptions = _DEFAULTS,
    on_step: Callable[[str], None] = lambda step: None,
) -> ExportResult:
    """Export a checkpoint into a Triton repository.

    Args:
        checkpoint: a hub id or a folder in HuggingFace format, with weights or with the graphs that optimum makes.
        output: the repository; other models in it stay as they are.
        options: how to convert and serve it.
        on_step: called with one line of text at the start of each step.

    Raises:
        CheckpointError, UnsupportedCheckpoint: the checkpoint cannot be used.
        GraphError: its graphs cannot be used; nothing was written.
        GateError: the graph does not compute what the checkpoint computes; nothing was written.
        OutputError: the output cannot take the models.
    """
    output = Path(output)
    check_options(options)
    check_output(output, options.name)
    on_step(f"reading {checkpoint}")
    source = checkpoints.locate(checkpoint, options.revision, options.language)
    config = checkpoints.read_config(source)
    is_whisper = config.model_type == WHISPER
    if not is_whisper:
        options.refuse("a CTC model, whose frames say where they are", ("word_lag_ms",))
        checkpoints.check_family(config, source.name)
    kind = graph_files.WHISPER if is_whisper else graph_files.CTC
    graphs = graph_files.choose(source, kind, options.variant)
    if graphs is None and (variants := graph_files.names(source, kind)):
        on_step(f"taking the weights; --variant takes its ONNX graphs instead ({', '.join(variants)})")
    if is_whisper:
        return export_whisper(source, graphs, output, options, on_step)
    if graphs is not None:
        return export_folder(graphs, output, options, on_step)
    return _export_ctc(source, output, options, on_step)


def _export_ctc(
    source: checkpoints.Source, output: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> ExportResult:
    loaded = checkpoints.load(source, options.language)
    labels = read_labels(loaded)
    check_text(loaded, labels)
    language_model = _language_model(source, labels, options, on_step)
    seconds, shortest = options.seconds(DEFAULT_SECONDS), loaded.geometry.shortest
    on_step("asking PyTorch for the reference outputs")
    probe = make_probe(loaded)
    manifest = options.check_manifest
    spoken = hear(Path(manifest), loaded, seconds) if manifest else None
    for_engine = options.platform == "tensorrt"
    precision = options.precision or ("fp16" if options.gpu else "fp32")
    graph_class, feed = _graph(options, precision)
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        graph = Path(work) / "graph"
        graph.mkdir()
        model = graph / "model.onnx"
        on_step("tracing the graph")
        network = loaded.family.network(loaded.model, loaded.feature_extractor)
        write_graph(graph_class(network), loaded.geometry, model, options.exporter)
        on_step("checking the graph")
        if for_engine:
            fold_constants(model)
        check_graph(model)
        if for_engine:
            check_tensorrt(model)
        parity = check_parity(model, probe, feed=feed)
        converted = None
        if precision != "fp32":
            on_step(f"converting the graph to {precision} and checking it again")
            converted = convert(model, precision, probe, feed)
            if for_engine:
                fold_constants(model)
                check_tensorrt(model)
        word_errors = None
        if spoken:
            on_step(f"comparing word error rates on {manifest}")
            word_errors = check_word_errors(model, loaded, spoken, options.max_wer_loss, options.max_batch_size, feed)
        profile, buckets = _engine(options, labels.sampling_rate, shortest)
        deployment = Deployment(
            max_batch_size=options.max_batch_size,
            max_queue=options.queue,
            max_streams=options.streams(DEFAULT_STREAMS),
            max_audio_seconds=seconds,
            min_samples=shortest,
            labels=labels,
            profile=profile,
            buckets=buckets,
            gpu=options.gpu,
            language_model=language_model,
        )
        report = {
            **_report(loaded, options),
            **_precision_report(precision, parity, converted),
            "graph_bytes": sum(file.stat().st_size for file in graph.iterdir()),
            "word_errors": asdict(word_errors) if word_errors else None,
            "language_model": language_model.facts() if language_model else None,
        }
        on_step(f"writing {output}")
        names = write_models(output, options.name, graph, deployment, report)
    parity = converted.parity if converted else parity
    return ExportResult(output, names, labels, parity, word_errors=word_errors, language_model=language_model)


def _graph(options: ExportOptions, precision: Precision) -> tuple[type[CtcGraph], Feed]:
    """Return the kind of graph that the options ask for, and what makes its inputs."""
    if options.platform != "tensorrt":
        return ragged_graph(precision), ragged_feed
    return (SizedRaggedCtc, sized_feed) if options.ragged else (DenseCtc, dense_feed)


def _engine(options: ExportOptions, sampling_rate: int, shortest: int) -> tuple[Profile | None, tuple[int, ...]]:
    """Return the profile of the engine, and the lengths to which audio is padded for it; none if it has none."""
    if options.platform != "tensorrt":
        return None, ()
    buckets = bucket_samples(sampling_rate, shortest, options.seconds(DEFAULT_SECONDS))
    if options.ragged:
        return ragged_profile(buckets, shortest, options.max_batch_size), ()
    return dense_profile(buckets, options.max_batch_size), buckets


def _language_model(
    source: checkpoints.Source, labels: Labels, options: ExportOptions, on_step: Callable[[str], None]
) -> LanguageModel | None:
    """Return the language model of the options, or else the checkpoint's own.

    If the checkpoint's own cannot be used, the export goes on without it.
    """
    if options.lm is not None:
        return options.language_model(labels)
    try:
        found = own_language_model.read(source.folder, labels)
    except LanguageModelError as error:
        on_step(f"ignoring the checkpoint's own language model: {error}")
        return None
    if found:
        on_step("using the checkpoint's own language model for decoder=beam")
    return found


def _precision_report(precision: Precision, fp32: Parity, converted: Converted | None) -> dict[str, Any]:
    report: dict[str, Any] = {
        "precision": precision,
        "padding_safe": True,  # because of masks, no value of an item enters another, in any precision
        # The gate holds fp32 batches to 1e-4 of solo runs. With fewer bits, a much smaller difference can change how
        # a value is rounded.
        "batch_exact": converted is None,
        "parity": asdict(converted.parity if converted else fp32),
    }
    if converted:
        report["fp32_parity"] = asdict(fp32)
        report["fp16_peak"] = asdict(converted.fp16_peak) if converted.fp16_peak else None
        report["int8_convolutions"] = converted.int8_convolutions
    return report


def _report(loaded: checkpoints.Checkpoint, options: ExportOptions) -> dict[str, Any]:
    return {
        "source": loaded.source.name,
        "revision": loaded.source.revision,
        "files_sha256": loaded.source.file_hashes(),
        "architecture": loaded.family.architecture,
        "exporter": options.exporter,
        "opset": OPSETS[options.exporter],
        "options": asdict(options),
        "versions": library_versions(),
    }
