"""The options of `triton-asr loadtest` that name a load, and the schedule that they ask for."""

import math
from dataclasses import dataclass

import typer

from asr_loadtest.results import Kind, Slo
from asr_loadtest.schedule import Schedule

SEARCH = "search"  # in place of a number of live streams


@dataclass(frozen=True)
class Arguments:
    """The options, as they were typed."""

    rates: str | None
    soak_minutes: float | None
    rate: float | None
    callers: int | None
    streams: str | None
    protocol: str
    slo: Slo
    duration_s: float
    max_rate: float
    tolerance: float
    reserve: float
    seed: int


def schedule_of_requests(arguments: Arguments) -> Schedule:
    """Return the schedule of a load test whose loads are requests.

    Raises:
        typer.BadParameter: the options name no load, or two.
    """
    if arguments.soak_minutes is not None:
        if arguments.rates is not None or arguments.rate is None:
            raise typer.BadParameter("--soak needs one rate: give --rate, and leave out --rates")
        return _soak(arguments, (_rate("--rate", arguments.rate),))
    if arguments.rate is not None:
        raise typer.BadParameter("--rate is for --soak; for steps give --rates")
    if arguments.rates is not None:
        return _steps(arguments, _rates(arguments.rates))
    if arguments.slo.is_empty:
        if arguments.callers is None:
            raise typer.BadParameter(
                "no load is given; give --rates, --soak with --rate, --streams, --closed, or a promise such as "
                "--slo-p95-ms, which searches for the highest rate that keeps it"
            )
        return _steps(arguments, ())
    return _search(arguments)


def schedule_of_streams(arguments: Arguments) -> Schedule:
    """Return the schedule of a load test whose loads are live streams.

    Raises:
        typer.BadParameter: the options name no number of streams, or another load as well.
    """
    if arguments.protocol != "grpc":
        raise typer.BadParameter(
            f"--streams needs --protocol grpc; a load test has no streams over {arguments.protocol}"
        )
    given = (("--rates", arguments.rates), ("--rate", arguments.rate), ("--closed", arguments.callers))
    if others := [name for name, value in given if value is not None]:
        raise typer.BadParameter(f"--streams is a load of its own; leave out {' and '.join(others)}")
    if arguments.streams == SEARCH:
        if arguments.soak_minutes is not None:
            raise typer.BadParameter(f"--streams is {SEARCH!r}; --soak needs a number of streams, such as 8")
        if arguments.slo.is_empty:
            raise typer.BadParameter(f"--streams {SEARCH} needs a promise to keep, such as --slo-p95-ms 1000")
        return _search(arguments)
    numbers = _numbers(arguments.streams or "")
    if arguments.soak_minutes is None:
        return _steps(arguments, numbers)
    if len(numbers) > 1:
        raise typer.BadParameter(f"--streams is {arguments.streams!r}; --soak needs one number")
    return _soak(arguments, numbers)


def _steps(arguments: Arguments, loads: tuple[float, ...]) -> Schedule:
    return _schedule("steps", loads, arguments.duration_s, arguments)


def _soak(arguments: Arguments, loads: tuple[float, ...]) -> Schedule:
    minutes = arguments.soak_minutes or 0.0
    if not 0 < minutes < math.inf:
        raise typer.BadParameter(f"--soak is {minutes:g}; needs minutes above 0")
    return _schedule("soak", loads, 60 * minutes, arguments)


def _search(arguments: Arguments) -> Schedule:
    _rate("--max-rate", arguments.max_rate)
    return _schedule("search", (), arguments.duration_s, arguments)


def _schedule(kind: Kind, loads: tuple[float, ...], duration_s: float, arguments: Arguments) -> Schedule:
    return Schedule(
        kind,
        loads,
        duration_s,
        arguments.callers,
        arguments.max_rate,
        arguments.tolerance,
        arguments.reserve,
        arguments.seed,
        of_streams=bool(arguments.streams),
    )


def _rate(option: str, rate: float) -> float:
    if not _is_rate(rate):
        raise typer.BadParameter(f"{option} is {rate:g}; needs a number above 0")
    return rate


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(map(float, text.split(",")))
    except ValueError:
        rates = ()
    if not rates or not all(map(_is_rate, rates)):
        raise typer.BadParameter(f"--rates is {text!r}; needs requests per second above 0, such as 1,2,4,8")
    return rates


def _is_rate(rate: float) -> bool:
    return 0 < rate < math.inf


def _numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(int, text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"--streams is {text!r}; needs whole numbers from 1, such as 4,8,16, or {SEARCH!r}")
    return tuple(map(float, numbers))
