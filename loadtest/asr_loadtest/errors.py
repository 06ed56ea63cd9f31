"""The errors of a load test. A failed request is not among them: the load test counts it.

LoadTestError
├── InvalidProfile   the recordings cannot be read, or cannot make the mix that was asked for (also a ValueError)
├── NotReady         the server does not even answer without load
└── VoidStep         a search met a step that was void each time that it was tried
"""


class LoadTestError(Exception):
    """Base of all errors that `asr_loadtest` raises."""


class InvalidProfile(LoadTestError, ValueError):
    """The recordings, or the mix to be made of them, cannot be used; the message says what is needed."""


class NotReady(LoadTestError):
    """The server does not even answer without load."""


class VoidStep(LoadTestError):
    """A search cannot go on, because a step was void each time that it was tried."""
