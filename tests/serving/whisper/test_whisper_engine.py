"""The order in which the engine takes windows, writes them and answers, with windows that say what is written."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import fake_whisper
import numpy as np
import pytest
from asr_contract.errors import Cancelled, QueueFull, Stopping
from asr_serving.whisper.engine import Engine
from asr_serving.whisper.fallback import Fallback
from asr_serving.whisper.tasks import BrokenOutput, Written
from fake_whisper import END, NAN, Backend, task
from hypothesis import given
from hypothesis import strategies as st

Start = Callable[..., Engine]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an engine that the test need not close."""
    engines: list[Engine] = []

    def engine(backend: Backend, **limits: Any) -> Engine:
        engines.append(Engine(backend, fake_whisper.settings(), **limits))
        return engines[-1]

    yield engine
    for made in engines:
        made.close()


class Gate:
    """Holds the engine's thread at a point of its work until a test lets it go on."""

    def __init__(self) -> None:
        self.is_reached, self._open = threading.Event(), threading.Event()

    def hold(self, *_: object) -> None:
        self.is_reached.set()
        assert self._open.wait(60)

    def release(self) -> None:
        self._open.set()


def test_a_window_joins_at_the_next_token_and_answers_as_soon_as_it_ends(start: Start) -> None:
    backend, gate = Backend(), Gate()
    backend.on_step = gate.hold
    engine = start(backend)
    long = engine.submit(task(*[5] * 40))
    assert gate.is_reached.wait(60)
    short = engine.submit(task(7, 8))
    gate.release()
    assert short.result(60).tokens == [7, 8]
    assert len(long.result(60).tokens) == 40
    # One step before the short one came, two with it, and the rest alone.
    assert backend.steps == [1, 2, 2, *[1] * 37]
    assert backend.encoded == [1, 1]


def test_a_window_is_encoded_while_others_are_written(start: Start) -> None:
    backend, gate = Backend(lanes=1), Gate()
    engine = start(backend)
    long = engine.submit(task(*[5] * 40))
    wait_until(lambda: bool(backend.steps))
    backend.on_encode = gate.hold
    short = engine.submit(task(7, 8))
    assert gate.is_reached.wait(60)
    assert len(long.result(60).tokens) == 40
    assert not short.done()
    gate.release()
    assert short.result(60).tokens == [7, 8]


def test_windows_have_a_core_each_where_there_are_enough_of_them(start: Start) -> None:
    backend, gate = Backend(lanes=2), Gate()
    backend.on_encode = gate.hold
    engine = start(backend)
    alone = engine.submit(task(3))
    assert gate.is_reached.wait(60)
    waiting = [engine.submit(task(index)) for index in range(3)]
    time.sleep(0.05)
    assert backend.beside == [False]  # it has all cores, and nothing begins beside it
    together = threading.Barrier(2)  # breaks unless two are encoded at the same time
    backend.on_encode = lambda features: together.wait(60) if features[0, 0, 0] < 2 else None
    gate.release()
    assert [future.result(60).tokens for future in (alone, *waiting)] == [[3], [0], [1], [2]]
    assert backend.beside[:3] == [False, True, True]
    assert backend.encoded == [1] * 4


KINDS = [(True, 0), (False, 0), (True, 1), (True, 3)]  # moves_rows, lanes


@pytest.mark.parametrize(("moves_rows", "lanes"), KINDS)
def test_recordings_take_turns(moves_rows: bool, lanes: int, start: Start) -> None:
    """With one place, a short recording waits for one window of a long one, not for all of them."""
    backend, gate = Backend(moves_rows=moves_rows, lanes=lanes), Gate()
    backend.on_encode = gate.hold
    engine = start(backend, max_rows=1)
    answered: list[str] = []

    def again(future: "Future[Written]", left: int) -> None:
        answered.append("long")
        if left:
            engine.submit(task(5, 6)).add_done_callback(lambda done: again(done, left - 1))

    engine.submit(task(5, 6)).add_done_callback(lambda done: again(done, 9))
    assert gate.is_reached.wait(60)
    short = engine.submit(task(7))
    short.add_done_callback(lambda _: answered.append("short"))
    gate.release()
    short.result(60)
    wait_until(lambda: len(answered) == 11)
    assert answered == ["long", "short", *["long"] * 9]


