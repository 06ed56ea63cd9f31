"""A checked graph and its labels -> models in a Triton repository: the export writes all of them or none."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asr_contract.labels import Labels
from asr_contract.names import RESERVED_ENDS, ModelNames, WhisperNames
from tritonclient.grpc import model_config_pb2

from asr_export.errors import OutputError
from asr_export.repository import engine, machine_code, preprocess_step
from asr_export.repository.engine import Profile
from asr_export.repository.language_model import LanguageModel
from asr_export.repository.model_folder import copy_template, tensor, write_config, write_json

# Of a Whisper's artefacts, those that the model needs that callers know.
WHISPER_FILES = ("whisper.json", "tokenizer.json", "mel_filters.npy")
# Window of a long recording: about the length on which models are trained, and long enough that the ends cost little.
WINDOW_SECONDS = 20.0
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class WhisperDeployment:
    """The settings of a Whisper's configurations that the template does not hold."""

    max_batch_size: int  # recordings that are transcribed side by side
    max_queue: int  # recordings that may wait
    max_audio_seconds: float  # the longest recording
    sampling_rate: int  # Hz
    window: tuple[int, int]  # mel bands and frames of a window
    min_samples: int = 1  # silence fills up the window
    buckets: tuple[int, ...] = ()
    gpu: bool = False  # the model runs only on a GPU
    max_streams: int = 16  # live streams at a time


@dataclass(frozen=True)
class Deployment:
    """The settings of a CTC model's configurations that the template does not hold."""

    max_batch_size: int  # recordings in one run of the acoustic model
    max_queue: int  # recordings that may wait for a run
    max_audio_seconds: float  # the longest recording; it limits memory together with max_batch_size
    min_samples: int  # the shortest recording
    labels: Labels
    padding_safe: bool = True  # False: the graph takes `audio` `[n, time]`, and a batch holds equal lengths only
    profile: Profile | None = None  # of the TensorRT engine that runs the graph; None: ONNX Runtime runs it
    buckets: tuple[int, ...] = ()  # lengths to which audio is padded, for an engine of a dense graph
    gpu: bool = False  # the acoustic model runs only on a GPU
    language_model: LanguageModel | None = None  # for beam search
    max_streams: int = 64  # live streams at a time

    @property
    def sampling_rate(self) -> int:
        """Sampling rate of the model, in Hz."""
        return self.labels.sampling_rate


def check_output(output: Path, name: str) -> None:
    """Refuse a name or an output that the last step could not use, before the work begins.

    Raises:
        OutputError: Triton or the kit cannot take the name, the output is a file, or it holds a model of that name
            which no export wrote.
    """
    if not _MODEL_NAME.fullmatch(name) or name.endswith(RESERVED_ENDS):
        raise OutputError(
            f"--name is {name!r}; needs letters, digits, '_', '-' or '.', and an end other than "
            + ", ".join(RESERVED_ENDS)
        )
    if output.exists() and not output.is_dir():
        raise OutputError(f"--output {output} is not a folder")
    own = {*vars(ModelNames.of(name, "")).values(), *vars(WhisperNames.of(name, "")).values()} - {""}
    taken = sorted(model for model in own if (output / model).exists())
    if taken and not (output / name / "export.json").is_file():
        raise OutputError(
            f"{output} already holds {', '.join(taken)}, which no export called {name!r} wrote: choose another --name"
        )


def write_models(output: Path, name: str, graph: Path, deployment: Deployment, report: dict[str, Any]) -> ModelNames:
    """Write one export into a repository; other models there stay as they are.

    Args:
        output: the repository; made if it does not exist.
        name: of the ensemble. The new export replaces an earlier one of that name.
        graph: folder with `model.onnx` and, for a large model, its data file.
        deployment: the settings of the configurations.
        report: the content of `export.json`; this function adds the names of the models.

    Raises:
        OutputError: see `check_output`.
    """
    check_output(output, name)
    names = ModelNames.of(name, preprocess_step.choose(output, name, deployment))
    if deployment.buckets:  # only the preprocess step makes padded audio
        names = replace(names, long="", stream="")
    with _staging(output) as staged:
        preprocess_step.stage(staged, output, names.preprocess, names.runner, deployment)
        _stage_acoustic(staged / names.acoustic, graph, deployment)
        _stage_ctc_decode(staged / names.ctc_decode, deployment)
        if names.long:
            rate, longest = str(deployment.sampling_rate), f"{min(WINDOW_SECONDS, deployment.max_audio_seconds):g}"
            _stage_caller(
                staged / names.long, "asr_long", names, deployment, sampling_rate=rate, window_seconds=longest
            )
            most = str(deployment.max_streams)
            _stage_caller(
                staged / names.stream, "asr_stream", names, deployment, longest_seconds=longest, max_streams=most
            )
        _stage_ensemble(staged / names.ensemble, names, deployment, report)
        _swap_in(staged, output, _outdated(output, name))
    return names


