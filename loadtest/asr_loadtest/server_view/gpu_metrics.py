"""How busy the server's GPUs are, as Triton's metrics endpoint has it."""

import http.client
import re
from dataclasses import dataclass

TIMEOUT_S = 5.0
MAX_BYTES = 16 * 2**20  # a server of a thousand models writes a few

_SAMPLE = re.compile(r"^(nv_gpu_utilization|nv_gpu_memory_used_bytes)\{[^}]*\}\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class GpuUse:
    """Of all GPUs that the server has; None where it says nothing of any."""

    utilization: float | None = None  # 0 to 1, mean of the GPUs
    memory_bytes: int | None = None  # in use on all of them, by whomever


def read(metrics_url: str) -> GpuUse:
    """The use of the GPUs now; empty for a server without GPUs, or one that does not answer.

    Args:
        metrics_url: HOST:PORT, or the whole address, as http://HOST:PORT/metrics.
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
    """The use of the GPUs in a page of metrics, in Prometheus' format."""
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
