"""The `preprocess` step of a repository; models with the same settings share it."""

from pathlib import Path
from typing import Any, Protocol

from asr_export.errors import OutputError
from asr_export.repository import engine
from asr_export.repository.model_folder import copy_template, queue_policy, read_config, write_config

_LIMITS = {"sampling_rate", "min_samples", "max_audio_seconds"}
_BUCKETS = "bucket_samples"
_FEEDS = "feeds"
NAME = "preprocess"


class Intake(Protocol):
    """The facts about a model, CTC or Whisper, that its preprocess step must know."""

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
        """Sampling rate in Hz."""

    @property
    def buckets(self) -> tuple[int, ...]:
        """Lengths in samples to which audio is padded; none for a model that takes any length."""


def choose(output: Path, name: str, intake: Intake) -> str:
    """Return the name of the step: `preprocess`, if the model can share it, else a name of its own.

    Args:
        output: the repository.
        name: of the export.
        intake: the facts about its model.

    Raises:
        OutputError: the step needs a name of its own, but a model which no export wrote has that name.
    """
    shared = output / NAME
    if not shared.exists() or _fits(shared, intake) or (_is_preprocess(shared) and not _callers(output, name)):
        return NAME
    own = output / f"{name}_preprocess"
    if own.exists() and not _is_preprocess(own):
        raise OutputError(f"{output} already holds {own.name}, which no export wrote: choose another --name")
    return own.name


def stage(staged: Path, output: Path, model: str, runner: str, intake: Intake) -> None:
    """Write the step into the staging folder: this kit's code, and the existing configuration if it fits.

    Args:
        staged: the staging folder.
        output: the repository.
        model: name of the step in the repository.
        runner: the model that it feeds, beside those that it feeds already; "" for one that bounds its own queue.
        intake: the facts about that model.
    """
    config, feeds = copy_template(NAME, staged / model), {}
    if _fits(output / model, intake):
        made = list(config.output)
        config = read_config(output / model)  # someone may have tuned it by hand
        # An export of an earlier version made fewer tensors. The models that it feeds do not ask for the new ones.
        known = {tensor.name for tensor in config.output}
        config.output.extend(tensor for tensor in made if tensor.name not in known)
        feeds = _feeds(config)
    else:
        config.max_batch_size = max(config.max_batch_size, intake.max_batch_size)
        # A burst that the acoustic model can take must be able to wait here, too.
        queue = queue_policy(config)
        queue.max_queue_size = max(queue.max_queue_size, intake.max_queue)
        for key, value in _limits(intake).items():
            config.parameters[key].string_value = value
        if intake.buckets:
            engine.pad_in_preprocess(config)
    if runner:
        feeds[runner] = intake.max_queue
    config.parameters[_FEEDS].string_value = ",".join(f"{fed}={queue}" for fed, queue in sorted(feeds.items()))
    write_config(staged / model, config)


def _callers(output: Path, name: str) -> list[str]:
    """Return the models other than `name` that use the shared step: ensembles, and models that call it."""
    others = [path for path in output.iterdir() if path.name != name and (path / "config.pbtxt").is_file()]
    return [path.name for path in others if NAME in _steps(read_config(path))]


def _steps(config: Any) -> list[str]:
    called = _settings(config).get(NAME)
    return [step.model_name for step in config.ensemble_scheduling.step] + ([called] if called else [])


def _is_preprocess(model: Path) -> bool:
    """Return whether an export wrote this preprocess model."""
    if not (model / "config.pbtxt").is_file():
        return False
    return _settings(read_config(model)).keys() - {_BUCKETS, _FEEDS} == _LIMITS


def _fits(model: Path, intake: Intake) -> bool:
    """Return whether this preprocess model can serve another model without a change."""
    if not _is_preprocess(model):
        return False
    config = read_config(model)
    queue = queue_policy(config).max_queue_size
    is_large_enough = config.max_batch_size >= intake.max_batch_size and queue >= intake.max_queue
    limits = {key: value for key, value in _settings(config).items() if key != _FEEDS}
    return is_large_enough and limits == _limits(intake)


def _limits(intake: Intake) -> dict[str, str]:
    limits = {
        "sampling_rate": str(intake.sampling_rate),
        "min_samples": str(intake.min_samples),
        "max_audio_seconds": f"{intake.max_audio_seconds:g}",
    }
    return limits | ({_BUCKETS: ",".join(map(str, intake.buckets))} if intake.buckets else {})


def _settings(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def _feeds(config: Any) -> dict[str, int]:
    """Return the models that the step feeds, with the number of requests that may wait for each."""
    pairs = (pair.partition("=") for pair in _settings(config).get(_FEEDS, "").split(",") if pair)
    return {fed: int(queue) for fed, _, queue in pairs}
