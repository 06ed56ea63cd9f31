"""Triton adapter for live streams: pieces of a sequence in, what is being said out, by way of the other models."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import container
import heard
import live
import numpy as np
import request as request_parameters
import steps
import triton_python_backend_utils as pb_utils
from labels import Labels
from listening import Pace

PACE = ("before", "chunk", "after", "endpoint", "longest")  # seconds; see listening.Pace
SETTINGS = {"acoustic", "ctc_decode", "min_samples", "max_streams", *(f"{name}_seconds" for name in PACE)}
STOPPING = os.environ.get("TRITON_ASR_STOPPING", "")  # as in the preprocess step
START, END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> to each of them what config.pbtxt lists, each [1, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        self.settings = settings = steps.settings(args["model_config"], SETTINGS)
        self.labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        self.pace = Pace(**{name: float(settings[f"{name}_seconds"]) for name in PACE})
        self.streams = live.Streams(int(settings["max_streams"]))
        self.models = live.Models(self._acoustic, self._decode)
        self.loop = asyncio.new_event_loop()

    def execute(self, requests: list) -> None:
        """Answer all pieces at once, so that the windows of all streams share batches.

        Returns when all are answered: Triton takes it for the end of the requests, and goes on with their sequences.
        """
        self.loop.run_until_complete(self._answer_all(requests))

    def finalize(self) -> None:
        """Close what is open."""
        self.loop.close()

    async def _answer_all(self, requests: list) -> None:
        for failed in await asyncio.gather(*map(self._send_answer, requests), return_exceptions=True):
            if failed is not None:  # raised from `execute`, it would fail those that have their answer already
                pb_utils.Logger.log_warn(f"a piece of a live stream could not be answered: {failed!r}")

    async def _send_answer(self, request: "pb_utils.InferenceRequest") -> None:
        response = steps.cancelled() if request.is_cancelled() else await self._answer(request)
        if request.is_cancelled():  # meanwhile, perhaps: nobody will go on with the stream
            self.streams.end(request.correlation_id())
        request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    async def _answer(self, request: "pb_utils.InferenceRequest") -> "pb_utils.InferenceResponse":
        key, flags = request.correlation_id(), request.flags()
        try:
            if flags & START:
                await self._begin(key, json.loads(request.parameters() or "{}"))
            stream = self.streams.get(key)
            data = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy()[0, 0]
            update = await stream.take(data, bool(flags & END), self.models)
        except (container.AudioError, request_parameters.ParameterError, live.UnknownStream) as refused:
            self.streams.end(key)
            return steps.refusal(str(refused))
        except live.TooManyStreams as full:
            return steps.unavailable(str(full))
        except Exception as unforeseen:  # noqa: BLE001 - raised from `execute`, it would fail the whole batch
            self.streams.end(key)
            return steps.failure(str(unforeseen) or repr(unforeseen))
        if flags & END:
            self.streams.end(key)
        return _response(update)

    async def _begin(self, key: object, parameters: dict) -> None:
        if STOPPING and Path(STOPPING).exists():
            raise live.TooManyStreams("the server is stopping")
        pcm = request_parameters.pcm_format(parameters)
        if pcm is None:
            raise request_parameters.ParameterError(
                f"encoding is 'file'; a live stream needs one of {', '.join(container.PCM_DTYPES)}"
            )
        if "nbest" in parameters:
            raise request_parameters.ParameterError("nbest is for recordings, not for live streams")
        # The decode step looks at the options now, and not when the first sentence is over.
        try:
            await self._decode(steps.silence(self.labels), parameters)
        except steps.StepError as refused:
            raise request_parameters.ParameterError(str(refused)) from refused
        self.streams.begin(key, live.Stream(pcm, self.labels, self.pace, parameters))

    async def _acoustic(self, samples: np.ndarray) -> np.ndarray:
        padded = np.pad(samples, (0, max(0, int(self.settings["min_samples"]) - len(samples))))
        return steps.log_probs_of(await steps.ask_acoustic(self.settings["acoustic"], padded).async_exec())

    async def _decode(self, log_probs: np.ndarray, parameters: Mapping[str, object]) -> heard.Heard:
        timed = {**parameters, "word_timestamps": True}
        return steps.heard_of(await steps.ask_decode(self.settings["ctc_decode"], log_probs, timed).async_exec())


def _response(update: live.Update) -> "pb_utils.InferenceResponse":
    finals = [asdict(final) for final in update.finals]
    return pb_utils.InferenceResponse(
        [
            steps.text_tensor("PARTIAL", update.partial),
            pb_utils.Tensor("STABLE", np.array([[update.stable]], dtype=np.int32)),
            steps.text_tensor("FINALS", json.dumps(finals, ensure_ascii=False)),
            pb_utils.Tensor("DURATION", np.array([[update.seconds]], dtype=np.float32)),
        ]
    )
