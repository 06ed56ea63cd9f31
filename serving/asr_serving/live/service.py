"""The service for live streams: it takes their pieces and returns the text so far."""

from collections.abc import Mapping
from typing import Protocol

from asr_contract import parameters as contract
from asr_contract.errors import ParameterError
from asr_contract.parameters import StreamOptions

from asr_serving.audio.container import PCM_DTYPES, PcmFormat
from asr_serving.audio.request import pcm_format
from asr_serving.live.streams import Stream, Streams
from asr_serving.live.updates import NOTHING, Update
from asr_serving.overload import stopping
from asr_serving.sequences import Piece

SETTINGS = {"max_streams"}


class Opener(Protocol):
    """Begins the streams of one model; `live.ctc` and `live.whisper` have one."""

    async def open(self, pcm: PcmFormat, options: StreamOptions, parameters: Mapping[str, object]) -> Stream:
        """Return a new stream.

        Args:
            pcm: the layout of its samples.
            options: how it is divided.
            parameters: all others of the request.

        Raises:
            ServiceError: a parameter is malformed.
        """


class LiveStreams:
    """The live streams under way.

    Args:
        settings: of the model's configuration: SETTINGS, and those of the opener.
        opener: begins streams.
    """

    def __init__(self, settings: Mapping[str, str], opener: Opener) -> None:
        self._opener = opener
        self._streams = Streams(int(settings["max_streams"]))

    async def answer(self, piece: Piece) -> Update:
        """Return the state of a stream after its next piece of raw samples; forget a stream that fails.

        Raises:
            ServiceError: the stream or its piece cannot be taken, or a model failed.
        """
        if piece.is_last and piece.parameters.get(contract.DISCARD):
            self._streams.end(piece.key)
            return NOTHING
        try:
            if piece.is_first:
                await self._begin(piece.key, piece.parameters)
            is_flush = contract.flushes(piece.parameters)
            update = await self._streams.get(piece.key).take(piece.data, piece.is_last, is_flush)
        except BaseException:
            self._streams.end(piece.key)
            raise
        if piece.is_last:
            self._streams.end(piece.key)
        return update

    def forget(self, key: object) -> None:
        """Forget a stream whose caller has gone."""
        self._streams.end(key)

    async def _begin(self, key: object, parameters: Mapping[str, object]) -> None:
        stopping.check()
        pcm = pcm_format(parameters)
        if pcm is None:
            raise ParameterError(f"encoding is 'file'; a live stream needs one of {', '.join(PCM_DTYPES)}")
        contract.refuse_whole_only(parameters, "live streams")
        if stray := [name for name in contract.CHANNEL_PARAMETERS if name in parameters]:
            raise ParameterError(f"{', '.join(stray)} is for recordings, not for live streams: send one channel alone")
        options, rest = contract.read_stream(parameters)
        self._streams.begin(key, await self._opener.open(pcm, options, rest))
