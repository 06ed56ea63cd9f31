"""The parts of a repository that a TensorRT engine needs: its inputs, a profile, and a script that builds it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

from asr_export.networks.parts.batch import BLOCK

# Ratio of one length to the one before: padding adds at most a quarter to a recording of a second or more.
_RATIO = 1.25
_SCRIPT = Path(__file__).with_name("build_engine.sh")


# Name of an input -> its shape.
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Profile:
    """The shapes of an engine's inputs: `smallest` and `largest` are its limits; TensorRT tunes it for `optimal`."""

    smallest: Shapes
    optimal: Shapes
    largest: Shapes


def bucket_samples(sampling_rate: int, min_samples: int, max_audio_seconds: float) -> tuple[int, ...]:
    """Return the lengths, in samples, to which `preprocess` pads, from one second up to the limit.

    Triton merges only requests of equal shape: without a small set of lengths, an engine would run one request at a
    time. Each length is a multiple of `asr_export.networks.parts.batch.BLOCK`, to which the graph would pad it anyway.

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


def dense_profile(buckets: tuple[int, ...], max_batch_size: int) -> Profile:
    """Return a profile of all padded batches that Triton may send, tuned for full batches of the middle length.

    Speed counts most when batches are full. The middle of a geometric series suits recordings, because they are more
    often short than as long as the limit.
    """

    def batch(recordings: int, samples: int) -> Shapes:
        return {"audio": (recordings, samples), "lengths": (recordings, 1)}

    return Profile(
        smallest=batch(1, buckets[0]),
        optimal=batch(max_batch_size, _middle(buckets)),
        largest=batch(max_batch_size, buckets[-1]),
    )


def ragged_profile(buckets: tuple[int, ...], min_samples: int, max_batch_size: int) -> Profile:
    """Return a profile of all ragged batches that Triton may send, tuned for full batches of the middle length.

    Args:
        buckets: of `bucket_samples`; nothing is padded to them, but their middle is that of a dense profile.
        min_samples: the shortest recording.
        max_batch_size: recordings in one run.
    """

    def batch(recordings: int, samples: int) -> Shapes:
        return {"audio": (recordings * samples,), "audio_shape": (recordings, 1), "longest": (samples,)}

    return Profile(
        smallest=batch(1, min_samples),
        optimal=batch(max_batch_size, _middle(buckets)),
        largest=batch(max_batch_size, buckets[-1]),
    )


def write_build_script(folder: Path, shapes: Profile) -> None:
    """Write `build_engine.sh` into an acoustic model's folder."""
    text = _SCRIPT.read_text(encoding="utf-8")
    for place, inputs in {
        "@MIN_SHAPES@": shapes.smallest,
        "@OPT_SHAPES@": shapes.optimal,
        "@MAX_SHAPES@": shapes.largest,
    }.items():
        text = text.replace(place, ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in inputs.items()))
    script = folder / _SCRIPT.name
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)


def pad_in_preprocess(config: Any) -> None:
    """Add the output `lengths`, which a padded waveform needs, to the configuration of preprocess."""
    config.output.add(name="lengths", data_type=model_config_pb2.TYPE_INT32, dims=[1])


def serve_engine(config: Any, buckets: tuple[int, ...]) -> None:
    """Turn the configuration of the acoustic model into that of an engine, on the GPU.

    Args:
        config: of the acoustic model, with a ragged input.
        buckets: the lengths to which audio is padded, which make the input dense; none for a ragged engine.
    """
    config.ClearField("backend")
    config.platform = "tensorrt_plan"
    config.default_model_filename = "model.plan"
    config.ClearField("parameters")  # they are for ONNX Runtime
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_GPU
    if buckets:
        _take_dense(config, buckets)
        return
    # The width of the padded batch as a shape: a shape of the engine cannot depend on the values of `audio_shape`.
    config.batch_input.add(
        kind=model_config_pb2.BatchInput.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE,
        target_name=["longest"],
        data_type=model_config_pb2.TYPE_FP32,
        source_input=["audio"],
    )


def _take_dense(config: Any, buckets: tuple[int, ...]) -> None:
    config.ClearField("batch_input")
    config.input[0].ClearField("allow_ragged_batch")
    config.input.add(name="lengths", data_type=model_config_pb2.TYPE_INT32, dims=[1])
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


def _middle(lengths: tuple[int, ...]) -> int:
    return lengths[len(lengths) // 2]


def _blocks(samples: int) -> int:
    return -(-samples // BLOCK)
