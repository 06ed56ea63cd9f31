"""A checked graph and its labels -> models in a Triton repository, all of them or none."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from asr_export import engine
from asr_export.errors import OutputError
from asr_export.labels import Labels

DEFAULT_NAME = "asr"
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STEPS = ("preprocess", "acoustic", "ctc_decode", "whisper_generate")
_PREPROCESS_SETTINGS = {"sampling_rate", "min_samples", "max_audio_seconds"}
_BUCKETS = "bucket_samples"


@dataclass(frozen=True)
class ModelNames:
    """What one export calls its models."""

    ensemble: str
    preprocess: str
    acoustic: str
    ctc_decode: str

    @property
    def runner(self) -> str:
        """The one that runs the network."""
        return self.acoustic


@dataclass(frozen=True)
class WhisperNames:
    """What one export of a Whisper calls its models."""

    ensemble: str
    preprocess: str
    whisper_generate: str

    @property
    def runner(self) -> str:
        """The one that runs the network."""
        return self.whisper_generate


class Intake(Protocol):
    """What a model takes, of whatever kind it is: what its preprocess step has to know."""

    @property
    def max_batch_size(self) -> int:
        """Recordings in one run."""

    @property
    def max_queue(self) -> int:
        """Recordings that may wait for a run."""

    @property
    def max_audio_seconds(self) -> float:
        """The longest recording."""

    @property
    def min_samples(self) -> int:
        """The shortest recording."""

    @property
    def sampling_rate(self) -> int:
        """In Hz."""

    @property
    def buckets(self) -> tuple[int, ...]:
        """Lengths that audio is padded to, in samples; none for a model that takes any."""


@dataclass(frozen=True)
class WhisperDeployment:
    """What the configurations of a Whisper say, beyond the template."""

    max_batch_size: int  # recordings that are decoded side by side
    max_queue: int  # recordings that may wait for that
    max_audio_seconds: float  # the longest recording
    sampling_rate: int  # Hz
    min_samples: int = 1  # a window is filled up with silence
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """What the configurations say, beyond the template."""

    max_batch_size: int  # recordings in one run of the acoustic model
    max_queue: int  # recordings that may wait for a run
    max_audio_seconds: float  # the longest recording; bounds memory together with max_batch_size
    min_samples: int  # the shortest recording
    labels: Labels
    padding_safe: bool = True  # False: the graph takes `audio` `[n, time]`, and a batch holds equal lengths alone
    buckets: tuple[int, ...] = ()  # lengths that audio is padded to, for a TensorRT engine; none for a ragged graph
    gpu: bool = False  # the acoustic model runs on a GPU, and nowhere else

    @property
    def sampling_rate(self) -> int:
        """In Hz."""
        return self.labels.sampling_rate


def template_folder() -> Path:
    """The checked-in models: inside the package when installed from a wheel, at the top of a checkout otherwise."""
    packaged = Path(__file__).parent / "model_repository"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "model_repository"


def read_config(model: Path) -> Any:
    """The configuration of a model folder, as protobuf.

    Raises:
        OutputError: no config.pbtxt, or not a valid one.
    """
    path = model / "config.pbtxt"
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise OutputError(f"cannot read {path}: {error}") from error


def check_output(output: Path, name: str) -> None:
    """Refuse early what the last step would have to refuse.

    Raises:
        OutputError: a name that Triton or the kit cannot take, an output that is a file, or a model of that name
            which no export wrote.
    """
    if not _MODEL_NAME.fullmatch(name) or name.endswith(_STEPS):
        raise OutputError(
            f"--name is {name!r}; needs letters, digits, '_', '-' or '.', and an end other than {', '.join(_STEPS)}"
        )
    if output.exists() and not output.is_dir():
        raise OutputError(f"--output {output} is not a folder")
    own = {*vars(model_names(name, "")).values(), *vars(whisper_names(name, "")).values()} - {""}
    taken = sorted(model for model in own if (output / model).exists())
    if taken and not (output / name / "export.json").is_file():
        raise OutputError(
            f"{output} already holds {', '.join(taken)}, which no export called {name!r} wrote: choose another --name"
        )


def model_names(name: str, preprocess: str) -> ModelNames:
    """The names of an export: the template's own for the default name, prefixed for every other."""
    prefix = _prefix(name)
    return ModelNames(name, preprocess, f"{prefix}acoustic", f"{prefix}ctc_decode")


def whisper_names(name: str, preprocess: str) -> WhisperNames:
    """The same for an export of a Whisper."""
    return WhisperNames(name, preprocess, f"{_prefix(name)}whisper_generate")


def _prefix(name: str) -> str:
    return "" if name == DEFAULT_NAME else f"{name}_"


