"""Reads samples from the microphone."""

import queue
import signal
from collections.abc import Iterator
from typing import Any

from asr_client._errors import InvalidAudio

SAMPLING_RATE = 16_000


def listen(each_s: float) -> Iterator[bytes]:
    """Yield chunks of 16-bit samples of one channel, as they come. Call it in the main thread.

    The first Ctrl-C ends the chunks, so that speech before it still gets its transcript. A second Ctrl-C interrupts.

    Args:
        each_s: length of a chunk, in seconds.

    Raises:
        ModuleNotFoundError: sounddevice is not installed.
        InvalidAudio: PortAudio is not installed, or there is no microphone.
    """
    try:
        import sounddevice
    except OSError as error:
        raise InvalidAudio(f"cannot listen: {error}; needs PortAudio, as in: apt-get install libportaudio2") from error
    heard: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    handler = signal.getsignal(signal.SIGINT)

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGINT, handler)
        heard.put(None)

    try:
        microphone = sounddevice.RawInputStream(
            samplerate=SAMPLING_RATE,
            channels=1,
            dtype="int16",
            blocksize=int(each_s * SAMPLING_RATE),
            callback=lambda data, *_: heard.put(bytes(data)),
        )
    except sounddevice.PortAudioError as error:
        raise InvalidAudio(f"cannot listen: {error}; needs a microphone that is not in use") from error
    signal.signal(signal.SIGINT, stop)
    try:
        with microphone:
            while (chunk := heard.get()) is not None:
                yield chunk
    finally:
        signal.signal(signal.SIGINT, handler)
