"""The repository of `--platform tensorrt` in a real Triton, but for the engine: ONNX Runtime takes its place.

Everything else is as exported: what pads to buckets, what hands the lengths on, the warm-up, the graph, the batcher,
and with `--ragged` the batch inputs. Only what runs the graph is changed, by editing the configuration: TensorRT
needs a GPU.
"""

from collections.abc import Iterator
from pathlib import Path

import exports
import numpy as np
import pytest
import soundfile
from asr_client import Audio, Client
from asr_export import ExportOptions
from asr_export.repository.model_folder import read_config
from asr_server import RepositoryError, TritonServer
from google.protobuf import text_format
from triton_counts import settled
from tritonclient.grpc import model_config_pb2

pytestmark = pytest.mark.e2e
RATE = 16_000


@pytest.fixture(scope="module")
def exported() -> Path:
    """The demo checkpoint for TensorRT, without its engine."""
    return exports.exported(exports.DEMO, ExportOptions(name="en", platform="tensorrt"))


@pytest.fixture(scope="module")
def dense(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server of it, in which ONNX Runtime runs the dense graph."""
    with served(exported, tmp_path_factory.mktemp("stand-in") / "models") as running:
        yield running


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server of an export with `--ragged`, in which ONNX Runtime runs the graph."""
    options = ExportOptions(name="en", platform="tensorrt", ragged=True)
    repository = tmp_path_factory.mktemp("stand-in-ragged") / "models"
    with served(exports.exported(exports.DEMO, options), repository, without=("en_long", "en_stream")) as running:
        yield running


def served(exported: Path, repository: Path, without: tuple[str, ...] = ()) -> TritonServer:
    """Return a server of what was exported for TensorRT, in which ONNX Runtime runs the graph."""
    repository.mkdir()
    for model in exported.iterdir():
        if model.name not in without:
            (repository / model.name).symlink_to(model, target_is_directory=True)
    config = read_config(exported / "en_acoustic")
    config.ClearField("platform")
    config.backend, config.default_model_filename = "onnxruntime", "model.onnx"
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_CPU
    (repository / "en_acoustic").unlink()
    (repository / "en_acoustic").mkdir()
    (repository / "en_acoustic" / "1").symlink_to(exported / "en_acoustic" / "1", target_is_directory=True)
    (repository / "en_acoustic" / "config.pbtxt").write_text(text_format.MessageToString(config))
    return TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0)


@pytest.fixture(scope="module")
def speech(samples: dict[Path, str]) -> np.ndarray:
    """Some of the demo's recordings in a row, float32 at 16 kHz."""
    pieces = [soundfile.read(path, dtype="float32") for path in samples if path.suffix == ".wav"]
    return np.concatenate([piece for piece, rate in pieces if rate == RATE and piece.ndim == 1])


@pytest.mark.parametrize("engine", ["dense", "ragged"])
def test_mixed_lengths_at_once_answer_as_the_model_of_onnx_runtime_does(
    engine: str, request: pytest.FixtureRequest, client: Client, speech: np.ndarray
) -> None:
    server = request.getfixturevalue(engine)
    random = np.random.default_rng(0)
    lengths = [400, 16_384, 16_385, *random.integers(RATE // 2, 6 * RATE, size=45).tolist()]
    waves = [speech[start : start + length] for start, length in zip(range(0, 48_000, 1_000), lengths, strict=True)]
    recordings = [Audio(wave, sampling_rate=RATE) for wave in waves]
    expected = [outcome.unwrap() for outcome in client.transcribe_many(recordings, word_timestamps=True)]
    with Client(server.grpc_url, model="en") as other:
        outcomes = other.transcribe_many(recordings, concurrency=48, word_timestamps=True)
    answers = [outcome.unwrap() for outcome in outcomes]
    assert [answer.text for answer in answers] == [answer.text for answer in expected]
    assert [answer.duration for answer in answers] == [answer.duration for answer in expected]
    assert [[word.start for word in answer.words] for answer in answers] == [
        [word.start for word in answer.words] for answer in expected
    ]
    assert len({answer.text for answer in expected}) > 30


def test_lengths_of_one_bucket_share_a_run(dense: TritonServer, exported: Path, speech: np.ndarray) -> None:
    buckets = read_config(exported / "preprocess").parameters["bucket_samples"].string_value.split(",")
    lengths = range(int(buckets[6]) + 1, int(buckets[7]), 400)
    before = settled(dense, "en_acoustic")
    with Client(dense.grpc_url, model="en") as client:
        outcomes = client.transcribe_many(
            [Audio(speech[:length], sampling_rate=RATE) for length in lengths], concurrency=len(lengths)
        )
    assert all(outcome.ok for outcome in outcomes)
    assert len(lengths) > 30
    done = settled(dense, "en_acoustic") - before
    assert done.inferences == len(lengths)
    assert done.executions < len(lengths)


def test_any_lengths_share_a_run_of_a_ragged_engine(ragged: TritonServer, speech: np.ndarray) -> None:
    lengths = range(RATE // 2, 3 * RATE, 1_600)
    before = settled(ragged, "en_acoustic")
    with Client(ragged.grpc_url, model="en") as client:
        outcomes = client.transcribe_many(
            [Audio(speech[:length], sampling_rate=RATE) for length in lengths], concurrency=len(lengths)
        )
    assert all(outcome.ok for outcome in outcomes)
    done = settled(ragged, "en_acoustic") - before
    assert done.inferences == len(lengths)
    assert done.executions < len(lengths)


def test_a_bad_recording_does_not_touch_its_neighbours(dense: TritonServer, speech: np.ndarray) -> None:
    good = Audio(speech[: 2 * RATE], sampling_rate=RATE)
    with Client(dense.grpc_url, model="en") as client:
        alone = client.transcribe(speech[: 2 * RATE], sampling_rate=RATE).text
        first, bad, last = client.transcribe_many([good, Audio(b"not audio"), good], concurrency=3)
    assert (first.unwrap().text, last.unwrap().text) == (alone, alone)
    assert "cannot read this as audio" in str(bad.error)


def test_without_an_engine_the_error_says_what_to_run(exported: Path) -> None:
    with (
        pytest.raises(
            RepositoryError, match="en_acoustic has no TensorRT engine yet: run .*/en_acoustic/build_engine.sh"
        ),
        TritonServer(exported, http_port=0, grpc_port=0, metrics_port=0),
    ):
        pass