scripts = st.lists(st.integers(0, END - 1), max_size=12)


@given(st.lists(scripts, min_size=1, max_size=12), st.integers(1, 5), st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_every_window_gets_its_own_text_whoever_comes_and_goes(
    texts: list[list[int]], max_rows: int, kind: tuple[bool, int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    moves_rows, lanes = kind
    backend = Backend(moves_rows=moves_rows, lanes=lanes)
    engine = Engine(backend, fake_whisper.settings(), max_rows=max_rows)
    later = iter(texts)
    futures: dict[int, tuple[list[int], Future[Written]]] = {}
    lock = threading.Lock()

    def some() -> None:
        with lock:
            for text in later:
                prompt = (22, *random.integers(0, END, random.integers(0, 9)).tolist()) if random.random() < 0.5 else ()
                futures[len(futures)] = text, engine.submit(task(*text, prompt=prompt))
                if random.random() < 0.6:
                    return

    backend.on_step = some  # so that windows come while others are being written
    while len(futures) < len(texts):
        some()
        wait([future for _, future in futures.values()], timeout=60)
    for text, future in futures.values():
        assert future.result(60).tokens == text
    engine.close()
    assert max([*backend.steps, *backend.encoded]) <= max_rows


def test_prompts_of_any_length_begin_together_where_rows_move(start: Start) -> None:
    prompts = [(), (22, 1), (22, 1, 2, 3)]
    for moves_rows, runs in ((True, [[2, 4, 6]]), (False, [[2], [4], [6]])):
        backend, gate = Backend(moves_rows=moves_rows), Gate()
        backend.on_encode = gate.hold
        engine = start(backend)
        first = engine.submit(task(3))
        assert gate.is_reached.wait(60)
        others = [engine.submit(task(index, prompt=prompt)) for index, prompt in enumerate(prompts)]
        gate.release()
        assert [future.result(60).tokens for future in others] == [[0], [1], [2]]
        first.result(60)
        assert backend.prompts[1:] == runs


@pytest.mark.parametrize("lanes", [0, 1, 2])
def test_who_gave_up_before_the_turn_costs_nothing(lanes: int, start: Start) -> None:
    backend, gate = Backend(lanes=lanes), Gate()
    backend.on_encode = gate.hold
    engine = start(backend, max_rows=1)
    first = engine.submit(task(5))
    assert gate.is_reached.wait(60)
    late = engine.submit(task(6, deadline=time.monotonic() - 1))
    gone = engine.submit(task(7))
    assert gone.cancel()
    gate.release()
    assert first.result(60).tokens == [5]
    with pytest.raises(Cancelled, match="before the window's turn"):
        late.result(60)
    with pytest.raises(CancelledError):
        gone.result(60)
    assert engine.submit(task(8)).result(60).tokens == [8]
    assert backend.encoded == [1, 1]


@pytest.mark.parametrize(("moves_rows", "lanes"), KINDS)
def test_whose_time_is_over_leaves_at_the_next_token(moves_rows: bool, lanes: int, start: Start) -> None:
    backend, gate = Backend(moves_rows=moves_rows, lanes=lanes), Gate()
    engine = start(backend)
    backend.on_step = gate.hold
    deadline = time.monotonic() + 0.2
    late, other = engine.submit(task(*[5] * 40, deadline=deadline)), engine.submit(task(*[6] * 10))
    assert gate.is_reached.wait(60)
    wait_until(lambda: time.monotonic() > deadline)
    gate.release()
    with pytest.raises(Cancelled, match="before the window was written"):
        late.result(60)
    assert other.result(60).tokens == [6] * 10
    assert len(backend.steps) < 40


@pytest.mark.parametrize("lanes", [0, 1, 2])
def test_an_encoder_that_fails_is_the_error_of_its_windows_alone(lanes: int, start: Start) -> None:
    backend = Backend(lanes=lanes)

    def fail(features: np.ndarray) -> None:
        if features[0, 0, 0] == 13:
            raise RuntimeError("out of memory")

    backend.on_encode = fail
    engine = start(backend, max_rows=1)
    futures = [engine.submit(task(first)) for first in (5, 13, 6)]
    with pytest.raises(RuntimeError, match="out of memory"):
        futures[1].result(60)
    assert [futures[index].result(60).tokens for index in (0, 2)] == [[5], [6]]


def test_a_decoder_that_fails_is_the_error_of_the_rows_under_way(start: Start) -> None:
    backend = Backend()
    failures = iter([RuntimeError("broken graph")])

    def fail() -> None:
        for failure in failures:
            raise failure

    backend.on_step = fail
    engine = start(backend)
    with pytest.raises(RuntimeError, match="broken graph"):
        engine.submit(task(5, 6)).result(60)
    assert engine.submit(task(7, 8)).result(60).tokens == [7, 8]


def test_nan_is_the_error_of_one_row(start: Start) -> None:
    engine = start(Backend())
    bad, good = engine.submit(task(5, NAN)), engine.submit(task(6, 7, 8))
    with pytest.raises(BrokenOutput, match="NaN"):
        bad.result(60)
    assert good.result(60).tokens == [6, 7, 8]


@pytest.mark.parametrize("lanes", [0, 1, 2])
def test_a_full_queue_refuses_and_a_closed_engine_gives_up(lanes: int, start: Start) -> None:
    backend, gate = Backend(lanes=lanes), Gate()
    backend.on_step = gate.hold
    engine = start(backend, max_rows=1, max_waiting=2)
    running = engine.submit(task(5, 6, 7))
    assert gate.is_reached.wait(60)
    waiting = [engine.submit(task(5)) for _ in range(2)]
    with pytest.raises(QueueFull, match="2 windows wait"):
        engine.submit(task(5))
    closing = threading.Thread(target=engine.close)
    closing.start()
    wait_until(lambda: engine._is_closing)
    gate.release()
    closing.join(60)
    with pytest.raises(Stopping):
        running.result(60)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(Stopping):
        engine.submit(task(5))


def test_a_window_that_is_being_encoded_when_the_engine_closes_gets_an_answer(start: Start) -> None:
    backend, gate = Backend(lanes=2), Gate()
    backend.on_encode = gate.hold
    engine = start(backend)
    begun = engine.submit(task(*[5] * 40))
    assert gate.is_reached.wait(60)
    closing = threading.Thread(target=engine.close)
    closing.start()
    wait_until(lambda: engine._is_closing)
    gate.release()
    closing.join(60)
    with pytest.raises(Stopping):
        begun.result(60)


def test_the_limit_of_tokens_ends_a_window_without_an_end_token(start: Start) -> None:
    engine = start(Backend())
    short = engine.submit(task(*[5] * 30, max_new_tokens=4)).result(60)
    assert (short.tokens, short.end_log_prob) == ([5] * 4, None)
    whole = engine.submit(task(5, 6)).result(60)
    assert whole.end_log_prob == pytest.approx(0, abs=1e-3)
    filled = engine.submit(task(*[5] * 150)).result(60)
    assert len(filled.tokens) == fake_whisper.POSITIONS - 2  # what the prompt leaves of all positions


def test_attempts_end_with_the_time_for_them(start: Start) -> None:
    repeated = task(*[5] * 30, temperature_fallback=True)
    for longest_s, attempts in ((float("inf"), 3), (0.0, 1)):
        backend = Backend()
        engine = start(backend, fallback=Fallback((0.0, 0.5, 1.0), longest_s=longest_s))
        assert engine.submit(repeated).result(60).tokens == [5] * 30
        assert len(backend.prompts) == attempts
        assert backend.encoded == [1]


def test_the_weights_of_attention_come_only_when_asked_for(start: Start) -> None:
    engine = start(Backend())
    assert engine.submit(task(5, 6)).result(60).alignment is None
    asked = engine.submit(task(5, 6, word_timestamps=True, prompt=(22, 9))).result(60)
    assert asked.alignment is not None
    # Without the prompt: <|startoftranscript|>, <|notimestamps|>, the text and the end.
    assert asked.alignment[0, :, 0].tolist() == [21, 24, 5, 6, END]
    assert engine.submit(task(word_timestamps=True)).result(60).alignment is None


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
