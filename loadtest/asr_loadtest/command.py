"""`triton-asr loadtest`: measure what load a server carries, and whether it keeps its promises."""

import asyncio
import dataclasses
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from asr_client.commands import connection, groups

from asr_loadtest import mix as mixes
from asr_loadtest.arguments import Arguments, schedule_of_requests, schedule_of_streams
from asr_loadtest.capacity import RESERVE, TOLERANCE
from asr_loadtest.errors import LoadTestError
from asr_loadtest.results import Arrivals, Slo

if TYPE_CHECKING:
    from asr_loadtest.loadtest import LoadTest
    from asr_loadtest.openai.endpoint import Endpoint
    from asr_loadtest.results import Report

Protocol = Literal["grpc", "http", "openai"]

# A promise of latency implies one of errors: a server that fails every request quickly keeps no promise.
DEFAULT_ERROR_RATE = 0.001


@groups.grouped
def loadtest(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of audio files, or a manifest, whose references give the WER under load."),
    ],
    rates: Annotated[
        str | None, typer.Option(metavar="R,R,…", help="Requests per second to offer: one step for each rate.")
    ] = None,
    soak: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="Hold one load, --rate or --streams, for this long.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="R", help="Requests per second of --soak.")] = None,
    closed: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="CALLERS",
            help="Callers of a closed loop, who wait for their answers: one such step beside each rate, at that rate; "
            "or this step alone.",
        ),
    ] = None,
    streams: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…|search",
            help="Live streams at a time, in place of requests: one step for each number, or one number for --soak, or "
            "a search for the highest number that keeps the promise. Latencies are then lags of partial results.",
        ),
    ] = None,
    slo_p95_ms: Annotated[
        float | None, typer.Option(metavar="MS", help="Promise: 95 % of the requests are answered within this time.")
    ] = None,
    slo_p99_ms: Annotated[
        float | None, typer.Option(metavar="MS", help="Promise: 99 % of the requests are answered within this time.")
    ] = None,
    slo_error_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help=f"Promise: no more than this share of the requests fail; {DEFAULT_ERROR_RATE} where a latency is "
            "promised.",
        ),
    ] = None,
    slo_changed_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Promise: no more than this share of the transcripts differ from those without load.",
        ),
    ] = None,
    max_rate: Annotated[
        float, typer.Option(metavar="R", help="Highest rate, or number of live streams, that a search tries.")
    ] = 1_000.0,
    tolerance: Annotated[
        float,
        typer.Option(min=0.01, max=1, metavar="SHARE", help="How close the short steps of a search come to the limit."),
    ] = TOLERANCE,
    reserve: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="How far the capacity stays below that limit, so that it lasts."
        ),
    ] = RESERVE,
    duration: Annotated[
        float,
        typer.Option(min=0.1, metavar="SECONDS", help="Measured time of a step; steps of a search may take longer."),
    ] = 20.0,
    ramp: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Load before the measurement; no figure counts it.")
    ] = 5.0,
    arrivals: Annotated[Arrivals, typer.Option(help="How requests are spaced in time.")] = "poisson",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the arrivals, the order of recordings and the mix.")] = 0,
    mix: Annotated[
        str | None, typer.Option(help=f"Make recordings of these lengths, in seconds: {mixes.EXAMPLES}.")
    ] = None,
    recordings: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many recordings to use; by default all, or 50 of a mix.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check", help="Compare answers under load with those without load, and with the references."
        ),
    ] = True,
    late_tolerance: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="MS", help="A request counts as late when it is sent this long after its scheduled time."
        ),
    ] = 10.0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write report.json, report.csv and report.html into this folder."
        ),
    ] = None,
    metrics_url: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where the server gives its metrics, to read its GPUs.")
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            "-i",
            help="Protocol of the server. openai: of `triton-asr gateway`, with -u http://HOST:PORT, and a key in the "
            "environment variable OPENAI_API_KEY.",
        ),
    ] = "grpc",
    server: Annotated[connection.Connection, groups.Without("protocol")] = connection.DEFAULT,
) -> None:
    """Put a server under load: requests arrive on a schedule, whether or not earlier ones were answered.

    --rates holds one step for each rate. --soak holds one load for a long time. A promise (--slo-p95-ms …) without
    either searches for the highest rate that keeps it. With --streams the load is live streams, each sent as fast as it
    is spoken.

    Exit code: 0 all promises were kept, 1 a promise was broken or a step was no valid measurement, 2 wrong usage.
    """
    slo = _slo(slo_p95_ms, slo_p99_ms, slo_error_rate, slo_changed_rate)
    if slo.changed_rate is not None and not check:
        raise typer.BadParameter(
            "--slo-changed-rate compares transcripts, and --no-check does not: leave out one of them"
        )
    arguments = Arguments(
        rates, soak, rate, closed, streams, protocol, slo, duration, max_rate, tolerance, reserve, seed
    )
    schedule = schedule_of_streams(arguments) if streams is not None else schedule_of_requests(arguments)
    target = _target(server, protocol, metrics_url)

    from asr_loadtest import recordings as profiles
    from asr_loadtest.loadtest import LoadTest
    from asr_loadtest.progress import TerminalProgress
    from asr_loadtest.steps.settings import Settings

    load_test = LoadTest(
        connection=target,
        source=str(source),
        recordings=profiles.load(source, mix=mix, number=recordings, seed=seed),
        settings=Settings(slo, arrivals, ramp, late_tolerance),
        schedule=schedule,
        check=check,
        metrics_url=metrics_url,
        command=shlex.join(["triton-asr", *sys.argv[1:]]),
        progress=TerminalProgress(),
    )
    _finish(_run(load_test), output)


