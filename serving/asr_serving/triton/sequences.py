"""Answers to the pieces of sequences: of long recordings and of live streams."""

from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from asr_serving.live.service import LiveStreams
from asr_serving.long.segments import Segment
from asr_serving.long.service import LongRecordings
from asr_serving.triton import requests as incoming
from asr_serving.triton import responses


class LongAnswers:
    """Takes the pieces of long recordings, and starts to transcribe a recording after its last piece.

    The final response to each piece is empty; the segments come before the final response to the last piece.

    Args:
        recordings: the service.
        nothing: an empty segment. The last response has tensors, because tritonclient's asyncio client cannot ask for
            one without.
    """

    def __init__(self, recordings: LongRecordings, nothing: Segment) -> None:
        self._recordings, self._nothing = recordings, nothing

    def take(self, request: Any) -> None:
        """Take a piece; a piece that cannot be taken gets an error."""
        sender = request.get_response_sender()

        def tell(segment: Segment) -> None:
            responses.send(sender, responses.response(segment.outputs()), is_final=False)

        def finish(failed: Exception | None) -> None:
            last = responses.response(self._nothing.outputs()) if failed is None else responses.error(failed)
            responses.send(sender, last)

        try:
            piece = incoming.piece(request)
            file = self._recordings.take(piece)
        except Exception as failed:  # noqa: BLE001 - raised from here, it would leave the caller waiting
            finish(failed)
        else:
            if file is None:
                finish(None)
            else:
                self._recordings.start(file, piece.parameters, tell, finish, request.is_cancelled)


async def answer_live(streams: LiveStreams, request: Any) -> None:
    """Answer a piece of a live stream."""
    try:
        responses.refuse_cancelled(request)
        update = await streams.answer(incoming.piece(request))
        response = responses.response(update.outputs())
    except Exception as failed:  # noqa: BLE001 - raised from `execute`, it would fail the whole batch
        response = responses.error(failed)
    if request.is_cancelled():  # the caller may have gone meanwhile, and then nobody continues the stream
        streams.forget(request.correlation_id())
    responses.send(request.get_response_sender(), response)


def warn_unanswered(failures: Sequence[BaseException | None]) -> None:
    """Log what kept pieces of live streams from being answered.

    Raised from `execute`, it would fail pieces that already have their answer.
    """
    for failed in failures:
        if failed is not None:
            pb_utils.Logger.log_warn(f"a piece of a live stream could not be answered: {failed!r}")
