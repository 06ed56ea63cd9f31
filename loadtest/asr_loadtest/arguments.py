"""Which loads the options of `triton-asr loadtest` ask for; wrong usage where they name none, or two."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from asr_loadtest.results import Slo

if TYPE_CHECKING:
    from asr_loadtest.loadtest import Course

SEARCH = "search"  # in place of a number of live streams


@dataclass(frozen=True)
class Chosen:
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


def of_requests(chosen: Chosen) -> "Course":
    """The loads that are requests.

    Raises:
        typer.BadParameter: there is none, or two.
    """
    if chosen.soak_minutes is not None:
        if chosen.rates is not None or chosen.rate is None:
            raise typer.BadParameter("--soak needs --rate, and no --rates")
        return _soak(chosen, _rates(f"{chosen.rate:g}"))
    if chosen.rate is not None:
        raise typer.BadParameter("--rate is for --soak; needs --rates for steps")
    if chosen.rates is not None:
        return _steps(chosen, _rates(chosen.rates))
    if chosen.slo.is_empty:
        if chosen.callers is None:
            raise typer.BadParameter(
                "no load is given; needs --rates, --soak and --rate, --streams, --closed, or a promise such as "
                "--slo-p95-ms to search for the highest rate that keeps it"
            )
        return _steps(chosen, ())
    return _search(chosen)


def of_streams(chosen: Chosen) -> "Course":
    """The loads that are live streams.

    Raises:
        typer.BadParameter: there is none, or another one as well.
    """
    if chosen.protocol != "grpc":
        raise typer.BadParameter(f"--streams needs gRPC; Triton has no streams over {chosen.protocol}")
    given = (("--rates", chosen.rates), ("--rate", chosen.rate), ("--closed", chosen.callers))
    if others := [name for name, value in given if value is not None]:
        raise typer.BadParameter(f"--streams is a load of its own; needs no {' and no '.join(others)}")
    if chosen.streams == SEARCH:
        if chosen.soak_minutes is not None:
            raise typer.BadParameter("--soak needs a number of --streams")
        if chosen.slo.is_empty:
            raise typer.BadParameter(f"--streams {SEARCH} needs a promise to keep, such as --slo-p95-ms 1000")
        return _search(chosen)
    numbers = _numbers(chosen.streams or "")
    if chosen.soak_minutes is None:
        return _steps(chosen, numbers)
    if len(numbers) > 1:
        raise typer.BadParameter(f"--streams is {chosen.streams!r}; --soak needs one number")
    return _soak(chosen, numbers)


def _steps(chosen: Chosen, loads: tuple[float, ...]) -> "Course":
    from asr_loadtest.loadtest import Course

    return Course("steps", loads, chosen.duration_s, chosen.callers, seed=chosen.seed, of_streams=bool(chosen.streams))


def _soak(chosen: Chosen, loads: tuple[float, ...]) -> "Course":
    from asr_loadtest.loadtest import Course

    minutes = chosen.soak_minutes or 0.0
    if not 0 < minutes < math.inf:
        raise typer.BadParameter(f"--soak is {minutes:g}; needs minutes above 0")
    return Course("soak", loads, 60 * minutes, chosen.callers, seed=chosen.seed, of_streams=bool(chosen.streams))


def _search(chosen: Chosen) -> "Course":
    from asr_loadtest.loadtest import Course

    _rates(f"{chosen.max_rate:g}")
    return Course(
        "search",
        (),
        chosen.duration_s,
        chosen.callers,
        chosen.max_rate,
        chosen.tolerance,
        chosen.reserve,
        chosen.seed,
        of_streams=bool(chosen.streams),
    )


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(map(float, text.split(",")))
    except ValueError:
        rates = ()
    if not rates or not all(0 < rate < math.inf for rate in rates):
        raise typer.BadParameter(f"rates are {text!r}; needs requests per second above 0, such as 1,2,4,8")
    return rates


def _numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(int, text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"--streams is {text!r}; needs whole numbers from 1, such as 4,8,16, or {SEARCH!r}")
    return tuple(map(float, numbers))
