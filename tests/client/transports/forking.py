"""A program that uses a client, forks, and says what became of it; run by test_client_fork.py.

Usage: forking.py URL PROTOCOL CASE. A case that hangs is ended by an alarm.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable

from asr_client import AsrError, AsyncClient, Client, Transcription
from asr_client.testing import MockTransport

URL, PROTOCOL, CASE = sys.argv[1:]
TIMEOUT_S = 2.0  # of a request
ALARM_S = 10  # after which a process hangs


def client() -> Client:
    return Client(URL, protocol=PROTOCOL, timeout_s=TIMEOUT_S)


def tell(who: str, what: str) -> None:
    sys.stdout.write(f"{who}: {what}\n")
    sys.stdout.flush()


def say(who: str, ask: Callable[[], str]) -> None:
    """One line: who got which text or error."""
    try:
        heard = ask()
    except AsrError as error:
        heard = f"{type(error).__name__}: {error}"
    tell(who, heard)


def in_child(work: Callable[[], None], end: Callable[[], object] = sys.exit) -> None:
    """Run it in a forked process, which then ends as a program does, with all of its destructors."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(ALARM_S)
        work()
        end()
    _, status = os.waitpid(pid, 0)
    if status:
        tell("child", f"ended by {status}")


def text(asked: Client) -> str:
    return asked.transcribe(b"RIFF").text


async def ask_async(asked: AsyncClient) -> str:
    async with asked:
        return (await asked.transcribe(b"RIFF")).text


def inherited() -> None:
    """The child goes on with the client that the parent has used, as the parent does."""
    with client() as asked:
        say("parent", lambda: text(asked))
        in_child(lambda: say("child", lambda: text(asked)))
        say("parent", lambda: text(asked))


def unused() -> None:
    with client() as asked:
        in_child(lambda: say("child", lambda: text(asked)))
        say("parent", lambda: text(asked))


def closed() -> None:
    asyncio.run(ask_async(AsyncClient(URL, protocol=PROTOCOL)))
    with client() as asked:
        say("parent", lambda: text(asked))

    def child() -> None:
        with client() as another:
            say("child", lambda: text(another))
        say("closed", lambda: text(asked))

    in_child(child)


def another() -> None:
    """The child has a client of its own, while the parent's is open."""

    def child() -> None:
        with client() as own:
            say("child", lambda: text(own))

    with client() as asked:
        say("parent", lambda: text(asked))
        in_child(child)
        say("parent", lambda: text(asked))


def another_model() -> None:
    """Parent and child use a client that shares its connection with another one."""
    with client() as first:
        asked = first.with_model("whisper")
        say("parent", lambda: text(first))
        in_child(lambda: say("child", lambda: text(asked)))
        say("parent", lambda: text(asked))


def busy() -> None:
    """Other threads of the parent are in the middle of requests, and may hold any lock."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            text(asked)

    with client() as asked:
        text(asked)  # a fork in the middle of an import would be Python's own trouble
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            in_child(lambda: say("child", lambda: text(asked)))
        stopping.set()
        for thread in threads:
            thread.join()
        say("parent", lambda: text(asked))


def batch() -> None:
    """The child goes on with results that threads of the parent are to bring."""
    with client() as asked:
        outcomes = asked.transcribe_iter([b"RIFF"] * 20, concurrency=2)
        say("parent", lambda: next(outcomes).unwrap().text)
        in_child(lambda: say("child", lambda: str(len(list(outcomes)))))
        say("parent", lambda: str(len(list(outcomes))))


def stream() -> None:
    """The child goes on with the parent's live stream."""
    with client() as asked:
        results = asked.stream([bytes(16000)] * 4, sampling_rate=16000, timeout_s=float("inf"))
        say("parent", lambda: next(results).text)
        in_child(lambda: say("child", lambda: next(results).text))
        say("parent", lambda: list(results)[-1].text)


def asynchronous() -> None:
    """A client of asyncio in use, its loop too; the child runs a loop of its own."""

    async def parent() -> None:
        asked = AsyncClient(URL, protocol=PROTOCOL, timeout_s=TIMEOUT_S)
        tell("parent", (await asked.transcribe(b"RIFF")).text)
        # Not by sys.exit(), with which the parent's running loop would be closed, and the selector that it shares.
        in_child(lambda: say("child", lambda: asyncio.run(ask_async(asked))), end=lambda: os._exit(0))
        tell("parent", await ask_async(asked))

    asyncio.run(parent())


def mock() -> None:
    with Client(transport=MockTransport(lambda request: Transcription("from a mock", 1.0, 1.0))) as asked:
        say("parent", lambda: text(asked))
        in_child(lambda: say("child", lambda: text(asked)))


globals()[CASE]()
