"""Ten thousand forms that nobody would send: each has an answer in shape, and the app goes on."""

import asyncio
import json
from collections import Counter
from random import Random

from asr_gateway.app import GatewayOptions
from asr_gateway.limits import LimitOptions
from gateway_app import BOUNDARY, Caller, Kit, app, form

FORMS = 10_000
MOST_BYTES = 4_000
NAMES = (
    "model",
    "language",
    "languages[]",
    "prompt",
    "keywords[]",
    "response_format",
    "timestamp_granularities[]",
    "include[]",
    "stream",
    "temperature",
    "chunking_strategy",
    "chunking_strategy[type]",
    "chunking_strategy[threshold]",
    "file",
    'a"; filename="b',
    "",
)
VALUES = (
    *("asr", "whisper", "whisper-1", "gpt-4o", "true", "false", "de", "klingon", "json", "text", "srt", "vtt"),
    *("verbose_json", "diarized_json", "word", "segment", "logprobs", "auto", "server_vad", "0", "0.5", "-1", "nan"),
    *("1e999", "{}", "[]", '{"type": "server_vad"}', '{"type": [', "", " ", "\x00", "\ud7ff", "🎙", "x" * 500, "\r\n--"),
)
CONTENT_TYPES = (
    f"multipart/form-data; boundary={BOUNDARY}",
    f'multipart/form-data; boundary="{BOUNDARY}"; charset=utf-16',
    f"multipart/form-data; boundary={BOUNDARY}; charset=nothing",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=other",
    "application/json",
    "",
)


def body(chance: Random) -> bytes:
    """A form of some fields, most of them wrong; its bytes may be changed as well."""
    fields = {chance.choice(NAMES): chance.choice(VALUES) for _ in range(chance.randrange(5))}
    audio = chance.randbytes(chance.choice((0, 1, 10, 100, 100, 100, 5_000)))
    made = bytearray(form(fields, audio))
    if chance.random() < 0.5:
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(made))
            made[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
    if chance.random() < 0.1:
        del made[chance.randrange(len(made)) :]
    return bytes(made)


async def send(caller: Caller, data: bytes, chance: Random) -> None:
    """Send the bytes in up to three parts; some callers go before the last one."""
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(3)))
    for begin, end in zip([0, *places], places, strict=False):
        caller.upload(data[begin:end], more=True)
    if chance.random() < 0.05:
        caller.go()
    else:
        caller.upload(data[places[-1] if places else 0 :])
    await caller.answering


def is_in_shape(caller: Caller) -> bool:
    """Whether the answer is one of OpenAI's; of a caller who went, there is none."""
    if not caller.sent or caller.status == 200:
        return True
    error = json.loads(caller.body)["error"]
    return caller.status < 500 and error.keys() == {"message", "type", "param", "code"} and bool(error["code"])


def test_any_form_has_an_answer_in_shape() -> None:
    chance = Random(20)
    seen: Counter[int] = Counter()

    async def run() -> None:
        gateway = app(Kit().asynchronous(), GatewayOptions(limits=LimitOptions(upload_bytes=MOST_BYTES, requests=1)))
        for _ in range(FORMS):
            headers = {"content-type": chance.choice(CONTENT_TYPES if chance.random() < 0.2 else CONTENT_TYPES[:1])}
            data = body(chance)
            caller = Caller(gateway, headers)
            await send(caller, data, chance)
            assert is_in_shape(caller), (headers, data, caller.sent)
            seen[caller.status if caller.sent else 499] += 1
        good = Caller(gateway).upload(form())
        await good.answering
        assert good.status == 200  # the only place is free
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert seen.keys() == {200, 400, 404, 413, 415, 499}
    assert min(seen.values()) > 50
