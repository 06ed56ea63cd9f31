"""An hour of human speech in one recording, through `asr_long`: errors, speed, and the server's memory."""

import asyncio
from functools import partial
from typing import Any

from asr_client import DecodeOptions
from asr_loadtest.server_view.processes import ServerProcesses
from error_rates import wer_percent
from memory import memory_mb, timed

from whisper_bench.contenders import Job, Kit
from whisper_bench.speech import Clip


def measure(kit: Kit, recording: Clip, prompts: Job) -> dict[str, Any]:
    """Return word error rates in percent, seconds of audio per second, and memory in MB.

    Args:
        kit: started, and not used yet.
        recording: longer than the model takes at once, so that the client sends it to `asr_long`.
        prompts: what the recording holds, each once and by itself, to compare the errors with.
    """
    processes = ServerProcesses.find(kit.url)
    assert processes is not None, "the server runs on this machine"
    alone = kit.hear(prompts)
    before_mb = asyncio.run(memory_mb(processes))
    rows = {}
    for name, options in (("long", DecodeOptions()), ("long, vad", DecodeOptions(vad=True))):
        heard, seconds, most_mb = timed(processes, partial(kit.client.transcribe, recording.path, options=options))
        rows[name] = {
            "wer": wer_percent([(recording.text, heard.text)]),
            "rtfx": round(recording.seconds / seconds, 1),
            "most_mb": round(most_mb, 1),
            "heard_s": round(heard.duration, 1),
        }
    texts = zip((clip.text for clip in prompts.clips), alone.texts, strict=True)
    return {
        "audio_s": round(recording.seconds, 1),
        "words": len(recording.text.split()),
        "prompts": {"recordings": len(prompts.clips), "wer": wer_percent(texts)},
        "before_mb": round(before_mb, 1),
        "rows": rows,
    }
