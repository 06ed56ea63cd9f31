"""What can go wrong in a load test, apart from the server's answers, which are what it measures.

LoadTestError
├── InvalidProfile   the recordings cannot be read, or made into the mix that was asked for (also a ValueError)
├── NotReady         the server does not answer even without load
└── VoidStep         a search met a step that is no result, however often it was repeated
"""


class LoadTestError(Exception):
    """Base of all errors that `asr_loadtest` raises."""


class InvalidProfile(LoadTestError, ValueError):
    """The recordings, or the mix to be made of them, are not usable; the message says what is."""


class NotReady(LoadTestError):
    """The server does not answer even without load."""


class VoidStep(LoadTestError):
    """The search cannot go on: a step was no result, and neither when it was repeated."""
