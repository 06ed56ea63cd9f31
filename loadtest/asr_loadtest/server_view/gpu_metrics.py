"""The use of the server's GPUs, from Triton's metrics endpoint."""

import http.client
import re
from dataclasses import dataclass

TIMEOUT_S = 5.0
MAX_BYTES = 16 * 2**20  # a server with a thousand models writes a few MiB

_SAMPLE = re.compile(r"^(nv_gpu_utilization|nv_gpu_memory_used_bytes)\{[^}]*\}\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class GpuUse:
    """The use of all GPUs of the server; None: it gives no such metric."""

    utilization: float | None = None  # 0 to 1, mean of the GPUs
    memory_bytes: int | None = None  # in use on all of them, by any process


def read(metrics_url: str) -> GpuUse:
    """Return the use of the GPUs now; empty for a server that has no GPUs, or does not answer.

    Args:
        metrics_url: HOST:PORT, or a whole address such as http://HOST:PORT/metrics.
    """
    scheme, _, rest = metrics_url.rpartition("://")
    address, slash, path = rest.partition("/")
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(address, timeout=TIMEOUT_S)
        try:
            connection.request("GET", f"/{path}" if slash and path else "/metrics")
            return parse(connection.getresponse().read(MAX_BYTES).decode("utf-8", "replace"))
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return GpuUse()


def parse(text: str) -> GpuUse:
    """Return the use of the GPUs from a page of metrics in Prometheus' format."""
    values: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        try:
            values.setdefault(name, []).append(float(value))
        except ValueError:
            continue
    utilization = values.get("nv_gpu_utilization")
    memory = values.get("nv_gpu_memory_used_bytes")
    return GpuUse(
        utilization=sum(utilization) / len(utilization) if utilization else None,
        memory_bytes=int(sum(memory)) if memory else None,
    )
