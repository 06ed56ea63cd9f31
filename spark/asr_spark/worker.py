"""The work of a Spark task, without Spark: Arrow arrays of recordings become struct arrays of results.

An error of a recording is a result. An error that concerns every row ends the task: no such model, another kind of
model, access denied, an option that the server refuses, or nobody who answers for `fail_after_s`. While the server is
away, rows wait for it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

import pyarrow as pa
from asr_client import (
    AccessDenied,
    AsrError,
    Audio,
    Client,
    ClientClosed,
    DeadlineExceeded,
    DecodeOptions,
    InvalidOption,
    ModelMismatch,
    ModelNotFound,
    OptionRefused,
    ProcessForked,
    RequestInterrupted,
    ServerUnavailable,
    Transcription,
)

from asr_spark import schema
from asr_spark.attempts import FIRST, Attempt
from asr_spark.availability import Availability, JobFailed
from asr_spark.credentials import CredentialFiles, Credentials, credentials
from asr_spark.ordered import in_order
from asr_spark.room import Room, size_of
from asr_spark.schema import Failure, Result
from asr_spark.sources import Row, rows
from asr_spark.tally import Tally

# Sends of a row to a server that answers others, each of them up to `timeout_s` long and with the client's own retries.
MAX_SENDS = 5

DEFAULT_OPTIONS = DecodeOptions()
NO_FILES = CredentialFiles()

_LOG = logging.getLogger("asr_spark")
_OF_THE_JOB = (
    AccessDenied,
    ClientClosed,
    InvalidOption,
    ModelMismatch,
    ModelNotFound,
    ProcessForked,
    OptionRefused,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a task needs to know. Everything in here may be shown: it holds no header's value."""

    urls: tuple[str, ...]  # HOST:PORT of each server
    model: str = "asr"
    protocol: Literal["grpc", "http"] = "grpc"
    concurrency: int = 8  # requests at a time, of each task
    timeout_s: float = 60.0  # for a request, retries included
    fail_after_s: float = 60.0  # without an answer of any server
    sampling_rate: int | None = None  # Hz, of arrays
    options: DecodeOptions = DEFAULT_OPTIONS
    files: CredentialFiles = NO_FILES
    job: str = field(default_factory=lambda: uuid4().hex, compare=False)  # tells its notes from those of other jobs

    @property
    def where(self) -> str:
        """Return model and addresses, for messages."""
        return f"model {self.model!r} at {', '.join(self.urls)}"

    @property
    def has_alternatives(self) -> bool:
        """Return whether results have a field for the other likely texts of a recording."""
        return self.options.nbest > 1


def transcribe(
    columns: Iterable[pa.Array],
    settings: Settings,
    report: Callable[[Tally], None] = lambda tally: None,
    connect: Callable[[Settings], Client] | None = None,
    attempt: Attempt = FIRST,
) -> Iterator[pa.Array]:
    """Yield the results of each array of recordings, in the order of its rows.

    Rows are taken when a request is free, so requests of one array are under way together with those of the next.

    Args:
        columns: strings (paths and URIs), binary (audio files), or lists of float or double (samples).
        settings: where and how to transcribe.
        report: gets the tally of all rows after the last one.
        connect: makes the client; by default this process has one for each set of settings, which later tasks use too.
        attempt: of the task; a later one waits less for a server.

    Raises:
        JobFailed: an error that concerns every row; the message has model and addresses.
    """
    tally = Tally(first_s=time.time())
    kind = schema.arrow_type(alternatives=settings.has_alternatives)
    lengths: deque[int] = deque()  # of the arrays whose results are not yet complete

    def items() -> Iterator[Row | None]:
        for column in columns:
            lengths.append(len(column))
            yield from rows(column, settings.sampling_rate)

    with _job_errors(settings):
        task = _Task((connect or shared_client)(settings), settings, attempt)
        try:
            task.availability.check_model()
            results: list[Result] = []
            for result in in_order(items(), task.result, settings.concurrency):
                tally.add(result, time.time())
                results.append(result)
                while lengths and len(results) >= lengths[0]:
                    length = lengths.popleft()
                    yield schema.array(results[:length], kind)
                    del results[:length]
            for _ in lengths:  # arrays without rows, after the last row
                yield schema.array([], kind)
        finally:
            task.availability.stop()
    report(tally)


class _Task:
    """Transcribes rows; threads share it."""

    def __init__(self, client: Client, settings: Settings, attempt: Attempt) -> None:
        self._client = client
        self._options = settings.options
        self._alone = threading.Lock()
        self._room = Room()
        self.availability = Availability(client, settings.fail_after_s, settings.where, _LOG.warning, attempt)

    def result(self, row: Row | None) -> Result:
        """Return the transcript of a row, or its error.

        Raises:
            JobFailed: nobody answers.
            AsrError: one of those that concern every row.
        """
        if row is None:
            return None
        try:
            with row.opened() as audio:
                return self._transcribe(audio)
        except _OF_THE_JOB:
            raise
        except AsrError as error:
            return Failure(type(error).__name__, str(error))

    def _transcribe(self, audio: Audio) -> Transcription:
        """Return the transcript. While no server answers, wait, and send the recording again."""
        sent_at, size = time.monotonic(), size_of(audio)
        suspicions: set[type[AsrError]] = set()
        for left in reversed(range(MAX_SENDS)):
            try:
                # Rows whose server has ended go one by one: one of them may have ended it, and the others pass.
                turn = self._alone if RequestInterrupted in suspicions else nullcontext()
                with turn, self._room.taken(size):
                    self.availability.check_stopped()
                    transcription = self._client.transcribe(audio, options=self._options)
            except (ServerUnavailable, DeadlineExceeded) as error:
                was_away = self.availability.wait(sent_at, error)
                is_suspect = isinstance(error, RequestInterrupted) or (
                    isinstance(error, DeadlineExceeded) and not was_away
                )
                if not left or (is_suspect and type(error) in suspicions):
                    raise
                if is_suspect:  # once, that may be the tail of an outage; twice, it is the recording
                    suspicions.add(type(error))
            except AsrError as error:
                if error.attempts:  # it was sent, and this is the server's answer
                    self.availability.note_answer()
                raise
            else:
                self.availability.note_answer()
                return transcription
        raise AssertionError("unreachable: the last send returns or raises")


@contextmanager
def _job_errors(settings: Settings) -> Iterator[None]:
    """Add model and addresses to the errors that concern every row."""
    try:
        yield
    except _OF_THE_JOB as error:
        raise JobFailed(f"{settings.where}: {type(error).__name__}: {error}") from error


def new_client(settings: Settings, access: Credentials) -> Client:
    """Return a client for these settings.

    Raises:
        InvalidOption: a setting is not valid.
    """
    return Client(
        settings.urls[0] if len(settings.urls) == 1 else list(settings.urls),
        protocol=settings.protocol,
        model=settings.model,
        timeout_s=settings.timeout_s,
        tls=access.tls or False,
        headers=dict(access.headers),
    )


_clients: dict[tuple[Settings, Credentials], Client] = {}


def shared_client(settings: Settings) -> Client:
    """Return this process's client for the settings, and for the credentials as they are now."""
    key = (settings, credentials(settings.files))
    if key not in _clients:
        _clients[key] = new_client(*key)
    return _clients[key]
