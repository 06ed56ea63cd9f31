"""The whole export of a CTC graph in a folder that optimum made: the files beside it say what a ready graph cannot."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_export.checkpoint import loading as checkpoints
from asr_export.checkpoint.graph_files import GraphFiles, in_one_place
from asr_export.checkpoint.labels import read_labels
from asr_export.checkpoint.text_gate import check_text
from asr_export.errors import ExportError, GraphError, UnsupportedCheckpoint
from asr_export.graph.feeds import Feed
from asr_export.graph.fewer_bits import LIMITS, bits, one_scale_operators
from asr_export.graph.gate import ask_pytorch
from asr_export.graph.loading import require_loadable
from asr_export.graph.reading import ONNX_RUNTIME
from asr_export.graph.word_errors import Spoken, WordErrors, check_word_errors, hear
from asr_export.options import DEFAULT_SECONDS, ExportOptions, ExportResult
from asr_export.ready_graph import source as foreign
from asr_export.ready_graph.behaviour import Behaviour, Reference, Runner
from asr_export.ready_graph.wrapped import Known, Origin, export_wrapped

_GRAPH = "model"
_LOGITS = "logits"
_FEATURES = "Wav2Vec2FeatureExtractor"
_NOT_FOR_FOLDERS = ("language", "platform", "precision", "exporter")


def export_folder(
    files: GraphFiles, output: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> ExportResult:
    """Export the CTC graph of a folder, as `asr_export.export_checkpoint` says, with checked options."""
    options.refuse("graphs of optimum, which are taken as they are", _NOT_FOR_FOLDERS)
    has_weights = checkpoints.has_weights(files.source)
    if options.check_manifest and not has_weights:
        raise ExportError(
            f"--check-manifest compares with PyTorch, and {files.source.name} has no model.safetensors beside its graph"
        )
    loaded = checkpoints.load(files.source, weights=has_weights)
    if loaded.family.feature_extractor != _FEATURES:
        raise UnsupportedCheckpoint(
            f"the graphs of {files.source.name} take what a {loaded.family.feature_extractor} makes, because it is a "
            f"{loaded.family.architecture}; needs a class with a {_FEATURES}, whose graphs take a waveform. Export the "
            "weights of this one: its features then become part of the graph"
        )
    labels = read_labels(loaded)
    check_text(loaded, labels)
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        path = in_one_place(files.paths, Path(work))[_GRAPH]
        graph = foreign.read(path, loaded.columns, (ONNX_RUNTIME,))
        require_loadable(path)
        _check_scores(graph, files)
        _check_batches(graph, files, options)
        kind = bits(graph.model)
        on_step(f"taking the graph of the variant {files.variant} ({kind})")
        spoken = _hear(loaded, options)
        known = Known(
            labels.sampling_rate,
            lambda behaviour: _check_frames(labels, behaviour, files),
            _report(files, loaded, kind, options),
            partial(_features, loaded.feature_extractor),
            loaded.feature_extractor.do_normalize,
            LIMITS[kind],
            partial(_origin, loaded, files),
            partial(_word_errors, loaded, spoken, options),
        )
        return export_wrapped(graph, known, output, options, on_step)


def _check_scores(graph: foreign.ForeignGraph, files: GraphFiles) -> None:
    if graph.scores.name != _LOGITS:
        raise GraphError(
            f"{files.paths[_GRAPH]} gives {graph.scores}; needs {_LOGITS}: it was exported for another task, so export "
            "it anew with --task automatic-speech-recognition"
        )


def _check_batches(graph: foreign.ForeignGraph, files: GraphFiles, options: ExportOptions) -> None:
    operators = one_scale_operators(graph.model)
    if operators and options.max_batch_size > 1:
        raise GraphError(
            f"{files.paths[_GRAPH]} quantises with one scale for a whole batch ({', '.join(operators)}), so recordings "
            f"would change each other's results; needs --max-batch-size 1, or another variant than {files.variant}"
        )


def _check_frames(labels: Labels, behaviour: Behaviour, files: GraphFiles) -> Labels:
    stated, found = (len(labels.labels), labels.stride_samples), (behaviour.columns, behaviour.rule.stride)
    if stated != found:
        raise GraphError(
            f"{files.paths[_GRAPH]} has {found[0]} columns and a frame every {found[1]} samples; config.json and the "
            f"tokenizer of {files.source.name} say {stated[0]} and {stated[1]}: they are of another model"
        )
    return labels


def _features(extractor: Any, waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the checkpoint's own feature extractor makes of each of the waveforms `[n, samples]`."""
    rate = extractor.sampling_rate
    return np.stack([extractor(wave, sampling_rate=rate, return_tensors="np").input_values[0] for wave in waves])


def _origin(loaded: checkpoints.Checkpoint, files: GraphFiles, behaviour: Behaviour) -> Origin | None:
    """Return PyTorch if there are weights, else the graph in fp32 if this is another variant."""
    if loaded.model is not None:
        return Origin("PyTorch", partial(ask_pytorch, loaded))
    if files.plain is None:
        return None
    plain = foreign.read(files.plain[_GRAPH], loaded.columns, (ONNX_RUNTIME,))
    runner = Runner(plain, partial(_features, loaded.feature_extractor))
    return Origin("the graph in fp32", Reference(runner, behaviour))


def _hear(loaded: checkpoints.Checkpoint, options: ExportOptions) -> Spoken | None:
    if options.check_manifest is None:
        return None
    return hear(Path(options.check_manifest), loaded, options.seconds(DEFAULT_SECONDS))


def _word_errors(
    loaded: checkpoints.Checkpoint, spoken: Spoken | None, options: ExportOptions, path: Path, feed: Feed
) -> WordErrors | None:
    # One at a time, because a batch of this graph holds equal lengths only.
    return check_word_errors(path, loaded, spoken, options.max_wer_loss, 1, feed) if spoken else None


def _report(files: GraphFiles, loaded: checkpoints.Checkpoint, kind: str, options: ExportOptions) -> dict[str, Any]:
    return {
        "source": files.source.name,
        "revision": files.source.revision,
        "files_sha256": files.source.file_hashes(),
        "architecture": loaded.family.architecture,
        "variant": files.variant,
        "precision": kind,
        "options": asdict(options),
    }