def _target(
    server: connection.Connection, protocol: Protocol, metrics_url: str | None
) -> "connection.Connection | Endpoint":
    """Return the server under test.

    Raises:
        typer.BadParameter: an option is not valid, or nothing for this protocol.
    """
    if protocol != "openai":
        return dataclasses.replace(server, protocol=protocol)
    from asr_client import InvalidOption

    from asr_loadtest.openai.endpoint import Endpoint

    if metrics_url is not None:
        raise typer.BadParameter("--metrics-url is for a server of Triton; leave it out with --protocol openai")
    try:
        return Endpoint.at(server.url, server.model, server.timeout_s, server.header_fields, server.security)
    except InvalidOption as error:
        raise typer.BadParameter(str(error)) from error


def _run(load_test: "LoadTest") -> "Report":
    """Return the report. A missing package is an error now, and not after an hour of load."""
    from asr_loadtest.loadtest import run

    if load_test.check and any(recording.text is not None for recording in load_test.recordings):
        import jiwer  # noqa: F401
    return asyncio.run(run(load_test))


def _finish(report: "Report", output: Path | None) -> None:
    """Show the report, write it, and exit with its code."""
    from asr_loadtest.report import files, table

    typer.echo(table.text(report), nl=False)
    if output is not None:
        try:
            paths = files.write(report, output)
        except OSError as error:
            raise LoadTestError(f"cannot write to {output}: {error.strerror or error}") from error
        typer.echo(f"written: {', '.join(map(str, paths))}", err=True)
    if report.kind == "search" and report.capacity is None:
        reasons = "; ".join(report.steps[-1].void)
        typer.echo(
            f"triton-asr: error: the search ended, because a step was void each time that it was tried: {reasons}",
            err=True,
        )
    if not report.ok:
        raise typer.Exit(1)


def _slo(p95_ms: float | None, p99_ms: float | None, error_rate: float | None, changed_rate: float | None) -> Slo:
    for name, value in (("--slo-p95-ms", p95_ms), ("--slo-p99-ms", p99_ms)):
        if value is not None and not 0 < value < math.inf:
            raise typer.BadParameter(f"{name} is {value:g}; needs milliseconds above 0")
    if error_rate is None and (p95_ms is not None or p99_ms is not None):
        error_rate = DEFAULT_ERROR_RATE
    return Slo(p95_ms, p99_ms, error_rate, changed_rate)
