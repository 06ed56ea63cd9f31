"""Compare requests by way of the gateway with direct requests by gRPC: throughput, latency and processor time.

    python benchmarks/compare_gateway.py REPOSITORY [--callers 1,4,16] [--rounds 12,120] [--seconds 4]

A real Triton serves the demo checkpoint, with a gateway before it, all on this machine. Callers wait for their answers
(a closed loop), and are processes of their own, one for each way. Both ways take turns in each round, in alternating
order. With the most callers, whose ratio has an aim, rounds go on until its standard error is 0.005: a few on a quiet
machine, and many on one that others use as well.

The figures go to benchmarks/results/gateway.json and into docs/benchmarks.md. The exit status is 1 if a request failed,
the gateway took more than 3 ms of processor time a request, or with the most callers it carried less than 0.95 of what
the server carried without it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from asr_server import TritonServer
from gateway_bench import caller, processes
from gateway_bench.page import RESULTS, ROOT, write_page
from gateway_bench.turns import DIRECT, GATEWAY, in_turns
from machine import machine

PACKAGES = ("grpcio", "httptools", "starlette", "tritonclient", "uvicorn", "uvloop", "triton-asr-kit")
SAMPLES = ROOT / "demo" / "samples" / "manifest.tsv"
CALLERS = (1, 4, 16)
ROUNDS = (12, 120)
MOST_CPU_MS = 3.0
LEAST_RATIO = 0.95


def main() -> None:
    """Measure, write the figures and the page; exit with 1 if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--callers", type=_numbers, default=CALLERS, help="comma-separated; by default 1,4,16")
    parser.add_argument("--rounds", type=_numbers, default=ROUNDS, help="at least, and at most; by default 12,120")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a measurement; a round has two for each number")
    parser.add_argument("--results", type=Path, default=RESULTS, help="only the default one changes the page")
    arguments = parser.parse_args()
    results = measure(arguments.repository, arguments.callers, arguments.rounds, arguments.seconds)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))
    if arguments.results == RESULTS:
        print(write_page(), file=sys.stderr)
    if missed := list(missed_aims(results["callers"])):
        sys.exit("\n".join(missed))


def measure(repository: Path, numbers: Sequence[int], rounds: Sequence[int], seconds: float) -> dict[str, Any]:
    """Return all figures."""
    log: list[str] = []
    with (
        TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server,
        processes.gateway(server.grpc_url) as gateway,
        processes.callers("grpc", server.grpc_url, SAMPLES) as direct,
        processes.callers("openai", gateway.url, SAMPLES) as through,
    ):
        ways = {DIRECT: direct, GATEWAY: through}
        found = in_turns(ways, gateway, psutil.Process(server.pid), numbers, rounds, seconds)
        gateway_mb = round(gateway.process.memory_info().rss / 1e6)
    return {
        "machine": machine(PACKAGES),
        "length_s": caller.LENGTH_S,
        "seconds": seconds,
        "gateway_mb": gateway_mb,
        "callers": found,
    }


def missed_aims(callers: dict[str, Any]) -> Iterator[str]:
    """Yield what is not as it should be."""
    for number, found in callers.items():
        if found["errors"]:
            yield f"{number} callers: {found['errors']} requests failed"
        cpu_ms = found[GATEWAY]["gateway_cpu_ms"]["median"]
        if cpu_ms > MOST_CPU_MS:
            yield f"{number} callers: the gateway took {cpu_ms:.2f} ms a request; the aim is {MOST_CPU_MS:g}"
    most = max(callers, key=int)
    ratio = callers[most]["ratio"]
    if ratio["whole"] < LEAST_RATIO:
        found_ratio = f"{ratio['whole']:.3f} ± {ratio['error']:.3f}"
        yield f"{most} callers: {found_ratio} of the throughput without the gateway; the aim is {LEAST_RATIO}"


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(map(int, text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list; needs whole numbers from 1, such as 1,4,16")
    return numbers


if __name__ == "__main__":
    main()
