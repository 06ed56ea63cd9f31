"""Model repositories of the checkpoints: traced, converted and written as an export does it, but without its gate.

On a model of a billion weights, the gate takes many minutes of a CPU. What it would find on a GPU is measured by
`parity.py` in its place.
"""

import shutil
from pathlib import Path
from typing import Any

import onnx
from asr_export.checkpoint.labels import read_labels
from asr_export.checkpoint.loading import load, locate
from asr_export.graph.precision import plan_half, to_half
from asr_export.graph.trace import save_graph, write_graph
from asr_export.networks.acoustic import RaggedCtc
from asr_export.options import DEFAULT_SECONDS
from asr_export.repository.model_folder import read_config, write_config
from asr_export.repository.models import Deployment, WhisperDeployment, write_models, write_whisper
from asr_export.whisper import checkpoint as whisper_checkpoint
from asr_export.whisper.artefacts import write_artefacts

from gpu_bench.checkpoints import NAME, Model, precisions
from gpu_bench.plan import Plan

QUEUE_BATCHES = 8  # so many batches may wait: throughput needs a full queue, and nobody is to be refused


def checkpoint_of(folder: Path) -> Path:
    """Return where the checkpoint lies in the folder of a model."""
    return folder / "checkpoint"


def export(model: Model, folder: Path, plan: Plan) -> dict[str, Any]:
    """Write the checkpoint of a model and a repository for each precision into an empty folder; return its sizes."""
    checkpoint = checkpoint_of(folder)
    checkpoint.mkdir(parents=True)
    model.write(checkpoint)
    if model.kind == "whisper":
        _export_whisper(checkpoint, folder, plan)
    else:
        _export_ctc(checkpoint, folder, plan)
    for precision in precisions(model):
        _scale(folder / precision, plan)
    weights = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
    return {"parameters": weights // 4, "graph_bytes": {name: _bytes(folder / name) for name in precisions(model)}}


def graph_folder(model: Model, folder: Path, precision: str) -> Path:
    """Return where the graphs of a model lie."""
    return folder / precision / ("whisper_generate" if model.kind == "whisper" else "acoustic") / "1"


def _export_ctc(checkpoint: Path, folder: Path, plan: Plan) -> None:
    loaded = load(locate(str(checkpoint)))
    deployment = Deployment(
        max_batch_size=plan.max_batch_size,
        max_queue=QUEUE_BATCHES * plan.max_batch_size,
        max_streams=max(plan.streams),
        max_audio_seconds=DEFAULT_SECONDS,
        min_samples=loaded.geometry.shortest,
        labels=read_labels(loaded),
        gpu=plan.gpu is not None,
    )
    graph = folder / "graph"
    graph.mkdir()
    write_graph(
        RaggedCtc(loaded.family.network(loaded.model, loaded.feature_extractor)), loaded.geometry, graph / "model.onnx"
    )
    write_models(folder / "fp32", NAME, graph, deployment, {"precision": "fp32"})
    half = onnx.load(graph / "model.onnx")
    to_half(half, plan_half(half))
    save_graph(half, graph / "model.onnx")
    write_models(folder / "fp16", NAME, graph, deployment, {"precision": "fp16"})
    shutil.rmtree(graph)


def _export_whisper(checkpoint: Path, folder: Path, plan: Plan) -> None:
    loaded = whisper_checkpoint.load(locate(str(checkpoint)))
    deployment = WhisperDeployment(
        max_batch_size=plan.max_batch_size,
        max_queue=QUEUE_BATCHES * plan.max_batch_size,
        max_audio_seconds=DEFAULT_SECONDS,
        sampling_rate=loaded.settings.sampling_rate,
        window=(loaded.config.num_mel_bins, loaded.settings.window_frames),
        gpu=plan.gpu is not None,
    )
    artefacts = folder / "artefacts"
    artefacts.mkdir()
    write_artefacts(loaded, artefacts, gpu=plan.gpu is not None)
    write_whisper(folder / "fp32", NAME, artefacts, deployment, {"precision": "fp32"})
    shutil.rmtree(artefacts)


def _scale(repository: Path, plan: Plan) -> None:
    """Set the numbers of instances of the models that have one for each process."""
    counts = {
        "acoustic": plan.instances,
        "whisper_generate": plan.instances,
        "preprocess": plan.preprocess,
        "ctc_decode": plan.decoders,
    }
    for model, count in counts.items():
        if (repository / model).is_dir():
            config = read_config(repository / model)
            config.instance_group[0].count = count
            write_config(repository / model, config)


def _bytes(repository: Path) -> int:
    return sum(file.stat().st_size for file in repository.glob("*/1/*.onnx*"))
