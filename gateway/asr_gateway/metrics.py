"""Figures for Prometheus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector
from starlette.responses import Response

_STAGES = ("upload", "server", "whole")
# Seconds: from a word to an hour.
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The figures of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "asr_gateway_requests",
            "Answered requests: by route, status, and the error's code (ok: none).",
            ("route", "status", "reason"),
            registry=self.registry,
        )
        self._audio = Counter(
            "asr_gateway_audio_seconds", "Seconds of audio that was transcribed.", ("model",), registry=self.registry
        )
        stages = Histogram(
            "asr_gateway_stage_seconds",
            "Seconds of a transcription's stages: upload (its bytes come), server (its model works, and retries), "
            "whole (until the answer is sent).",
            ("stage",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in _STAGES}
        self._under_way = Gauge(
            "asr_gateway_requests_under_way", "Transcriptions that callers wait for.", registry=self.registry
        )
        self._sockets = Gauge("asr_gateway_sockets", "Open sockets of the Realtime API.", registry=self.registry)
        self._items = Counter(
            "asr_gateway_items",
            "Items of the Realtime API, by the code of the error that they got (ok: none).",
            ("reason",),
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def answered(self, route: str, status: int, reason: str) -> None:
        """Count a request."""
        self._requests.labels(route, str(status), reason).inc()

    def heard(self, model: str, seconds: float) -> None:
        """Count audio that was transcribed."""
        self._audio.labels(model).inc(max(0.0, seconds))

    def took(self, stage: str, seconds: float) -> None:
        """Count the time of a stage."""
        self._stages[stage].observe(seconds)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a transcription while the block runs, and how long it took as a whole."""
        began = time.perf_counter()
        with self._under_way.track_inprogress():
            yield
        self.took("whole", time.perf_counter() - began)

    @contextmanager
    def socket(self) -> Iterator[None]:
        """Count an open socket while the block runs."""
        with self._sockets.track_inprogress():
            yield

    def item(self, reason: str) -> None:
        """Count an item that has got its text, or an error with this code."""
        self._items.labels(reason).inc()

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Count how long the block takes, unless it fails."""
        began = time.perf_counter()
        yield
        self.took(stage, time.perf_counter() - began)

    def page(self) -> Response:
        """Return all figures in Prometheus's text format."""
        return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_LATEST})
