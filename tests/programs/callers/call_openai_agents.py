"""OpenAI's Agents SDK: its voice models, with a recording and with a stream of two turns.

python call_openai_agents.py URL WAV: prints the transcripts of each way as JSON.
"""

import asyncio
import json
import sys

import numpy as np
import soundfile
import soxr
from agents.voice import AudioInput, OpenAIVoiceModelProvider, StreamedAudioInput, STTModelSettings
from openai import AsyncOpenAI

RATE = 24_000  # which its streams have
STEP = RATE // 10


async def main(url: str, wav: str) -> None:
    samples, rate = soundfile.read(wav, dtype="int16")
    client = AsyncOpenAI(base_url=url, api_key="any")
    model = OpenAIVoiceModelProvider(openai_client=client).get_stt_model("asr")
    text = await model.transcribe(AudioInput(samples, frame_rate=rate), STTModelSettings(), False, False)
    said = soxr.resample(samples.astype(np.float32) / 2**15, rate, RATE)
    # The last turn has no silence behind it: the SDK commits what is left, and clears at once.
    audio = np.concatenate([said, np.zeros(RATE, np.float32), said])
    heard = {"recording": [text]}
    for name, settings in (
        ("semantic_vad", STTModelSettings()),
        ("server_vad", STTModelSettings(turn_detection={"type": "server_vad"}, language="en", prompt="a prompt")),
    ):
        given = StreamedAudioInput()
        session = await model.create_session(given, settings, False, False)
        feeding = asyncio.create_task(feed(given, audio))
        heard[name] = [turn async for turn in session.transcribe_turns()]
        await feeding
    sys.stdout.write(json.dumps(heard))


async def feed(given: StreamedAudioInput, audio: np.ndarray) -> None:
    for place in range(0, len(audio), STEP):
        await given.add_audio(audio[place : place + STEP])
        await asyncio.sleep(0.02)
    await given.add_audio(None)


asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2]), 100))
