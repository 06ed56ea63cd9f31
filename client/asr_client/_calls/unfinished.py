"""The audio of a live stream that has no final text yet: a server that has forgotten the stream hears it again."""

from collections import deque

# Two segments of a Whisper may wait for their text.
LONGEST_SPEECH_S = 60.0
# While nobody speaks, a CTC model keeps as much of a sound before it takes it for speech.
QUIET_S = 5.0


class Unfinished:
    """The last bytes of a live stream, as far as their text is not final.

    Args:
        rate: Hz.
        frame_bytes: of the samples of all channels at one time.

    Attributes:
        sent: bytes of the whole stream so far; the last frame may be incomplete.
        flushed: of these, the bytes up to the last flush, in whole frames.
    """

    def __init__(self, rate: int, frame_bytes: int) -> None:
        self._rate, self.frame_bytes = rate, frame_bytes
        self.sent = self.flushed = 0
        self._begin = 0  # byte from which on no text is final; of a whole frame
        self._pieces: deque[tuple[int, bytes]] = deque()  # with the place of their first byte

    def add(self, audio: bytes) -> None:
        """Add a piece that is sent."""
        if audio:
            self._pieces.append((self.sent, audio))
        self.sent += len(audio)

    def settle(self, until_s: float) -> None:
        """Forget the audio before this second of the stream: its text is final."""
        self._forget(int(until_s * self._rate) * self.frame_bytes)

    def flush(self) -> None:
        """Forget all but an incomplete frame."""
        self.flushed = self._whole_frames(self.sent)
        self._forget(self.flushed)

    def keep(self, seconds: float) -> None:
        """Forget what is older than so many seconds."""
        self._forget(self._whole_frames(self.sent) - int(seconds * self._rate) * self.frame_bytes)

    def rest(self) -> tuple[float, bytes]:
        """Return the audio, and the second of the stream at which it begins; b"" if it has no complete frame."""
        held = b"".join(audio for _, audio in self._pieces)
        left = self.sent - self._begin
        audio = held[len(held) - left :] if left >= self.frame_bytes else b""
        return self._begin / self.frame_bytes / self._rate, audio

    def _whole_frames(self, place: int) -> int:
        return place // self.frame_bytes * self.frame_bytes

    def _forget(self, before: int) -> None:
        self._begin = max(self._begin, min(before, self._whole_frames(self.sent)))
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= self._begin:
            self._pieces.popleft()
