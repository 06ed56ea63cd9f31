"""Rounds in which both ways take turns, and the figures of all rounds."""

from collections.abc import Mapping, Sequence
from typing import Any

import psutil
from peers.figures import spread
from tqdm import tqdm

from gateway_bench.processes import Callers, Gateway, cpu_s

DIRECT, GATEWAY = "direct", "gateway"
Round = Mapping[str, dict[str, Any]]  # way -> its figures

WARM_UP_S = 3.0


def in_turns(
    ways: Mapping[str, Callers],
    gateway: Gateway,
    server: psutil.Process,
    numbers: Sequence[int],
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Measure both ways with each number of callers, in rounds of alternating order.

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
    with tqdm(total=rounds * len(numbers) * len(ways)) as progress:
        for turn in range(rounds):
            order = list(ways) if turn % 2 == 0 else list(ways)[::-1]
            for number in numbers:
                one = {}
                for way in order:
                    one[way] = _measured(ways[way], gateway, server, number, seconds)
                    progress.update()
                found[number].append(one)
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
    """Return the median and the range of each figure over the rounds; a ratio pairs figures of one round."""
    names = ("rate", "p50_ms", "cpu_ms", "server_cpu_ms")
    ways: dict[str, dict[str, Any]] = {
        way: {name: spread(one[way][name] for one in rounds) for name in names} for way in (DIRECT, GATEWAY)
    }
    ways[GATEWAY]["gateway_cpu_ms"] = spread(one[GATEWAY]["gateway_cpu_ms"] for one in rounds)
    return {
        **ways,
        "ratio": spread(one[GATEWAY]["rate"] / one[DIRECT]["rate"] for one in rounds),
        "errors": sum(one[way]["errors"] for one in rounds for way in ways),
    }
