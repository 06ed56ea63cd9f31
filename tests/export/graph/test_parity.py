"""What the graph computes is what the checkpoint means, for every supported kind, alone and among neighbours."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import tiny_checkpoints
import tiny_whisper
from asr_export.checkpoint.loading import load, locate
from asr_export.choices import EXPORTERS, PRECISIONS
from asr_export.graph.gate import run_ragged
from exports import exported
from reference import transformers_log_probs

from benchmarks.parity_page import ENGINES, PAGE, PARITY, page

DEMO = Path(__file__).parents[3] / "demo" / "checkpoint"
# 16 kHz samples: from one frame's receptive field to eight seconds, no two alike.
LENGTHS = [400, 131_072, 16_000, 719, 48_001, 25_600]


def speech_like(samples: int, seed: int) -> np.ndarray:
    """Noise with a syllable's rhythm and a spectrum that falls, as that of speech does."""
    noise = np.random.default_rng(seed).normal(size=samples)
    coloured = noise + 0.9 * np.roll(noise, 1) + 0.5 * np.roll(noise, 2)
    return (0.1 * coloured * (1.1 + np.sin(np.arange(samples) / 900)) + 0.02).astype(np.float32)


def recordings(kind: str) -> list[np.ndarray]:
    """What each checkpoint is made for: the trained one hears speech, of which it has an opinion."""
    if kind != "demo":
        return [speech_like(length, seed) for seed, length in enumerate(LENGTHS)]
    wave, _ = soundfile.read(DEMO.parent / "samples" / "quilter.wav", dtype="float32")
    return [np.resize(wave[1_000 * start :], length) for start, length in enumerate(LENGTHS)]


@pytest.mark.parametrize("kind", [*tiny_checkpoints.KINDS, "demo"])
def test_batched_onnx_equals_solo_pytorch(kind: str, tiny_checkpoint: Callable[[str], Path]) -> None:
    folder = DEMO if kind == "demo" else tiny_checkpoint(kind)
    repository = exported(folder)
    parity = json.loads((repository / "asr" / "export.json").read_text())["parity"]
    assert parity["shapes"] >= 4
    assert parity["max_abs_difference"] <= 1e-4
    assert parity["max_abs_batch_difference"] <= 1e-4

    shortest = load(locate(str(folder))).geometry.shortest
    waves = [wave if len(wave) >= shortest else np.resize(wave, shortest) for wave in recordings(kind)]
    session = onnxruntime.InferenceSession(repository / "acoustic" / "1" / "model.onnx")
    for wave, batched in zip(waves, run_ragged(session, waves), strict=True):
        assert np.isfinite(batched).all()
        np.testing.assert_allclose(batched, transformers_log_probs(folder, wave), atol=1e-4, rtol=0)
        np.testing.assert_allclose(batched, run_ragged(session, [wave])[0], atol=1e-4, rtol=0)


def test_one_item_too_short_does_not_upset_its_neighbours(tiny_checkpoint: Callable[[str], Path]) -> None:
    graph = exported(tiny_checkpoint("hubert-group-norm")) / "acoustic" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(graph)
    wave = speech_like(9_000, 1)
    together = run_ragged(session, [speech_like(10, 2), wave])[1]
    np.testing.assert_allclose(together, run_ragged(session, [wave])[0], atol=1e-4)


def test_the_page_is_what_the_results_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_results_have_every_kind() -> None:
    rows = json.loads(PARITY.read_text(encoding="utf-8"))["rows"]
    kinds = [*tiny_checkpoints.KINDS, "demo checkpoint"]
    whispers = [(f"whisper-{kind}", "torchscript", "fp32") for kind in tiny_whisper.KINDS]
    measured = [(row["kind"], row["exporter"], row["precision"]) for row in rows]
    assert measured == [*product(kinds, EXPORTERS, PRECISIONS), *whispers]
    exact = [float(row[name]) for row in rows if row["precision"] == "fp32" for name in ("max abs Δ", "batched - solo")]
    assert max(exact) <= 1e-4


def test_an_engine_was_built_of_every_kind() -> None:
    engines = json.loads(ENGINES.read_text(encoding="utf-8"))["engines"]
    built = [(engine["kind"], engine["graph"], engine["precision"]) for engine in engines if not engine["refused"]]
    assert built == list(product(tiny_checkpoints.KINDS, ("dense", "ragged"), ("fp32", "fp16")))
