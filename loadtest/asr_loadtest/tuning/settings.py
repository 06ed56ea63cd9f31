"""The settings that tuning changes in a repository, read from its configurations and written to them as protobuf text.

Everything else in the configurations stays as it is: queue limits, timeouts, tensors, warm-up.
"""

import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from asr_loadtest.errors import LoadTestError

THREADS = "intra_op_thread_count"
# Of a model that makes up its batches itself, and needs no delay for that: the parameter with their size.
ROWS = "max_rows"
# Parameters in which a model that is no ensemble names the models that it calls.
_CALLED = ("whisper_generate",)
BACKUP_SUFFIX = ".before-tune"
_CONFIG = "config.pbtxt"


class InvalidRepository(LoadTestError, ValueError):
    """The repository cannot be tuned; the message says what it lacks."""


@dataclass(frozen=True, order=True)
class Setting:
    """One way to serve the acoustic model."""

    instances: int
    threads: int  # of one operator, in each instance; 0: ONNX Runtime chooses, and takes all cores
    max_batch: int  # recordings in one run
    queue_delay_us: int  # how long a batch waits to fill

    def __str__(self) -> str:
        threads = f"{self.threads} threads" if self.threads != 1 else "1 thread"
        placement = f"{self.instances} x {threads if self.threads else 'all cores'}"
        return f"{placement}, batch {self.max_batch}, delay {self.queue_delay_us / 1000:g} ms"


@dataclass(frozen=True)
class Space:
    """The settings that tuning tries, without instances and threads that need more cores than there are."""

    cores: int
    instances: tuple[int, ...]
    threads: tuple[int, ...]
    max_batches: tuple[int, ...]
    queue_delays_us: tuple[int, ...]

    def placements(self) -> tuple[tuple[int, int], ...]:
        """Return the (instances, threads) that fill at least half of the cores, and do not need more than all."""
        pairs = itertools.product(self.instances, self.threads)
        return tuple(pair for pair in pairs if self.cores <= 2 * self._cores_of(*pair) <= 2 * self.cores)

    def _cores_of(self, instances: int, threads: int) -> int:
        return instances * (threads or self.cores)