def write_models(output: Path, name: str, graph: Path, deployment: Deployment, report: dict[str, Any]) -> ModelNames:
    """Put one export into a repository; other models there stay as they are.

    Args:
        output: the repository; made when absent.
        name: of the ensemble. An earlier export of that name is replaced.
        graph: folder with `model.onnx` and, for a large model, its data file.
        deployment: what the configurations have to say.
        report: the content of `export.json`, to which the names of the models are added.

    Raises:
        OutputError: see `check_output`.
    """
    check_output(output, name)
    preprocess = _choose_preprocess(output, name, deployment)
    names = model_names(name, preprocess)
    with _staging(output) as staged:
        if not _fits(output / preprocess, deployment):
            _stage_preprocess(staged / preprocess, deployment)
        _stage_acoustic(staged / names.acoustic, graph, deployment)
        _stage_ctc_decode(staged / names.ctc_decode, deployment)
        _stage_ensemble(staged / names.ensemble, "asr", names, deployment, report)
        _swap_in(staged, output, _outdated(output, name))
    return names


def write_whisper(
    output: Path, name: str, artefacts: Path, deployment: WhisperDeployment, report: dict[str, Any]
) -> WhisperNames:
    """Put one export of a Whisper into a repository, as `write_models` does.

    Args:
        output: the repository; made when absent.
        name: of the ensemble. An earlier export of that name is replaced.
        artefacts: folder with the graphs and all else that the decode step reads.
        deployment: what the configurations have to say.
        report: the content of `export.json`, to which the names of the models are added.

    Raises:
        OutputError: see `check_output`.
    """
    check_output(output, name)
    names = whisper_names(name, _choose_preprocess(output, name, deployment))
    with _staging(output) as staged:
        if not _fits(output / names.preprocess, deployment):
            _stage_preprocess(staged / names.preprocess, deployment)
        config = _stage_template("whisper_generate", staged / names.whisper_generate)
        _set_batching(config, deployment)
        _write_config(staged / names.whisper_generate, config)
        shutil.copytree(artefacts, staged / names.whisper_generate / "1", dirs_exist_ok=True)
        _stage_ensemble(staged / names.ensemble, "asr_whisper", names, deployment, report)
        _swap_in(staged, output, _outdated(output, name))
    return names


def _choose_preprocess(output: Path, name: str, deployment: Intake) -> str:
    """`preprocess`, shared by every model that agrees on it; a model that does not gets its own."""
    shared = output / "preprocess"
    if not shared.exists() or _fits(shared, deployment):
        return "preprocess"
    if _is_preprocess(shared):
        others = [path for path in output.iterdir() if path.name != name and (path / "config.pbtxt").is_file()]
        steps = (step for path in others for step in read_config(path).ensemble_scheduling.step)
        if all(step.model_name != "preprocess" for step in steps):
            return "preprocess"
    own = output / f"{name}_preprocess"
    if own.exists() and not _is_preprocess(own):
        raise OutputError(f"{output} already holds {own.name}, which no export wrote: choose another --name")
    return own.name


def _is_preprocess(model: Path) -> bool:
    """Whether an export wrote this preprocess model."""
    if not (model / "config.pbtxt").is_file():
        return False
    return _settings(read_config(model)).keys() - {_BUCKETS} == _PREPROCESS_SETTINGS


def _fits(model: Path, deployment: Intake) -> bool:
    """Whether this preprocess model serves the deployment as it stands."""
    if not _is_preprocess(model):
        return False
    config = read_config(model)
    is_large_enough = config.max_batch_size >= deployment.max_batch_size and _queue(config) >= deployment.max_queue
    return is_large_enough and _settings(config) == _preprocess_settings(deployment)


def _preprocess_settings(deployment: Intake) -> dict[str, str]:
    settings = {
        "sampling_rate": str(deployment.sampling_rate),
        "min_samples": str(deployment.min_samples),
        "max_audio_seconds": f"{deployment.max_audio_seconds:g}",
    }
    return settings | ({_BUCKETS: ",".join(map(str, deployment.buckets))} if deployment.buckets else {})


