"""Rounds in which both ways take turns, and the figures of all rounds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
from peers.figures import spread
from tqdm import tqdm

from gateway_bench.processes import Callers, Gateway, cpu_s

DIRECT, GATEWAY = "direct", "gateway"
Round = Mapping[str, dict[str, Any]]  # way -> its figures

WARM_UP_S = 3.0
SURE = 0.005  # standard error of the ratio; what single rounds differ by depends on who else uses the machine


def in_turns(
    ways: Mapping[str, Callers],
    gateway: Gateway,
    server: psutil.Process,
    numbers: Sequence[int],
    rounds: Sequence[int],
    seconds: float,
) -> dict[str, Any]:
    """Measure both ways with each number of callers, in rounds of alternating order.

    Args:
        ways: callers of each.
        gateway: of the one way.
        server: of both.
        numbers: of callers at a time.
        rounds: how many, and how many at most with the most callers: they go on until the ratio's error is `SURE`.
        seconds: of each measurement.

    Returns:
        The figures by number of callers.

    Raises:
        RuntimeError: the ways give different transcripts.
    """
    if ways[DIRECT].texts() != ways[GATEWAY].texts():
        raise RuntimeError("the gateway's transcripts are not those of gRPC; figures of wrong answers mean nothing")
    for callers in ways.values():
        callers.load(max(numbers), WARM_UP_S)
    found: dict[int, list[Round]] = {number: [] for number in numbers}
    least, most = min(rounds), max(rounds)
    kept = found[max(numbers)]

    def measure(number: int) -> None:
        order = list(ways) if len(found[number]) % 2 == 0 else list(ways)[::-1]
        found[number].append({way: _measured(ways[way], gateway, server, number, seconds) for way in order})

    for _ in tqdm(range(least), desc="rounds"):
        for number in numbers:
            measure(number)
    with tqdm(total=most - least, desc="more rounds, until the ratio is sure") as progress:
        while len(kept) < most and (len(kept) < 2 or ratio(kept)["error"] > SURE):
            measure(max(numbers))
            progress.update()
    return {str(number): figures(ones) for number, ones in found.items()}


def _measured(
    callers: Callers, gateway: Gateway, server: psutil.Process, number: int, seconds: float
) -> dict[str, Any]:
    before_s = cpu_s(gateway.process), cpu_s(server)
    loaded = callers.load(number, seconds)
    spent_s = [after - before for after, before in zip((cpu_s(gateway.process), cpu_s(server)), before_s, strict=True)]
    of_each = [1e3 * one_s / max(1, loaded["requests"]) for one_s in spent_s]
    return {**loaded, "gateway_cpu_ms": of_each[0], "server_cpu_ms": of_each[1]}


def figures(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the median and the range of each figure over the rounds, and the ratio of the throughputs."""
    names = ("rate", "p50_ms", "cpu_ms", "server_cpu_ms")
    ways: dict[str, dict[str, Any]] = {
        way: {name: spread(one[way][name] for one in rounds) for name in names} for way in (DIRECT, GATEWAY)
    }
    ways[GATEWAY]["gateway_cpu_ms"] = spread(one[GATEWAY]["gateway_cpu_ms"] for one in rounds)
    return {
        **ways,
        "rounds": len(rounds),
        "ratio": ratio(rounds),
        "errors": sum(one[way]["errors"] for one in rounds for way in ways),
    }


def ratio(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the ratio of both ways' requests in all rounds, its standard error, and the range of single rounds.

    A median of the rounds' ratios would need half as many rounds again for the same error. The error is that of a ratio
    of sums, from the rounds' differences to it (W. G. Cochran, Sampling Techniques, 3rd edition, section 6.3).
    """
    direct, through = ([float(one[way]["rate"]) for one in rounds] for way in (DIRECT, GATEWAY))
    whole = sum(through) / sum(direct)
    squares = sum((one - whole * other) ** 2 for one, other in zip(through, direct, strict=True))
    error = math.sqrt(squares * len(rounds) / max(1, len(rounds) - 1)) / sum(direct)
    singles = [one / other for one, other in zip(through, direct, strict=True)]
    return {name: round(value, 4) for name, value in (("whole", whole), ("error", error))} | {
        "min": round(min(singles), 3),
        "max": round(max(singles), 3),
    }
