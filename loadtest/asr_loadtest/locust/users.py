"""Users for Locust: callers of a speech recognition service, in a closed or an open loop.

They speak gRPC or HTTP with Triton, or OpenAI's protocol with the kit's gateway.

A locustfile imports the users that it wants. The import also gives `locust` the options of `options`:

    from asr_loadtest.locust.users import OpenLoopGrpcUser

Every request is an event of Locust: its type is the protocol ("grpc", "http" or "openai"), its name is the length class
of the recording, its length is the bytes of audio, and its exception is the client's error.

The import of this module patches the standard library for gevent, as the import of Locust does, and gRPC as well.
"""

from argparse import ArgumentParser
from time import perf_counter, time
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from locust import User, constant, events, task  # isort: skip  # before anything that it has to patch

import gevent
import grpc.experimental.gevent
from asr_client import AsrError, Transcription
from gevent.pool import Group
from locust.env import Environment
from locust.exception import StopTest, StopUser

from asr_loadtest.errors import LoadTestError
from asr_loadtest.locust.open_loop import due_times
from asr_loadtest.locust.options import Protocol, add_options
from asr_loadtest.locust.session import Session, TranscriptChanged, is_worker

# Without this, gRPC would block all users while one of them waits. It has to come before the first connection.
grpc.experimental.gevent.init_gevent()
# The log says in one line why a test did not begin; gevent would add a traceback.
gevent.get_hub().NOT_ERROR += (StopTest, AsrError, LoadTestError)

_SESSIONS: WeakKeyDictionary[Environment, Session] = WeakKeyDictionary()


class AsrUser(User):
    """The base of all users. `--host` is the server's HOST:PORT; by OpenAI's protocol, http://HOST:PORT."""

    abstract = True
    protocol: ClassVar[Protocol]

    @classmethod
    def prepare(cls, session: Session) -> None:
        """Check that a test with such users can begin, in the process that begins it; raise LoadTestError if not."""

    def on_start(self) -> None:
        """Find the session, and take a random generator of its own."""
        session = _SESSIONS.get(self.environment)
        if session is None:  # it could not be opened; the log says why
            raise StopUser
        self.session = session
        self.chance = session.chance()

    def send(self, index: int, due_s: float) -> None:
        """Send recording number `index`, and tell Locust the result; latency counts from `due_s` (perf_counter)."""
        recording = self.session.recordings[index]
        answer: Transcription | None = None
        failure: Exception | None = None
        start_time = time() - (perf_counter() - due_s)
        try:
            answer = self.session.caller(self.protocol).transcribe(recording.audio)
            self.session.check(index, answer)
        except (AsrError, TranscriptChanged) as error:
            failure = error
        self.environment.events.request.fire(
            request_type=self.protocol,
            name=recording.length_class,
            response_time=1e3 * (perf_counter() - due_s),
            response_length=len(recording.audio),
            response=answer,
            context=self.context(),
            exception=failure,
            start_time=start_time,
            url=self.environment.host,
        )

    def choose(self) -> int:
        """Return the number of a random recording."""
        return self.chance.randrange(len(self.session.recordings))


class ClosedLoopUser(AsrUser):
    """Waits for its answer, then for `wait_time`, before it sends again: N users have at most N requests at a time.

    A server that stalls makes this user wait, and no figure holds the requests that it would have sent meanwhile. So it
    cannot find a capacity. It stands for callers who do wait, as a batch job does.
    """

    abstract = True
    wait_time = constant(0)

    @task
    def transcribe(self) -> None:
        """Send a recording."""
        self.send(self.choose(), perf_counter())


class OpenLoopUser(AsrUser):
    """Sends `--rate-per-user` requests a second when they are due, whether or not earlier ones were answered.

    N users together send N times the rate, in one process or on many workers. Latency counts from the time at which a
    request was due. Requests under way at the end of the test get `--stop-timeout` seconds. Then they are dropped, and
    no figure counts them.
    """

    abstract = True

    def on_start(self) -> None:
        """Make the schedule of arrivals, and wait for the first one."""
        super().on_start()
        options = self.session.options
        start_s = perf_counter()
        self.under_way = Group()
        self.due = (start_s + at_s for at_s in due_times(options.arrivals, options.rate_per_user, self.chance))
        self.due_s = next(self.due)
        self.wait()  # type: ignore[no-untyped-call]

    def wait_time(self) -> float:
        """Return the seconds to the next arrival; 0 when it is late."""
        return max(0.0, self.due_s - perf_counter())

    @task
    def arrive(self) -> None:
        """Send a recording without waiting for the answer."""
        self.under_way.spawn(self.send, self.choose(), self.due_s)
        self.due_s = next(self.due)

    def on_stop(self) -> None:
        """Wait for the requests under way, for as long as Locust allows."""
        if hasattr(self, "under_way"):
            self.under_way.join(timeout=self.environment.stop_timeout)
            self.under_way.kill()


class GrpcUser(ClosedLoopUser):
    """Closed loop over gRPC."""

    protocol = "grpc"


class HttpUser(ClosedLoopUser):
    """Closed loop over HTTP."""

    protocol = "http"


class OpenAIUser(ClosedLoopUser):
    """Closed loop by OpenAI's protocol; the key, if one is needed, is in the environment variable OPENAI_API_KEY."""

    protocol = "openai"


class OpenLoopGrpcUser(OpenLoopUser):
    """Open loop over gRPC."""

    protocol = "grpc"


class OpenLoopHttpUser(OpenLoopUser):
    """Open loop over HTTP."""

    protocol = "http"


class OpenLoopOpenAIUser(OpenLoopUser):
    """Open loop by OpenAI's protocol; for the key see OpenAIUser."""

    protocol = "openai"


def _add_options(parser: ArgumentParser, **_: Any) -> None:
    add_options(parser)


def _open_session(environment: Environment, **_: Any) -> None:
    """Read the recordings. The master, or a process without one, also checks that the server is there."""
    try:
        session = Session(environment)
        _SESSIONS[environment] = session
        users = [user for user in environment.user_classes if issubclass(user, AsrUser)]
        if is_worker(environment):
            session.take_transcripts()
        else:
            for user in users:
                user.prepare(session)
            for protocol in {user.protocol for user in users}:
                session.ask_without_load(protocol)
    except (AsrError, LoadTestError) as error:
        _close_session(environment)
        environment.process_exit_code = 1
        if is_worker(environment):  # tells the master, which ends with status 1, too
            heard: Any = environment.events.user_error
            heard.fire(user_instance=None, exception=error, tb=error.__traceback__)
        raise StopTest(f"no load test: {error}") from error


def _close_session(environment: Environment, **_: Any) -> None:
    session = _SESSIONS.pop(environment, None)
    if session is not None:
        session.close()


_HOOKS: Any = events  # they have no types
_HOOKS.init_command_line_parser.add_listener(_add_options)
_HOOKS.test_start.add_listener(_open_session)
_HOOKS.test_stop.add_listener(_close_session)
_HOOKS.quitting.add_listener(_close_session)
