"""The options of a caller: decoding, retries and TLS."""

import difflib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

from asr_contract import parameters
from asr_contract.errors import ParameterError
from asr_contract.parameters import DecodeParameters

from asr_client._errors import InvalidOption

Protocol = Literal["grpc", "http"]
Channels = Literal["mixed", "separate"]  # how the channels of a recording are heard
CHANNELS: tuple[Channels, ...] = get_args(Channels)


@dataclass(frozen=True)
class ProtocolFacts:
    """The facts about a protocol that checks and messages need."""

    name: str  # as people write it
    port: int  # Triton's default
    heeds_proxies: bool  # it uses the proxies that environment variables name
    has_resolvers: bool  # an address may be a name for a resolver of gRPC, such as dns:host
    takes_paths: bool  # an address may have a path after the port


PROTOCOLS: dict[Protocol, ProtocolFacts] = {
    "grpc": ProtocolFacts("gRPC", 8001, heeds_proxies=True, has_resolvers=True, takes_paths=False),
    "http": ProtocolFacts("HTTP", 8000, heeds_proxies=False, has_resolvers=False, takes_paths=True),
}
DEFAULT_MODEL = "asr"
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_CONCURRENCY = 8
# Triton's own gRPC limit is 2 GiB; one request of that size would be a mistake, not a recording.
DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(parameters.DecodeOptions):
    """The options of decoding. Each field is a request parameter of the same name."""

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ParameterError as error:
            raise InvalidOption.for_anybody(str(error)) from error  # options come with each recording


DEFAULT_OPTIONS = DecodeOptions()


def decode_options(method: str, options: DecodeOptions, keywords: DecodeParameters) -> DecodeOptions:
    """Return the options, with the keyword arguments of a method in place of their fields.

    Raises:
        TypeError: there is no such option; the message lists all options.
        InvalidOption: a value is not valid.
    """
    names = [field.name for field in fields(DecodeOptions)]
    for name in keywords:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f": did you mean {near[0]!r}?" if near else ";"
            raise TypeError(
                f"{method}() got an unexpected keyword argument {name!r}{hint} decoding options are {', '.join(names)}"
            )
    return replace(options, **keywords) if keywords else options


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When and how often a request is sent again, always within the one deadline of `timeout_s`.

    The client retries `ServerUnavailable` and its subclasses: the server has then given no answer, and it does no harm
    to transcribe a recording twice. The pause before retry n is random between 0 and
    `min(max_backoff_s, first_backoff_s * 2**(n - 1))` ("full jitter"), so that clients that failed together do not come
    back together.

    A client may spend `budget` retries at once. It gets `budget_per_s` new ones a second, and a fifth of one for each
    success. When none is left, a retry waits until there is one, or until its deadline. So a struggling server gets a
    bounded number of extra requests for any number of callers, and no recording is given up early.

    `max_wait_s` is for callers who prefer an error to a long wait while the servers are away or overloaded. It bounds
    the time that a request waits for its turn, for a connection, in pauses, and in attempts that no server took. The
    time in which a server works on the request does not count; only `timeout_s` bounds that. When the time is over, the
    last error is raised: `ServerUnavailable` or `QueueFull`. With this bound, the client asks whether anybody answers
    before it sends a recording to a server that has not answered yet, or not the last time.
    """

    # The first one included; 1 switches retries off. None: as many as the deadline allows, but 5 while the server has
    # never answered this client, so that a wrong address shows within seconds.
    max_attempts: int | None = None
    max_interruptions: int = 3  # RequestInterrupted of one request: the recording itself may end the server
    first_backoff_s: float = 0.1  # about the time that a full queue needs to move
    max_backoff_s: float = 5.0  # longer pauses only waste the deadline
    budget: int = 100
    budget_per_s: float = 10.0
    # Seconds that a request may wait, in all, while no server has it. None: until its deadline.
    max_wait_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_attempts", "max_interruptions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidOption(f"{name} is {value}; needs 1 (no retries) or more")
        if not 0 <= self.first_backoff_s <= self.max_backoff_s:
            raise InvalidOption(
                f"first_backoff_s is {self.first_backoff_s} and max_backoff_s {self.max_backoff_s}; "
                "needs 0 <= first_backoff_s <= max_backoff_s"
            )
        if self.max_wait_s is not None and not self.max_wait_s > 0:
            raise InvalidOption(
                f"max_wait_s is {self.max_wait_s}; needs seconds above 0, or None to wait until the deadline"
            )
        if self.budget < 0 or not self.budget_per_s >= 0:
            raise InvalidOption(
                f"budget is {self.budget} and budget_per_s {self.budget_per_s}; needs 0 or more retries each"
            )

    def ceiling_s(self, attempt: int) -> float:
        """Return the longest pause, in seconds, after failed attempt number `attempt` (from 1)."""
        # The exponent is bounded so that a large max_attempts does not overflow a float.
        return min(self.max_backoff_s, self.first_backoff_s * 2.0 ** min(attempt - 1, 60))


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Files (PEM) of an encrypted connection; `Tls()` trusts the system's certificate authorities."""

    ca_file: str | Path | None = None  # authorities to trust instead of the system's
    cert_file: str | Path | None = None  # certificate of this client, where the server asks for one
    key_file: str | Path | None = None  # its private key

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise InvalidOption("a client certificate needs both cert_file and key_file")
        for file in (self.ca_file, self.cert_file, self.key_file):
            if file is not None and not Path(file).is_file():
                raise InvalidOption(f"TLS file not found: {file}")
