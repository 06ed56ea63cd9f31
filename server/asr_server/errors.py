"""Every error that this package raises on purpose.

TritonServerError
 ├─ TritonNotFoundError     no tritonserver to run, or the given one cannot be run
 ├─ UnsupportedError        this machine or Python environment cannot run the pip-installed Triton
 ├─ PortInUseError          an address that was asked for is taken
 ├─ OptionError             an extra tritonserver option that would bypass this package
 ├─ RepositoryError         the model repository is missing, empty, or a model in it does not load
 ├─ StartTimeoutError       the models were not ready in time
 └─ ServerDiedError         tritonserver ended by itself
"""


class TritonServerError(Exception):
    """Base of all errors of this package; its text is meant for the person who started the server."""


class TritonNotFoundError(TritonServerError):
    """There is no tritonserver to run, or the given one cannot be run."""


class UnsupportedError(TritonServerError):
    """This machine or this Python environment cannot run the pip-installed Triton."""


class PortInUseError(TritonServerError):
    """An address that was asked for is taken."""


class OptionError(TritonServerError):
    """An extra tritonserver option that would bypass what this package sets."""


class RepositoryError(TritonServerError):
    """The model repository is missing, empty, or a model in it does not load."""


class StartTimeoutError(TritonServerError):
    """The models were not ready in time."""


class ServerDiedError(TritonServerError):
    """tritonserver ended by itself."""
