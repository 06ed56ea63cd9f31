"""What the Locust users of one process share during a test: options, recordings, clients, transcripts without load."""

import random
from typing import Any

import gevent
from asr_client import AsrError, Client, RetryPolicy, Transcription
from asr_client._core import DEFAULT_ADDRESSES
from locust.env import Environment
from locust.runners import WorkerRunner
from tqdm import tqdm

from asr_loadtest import recordings
from asr_loadtest.errors import LoadTestError
from asr_loadtest.locust.options import Protocol, UserOptions
from asr_loadtest.recordings import Recording

# A caller's retries would hide from the figures what the load does.
_ONE_ATTEMPT = RetryPolicy(max_attempts=1)
# Where the transcripts travel to the workers: Locust sends its options along whenever it tells one to start users.
_BASELINES = "baseline_transcripts"


class TranscriptChanged(LoadTestError):
    """Under load the answer was another one than without."""


class Session:
    """One test, from its start to its end, in one process.

    One client serves all users of a protocol: over gRPC they share a connection, over HTTP a pool of them. Under gevent
    a process has room for one HTTP client only, because the event loop that it runs in is the process's one.
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
        self._clients: dict[Protocol, Client] = {}
        self._users = 0

    def url(self, protocol: Protocol) -> str:
        """HOST:PORT of the server; without --host, of Triton's own port on this machine."""
        return self._environment.host or DEFAULT_ADDRESSES[protocol]

    def client(self, protocol: Protocol) -> Client:
        """The client of this protocol."""
        if protocol not in self._clients:
            self._clients[protocol] = Client(
                self.url(protocol), protocol=protocol, model=self.options.model, retry=_ONE_ATTEMPT
            )
        return self._clients[protocol]

    def chance(self) -> random.Random:
        """Another user's own source of what is random, the same in every run with as many workers."""
        self._users += 1
        worker = getattr(self._environment.runner, "worker_index", 0)
        return random.Random(f"{self.options.seed}, worker {worker}, user {self._users}")

    def ask_without_load(self, protocol: Protocol) -> None:
        """Make sure that the server has the model and, for --check, have it transcribe one recording after the other.

        Raises:
            AsrError: it has not.
            LoadTestError: it cannot; the message names the recording.
        """
        client = self.client(protocol)
        client.check_model()
        if self.options.check:
            waiting = tqdm(self.recordings, desc="transcripts without load", leave=False, disable=None)
            self._baselines = [_transcript(client, recording) for recording in waiting]
        setattr(self._environment.parsed_options, _BASELINES, self._baselines)

    def take_transcripts(self) -> None:
        """Have the transcripts without load that the master asked for.

        Raises:
            LoadTestError: the master had another number of recordings.
        """
        self._baselines = getattr(self._environment.parsed_options, _BASELINES, None)
        if self._baselines is not None and len(self._baselines) != len(self.recordings):
            raise LoadTestError(
                f"{self.options.source} has {len(self.recordings)} recordings here and {len(self._baselines)} at the "
                "master; --check needs the same ones everywhere"
            )

    def check(self, index: int, answer: Transcription) -> None:
        """Hold an answer against the transcript without load, where --check was given.

        Raises:
            TranscriptChanged: they differ.
        """
        if self._baselines is not None and answer.text != self._baselines[index]:
            raise TranscriptChanged(f"{self.recordings[index].name} has another transcript than without load")

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


def _transcript(client: Client, recording: Recording) -> str:
    try:
        return client.transcribe(recording.audio).text
    except AsrError as error:
        raise LoadTestError(f"{recording.name}, without load: {error}") from error


def is_worker(environment: Environment) -> bool:
    """Whether a master tells this process what to do."""
    return isinstance(environment.runner, WorkerRunner)


def _load(options: UserOptions) -> list[Recording]:
    """Load in a thread of the system: a worker that stops answering for 3 s is missing to its master."""
    pool: Any = gevent.get_hub().threadpool
    loaded: list[Recording] = pool.apply(
        recordings.load,
        (options.source,),
        {"mix": options.mix or None, "number": options.recordings or None, "seed": options.seed},
    )
    return loaded
