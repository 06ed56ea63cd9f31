"""Pipecat: its services for OpenAI in a pipeline, with recordings, commits of its own, and the server's turns.

python call_pipecat.py URL WAV: prints the transcripts of each way as JSON.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import soundfile
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.stt import OpenAIRealtimeSTTService, OpenAISTTService
from pipecat.workers.runner import WorkerRunner

TURNS = 2


class Listener(FrameProcessor):
    """Notes what comes out of a pipeline."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            self.heard.append(frame.text)
        if isinstance(frame, ErrorFrame):
            self.heard.append(f"error: {frame.error}")
        await self.push_frame(frame, direction)


async def main(url: str, wav: str) -> None:
    samples, rate = soundfile.read(wav, dtype="int16")
    socket = url.replace("http", "ws", 1) + "/realtime"
    live = OpenAIRealtimeSTTService.Settings
    services = {
        "recording": OpenAISTTService(
            api_key="any", base_url=url, settings=OpenAISTTService.Settings(model="asr"), include_prob_metrics=True
        ),
        "commits": OpenAIRealtimeSTTService(api_key="any", base_url=socket, settings=live(model="asr")),
        "server_vad": OpenAIRealtimeSTTService(
            api_key="any",
            base_url=socket,
            turn_detection={"type": "server_vad"},
            settings=live(model="asr", noise_reduction="near_field", delay="low"),
        ),
    }
    heard = {}
    for name, service in services.items():
        listener = Listener()
        worker = PipelineWorker(Pipeline([service, listener]), params=PipelineParams(audio_in_sample_rate=rate))
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        feeding = asyncio.create_task(feed(worker, samples.tobytes(), rate, listener))
        await runner.run()
        await feeding
        heard[name] = listener.heard
    sys.stdout.write(json.dumps(heard))


async def feed(worker: PipelineWorker, audio: bytes, rate: int, listener: Listener) -> None:
    await asyncio.sleep(1)
    for turn in range(1, TURNS + 1):
        async for frame in spoken(audio, rate):
            await worker.queue_frame(frame)
        while len(listener.heard) < turn:
            await asyncio.sleep(0.05)
    await worker.queue_frame(EndFrame())


async def spoken(audio: bytes, rate: int) -> AsyncIterator[Frame]:
    """Yield what a microphone and Pipecat's own voice detector bring: speech, and a second of silence."""
    yield VADUserStartedSpeakingFrame()
    step = rate // 50 * 2
    for place in range(0, len(audio) + 50 * step, step):
        piece = audio[place : place + step].ljust(step, b"\0")
        yield InputAudioRawFrame(audio=piece, sample_rate=rate, num_channels=1)
        await asyncio.sleep(0.01)
    yield VADUserStoppedSpeakingFrame()


asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2]), 100))