def write_whisper(
    output: Path, name: str, artefacts: Path, deployment: WhisperDeployment, report: dict[str, Any]
) -> WhisperNames:
    """Write one export of a Whisper into a repository, as `write_models` does for a CTC model.

    Args:
        output: the repository; made if it does not exist.
        name: of the model that callers know. The new export replaces an earlier one of that name.
        artefacts: folder with the graphs and the other files of the decode step.
        deployment: the settings of the configurations.
        report: the content of `export.json`; this function adds the names of the models.

    Raises:
        OutputError: see `check_output`.
    """
    check_output(output, name)
    names = WhisperNames.of(name, preprocess_step.choose(output, name, deployment))
    with _staging(output) as staged:
        preprocess_step.stage(staged, output, names.preprocess, "", deployment)
        _stage_whisper_generate(staged / names.whisper_generate, artefacts, deployment)
        own = {"recordings": str(deployment.max_batch_size), "max_queue": str(deployment.max_queue)}
        callers = {
            names.ensemble: ("asr_whisper", {"preprocess": names.preprocess, **own}),
            names.long: ("asr_whisper_long", {}),
            names.stream: ("asr_whisper_stream", {"max_streams": str(deployment.max_streams)}),
        }
        for model, (template, settings) in callers.items():
            settings = {"whisper_generate": names.whisper_generate, **settings}
            _stage_whisper_caller(staged / model, template, artefacts, settings)
        write_json(staged / names.ensemble / "export.json", {**report, "models": asdict(names)})
        _swap_in(staged, output, _outdated(output, name))
    return names


def _stage_whisper_caller(target: Path, template: str, artefacts: Path, settings: dict[str, str]) -> None:
    """Stage a model that sends windows to the one with the graphs."""
    config = copy_template(template, target)
    for key, value in settings.items():
        config.parameters[key].string_value = value
    write_config(target, config)
    for file in WHISPER_FILES:
        shutil.copyfile(artefacts / file, target / "1" / file)


def _stage_whisper_generate(target: Path, artefacts: Path, deployment: WhisperDeployment) -> None:
    config = copy_template("whisper_generate", target)
    config.parameters["max_rows"].string_value = str(deployment.max_batch_size)
    tensor(config.input, "features").dims[:] = deployment.window
    if deployment.gpu:
        config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_GPU
    write_config(target, config)
    shutil.copytree(artefacts, target / "1", dirs_exist_ok=True)


def _stage_acoustic(target: Path, graph: Path, deployment: Deployment) -> None:
    config = copy_template("acoustic", target)
    config.max_batch_size = deployment.max_batch_size
    tensor(config.output, "log_probs").dims[-1] = len(deployment.labels.labels)
    if not deployment.padding_safe:
        # Without these, Triton merges only requests of equal shape.
        tensor(config.input, "audio").ClearField("allow_ragged_batch")
        del config.batch_input[:]
    for warmup in config.model_warmup:
        warmup.inputs["audio"].dims[0] = max(deployment.labels.sampling_rate, deployment.min_samples)
    if deployment.profile:
        engine.serve_engine(config, deployment.buckets)
        engine.write_build_script(target, deployment.profile)
    if deployment.gpu:
        config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_GPU
    write_config(target, config)
    shutil.copytree(graph, target / "1", dirs_exist_ok=True)


def _stage_ctc_decode(target: Path, deployment: Deployment) -> None:
    config = copy_template("ctc_decode", target)
    config.max_batch_size = deployment.max_batch_size
    tensor(config.input, "log_probs").dims[-1] = len(deployment.labels.labels)
    write_config(target, config)
    write_json(target / "labels.json", asdict(deployment.labels))
    machine_code.copy_to(target)
    if deployment.language_model:
        deployment.language_model.copy_to(target)


def _stage_caller(target: Path, template: str, names: ModelNames, deployment: Deployment, **settings: str) -> None:
    """Stage a model that calls the acoustic model and the decode step itself."""
    config = copy_template(template, target)
    shared = {
        "acoustic": names.acoustic,
        "ctc_decode": names.ctc_decode,
        "min_samples": str(deployment.min_samples),
    }
    for key, value in {**shared, **settings}.items():
        config.parameters[key].string_value = value
    write_config(target, config)
    write_json(target / "labels.json", asdict(deployment.labels))


def _stage_ensemble(
    target: Path,
    names: ModelNames,
    deployment: Deployment,
    report: dict[str, Any],
) -> None:
    config = copy_template("asr", target)
    config.max_batch_size = deployment.max_batch_size
    if deployment.buckets:
        engine.pass_lengths(config)
    for step in config.ensemble_scheduling.step:
        step.model_name = getattr(names, step.model_name)
    write_config(target, config)
    (target / "1").mkdir(exist_ok=True)  # Triton requires a version folder, though an ensemble has no file in it
    (target / "1" / ".keep").touch()
    write_json(target / "export.json", {**report, "models": asdict(names)})


@contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """Yield a new folder inside `output`, so that a rename moves a whole model at once, even if `output` is a mount."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=output) as staging:
            staged = Path(staging) / "new"
            staged.mkdir()
            yield staged
    except shutil.Error as error:  # it lists (source, target, reason) of a whole tree, mostly with the same reason
        raise OutputError(f"cannot write to {output}: {error.args[0][0][-1]}") from error
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error}") from error
    finally:
        with suppress(OSError):  # rmdir fails, as intended, if the repository holds models
            output.rmdir()


def _outdated(output: Path, name: str) -> list[str]:
    """Return the models that an earlier export of that name wrote; an export of another kind would leave them."""
    try:
        models = json.loads((output / name / "export.json").read_text(encoding="utf-8"))["models"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    own = {**asdict(ModelNames.of(name, "")), **asdict(WhisperNames.of(name, ""))}
    return [model for step, model in own.items() if models.get(step) and model and (output / model).is_dir()]


def _swap_in(staged: Path, output: Path, outdated: Iterable[str]) -> None:
    """Move every staged model into place and outdated ones away; on an error, restore the models from before."""
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
