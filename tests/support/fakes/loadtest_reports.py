"""Reports made by hand, for tests of tables, files and pages."""

import dataclasses

from asr_loadtest.results import (
    Capacity,
    Generator,
    Latency,
    Load,
    Machine,
    MemberLoad,
    Profile,
    Report,
    ResourceSample,
    Slo,
    Step,
    StreamFigures,
    Target,
    Window,
)

MEMBERS = ("preprocess", "acoustic", "ctc_decode")
NO_LATENCY = Latency(0, None, None, None, None, None)


def latency(p50_ms: float, count: int = 1200) -> Latency:
    """Quantiles around a median; p99 from 1,000 requests on."""
    p99_ms = 4 * p50_ms if count >= 1000 else None
    return Latency(count, 1.1 * p50_ms, p50_ms, 2.5 * p50_ms, p99_ms, 5 * p50_ms)


def step(rate: float = 4.0, p50_ms: float = 50.0, **changes: object) -> Step:
    """A valid step of an open loop."""
    made = Step(
        load=Load("open", rate, None, "poisson", seed=7, ramp_s=5.0, measured_s=60.0),
        offered_rate=rate,
        achieved_rate=rate,
        answered_rate=rate,
        audio_rate=5 * rate,
        latency=latency(p50_ms),
        by_class={"short": latency(0.6 * p50_ms, 400), "long": latency(1.8 * p50_ms, 400)},
        windows=tuple(Window(20.0 * n, 20.0 * (n + 1), latency(p50_ms, 400), rate) for n in range(3)),
        errors={},
        error_example=None,
        rejected_latency=NO_LATENCY,
        requests=1200,
        checked=1200,
        changed=0,
        wer=None,
        solo_wer=None,
        members=tuple(
            MemberLoad(model, 1200, 800, 0, 1.5, 0.1 * p50_ms, 0.5, share * p50_ms, 0.25)
            for model, share in zip(MEMBERS, (0.1, 0.6, 0.05), strict=True)
        ),
        resources=tuple(
            ResourceSample(float(at_s), 1.2, 400 * 2**20 + 1000 * at_s, 87, 9 * 2**20, None, None)
            for at_s in range(-5, 60)
        ),
        generator=Generator(1200, 1200, 2, 10.0, 12.0, 0.2),
        void=(),
        missed=(),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def closed(callers: int = 4, **changes: object) -> Step:
    """A valid step of a closed loop."""
    load = Load("closed", None, callers, None, seed=7, ramp_s=5.0, measured_s=60.0)
    return step(**{"load": load, **changes})  # type: ignore[arg-type]


def streams(number: int = 8, **changes: object) -> Step:
    """A valid step of live streams."""
    load = Load("streams", float(number), None, None, seed=7, ramp_s=5.0, measured_s=60.0)
    figures = StreamFigures(latency(900.0, 100), latency(12.0), pieces=4800, late_pieces=48)
    made = {"load": load, "audio_rate": 0.99 * number, "by_class": {}, "streams": figures, **changes}
    return step(float(number), **made)  # type: ignore[arg-type]


def report(*steps: Step, **changes: object) -> Report:
    """A report of such steps."""
    made = Report(
        kind="steps",
        started_at="2025-06-01T12:00:00+00:00",
        command="triton-asr loadtest demo/samples --rates 4",
        machine=Machine("Test CPU", 2, 16 * 2**30, "3.11.7", {"asr": "0.1.0"}),
        target=Target("127.0.0.1:8001", "grpc", "asr", MEMBERS, "triton 2.51.0", local=True),
        profile=Profile("demo/samples", 16, 80.0, 5.0, 1.0, 12.0, {"short": 8, "long": 8}),
        slo=Slo(p95_ms=500.0, error_rate=0.001),
        steps=steps or (step(),),
        capacity=None,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def search(rate: float | None = 4.0) -> Report:
    """A search that has found `rate`."""
    steps = (step(2.0, 30.0), step(4.0, 60.0), step(8.0, 400.0, missed=("p95 1000 ms > 500 ms",)))
    audio_rate = None if rate is None else 5 * rate
    return report(*steps, kind="search", capacity=Capacity(rate, audio_rate, 8.0, 0.05))
