"""How close are the graphs, run where they are served, to transformers in float32 on the CPU?"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from asr_contract import gpu as gpus
from asr_export.checkpoint.loading import load, locate
from asr_export.graph.feeds import ragged_feed
from asr_export.graph.gate import ask_pytorch, require_finite, run_graph, run_ragged, synthetic_speech
from asr_export.whisper import checkpoint as whisper_checkpoint
from asr_serving.whisper.service import Service
from numpy.typing import NDArray

from gpu_bench.checkpoints import Model, precisions
from gpu_bench.plan import Plan
from gpu_bench.repositories import checkpoint_of, graph_folder

RATE = 16_000
LENGTHS_S = (1.0, 2.5, 6.0, 11.0)  # of the batch
_ASSIGNMENT = "session.record_ep_graph_assignment_info"
_CUDA = {"cudnn_conv_algo_search": "HEURISTIC"}


def measure(model: Model, folder: Path, plan: Plan) -> dict[str, Any]:
    """Return the differences of every precision; on a GPU of float32 with TF32, which is the default, and without."""
    random = np.random.default_rng(0)
    waves = [synthetic_speech(random, round(seconds * RATE), RATE) for seconds in LENGTHS_S]
    if model.kind == "whisper":
        return _whisper(folder, waves, graph_folder(model, folder, "fp32"), plan)
    loaded = load(locate(str(checkpoint_of(folder))))
    references = [ask_pytorch(loaded, wave) for wave in waves]
    del loaded
    found = {}
    for precision in precisions(model):
        graph = graph_folder(model, folder, precision) / "model.onnx"
        variants = {precision: {}} if plan.gpu is None or precision == "fp16" else _TF32
        for name, options in variants.items():
            session = _open(graph, plan.gpu, options)
            found[name] = {**_ctc(session, waves, references), "operators": _operators(session)}
    return found


_TF32: dict[str, dict[str, str]] = {"fp32 (TF32)": {}, "fp32": {"use_tf32": "0"}}


Waves = Sequence[NDArray[np.float32]]


def _ctc(session: Any, waves: Waves, references: Waves) -> dict[str, Any]:
    together = run_ragged(session, waves)
    alone = [run_graph(session, [wave], ragged_feed)[0] for wave in waves]
    for answer in (*together, *alone):
        require_finite(answer, "the graph's output")
    pairs = zip(together, references, strict=True)
    agrees = [answer.argmax(axis=1) == reference.argmax(axis=1) for answer, reference in pairs]
    return {
        "max_abs_difference": _largest(together, references),
        "batched_minus_alone": _largest(together, alone),
        "best_label_agrees": float(np.concatenate(agrees).mean()),
    }


def _whisper(folder: Path, waves: Waves, graphs: Path, plan: Plan) -> dict[str, Any]:
    loaded = whisper_checkpoint.load(locate(str(checkpoint_of(folder))))
    settings = loaded.settings
    with Service.load(graphs, plan.gpu, 0, len(waves)) as service:
        features = np.stack([_window(service.codec.features(wave), settings.window_frames) for wave in waves[:2]])
        hidden = service.backend.hidden(features)
        tokens = np.array([[settings.start, *range(100, 104)]] * len(features))
        everywhere = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        none = np.zeros(len(features), np.int64)
        logits, _ = service.backend.begin(tokens, none, service.backend.encode(features), everywhere)
        options = service.codec.options({"language": "en"} if settings.languages else {})
        written = service.transcribe([(wave, options) for wave in waves])
    with torch.inference_mode():
        expected = loaded.model(input_features=torch.from_numpy(features), decoder_input_ids=torch.from_numpy(tokens))
    reference = expected.logits.numpy()
    for values in (hidden, logits):
        require_finite(values, "the graph's output")
    return {
        "fp32": {
            "max_abs_difference_hidden": _largest([hidden], [expected.encoder_last_hidden_state.numpy()]),
            "max_abs_difference_logits": _largest([logits], [reference]),
            "best_token_agrees": float((logits.argmax(-1) == reference.argmax(-1)).mean()),
            # All that a recording may have: else the figures of speed would be those of shorter texts.
            "tokens": [len(getattr(transcript, "tokens", ())) for transcript in written],
        }
    }


def _window(features: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    return np.pad(features[:, :frames], ((0, 0), (0, max(0, frames - features.shape[1]))))


def _open(graph: Path, gpu: int | None, options: dict[str, str]) -> Any:
    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = 3
    session_options.add_session_config_entry(_ASSIGNMENT, "1")
    if gpu is None:
        return onnxruntime.InferenceSession(str(graph), session_options, providers=["CPUExecutionProvider"])
    return gpus.open_session(graph, session_options, gpu, {**_CUDA, **options})


def _operators(session: Any) -> dict[str, dict[str, int]]:
    """Return how many nodes of each operator run on the CPU, and how many in all on each provider."""
    on: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        on.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    nodes = {provider: sum(counts.values()) for provider, counts in on.items()}
    return {"nodes": nodes, "on_cpu": dict(on.get("CPUExecutionProvider", Counter()).most_common())}


def _largest(ours: Waves, theirs: Waves) -> float:
    return float(max(np.abs(one - other).max() for one, other in zip(ours, theirs, strict=True)))
