"""LiveKit Agents: its plugin for OpenAI, with a recording and with a stream of two turns.

python call_livekit.py URL WAV: prints the transcripts of each way as JSON.
"""

import asyncio
import json
import sys

import soundfile
from livekit import rtc
from livekit.agents import stt
from livekit.agents.utils import http_context
from livekit.plugins import openai


async def main(url: str, wav: str) -> None:
    samples, rate = soundfile.read(wav, dtype="int16")
    step = rate // 50
    said = [frame(samples[place : place + step].tobytes(), rate) for place in range(0, len(samples), step)]
    pause = [frame(bytes(2 * step), rate)] * 75
    heard = {}
    async with http_context.open():
        for model in ("asr", "whisper-1"):
            whole = openai.STT(model=model, base_url=url, api_key="any")
            answer = await whole.recognize(said)
            heard[f"recording, {model}"] = [answer.alternatives[0].text]
            await whole.aclose()
        live = openai.STT(model="asr", base_url=url, api_key="any", use_realtime=True)
        stream = live.stream()
        feeding = asyncio.create_task(feed(stream, [*said, *pause, *said, *pause]))
        heard["stream"] = await two_turns(stream)
        await feeding
        await stream.aclose()
        await live.aclose()
    sys.stdout.write(json.dumps(heard))


def frame(samples: bytes, rate: int) -> rtc.AudioFrame:
    return rtc.AudioFrame(samples, rate, 1, len(samples) // 2)


async def feed(stream: stt.SpeechStream, frames: list[rtc.AudioFrame]) -> None:
    for one in frames:
        stream.push_frame(one)
        await asyncio.sleep(0.005)


async def two_turns(stream: stt.SpeechStream) -> list[str]:
    found: list[str] = []
    async for event in stream:
        if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
            found.append(event.alternatives[0].text)
        if len(found) == 2:
            break
    return found


asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2]), 100))