def _settings(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def _stage_preprocess(target: Path, deployment: Intake) -> None:
    config = _stage_template("preprocess", target)
    config.max_batch_size = max(config.max_batch_size, deployment.max_batch_size)
    # A burst that the acoustic model is to take has to come through here.
    config.dynamic_batching.default_queue_policy.max_queue_size = max(_queue(config), deployment.max_queue)
    for key, value in _preprocess_settings(deployment).items():
        config.parameters[key].string_value = value
    if deployment.buckets:
        engine.pad_in_preprocess(config)
    _write_config(target, config)


def _stage_acoustic(target: Path, graph: Path, deployment: Deployment) -> None:
    config = _stage_template("acoustic", target)
    _set_batching(config, deployment)
    _tensor(config.output, "log_probs").dims[-1] = len(deployment.labels.labels)
    if not deployment.padding_safe:
        # Without these Triton merges requests of equal shape alone.
        _tensor(config.input, "audio").ClearField("allow_ragged_batch")
        del config.batch_input[:]
    for warmup in config.model_warmup:
        warmup.inputs["audio"].dims[0] = max(deployment.labels.sampling_rate, deployment.min_samples)
    if deployment.buckets:
        engine.serve_engine(config, deployment.buckets)
        engine.write_build_script(target, engine.profile(deployment.buckets, deployment.max_batch_size))
    if deployment.gpu:
        config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_GPU
        # Heuristic: by default every algorithm is timed for each new shape, and here nearly every batch has one. Under
        # optimization.execution_accelerators, where it is documented, Triton 24.10 ignores it (server issue 8808).
        config.parameters["cudnn_conv_algo_search"].string_value = "1"
    _write_config(target, config)
    shutil.copytree(graph, target / "1", dirs_exist_ok=True)


def _queue(config: Any) -> int:
    return int(config.dynamic_batching.default_queue_policy.max_queue_size)


def _set_batching(config: Any, deployment: Intake) -> None:
    config.max_batch_size = deployment.max_batch_size
    config.dynamic_batching.default_queue_policy.max_queue_size = deployment.max_queue


def _stage_ctc_decode(target: Path, deployment: Deployment) -> None:
    config = _stage_template("ctc_decode", target)
    config.max_batch_size = deployment.max_batch_size
    _tensor(config.input, "log_probs").dims[-1] = len(deployment.labels.labels)
    _write_config(target, config)
    _write_json(target / "labels.json", asdict(deployment.labels))


def _stage_ensemble(
    target: Path, template: str, names: ModelNames | WhisperNames, deployment: Intake, report: dict[str, Any]
) -> None:
    config = _stage_template(template, target)
    config.max_batch_size = deployment.max_batch_size
    if deployment.buckets:
        engine.pass_lengths(config)
    for step in config.ensemble_scheduling.step:
        step.model_name = getattr(names, step.model_name)
    _write_config(target, config)
    (target / "1").mkdir(exist_ok=True)  # Triton asks for a version, though an ensemble has no file in it
    (target / "1" / ".keep").touch()
    _write_json(target / "export.json", {**report, "models": asdict(names)})


def _stage_template(model: str, target: Path) -> Any:
    source = template_folder() / model
    shutil.copytree(
        source,
        target,
        ignore=shutil.ignore_patterns(
            "__pycache__", "*.onnx*", "*.npy", "labels.json", "whisper.json", "tokenizer.json"
        ),
    )
    config = read_config(source)
    config.name = target.name
    return config


def _tensor(tensors: Any, name: str) -> Any:
    return next(tensor for tensor in tensors if tensor.name == name)


def _write_config(target: Path, config: Any) -> None:
    text = text_format.MessageToString(config)
    (target / "config.pbtxt").write_text(f"# Written by triton-asr export.\n{text}", encoding="utf-8")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """A folder within `output`, which may be a mount of its own: there a rename moves a whole model at once."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=output) as staging:
            staged = Path(staging) / "new"
            staged.mkdir()
            yield staged
    except shutil.Error as error:  # of a whole tree: a list of (source, target, reason), which says the same many times
        raise OutputError(f"cannot write to {output}: {error.args[0][0][-1]}") from error
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error}") from error
    finally:
        with suppress(OSError):  # not empty: it holds models
            output.rmdir()


def _outdated(output: Path, name: str) -> list[str]:
    """The steps that an earlier export of that name wrote for itself: one of another kind leaves them behind."""
    try:
        models = json.loads((output / name / "export.json").read_text(encoding="utf-8"))["models"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    own = {**asdict(model_names(name, "")), **asdict(whisper_names(name, ""))}
    return [model for step, model in own.items() if step in models and model and (output / model).is_dir()]


def _swap_in(staged: Path, output: Path, outdated: Iterable[str]) -> None:
    """Move every staged model into place and outdated ones away; on an error put back what was there."""
    replaced = staged.parent / "old"
    replaced.mkdir()
    moved: list[str] = []
    try:
        for model in outdated:
            (output / model).rename(replaced / model)
        for model in sorted(path.name for path in staged.iterdir()):
            if (output / model).exists():
                (output / model).rename(replaced / model)
            (staged / model).rename(output / model)
            moved.append(model)
    except OSError:
        for model in moved:
            (output / model).rename(staged / model)
        for path in replaced.iterdir():
            path.rename(output / path.name)
        raise
