"""A user for Locust that speaks: N users are N live streams at a time.

    from asr_loadtest.locust.stream_users import StreamUser

Its events are of type "grpc". "partial result" and "final result" have their lags as time (see `streams.playback`).
"live stream" comes once for each recording: its time is from the end of the audio to the end of the stream, its length
is the bytes of audio, and its exception is the client's error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, time
from typing import ClassVar
from weakref import WeakKeyDictionary

from asr_loadtest.locust.users import AsrUser  # isort: skip  # before anything that gevent has to patch

import gevent
from asr_client import AsrError
from asr_client._address import proxy_arguments
from asr_client._transports.grpc_client import GrpcClient
from asr_contract.names import STREAM_SUFFIX
from locust import constant, task
from tritonclient.utils import InferenceServerException

from asr_loadtest.errors import LoadTestError, NotReady
from asr_loadtest.locust.session import Session
from asr_loadtest.server_view.triton_statistics import parameters_of
from asr_loadtest.streams.playback import Pace, Playback, Script, scripts


@dataclass(frozen=True)
class _Streams:
    """The recordings of a session as live streams."""

    pace: Pace
    scripts: Sequence[Script]


class StreamUser(AsrUser):
    """Speaks one recording after the other, as fast as it is spoken, whether or not the server keeps up.

    When the server refuses a stream, the user is silent for as long as it would have spoken.
    """

    protocol = "grpc"
    wait_time = constant(0)
    streams: ClassVar["WeakKeyDictionary[Session, _Streams]"] = WeakKeyDictionary()

    @classmethod
    def prepare(cls, session: Session) -> None:
        """Ask the server how it hears streams, and make streams of the recordings.

        Raises:
            LoadTestError: the server has no live streams, only the server reads the formats of the recordings, or
                --check was given.
        """
        if session.options.check:
            raise LoadTestError(
                "--check is for requests; `triton-asr loadtest --streams` compares the transcripts of streams"
            )
        pace = _pace(session.url(cls.protocol), session.options.model + STREAM_SUFFIX)
        spoken = [script for _, script in scripts(session.recordings, pace)]
        cls.streams[session] = _Streams(pace, spoken)

    def on_start(self) -> None:
        """Find the session; a worker makes its streams with its first user."""
        super().on_start()
        if self.session not in self.streams:
            self.prepare(self.session)

    @task
    def speak(self) -> None:
        """Speak a recording."""
        streams = self.streams[self.session]
        script = self.chance.choice(streams.scripts)
        playback = Playback(script, streams.pace, perf_counter)
        begin_s, start_time = perf_counter(), time()
        failure: Exception | None = None
        try:
            results = self.session.client(self.protocol).stream(
                playback.pieces(gevent.sleep), sampling_rate=script.sampling_rate, channels=script.channels
            )
            for result in results:
                name = "final result" if result.is_final else "partial result"
                self._tell(name, playback.hear(result), len(result.text), time())
        except AsrError as error:
            failure = error
        left_s = begin_s + script.seconds - perf_counter()
        self._tell("live stream", max(0.0, -left_s), len(script.pcm), start_time, failure)
        if failure is not None and left_s > 0:
            gevent.sleep(left_s)

    def _tell(
        self, name: str, seconds: float, length: int, start_time: float, failure: Exception | None = None
    ) -> None:
        self.environment.events.request.fire(
            request_type=self.protocol,
            name=name,
            response_time=1e3 * seconds,
            response_length=length,
            response=None,
            context=self.context(),
            exception=failure,
            start_time=start_time,
            url=self.environment.host,
        )


def _pace(url: str, model: str) -> Pace:
    """Return how the server hears streams.

    Raises:
        NotReady: the server does not answer, or has no such model.
    """
    client = GrpcClient(url, channel_args=proxy_arguments(url) or None)
    try:
        return Pace.of(parameters_of(client.get_model_config(model, as_json=True)))
    except InferenceServerException as error:
        raise NotReady(f"model {model!r} for live streams: {error.message()}") from error
    finally:
        client.close()
