"""The measurements of each peer in each round -> the figures of a report."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

LIMITS = ("loop", "workers")  # the faster of them in a round is the limit
# (over, under): the pairs whose ratio of throughputs the report gives, each within a round.
PAIRS = (
    ("kit", "pipeline"),
    ("kit-int8", "pipeline"),
    ("kit", "optimum"),
    ("kit", "fastapi"),
    ("kit-int8", "fastapi"),
    ("kit", "pytriton"),
    ("kit-int8", "kit"),
)
LEAST_FOR_P95 = 20


@dataclass(frozen=True)
class Round:
    """The measurements of one peer in one round."""

    mixed_rtfx: float  # seconds of audio per second
    equal_rtfx: float
    latencies_ms: tuple[float, ...]  # of one caller
    members_ms: dict[str, dict[str, float]]  # the server's own figures for these requests


def summary(measured: dict[str, list[Round]]) -> dict[str, Any]:
    """Return the figures of each peer, and the ratios of the pairs that were measured."""
    limits = [name for name in LIMITS if name in measured]
    ratios = {}
    for kind in ("mixed", "equal"):
        rtfx = {name: [getattr(one, f"{kind}_rtfx") for one in rounds] for name, rounds in measured.items()}
        if limits:
            rtfx["limit"] = [max(values) for values in zip(*(rtfx[name] for name in limits), strict=True)]
        pairs = [*((name, "limit") for name in measured if name not in LIMITS), *PAIRS]
        ratios[kind] = {
            f"{over} / {under}": spread(mine / theirs for mine, theirs in zip(rtfx[over], rtfx[under], strict=True))
            for over, under in pairs
            if over in rtfx and under in rtfx
        }
    return {"peers": {name: figures(rounds) for name, rounds in measured.items()}, "ratios": ratios}


def figures(rounds: list[Round]) -> dict[str, Any]:
    """Return a peer's throughput as a spread over rounds, its latency over all requests, and its members' means."""
    latencies_ms = [latency for one in rounds for latency in one.latencies_ms]
    members = {
        member: {part: round(statistics.mean(one.members_ms[member][part] for one in rounds), 2) for part in parts}
        for member, parts in rounds[0].members_ms.items()
    }
    found: dict[str, Any] = {
        "mixed_rtfx": spread(one.mixed_rtfx for one in rounds),
        "equal_rtfx": spread(one.equal_rtfx for one in rounds),
        "mixed_to_equal": spread(one.mixed_rtfx / one.equal_rtfx for one in rounds),
        "latency": {
            "requests": len(latencies_ms),
            "mean_ms": round(statistics.mean(latencies_ms), 2),
            "p50_ms": round(statistics.median(latencies_ms), 2),
            "p95_ms": round(float(np.quantile(latencies_ms, 0.95)), 2) if len(latencies_ms) >= LEAST_FOR_P95 else None,
        },
    }
    if members:
        found["members_ms"] = members
        parts = [breakdown(one) for one in rounds]
        found["breakdown_ms"] = {part: round(statistics.median(one[part] for one in parts), 2) for part in parts[0]}
    return found


def breakdown(one: Round) -> dict[str, float]:
    """Divide the mean latency of one caller into its parts, in ms; Triton's figures come from the same requests."""
    mean_ms = statistics.mean(one.latencies_ms)
    compute_ms = one.members_ms["acoustic"]["infer"]
    accounted_ms = sum(sum(parts.values()) for parts in one.members_ms.values())
    return {
        "acoustic compute": compute_ms,
        "rest of the server": accounted_ms - compute_ms,
        "client, network, ensemble": mean_ms - accounted_ms,
        "all but acoustic compute": mean_ms - compute_ms,
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the median and the range of the rounds."""
    kept = list(values)
    summaries: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "min": min, "max": max}
    return {name: round(of(kept), 3) for name, of in summaries.items()}
