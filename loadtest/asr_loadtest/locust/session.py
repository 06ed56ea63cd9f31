"""The session of a test, which the Locust users of a process share: options, recordings, clients, baselines."""

import random
from typing import Any
from typing import Protocol as Interface

import gevent
from asr_client import AsrError, Client, RetryPolicy, Transcription, _options
from asr_client._address import DEFAULT_ADDRESSES
from asr_client._options import DEFAULT_TIMEOUT_S
from locust.env import Environment
from locust.runners import WorkerRunner
from tqdm import tqdm

from asr_loadtest import recordings
from asr_loadtest.errors import LoadTestError
from asr_loadtest.locust.openai_caller import OpenAIGreenCaller
from asr_loadtest.locust.options import Protocol, UserOptions
from asr_loadtest.openai.endpoint import Endpoint
from asr_loadtest.recordings import Recording

# Retries would hide from the figures what the load does.
_ONE_ATTEMPT = RetryPolicy(max_attempts=1)
# The option in which the baselines travel: Locust sends its options whenever it tells a worker to start users.
_BASELINES = "baseline_transcripts"


class TranscriptChanged(LoadTestError):
    """The transcript under load differs from the one without load."""


class Caller(Interface):
    """Sends recordings, by one of the protocols."""

    def check_model(self) -> object:
        """Raise AsrError unless the server has the model."""

    def transcribe(self, audio: bytes) -> Transcription:
        """Return the transcript of an audio file; raise AsrError."""


class Session:
    """One test, from its start to its end, in one process.

    One client serves all users of a protocol: over gRPC they share a connection, over HTTP a pool of connections. Under
    gevent a process can have only one HTTP client, because the process has only one event loop.
    """

    def __init__(self, environment: Environment) -> None:
        """Read the recordings.

        Raises:
            LoadTestError: an option is not valid, or the recordings cannot be read.
            AsrError: the manifest cannot be read.
        """
        self.options = UserOptions.of(environment.parsed_options)
        self.recordings = _load(self.options)
        self._environment = environment
        self._baselines: list[str] | None = None
        self._clients: dict[_options.Protocol, Client] = {}
        self._openai: OpenAIGreenCaller | None = None
        self._users = 0

    def url(self, protocol: _options.Protocol) -> str:
        """Return HOST:PORT of the server; without --host, Triton's default port on this machine."""
        return self._environment.host or DEFAULT_ADDRESSES[protocol]

    def client(self, protocol: _options.Protocol) -> Client:
        """Return the client of one of Triton's protocols."""
        if protocol not in self._clients:
            self._clients[protocol] = Client(
                self.url(protocol), protocol=protocol, model=self.options.model, retry=_ONE_ATTEMPT
            )
        return self._clients[protocol]

    def caller(self, protocol: Protocol) -> Caller:
        """Return what sends recordings by this protocol.

        Raises:
            AsrError: --host is no address of this protocol.
        """
        if protocol != "openai":
            return self.client(protocol)
        if self._openai is None:
            endpoint = Endpoint.at(self._environment.host, self.options.model, DEFAULT_TIMEOUT_S)
            self._openai = OpenAIGreenCaller(endpoint)
        return self._openai

    def chance(self) -> random.Random:
        """Return a random generator for one more user; it is the same in every run with as many workers."""
        self._users += 1
        worker = getattr(self._environment.runner, "worker_index", 0)
        return random.Random(f"{self.options.seed}, worker {worker}, user {self._users}")

    def ask_without_load(self, protocol: Protocol) -> None:
        """Check that the server has the model. For --check, have it transcribe one recording after the other.

        Raises:
            AsrError: the server does not have the model.
            LoadTestError: the server cannot transcribe a recording; the message names it.
        """
        caller = self.caller(protocol)
        caller.check_model()
        if self.options.check:
            waiting = tqdm(self.recordings, desc="transcripts without load", leave=False, disable=None)
            self._baselines = [_transcript(caller, recording) for recording in waiting]
        setattr(self._environment.parsed_options, _BASELINES, self._baselines)

    def take_transcripts(self) -> None:
        """Take the baselines from the master.

        Raises:
            LoadTestError: the master has another number of recordings.
        """
        self._baselines = getattr(self._environment.parsed_options, _BASELINES, None)
        if self._baselines is not None and len(self._baselines) != len(self.recordings):
            raise LoadTestError(
                f"{self.options.source} has {len(self.recordings)} recordings here and {len(self._baselines)} at the "
                "master; --check needs the same recordings everywhere"
            )

    def check(self, index: int, answer: Transcription) -> None:
        """Compare an answer with the transcript without load, where --check was given.

        Raises:
            TranscriptChanged: they differ.
        """
        if self._baselines is not None and answer.text != self._baselines[index]:
            raise TranscriptChanged(
                f"the transcript of {self.recordings[index].name} differs from the one without load"
            )

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
        if self._openai is not None:
            self._openai.close()


def _transcript(caller: Caller, recording: Recording) -> str:
    try:
        return caller.transcribe(recording.audio).text
    except AsrError as error:
        raise LoadTestError(f"{recording.name}, without load: {error}") from error


def is_worker(environment: Environment) -> bool:
    """Return whether a master tells this process what to do."""
    return isinstance(environment.runner, WorkerRunner)


def _load(options: UserOptions) -> list[Recording]:
    """Load the recordings in a thread of the system: a master gives up a worker that does not answer for 3 s."""
    pool: Any = gevent.get_hub().threadpool
    loaded: list[Recording] = pool.apply(
        recordings.load,
        (options.source,),
        {"mix": options.mix or None, "number": options.recordings or None, "seed": options.seed},
    )
    return loaded