def default_space(cores: int, current: Setting, delays: bool = True) -> Space:
    """Return the space of powers of two, up to the cores, and around the current setting.

    Args:
        cores: of this machine.
        current: the setting in the repository.
        delays: whether the model takes a queue delay.
    """
    powers = tuple(2**power for power in range(cores.bit_length()))
    batches = {current.max_batch, max(1, current.max_batch // 2), max(1, current.max_batch // 4), 2 * current.max_batch}
    return Space(
        cores=cores,
        instances=powers,
        threads=(0, *powers, *({cores} - set(powers))),
        max_batches=tuple(sorted(batches)),
        queue_delays_us=tuple(sorted({current.queue_delay_us, 0, 2_000, 5_000})) if delays else (0,),
    )


class ModelFolders:
    """The two models of a repository that a setting changes: the ensemble and its acoustic model.

    Args:
        repository: a folder of model folders, as `triton-asr export` writes it.
        ensemble: the model that clients call.

    Raises:
        InvalidRepository: a configuration is missing or malformed, or no step of the ensemble can be tuned.
    """

    def __init__(self, repository: Path, ensemble: str) -> None:
        self._repository = repository
        self.ensemble = ensemble
        self.acoustic = self._find_acoustic()

    def setting(self) -> Setting:
        """Return the setting that is configured now."""
        config = _read(self._repository / self.acoustic)
        threads = config.parameters[THREADS].string_value if THREADS in config.parameters else "0"
        return Setting(
            instances=sum(group.count or 1 for group in config.instance_group) or 1,
            threads=_integer(threads, self.acoustic),
            max_batch=_integer(config.parameters[ROWS].string_value, self.acoustic)
            if ROWS in config.parameters
            else config.max_batch_size,
            queue_delay_us=config.dynamic_batching.max_queue_delay_microseconds,
        )

    @property
    def takes_delays(self) -> bool:
        """Return whether Triton makes up the batches of the acoustic model, and may wait for them to fill."""
        return ROWS not in _read(self._repository / self.acoustic).parameters

    def configs(self, setting: Setting) -> dict[str, str]:
        """Return the configurations that the setting changes: name of the model -> text of its file."""
        current = self.setting()
        acoustic, ensemble = _read(self._repository / self.acoustic), _read(self._repository / self.ensemble)
        if setting.instances != current.instances:
            self._set_instances(acoustic, setting.instances)
        if setting.threads != current.threads:
            acoustic.parameters[THREADS].string_value = str(setting.threads)
        if setting.queue_delay_us and not self.takes_delays:
            raise InvalidRepository(f"{self.acoustic} makes up its batches itself; needs a queue delay of 0")
        if setting.queue_delay_us != current.queue_delay_us:
            acoustic.dynamic_batching.max_queue_delay_microseconds = setting.queue_delay_us
        if ROWS in acoustic.parameters:
            acoustic.parameters[ROWS].string_value = str(setting.max_batch)
        else:
            acoustic.max_batch_size = setting.max_batch
            # Triton refuses an ensemble that promises larger batches than a step takes.
            ensemble.max_batch_size = min(ensemble.max_batch_size, setting.max_batch)
        changed = {self.acoustic: acoustic, self.ensemble: ensemble}
        return {
            str(model): f"# Written by triton-asr tune.\n{text_format.MessageToString(config)}"
            for model, config in changed.items()
            if config != _read(self._repository / model)
        }

    def _find_acoustic(self) -> str:
        config = _read(self._repository / self.ensemble)
        called = [config.parameters[name].string_value for name in _CALLED if name in config.parameters]
        steps = [*(step.model_name for step in config.ensemble_scheduling.step), *called] or [self.ensemble]
        for step in steps:
            found = _read(self._repository / step)
            if found.backend == "onnxruntime" or found.platform == "onnxruntime_onnx" or THREADS in found.parameters:
                return str(step)
        raise InvalidRepository(
            f"{self._repository}: no step of {self.ensemble} ({', '.join(steps)}) runs on ONNX Runtime; only such a "
            "step can be tuned"
        )

    def _set_instances(self, config: Any, instances: int) -> None:
        if len(config.instance_group) > 1:
            groups = len(config.instance_group)
            raise InvalidRepository(f"{self.acoustic} has {groups} instance groups; tuning needs one")
        group = config.instance_group[0] if config.instance_group else config.instance_group.add()
        group.count = instances


def link_copy(repository: Path, target: Path) -> None:
    """Copy a repository: configurations in full, the rest by hard links where both are on one file system."""

    def copy(source: str, destination: str) -> None:
        if Path(source).name != _CONFIG:
            try:
                os.link(source, destination)
                return
            except OSError:  # another file system, or one without links
                pass
        shutil.copy2(source, destination)

    shutil.copytree(repository, target, copy_function=copy, ignore=shutil.ignore_patterns("__pycache__"))


def write_configs(repository: Path, configs: dict[str, str], *, backup: bool = False) -> list[Path]:
    """Replace configurations, each in one move, and return their paths.

    With `backup`, the old file stays beside each, with the suffix `.before-tune`. A backup from an earlier run is kept,
    because it is the original.
    """
    paths = []
    for model, text in configs.items():
        path = repository / model / _CONFIG
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path.with_name(path.name + BACKUP_SUFFIX)
        if backup and path.exists() and not kept.exists():
            shutil.copy2(path, kept)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)
        paths.append(path)
    return paths


def _read(model: Path) -> Any:
    path = model / _CONFIG
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InvalidRepository(f"cannot read {path}: {error}") from error


def _integer(text: str, model: str) -> int:
    if not text.isdecimal():
        raise InvalidRepository(f"{THREADS} of {model} is {text!r}; needs a number of threads, or 0")
    return int(text)
