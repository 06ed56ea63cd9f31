"""A recording whose channels are heard one by one: a request for each, all at the same time, and one transcript.

The server decodes the file, so it alone knows for certain how many channels there are. Each request says how many are
expected, from a look at the first bytes. The refusal of a wrong guess tells the number, and the client asks again.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from asr_contract.errors import channels_of
from asr_contract.parameters import Value as ParameterValue

from asr_client._audio import Audio
from asr_client._calls.long import OnSegment
from asr_client._calls.steps import Read, Steps, Together
from asr_client._errors import AsrError, InvalidAudio, InvalidOption, InvalidRequest, OptionRefused
from asr_client._options import DecodeOptions
from asr_client._results import Transcription
from asr_client._sharing import SharedAudio
from asr_client._turns import Turns, divided, merged

MOST_CHANNELS = 16  # each is an upload and a transcript of its own

Transcribe = Callable[[Audio, DecodeOptions, OnSegment], Steps[Transcription]]


@dataclass(frozen=True, kw_only=True)
class OneChannel(DecodeOptions):
    """The options of a request for one channel."""

    channel: int = 0  # which, from 0
    of_channels: int = 1  # how many the recording has, or else the server refuses it

    def parameters(self) -> dict[str, ParameterValue]:
        """Return the request parameters without defaults, and those of the channel."""
        return {**super().parameters(), "channel": self.channel, "of_channels": self.of_channels}


class _GivenUp(AsrError):
    """Another channel has failed, or the caller waits no more."""


def separate(
    audio: Audio, options: DecodeOptions, transcribe: Transcribe, on_segment: OnSegment | None
) -> Steps[Transcription]:
    """Return the transcript of all channels, merged in time.

    Args:
        audio: the recording.
        options: how the server decodes; it is also asked for the times of words, unless for those of segments.
        transcribe: gives the transcript of one channel, and calls its last argument with each segment of a long one.
        on_segment: called with each part of the transcript of a long recording, one call at a time.

    Raises:
        InvalidOption: `nbest` asks for several texts.
        InvalidAudio: there are too many channels.
        OptionRefused: the server's model is of a version that hears no single channel, or it refuses an option.
        AsrError: a channel has failed.
    """
    if options.nbest > 1:
        raise InvalidOption.for_anybody(f"nbest is {options.nbest}; needs 1 where channels are separate")
    if not options.timestamps:
        options = replace(options, word_timestamps=True)
    with (yield Read(lambda: SharedAudio(audio))) as shared:
        guessed: int = yield Read(shared.channels)
        try:
            return (yield from _Run(shared, guessed, options, transcribe, on_segment).steps())
        except InvalidRequest as error:
            found = channels_of(str(error))
            if found is None or found == guessed:
                raise
        return (yield from _Run(shared, found, options, transcribe, on_segment).steps())


class _Run:
    """The requests for a number of channels, which may be wrong."""

    def __init__(
        self,
        shared: SharedAudio,
        channels: int,
        options: DecodeOptions,
        transcribe: Transcribe,
        on_segment: OnSegment | None,
    ) -> None:
        if channels > MOST_CHANNELS:
            raise InvalidAudio.for_anybody(
                f"the recording has {channels} channels; needs {MOST_CHANNELS} or fewer to hear each of them"
            )
        self._shared, self._channels, self._options = shared, channels, options
        self._transcribe, self._on_segment = transcribe, on_segment
        self._turns = Turns(channels)
        self._parts: list[list[Transcription]] = [[] for _ in range(channels)]
        self._lock = threading.Lock()  # a client without asyncio does the requests in threads
        self._is_over = False

    def steps(self) -> Steps[Transcription]:
        """Do all requests, and return the transcript."""
        try:
            answers = yield Together([self._channel(number) for number in range(self._channels)])
        finally:
            self._is_over = True
        errors = [answer for answer in answers if isinstance(answer, AsrError)]
        if errors:
            raise next((error for error in errors if not isinstance(error, _GivenUp)), errors[0])
        return merged(self._parts)

    def _channel(self, number: int) -> Steps[None]:
        own = {option.name: getattr(self._options, option.name) for option in fields(DecodeOptions)}
        options = OneChannel(**own, channel=number, of_channels=self._channels)
        try:
            whole = yield from self._transcribe(self._shared.audio(), options, lambda part: self._take(number, part))
        except OptionRefused as error:
            self._is_over = True
            raise _explained(error) from error
        except BaseException:
            self._is_over = True
            raise
        if not self._parts[number]:  # a short recording, which comes as a whole, or silence without parts
            self._parts[number] = [self._divided(whole)]
        self._tell(lambda: self._turns.end(number))

    def _take(self, number: int, part: Transcription) -> None:
        """Take a part of a long recording."""
        if self._is_over:
            raise _GivenUp("another channel of the recording has failed")
        part = self._divided(part)
        parts = self._parts[number]
        if parts and part.duration <= parts[-1].duration:  # its server has ended, and another one begins
            parts.clear()
        parts.append(part)
        self._tell(lambda: self._turns.add(number, part))

    def _tell(self, move: Callable[[], Transcription | None]) -> None:
        with self._lock:
            told = move()
            if told is not None and self._on_segment is not None:
                self._on_segment(told)

    def _divided(self, part: Transcription) -> Transcription:
        return part if self._options.timestamps else divided(part)


def _explained(error: OptionRefused) -> OptionRefused:
    """Return the error with words about an earlier version of the kit, if that is the reason."""
    if "unknown parameter" not in str(error) or "'channel'" not in str(error):
        return error
    return OptionRefused.for_anybody(
        "this model cannot hear one channel of a recording: an earlier version of the kit exported it. Export it "
        "again, or let it hear the channels mixed"
    )
