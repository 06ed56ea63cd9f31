"""The endpoints that transcribe and translate."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from asr_client import Transcription
from asr_contract.parameters import Task
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from asr_gateway import answers, decoding, errors, events, forms, speakers
from asr_gateway.connections import CallerGone, while_connected
from asr_gateway.exchange import CALLER_GONE, Exchange
from asr_gateway.limits import Limits
from asr_gateway.metrics import Metrics
from asr_gateway.models import Models


@dataclass(frozen=True)
class Audio:
    """A form with a recording in, a transcript out.

    It is an ASGI app and no function, because it holds its place among the requests, and the recording, until the
    answer is sent. The place is free again when the last part of the answer leaves: whoever sends one request after the
    other needs no more than one.
    """

    task: Task
    models: Models
    limits: Limits
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            ApiError: the request is not valid, or too much.
            AsrError: no server could answer it.
        """
        exchange = Exchange.of(scope)
        with self.limits.place(exchange.caller) as give_back, self.metrics.under_way():

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    give_back()
                await send(message)

            try:
                began = time.perf_counter()
                headers = Headers(scope=scope)
                form, close = await forms.read(headers, self.limits.counted(headers, receive))
                try:
                    self.metrics.took("upload", time.perf_counter() - began)
                    await while_connected(receive, self._answer(form, scope, receive, sending))
                finally:
                    await close()
            except (CallerGone, ClientDisconnect):
                exchange.failed(CALLER_GONE, "caller_gone")

    async def _answer(self, form: forms.Form, scope: Scope, receive: Receive, send: Send) -> None:
        model = await self.models.named(form.model)
        options = decoding.options(form, model, self.task)
        client = self.models.client(model)

        async def transcribe(on_segment: Callable[[Transcription], None] = lambda _: None) -> Transcription:
            with self.metrics.stage("server"):
                transcription = await client.transcribe(
                    form.recording(),
                    channels=form.channels,
                    options=options,
                    on_segment=lambda segment: on_segment(speakers.named(segment, form.speakers)),
                )
            self.metrics.heard(model.name, transcription.duration)
            return speakers.named(transcription, form.speakers)

        if not form.is_streamed:
            response = answers.answer(form, await transcribe(), self.task)
            await response(scope, receive, send)
            return
        failure = await events.send_all(send, events.of_transcription(form, transcribe))
        if failure is not None:
            told = errors.of_client(failure)
            Exchange.of(scope).failed(told.status, told.code)
