"""The service for live streams: it takes their pieces and returns the text so far.

The caller passes the functions that run the models.
"""

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict

import numpy as np
from asr_contract import parameters as contract
from asr_contract import tensors
from asr_contract.errors import ParameterError
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.audio.container import PCM_DTYPES
from asr_serving.audio.request import pcm_format, wants_vad
from asr_serving.audio.speech import Detector
from asr_serving.ctc.heard import Heard, silence
from asr_serving.live.listening import Pace
from asr_serving.live.streams import NOTHING, Models, Stream, Streams, Update
from asr_serving.overload import stopping
from asr_serving.sequences import Piece

PACE = ("before", "chunk", "after", "endpoint", "longest")  # seconds; see `Pace`
SETTINGS = {"acoustic", "ctc_decode", "min_samples", "max_streams", *(f"{name}_seconds" for name in PACE)}

Acoustic = Callable[[NDArray[np.float32]], Awaitable[NDArray[np.float32]]]  # `[samples]` -> `[frames, vocab]`
Decode = Callable[[NDArray[np.float32], Mapping[str, object]], Awaitable[Heard]]


class LiveStreams:
    """The live streams under way.

    Args:
        settings: of the model's configuration: SETTINGS.
        labels: of the acoustic model.
        acoustic: calls the acoustic model.
        decode: calls the decode step.
    """

    def __init__(self, settings: Mapping[str, str], labels: Labels, acoustic: Acoustic, decode: Decode) -> None:
        self._labels, self._acoustic, self._decode = labels, acoustic, decode
        self._min_samples = int(settings["min_samples"])
        self._pace = Pace(**{name: float(settings[f"{name}_seconds"]) for name in PACE})
        self._streams = Streams(int(settings["max_streams"]))
        self._models = Models(self._log_probs, self._heard)

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
            update = await self._streams.get(piece.key).take(piece.data, piece.is_last, self._models)
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
        # The decode step checks the options now, not after the first sentence.
        await self._decode(silence(self._labels), parameters)
        detector = self._detector if wants_vad(parameters) else None
        self._streams.begin(key, Stream(pcm, self._labels, self._pace, parameters, detector))

    @functools.cached_property
    def _detector(self) -> Detector:
        """Load the detector for the first stream that asks for it."""
        return Detector.load()

    async def _log_probs(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return await self._acoustic(np.pad(samples, (0, max(0, self._min_samples - len(samples)))))

    async def _heard(self, log_probs: NDArray[np.float32], parameters: Mapping[str, object]) -> Heard:
        return await self._decode(log_probs, {**parameters, "word_timestamps": True})


def outputs(update: Update) -> dict[str, str | float]:
    """Return the output tensors for one piece."""
    return {
        tensors.PARTIAL: update.partial,
        tensors.STABLE: update.stable,
        tensors.FINALS: json.dumps([asdict(final) for final in update.finals], ensure_ascii=False),
        tensors.DURATION: update.seconds,
    }
