"""Whisper in one process: what the export's checks and the benchmarks run, without a server."""

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper import graphs
from asr_serving.whisper.codec import Answer, Codec
from asr_serving.whisper.engine import Engine
from asr_serving.whisper.fallback import STANDARD, Fallback
from asr_serving.whisper.graphs.backend import Backend
from asr_serving.whisper.options import Options
from asr_serving.whisper.recording import Transcript
from asr_serving.whisper.tasks import BrokenOutput, Written

Request = tuple[NDArray[np.float32], Options]


class Service:
    """An exported checkpoint, ready to transcribe.

    Args:
        codec: of the checkpoint.
        backend: runs its graphs.
        max_rows: windows side by side.
        fallback: for the requests that ask for it.
    """

    def __init__(self, codec: Codec, backend: Backend, max_rows: int = 16, fallback: Fallback = STANDARD) -> None:
        self.codec, self.backend = codec, backend
        self._engine = Engine(backend, codec.settings, max_rows, fallback=fallback)

    @staticmethod
    def load(folder: Path, gpu: int | None = None, threads: int = 0, max_rows: int = 16) -> "Service":
        """Load what `triton-asr export` wrote into `folder`: the graphs, and what `Codec.load` reads.

        Raises:
            ValueError, OSError: a file is missing or broken.
            RuntimeError: the requested device cannot be used (`asr_contract.gpu.GpuError`).
        """
        return Service(Codec.load(folder), graphs.load(folder, gpu, threads), max_rows)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine."""
        self._engine.close()

    def transcribe(self, requests: Sequence[Request]) -> list[Transcript | BrokenOutput]:
        """Transcribe waveforms, float32 `[samples]`, side by side; a broken one does not affect the others.

        Raises:
            Exception: the graphs cannot run.
        """
        recordings = [self.codec.recording(waveform, options) for waveform, options in requests]
        answers: list[Transcript | BrokenOutput] = [recording.transcript() for recording in recordings]
        under_way: dict[Future[Written], int] = {
            self._engine.submit(recording.task()): index for index, recording in enumerate(recordings)
        }
        while under_way:
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                index = under_way.pop(future)
                recording = recordings[index]
                try:
                    recording.take(future.result())
                except BrokenOutput as broken:
                    answers[index] = broken
                    continue
                if recording.is_done:
                    answers[index] = recording.transcript()
                else:
                    under_way[self._engine.submit(recording.task())] = index
        return answers

    def answer(self, requests: Sequence[Request]) -> list[Answer | BrokenOutput]:
        """Answer requests, as `transcribe` says."""
        return [
            result if isinstance(result, BrokenOutput) else self.codec.answer(result, options)
            for result, (_, options) in zip(self.transcribe(requests), requests, strict=True)
        ]
