"""The parts of a repository that a TensorRT engine needs: a few lengths, a profile, and a script that builds it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

from asr_export.networks.parts.batch import BLOCK

# Ratio of one length to the one before: padding adds at most a quarter to a recording of a second or more.
_RATIO = 1.25
_SCRIPT = Path(__file__).with_name("build_engine.sh")


@dataclass(frozen=True)
class Profile:
    """The shapes `[recordings, samples]` of an engine; TensorRT tunes it for the middle one."""

    smallest: tuple[int, int]
    optimal: tuple[int, int]
    largest: tuple[int, int]


def bucket_samples(sampling_rate: int, min_samples: int, max_audio_seconds: float) -> tuple[int, ...]:
    """Return the lengths, in samples, to which `preprocess` pads, from one second up to the limit.

    Triton merges only requests of equal shape: without a small set of lengths, an engine would run one request at a
    time. Each length is a multiple of `asr_export.networks.parts.batch.BLOCK`, as the graph requires.

    Args:
        sampling_rate: Hz, of the model.
        min_samples: the shortest recording.
        max_audio_seconds: the longest recording.
    """
    last = _blocks(math.ceil(max_audio_seconds * sampling_rate))
    blocks = min(_blocks(max(sampling_rate, min_samples)), last)
    series = [blocks]
    while blocks < last:
        blocks = min(max(blocks + 1, math.floor(blocks * _RATIO)), last)
        series.append(blocks)
    return tuple(count * BLOCK for count in series)


def profile(buckets: tuple[int, ...], max_batch_size: int) -> Profile:
    """Return a profile of all shapes that Triton may send, tuned for full batches of the middle length.

    Speed counts most when batches are full. The middle of a geometric series suits recordings, because they are more
    often short than as long as the limit.
    """
    return Profile(
        smallest=(1, buckets[0]),
        optimal=(max_batch_size, buckets[len(buckets) // 2]),
        largest=(max_batch_size, buckets[-1]),
    )


def write_build_script(folder: Path, shapes: Profile) -> None:
    """Write `build_engine.sh` into an acoustic model's folder."""
    text = _SCRIPT.read_text(encoding="utf-8")
    for place, (recordings, samples) in {
        "@MIN_SHAPES@": shapes.smallest,
        "@OPT_SHAPES@": shapes.optimal,
        "@MAX_SHAPES@": shapes.largest,
    }.items():
        text = text.replace(place, f"audio:{recordings}x{samples},lengths:{recordings}x1")
    script = folder / _SCRIPT.name
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)


def pad_in_preprocess(config: Any) -> None:
    """Add the output `lengths`, which a padded waveform needs, to the configuration of preprocess."""
    config.output.add(name="lengths", data_type=model_config_pb2.TYPE_INT32, dims=[1])


def serve_engine(config: Any, buckets: tuple[int, ...]) -> None:
    """Turn the configuration of the acoustic model into that of an engine: dense inputs, on the GPU."""
    config.ClearField("backend")
    config.platform = "tensorrt_plan"
    config.default_model_filename = "model.plan"
    config.ClearField("batch_input")
    config.ClearField("parameters")  # they are for ONNX Runtime
    config.input[0].ClearField("allow_ragged_batch")
    config.input.add(name="lengths", data_type=model_config_pb2.TYPE_INT32, dims=[1])
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_GPU
    for warmup in config.model_warmup:
        warmup.inputs["audio"].dims[0] = buckets[0]
        # The values do not matter: only the shape determines the work.
        lengths = warmup.inputs["lengths"]
        lengths.data_type, lengths.zero_data = model_config_pb2.TYPE_INT32, True
        lengths.dims.append(1)


def pass_lengths(config: Any) -> None:
    """Make the ensemble pass the lengths from preprocess to acoustic."""
    for step in config.ensemble_scheduling.step:
        if step.model_name == "preprocess":
            step.output_map["lengths"] = "lengths"
        elif step.model_name == "acoustic":
            step.input_map["lengths"] = "lengths"


def _blocks(samples: int) -> int:
    return -(-samples // BLOCK)
