"""Which of several servers gets a request, on a clock that the test winds."""

import pytest
from asr_client import (
    AccessDenied,
    AsrError,
    ClientClosed,
    DeadlineExceeded,
    InvalidRequest,
    QueueFull,
    RequestInterrupted,
    ServerError,
    ServerUnavailable,
)
from asr_client._transports.base import Endpoint
from asr_client._transports.servers import FIRST_REST_S, LONGEST_REST_S, REFUSED_S, Place, Servers

GONE = ServerUnavailable("gone")


class World:
    """Three servers a, b and c, and their clock."""

    def __init__(self) -> None:
        self.now = 100.0
        endpoints = [Endpoint(name, "grpc", None, {}, 2**20) for name in "abc"]
        self.servers = Servers(endpoints, lambda: self.now, chance=lambda: 1.0)

    def take(self, *, unasked: bool = False) -> Place:
        place = self.servers.take(unasked=unasked)
        assert place is not None
        return place

    def name(self) -> str:
        """The server that gets the next request, which ends at once."""
        place = self.take()
        self.servers.leave(place)
        return place.server.endpoint.address

    def fail(self, address: str, error: AsrError = GONE) -> None:
        while (place := self.take()).server.endpoint.address != address:
            self.servers.leave(place)
        self.servers.failed(place, error)
        self.servers.leave(place)


@pytest.fixture
def world() -> World:
    return World()


def test_requests_go_to_all_in_turn(world: World) -> None:
    assert "".join(world.name() for _ in range(6)) == "abcabc"


def test_the_fewest_requests_under_way(world: World) -> None:
    places = [world.take() for _ in range(6)]
    for place in places:
        if place.server.endpoint.address != "b":
            world.servers.leave(place)
    assert [world.take().server.endpoint.address for _ in range(4)] == ["a", "c", "a", "c"]
    assert world.name() == "b"


@pytest.mark.parametrize(
    "error", [GONE, RequestInterrupted("died"), DeadlineExceeded("silent"), ServerError("a broken GPU")]
)
def test_a_server_that_fails_is_left_alone(world: World, error: AsrError) -> None:
    world.fail("b", error)
    assert {world.name() for _ in range(6)} == {"a", "c"}


@pytest.mark.parametrize("error", [InvalidRequest("no audio"), AccessDenied("who?"), ClientClosed("by us")])
def test_errors_that_are_answers_or_our_own(world: World, error: AsrError) -> None:
    world.fail("b", error)
    assert {world.name() for _ in range(6)} == {"a", "b", "c"}


def test_a_full_queue_comes_last_for_a_moment(world: World) -> None:
    world.fail("b", QueueFull("full"))
    assert {world.name() for _ in range(6)} == {"a", "c"}
    world.now += REFUSED_S
    assert {world.name() for _ in range(6)} == {"a", "b", "c"}


def test_where_all_queues_are_full_requests_go_on(world: World) -> None:
    for address in "abc":
        world.fail(address, QueueFull("full"))
    assert {world.name() for _ in range(3)} == {"a", "b", "c"}


def test_a_question_goes_before_the_first_request(world: World) -> None:
    world.fail("b")
    assert world.servers.to_ask() is None
    world.now += FIRST_REST_S
    assert {world.name() for _ in range(6)} == {"a", "c"}
    asked = world.servers.to_ask()
    assert asked is not None
    assert asked.endpoint.address == "b"
    assert world.servers.to_ask() is None  # one question at a time
    world.servers.answered(asked, True)
    assert {world.name() for _ in range(6)} == {"a", "b", "c"}


def test_a_question_that_nobody_waits_for_is_asked_again(world: World) -> None:
    world.fail("b")
    world.now += FIRST_REST_S
    asked = world.servers.to_ask()
    assert asked is not None
    world.servers.answered(asked, None)
    assert world.servers.to_ask() is asked


def test_rests_grow_until_a_request_succeeds(world: World) -> None:
    rests = []
    world.fail("b")
    server = world.servers.all[1]
    for _ in range(7):
        assert server.rests_until is not None
        rests.append(server.rests_until - world.now)
        world.now = server.rests_until
        assert world.servers.to_ask() is server
        world.servers.answered(server, False)
    assert rests == [0.5, 1, 2, 4, 8, LONGEST_REST_S, LONGEST_REST_S]
    assert server.rests_until is not None
    world.now = server.rests_until
    assert world.servers.to_ask() is server
    world.servers.answered(server, True)  # ready, which is not yet an answer to a request
    world.fail("b")
    assert server.rests_until - world.now == LONGEST_REST_S


def test_one_failure_counts_once_for_all_requests_that_it_hit(world: World) -> None:
    places = [world.take() for _ in range(12)]
    for place in places:
        if place.server.endpoint.address == "b":
            world.servers.failed(place, GONE)
    assert world.servers.all[1].failures == 1


def test_a_late_failure_does_not_hide_a_success(world: World) -> None:
    places = [world.take() for _ in range(6)]
    slow, quick = (place for place in places if place.server.endpoint.address == "b")
    world.servers.succeeded(quick)
    world.servers.failed(slow, DeadlineExceeded("of a short timeout"))
    assert world.servers.all[1].rests_until is None


def test_where_none_works_it_is_the_one_whose_rest_ends_first(world: World) -> None:
    for address in "cab":
        world.fail(address)
        world.now += 0.1
    assert world.name() == "c"
    assert world.servers.take(without=[world.servers.all[2]]) is None


def test_streams_try_a_server_whose_rest_is_over(world: World) -> None:
    world.fail("a")
    assert {world.take(unasked=True).server.endpoint.address for _ in range(2)} == {"b", "c"}
    world.now += FIRST_REST_S
    assert world.take(unasked=True).server.endpoint.address == "a"


def test_all_that_servers_said_is_told_once(world: World) -> None:
    for address in "abc":
        world.fail(address, ServerUnavailable("no route" if address == "b" else "gone"))
    assert str(world.servers.none_works()) == "none of the 3 servers takes requests: gone; no route"
