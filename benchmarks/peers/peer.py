"""What every peer is to the benchmark."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from checkpoints import Exported
from speech import Recording

CALLERS = 16  # of a server at saturation


@dataclass(frozen=True)
class Setting:
    """What a peer starts with."""

    exported: Exported
    cores: int
    scratch: Path  # a folder for its own files


class Peer:
    """Ready inside its `with` block. The base class is a server's; `run` has to be safe to use from many threads."""

    callers = CALLERS  # how many recordings it is given at a time at saturation

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def __enter__(self) -> "Peer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Load the model, or start the server and wait until it is ready."""
        raise NotImplementedError

    def stop(self) -> None:
        """End what was started."""

    def run(self, recording: Recording) -> Any:
        """What is measured: from the recording to an answer."""
        raise NotImplementedError

    def text(self, answer: Any) -> str:
        """The transcript in an answer of `run`."""
        return str(answer)

    def members_ms(self) -> dict[str, dict[str, float]]:
        """The server's own figures since the last call: member -> "queue", "input", "infer", "output" -> mean ms."""
        return {}
