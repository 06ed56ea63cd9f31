"""The contenders: the kit on a real Triton, and libraries in processes and environments of their own.

Libraries get decoded samples, and measure without the way there. The kit gets files over gRPC, and all of it counts.
"""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_client import Client, DecodeOptions
from asr_server import TritonServer
from lifetime import Startable
from machine import cores

from whisper_bench.models import Library
from whisper_bench.speech import Clip

PATIENCE_S = 1_800.0  # for one answer, on a machine that has other work


@dataclass(frozen=True)
class Job:
    """Recordings, and how many callers send them at a time."""

    clips: tuple[Clip, ...]
    callers: int = 1
    is_long: bool = False  # longer than a window

    @property
    def seconds(self) -> float:
        """Total length in seconds."""
        return sum(clip.seconds for clip in self.clips)


@dataclass(frozen=True)
class Heard:
    """The answers to a job."""

    seconds: float  # that it took
    texts: list[str]


class Contender(Startable):
    """A way to transcribe, ready inside its `with` block."""

    def hear(self, job: Job) -> Heard:
        """Transcribe; an error ends the benchmark."""
        raise NotImplementedError


class Kit(Contender):
    """The kit: an exported repository on a real Triton, and its client over gRPC."""

    def __init__(self, repository: Path) -> None:
        self._log: list[str] = []
        self._server = TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0, log=self._log.append)

    def start(self) -> None:
        self._server.start()
        self.client = Client(self.url, timeout_s=PATIENCE_S)

    def stop(self) -> None:
        self.client.close()
        self._server.stop()

    @property
    def url(self) -> str:
        """HOST:PORT of gRPC."""
        return self._server.grpc_url

    def hear(self, job: Job) -> Heard:
        return self.hear_with(job, DecodeOptions())

    def hear_with(self, job: Job, options: DecodeOptions) -> Heard:
        """Transcribe with these options."""

        def text(clip: Clip) -> str:
            return self.client.transcribe(clip.path, options=options).text.strip()

        with ThreadPoolExecutor(job.callers) as callers:
            begin = time.perf_counter()
            texts = list(callers.map(text, job.clips))
            return Heard(time.perf_counter() - begin, texts)


class KitWithVad(Contender):
    """The same server, asked with `vad=true`; the kit must be started already."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def start(self) -> None:
        """Start nothing."""

    def stop(self) -> None:
        """Stop nothing."""

    def hear(self, job: Job) -> Heard:
        return self._kit.hear_with(job, DecodeOptions(vad=True))


class InProcess(Contender):
    """A library in a process of `worker.py`.

    Args:
        library: which one.
        folder: what it loads.
        is_crowd: whether it has a worker of one thread for each core, for many callers, or one worker with all cores.
    """

    def __init__(self, library: Library, folder: Path, is_crowd: bool) -> None:
        self._library, self._folder = library, folder
        self._threads, self._workers = (1, cores()) if is_crowd else (cores(), 1)

    def start(self) -> None:
        command = [str(self._library.python), str(Path(__file__).with_name("worker.py")), self._library.name]
        command += [str(self._folder), self._library.precision, str(self._threads), str(self._workers)]
        command.append(",".join(self._library.packages))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions: dict[str, str] = self._read()

    def stop(self) -> None:
        with self._process:  # closes the pipes, which ends it, and waits
            pass

    def hear(self, job: Job) -> Heard:
        asked = {"paths": [str(clip.path) for clip in job.clips], "callers": job.callers, "is_long": job.is_long}
        assert self._process.stdin is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return Heard(**self._read())

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self._library.name} has ended with status {self._process.wait(15)}")
        return json.loads(line)
