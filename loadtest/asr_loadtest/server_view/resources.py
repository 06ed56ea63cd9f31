"""The resources of a server: its processes, where they are on this machine, and its GPUs, where it gives metrics."""

import dataclasses

from asr_loadtest.results import ResourceSample
from asr_loadtest.server_view import gpu_metrics
from asr_loadtest.server_view.processes import ServerProcesses


class Resources:
    """Samples the resources of a server.

    Attributes:
        local: whether the server's processes are on this machine, and can be watched.

    Args:
        url: HOST:PORT of the server.
        metrics_url: HOST:PORT of its metrics, for the GPUs; None: GPUs are not watched.
    """

    def __init__(self, url: str, metrics_url: str | None = None) -> None:
        self._processes = ServerProcesses.find(url)
        self._metrics_url = metrics_url
        self.local = self._processes is not None

    def sample(self, at_s: float) -> ResourceSample:
        """Return what the server takes now, with `at_s` as the time of the sample.

        This blocks for some milliseconds, or for seconds where the metrics do not answer: call it in a thread.
        """
        sample = self._processes.sample(at_s) if self._processes else nothing(at_s)
        if self._metrics_url is None:
            return sample
        gpu = gpu_metrics.read(self._metrics_url)
        return dataclasses.replace(sample, gpu_utilization=gpu.utilization, gpu_memory_bytes=gpu.memory_bytes)


def nothing(at_s: float) -> ResourceSample:
    """Return the sample of a server that cannot be watched."""
    return ResourceSample(
        at_s=at_s,
        cpu_cores=None,
        memory_bytes=None,
        file_descriptors=None,
        shared_memory_bytes=None,
        gpu_utilization=None,
        gpu_memory_bytes=None,
    )
