"""`triton-asr loadtest`: what a server can do, and whether it keeps what was promised."""

import asyncio
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from asr_client.commands import connection

from asr_loadtest import mix as mixes
from asr_loadtest.arguments import Arguments, schedule_of_requests, schedule_of_streams
from asr_loadtest.capacity import RESERVE, TOLERANCE
from asr_loadtest.errors import LoadTestError
from asr_loadtest.results import Arrivals, Slo

if TYPE_CHECKING:
    from asr_loadtest.loadtest import LoadTest
    from asr_loadtest.results import Report

# What a promise of latency says nothing about, and yet means.
DEFAULT_ERROR_RATE = 0.001


def loadtest(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of audio files; or a manifest, whose references give the WER under load."),
    ],
    url: connection.Url = None,
    protocol: connection.Protocol = "grpc",
    model: connection.Model = "asr",
    rates: Annotated[
        str | None, typer.Option(metavar="R,R,…", help="Requests per second to offer, one step after the other.")
    ] = None,
    soak: Annotated[float | None, typer.Option(metavar="MINUTES", help="Hold --rate for this long.")] = None,
    rate: Annotated[float | None, typer.Option(metavar="R", help="Requests per second of --soak.")] = None,
    closed: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="CALLERS",
            help="A closed loop, whose callers wait for their answers: beside each rate, at that rate; or alone.",
        ),
    ] = None,
    streams: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…|search",
            help="Live streams at a time, in place of requests: steps, the number of --soak, or a search for the "
            "highest number that keeps the promise; latencies are then lags of partial results.",
        ),
    ] = None,
    slo_p95_ms: Annotated[float | None, typer.Option(metavar="MS", help="Promise: 95 % of requests within.")] = None,
    slo_p99_ms: Annotated[float | None, typer.Option(metavar="MS", help="Promise: 99 % of requests within.")] = None,
    slo_error_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help=f"Promise: no more errors than this share; {DEFAULT_ERROR_RATE} where a latency is promised.",
        ),
    ] = None,
    slo_changed_rate: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Promise: no more transcripts than this share differ from those alone."
        ),
    ] = None,
    max_rate: Annotated[
        float, typer.Option(metavar="R", help="Highest rate of a search, or number of live streams.")
    ] = 1_000.0,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0.01, max=1, metavar="SHARE", help="How close the short steps of a search come to their limit."
        ),
    ] = TOLERANCE,
    reserve: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="How far the capacity stays below that limit, to last for long."
        ),
    ] = RESERVE,
    duration: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Measured time of a step; a search may need more.")
    ] = 20.0,
    ramp: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Load before the measurement, in no figure.")
    ] = 5.0,
    arrivals: Annotated[Arrivals, typer.Option(help="How requests are spaced.")] = "poisson",
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals, order and mix.")] = 0,
    mix: Annotated[
        str | None, typer.Option(help=f"Make recordings of these lengths, in seconds: {mixes.EXAMPLES}.")
    ] = None,
    recordings: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many to use; by default all, or 50 of a mix.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Compare answers under load with those alone and the references."),
    ] = True,
    late_tolerance: Annotated[
        float,
        typer.Option(min=0.1, metavar="MS", help="A request that is sent this long after its schedule counts as late."),
    ] = 10.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write report.json, .csv and .html.")
    ] = None,
    metrics_url: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The server's metrics, for its GPUs.")
    ] = None,
    timeout: connection.Timeout = 60.0,
    tls: connection.UseTls = False,
    tls_ca: connection.TlsCa = None,
    tls_cert: connection.TlsCert = None,
    tls_key: connection.TlsKey = None,
    header: connection.Headers = None,
) -> None:
    """Put a server under load: requests arrive on a schedule, whether or not earlier ones were answered.

    With --rates, one step for each. With --soak, one rate for long. Else, with a promise (--slo-p95-ms …), a search for
    the highest rate that keeps it. With --streams, the load is live streams, as fast as they are spoken.

    Exit code: 0 all promises kept, 1 one was broken, or a step was no valid measurement, 2 wrong usage.
    """
    slo = _slo(slo_p95_ms, slo_p99_ms, slo_error_rate, slo_changed_rate)
    if slo.changed_rate is not None and not check:
        raise typer.BadParameter("--slo-changed-rate needs the comparison that --no-check leaves out")
    arguments = Arguments(
        rates, soak, rate, closed, streams, protocol, slo, duration, max_rate, tolerance, reserve, seed
    )
    schedule = schedule_of_streams(arguments) if streams is not None else schedule_of_requests(arguments)

    from asr_loadtest import recordings as profiles
    from asr_loadtest.loadtest import LoadTest
    from asr_loadtest.progress import TerminalProgress
    from asr_loadtest.steps.settings import Settings

    server = connection.Connection(url, protocol, model, timeout, tls, tls_ca, tls_cert, tls_key, tuple(header or ()))
    load_test = LoadTest(
        connection=server,
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


def _run(load_test: "LoadTest") -> "Report":
    """Run it, once it is clear that no package is missing: better said now than after an hour of load."""
    from asr_loadtest.loadtest import run

    if load_test.check and any(recording.text is not None for recording in load_test.recordings):
        import jiwer  # noqa: F401
    return asyncio.run(run(load_test))


def _finish(report: "Report", output: Path | None) -> None:
    """Show it, write it, and end with its exit code."""
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
            f"triton-asr: error: the search ended, because a step stayed void when it was repeated: {reasons}", err=True
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
