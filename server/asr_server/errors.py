"""The errors of this package.

TritonServerError
 ├─ TritonNotFoundError     there is no tritonserver, or the given one cannot run
 ├─ UnsupportedError        this machine or Python environment cannot run the pip-installed Triton
 ├─ PortInUseError          a requested address is in use
 ├─ OptionError             an extra tritonserver option would bypass this package
 ├─ RepositoryError         the model repository is missing or empty, or a model in it does not load
 ├─ StartTimeoutError       the models were not ready in time
 └─ ServerDiedError         tritonserver ended without being told to
"""


class TritonServerError(Exception):
    """Base of all errors of this package; its text is for the person who started the server."""


class TritonNotFoundError(TritonServerError):
    """There is no tritonserver, or the given one cannot run."""


class UnsupportedError(TritonServerError):
    """This machine or this Python environment cannot run the pip-installed Triton."""


class PortInUseError(TritonServerError):
    """A requested address is in use."""


class OptionError(TritonServerError):
    """An extra tritonserver option would bypass the options that this package sets."""


class RepositoryError(TritonServerError):
    """The model repository is missing or empty, or a model in it does not load."""


class StartTimeoutError(TritonServerError):
    """The models were not ready in time."""


class ServerDiedError(TritonServerError):
    """tritonserver ended without being told to."""
