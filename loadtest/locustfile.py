"""Load tests of a speech recognition service with Locust.

    locust -f loadtest/locustfile.py --host 127.0.0.1:8001 --audio demo/samples OpenLoopGrpcUser

The last word names the users: GrpcUser (closed loop, the default), HttpUser, OpenAIUser (by way of a gateway, whose
address is http://HOST:PORT), the same in an open loop (OpenLoopGrpcUser, OpenLoopHttpUser, OpenLoopOpenAIUser), or
StreamUser (live streams). `--help` lists the options; the first ones are for speech. Everything else is Locust's: web
page, `--headless`, `--master` and `--worker`.
"""

from typing import Any

from asr_loadtest.locust.session import is_worker
from asr_loadtest.locust.stream_users import StreamUser
from asr_loadtest.locust.users import (
    GrpcUser,
    HttpUser,
    OpenAIUser,
    OpenLoopGrpcUser,
    OpenLoopHttpUser,
    OpenLoopOpenAIUser,
)
from locust import events
from locust.env import Environment

__all__ = [
    "GrpcUser",
    "HttpUser",
    "OpenAIUser",
    "OpenLoopGrpcUser",
    "OpenLoopHttpUser",
    "OpenLoopOpenAIUser",
    "StreamUser",
]


def _one_protocol(environment: Environment, **_: Any) -> None:
    """Choose GrpcUser where none is chosen: Locust would mix all users, and a port understands only half of them."""
    options = environment.parsed_options
    if options and not (options.user_classes or options.class_picker or is_worker(environment)):
        environment.user_classes = [GrpcUser]


_HOOKS: Any = events  # they have no types
_HOOKS.init.add_listener(_one_protocol)
