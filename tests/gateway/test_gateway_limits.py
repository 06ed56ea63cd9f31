"""Uploads that are counted, places, and rates."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asr_gateway.app import GatewayOptions
from asr_gateway.errors import ApiError
from asr_gateway.keys import add
from asr_gateway.limits import LimitOptions, Limits, Rate
from gateway_app import BOUNDARY, TRANSCRIPTIONS, Caller, Kit, app, form, service
from known_delays import on_virtual_time


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def limited(**limits: Any) -> GatewayOptions:
    return GatewayOptions(limits=LimitOptions(**limits))


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_rate_allows_a_minute_at_once_then_one_by_one() -> None:
    clock = Clock()
    rate = Rate(2, clock)
    assert [rate.wait_s("a") for _ in range(3)] == [0, 0, pytest.approx(30)]
    assert rate.wait_s("b") == 0  # another caller
    clock.now = 10
    assert rate.wait_s("a") == pytest.approx(20)
    clock.now = 31
    assert [rate.wait_s("a") for _ in range(2)] == [0, pytest.approx(29)]


def test_less_than_one_a_minute_is_a_rate_too() -> None:
    rate = Rate(0.5, Clock())
    assert [rate.wait_s("a") for _ in range(2)] == [0, pytest.approx(120)]


def test_callers_are_forgotten_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr_gateway.limits._MOST_CALLERS", 2)
    rate = Rate(1, Clock())
    assert [rate.wait_s(caller) for caller in "abca"] == [0, 0, 0, 0]
    assert rate.wait_s("c") == pytest.approx(60)


def test_a_rate_is_refused_at_once_with_the_seconds_to_wait() -> None:
    with service(options=limited(per_minute=1)) as called:
        assert called.post().status_code == 200
        answer = called.post()
    assert code(answer) == (429, "rate_limit_exceeded")
    assert answer.json()["error"]["type"] == "requests"
    assert 0 < int(answer.headers["retry-after"]) <= 60


def test_each_key_has_its_own_rate(tmp_path: Path) -> None:
    keys = [add(tmp_path / "keys", name) for name in ("alice", "bob")]
    with service(options=limited(per_minute=1), keys=tmp_path / "keys") as called:
        for key in keys:
            called.http.headers["authorization"] = f"Bearer {key}"
            assert [called.post().status_code for _ in range(2)] == [200, 429]


def test_models_may_be_listed_at_any_rate() -> None:
    with service(options=limited(per_minute=1)) as called:
        assert [called.http.get("/v1/models").status_code for _ in range(3)] == [200] * 3


def test_places_are_refused_while_others_have_them() -> None:
    limits = Limits(LimitOptions(requests=1))
    with limits.place("a"):
        with pytest.raises(ApiError) as caught, limits.place("b"):
            pass
        assert (caught.value.status, caught.value.code) == (429, "too_many_requests")
        assert caught.value.headers == {"retry-after": "1"}
    with limits.place("b"):
        assert limits.under_way == 1
    assert limits.under_way == 0


@pytest.mark.parametrize("fields", [{}, {"stream": "true"}], ids=["whole", "stream"])
def test_who_has_the_answer_finds_the_place_free(fields: dict[str, str]) -> None:
    """The next request may come before the gateway has closed the files of this one."""

    class Hasty(Caller):
        async def _send(self, message: dict[str, Any]) -> None:
            await super()._send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                following.append(Caller(gateway).upload(form(fields)))
                await following[0].answering

    async def run() -> int:
        nonlocal gateway
        gateway = app(Kit().asynchronous(), limited(requests=1))
        caller = Hasty(gateway).upload(form(fields))
        await caller.answering
        return caller.status

    gateway: Any = None
    following: list[Caller] = []
    assert asyncio.run(run()) == 200
    assert [caller.status for caller in following] == [200]


def test_a_place_is_free_again_after_an_error() -> None:
    with service(options=limited(requests=1)) as called:
        answers = [called.post(response_format="xml").status_code for _ in range(2)]
    assert answers == [400, 400]


def test_a_header_that_says_too_much_is_refused_before_anything_is_read() -> None:
    with service(options=limited(upload_bytes=100)) as called:
        answer = called.post()
    assert code(answer) == (413, "file_too_large")
    assert not called.kit.seen


def test_bytes_are_counted_as_they_come() -> None:
    """Without a length in the header, as in chunks."""

    async def run() -> Caller:
        caller = Caller(app(Kit().asynchronous(), limited(upload_bytes=1000)))
        for _ in range(3):
            caller.upload(form(audio=bytes(400))[:400], more=True)
        await caller.answering  # it does not wait for the rest
        return caller

    caller = asyncio.run(run())
    assert caller.status == 413
    assert b'"file_too_large"' in caller.body


def test_an_upload_at_the_limit_is_taken() -> None:
    body = form()
    with service(options=limited(upload_bytes=len(body))) as exact:
        headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        assert exact.http.post(TRANSCRIPTIONS, content=body, headers=headers).status_code == 200


def test_an_upload_that_stops_gives_its_place_back() -> None:
    async def run() -> Caller:
        caller = Caller(app(Kit().asynchronous(), limited(upload_silence_s=30)))
        caller.upload(form()[:20], more=True)
        await caller.answering
        return caller

    caller = on_virtual_time(run())
    assert caller.status == 408
    assert b'"upload_timeout"' in caller.body
