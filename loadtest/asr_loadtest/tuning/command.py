"""`triton-asr tune`: find the configuration of a repository that serves a load best on this machine."""

import os
import shlex
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_loadtest import mix as mixes
from asr_loadtest.errors import LoadTestError
from asr_loadtest.results import Slo

if TYPE_CHECKING:
    from asr_loadtest.tuning.evidence import Tuning
    from asr_loadtest.tuning.settings import ModelFolders, Space
    from asr_loadtest.tuning.workshop import Load

_NUMBERS = "N,N,…"


def tune(
    repository: Annotated[
        Path, typer.Argument(metavar="DIR", help="The repository, as triton-asr export writes it.", show_default=False)
    ],
    source: Annotated[Path, typer.Argument(help="Folder of audio files, or a manifest.", show_default=False)],
    model: Annotated[str, typer.Option("--model", "-m", help="The model that clients call.")] = "asr",
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="About how long to search; at least three rounds of confirmation are made, however long they take.",
        ),
    ] = 30.0,
    slo_p95_ms: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="MS", help="Compare settings by the highest rate that keeps this promise, not by throughput."
        ),
    ] = None,
    slo_error_rate: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="SHARE", help="The promise also holds no more than this share of errors."),
    ] = 0.001,
    mix: Annotated[
        str | None, typer.Option(help=f"Make recordings of these lengths, in seconds: {mixes.EXAMPLES}.")
    ] = None,
    recordings: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many recordings to use; by default all, or 50 of a mix.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice, order, mix and arrivals.")] = 0,
    callers: Annotated[int, typer.Option(min=1, help="Callers of the closed loop that measures throughput.")] = 32,
    instances: Annotated[str | None, typer.Option(metavar=_NUMBERS, help="Instances to try.")] = None,
    threads: Annotated[
        str | None, typer.Option(metavar=_NUMBERS, help="Threads per instance to try; 0 is ONNX Runtime's choice.")
    ] = None,
    max_batch: Annotated[str | None, typer.Option(metavar=_NUMBERS, help="Largest batches to try.")] = None,
    queue_delay_ms: Annotated[
        str | None,
        typer.Option(metavar=_NUMBERS, help="Queue delays to try, in milliseconds: how long a batch waits to fill."),
    ] = None,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Write the best setting into DIR; config.pbtxt.before-tune keeps the old file."),
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for tune.json and the best configurations.")
    ] = Path("tune"),
) -> None:
    """Find the instances, threads, largest batch and queue delay that serve a load best on this machine.

    Every setting gets a server of its own, on a copy of DIR. A setting counts as better only when its gain exceeds the
    noise; otherwise the current setting stays. The rest of the configuration stays as it is.
    """
    from asr_loadtest import recordings as profiles
    from asr_loadtest.tuning.settings import ModelFolders
    from asr_loadtest.tuning.workshop import Load

    folders = ModelFolders(repository, model)
    space = _space(folders, instances, threads, max_batch, queue_delay_ms)
    sent = profiles.load(source, mix=mix, number=recordings, seed=seed)
    slo = Slo() if slo_p95_ms is None else Slo(p95_ms=slo_p95_ms, error_rate=slo_error_rate)
    tuning = _tune(repository, folders, Load(str(source), sent, slo, callers, seed), space, 60 * minutes)
    _finish(tuning, repository, folders, output, apply=apply)


def _space(
    folders: "ModelFolders",
    instances: str | None,
    threads: str | None,
    max_batch: str | None,
    queue_delay_ms: str | None,
) -> "Space":
    from asr_loadtest.tuning.settings import Space, default_space

    default = default_space(len(os.sched_getaffinity(0)), folders.setting(), folders.takes_delays)
    delays = None if queue_delay_ms is None else _numbers("--queue-delay-ms", queue_delay_ms, 0)
    return Space(
        cores=default.cores,
        instances=default.instances if instances is None else _whole("--instances", instances, 1),
        threads=default.threads if threads is None else _whole("--threads", threads, 0),
        max_batches=default.max_batches if max_batch is None else _whole("--max-batch", max_batch, 1),
        queue_delays_us=default.queue_delays_us if delays is None else tuple(round(1000 * delay) for delay in delays),
    )


def _tune(repository: Path, folders: "ModelFolders", load: "Load", space: "Space", budget_s: float) -> "Tuning":
    from tqdm import tqdm

    from asr_loadtest import recordings as profiles
    from asr_loadtest.report import environment
    from asr_loadtest.tuning.evidence import Measure, Tuning
    from asr_loadtest.tuning.search import Search, method
    from asr_loadtest.tuning.workshop import Workshop

    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    current = folders.setting()
    # Like Ctrl-C, this stops the server, and removes the copy of the repository.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with Workshop(repository, folders, load, lambda line: tqdm.write(line, file=sys.stderr)) as workshop:
        confirmation: Measure = "saturated" if load.slo.is_empty else "capacity"
        search = Search(workshop.measure, space, current, confirmation, budget_s)
        best, gain, noise, reason = search.run()
    profile = workshop.last.profile if workshop.last else profiles.profile(load.source, load.recordings)
    return Tuning(
        started_at=started_at,
        command=shlex.join(["triton-asr", *sys.argv[1:]]),
        machine=environment.machine(),
        repository=str(repository),
        model=folders.ensemble,
        profile=profile,
        slo=load.slo,
        method=method(search),
        current=current,
        best=best,
        gain=gain,
        noise=noise,
        reason=reason,
        runs=tuple(search.runs),
    )


def _finish(tuning: "Tuning", repository: Path, folders: "ModelFolders", output: Path, *, apply: bool) -> None:
    """Show the tuning, and write it."""
    from asr_loadtest.tuning import evidence
    from asr_loadtest.tuning.settings import write_configs

    typer.echo(evidence.text(tuning), nl=False)
    written = [output / "tune.json"]
    try:
        output.mkdir(parents=True, exist_ok=True)
        written[0].write_text(evidence.to_json(tuning), encoding="utf-8")
        if tuning.is_better:
            configs = folders.configs(tuning.best)
            written += write_configs(repository, configs, backup=True) if apply else write_configs(output, configs)
    except OSError as error:
        raise LoadTestError(f"cannot write {error.filename}: {error.strerror or error}") from error
    typer.echo(f"written: {', '.join(map(str, written))}", err=True)


def _whole(option: str, text: str, least: int) -> tuple[int, ...]:
    values = _numbers(option, text, least)
    if not all(value.is_integer() for value in values):
        raise typer.BadParameter(f"{option} is {text!r}; needs whole numbers from {least}, such as 1,2,4")
    return tuple(map(int, values))


def _numbers(option: str, text: str, least: int) -> tuple[float, ...]:
    try:
        values = tuple(map(float, text.split(",")))
    except ValueError:
        values = ()
    if not values or not all(least <= value < float("inf") for value in values):
        raise typer.BadParameter(f"{option} is {text!r}; needs numbers from {least}, such as 1,2,4")
    return values
