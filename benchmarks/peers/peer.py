"""The interface that every peer has for the benchmark."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from checkpoints import Exported
from speech import Recording

CALLERS = 16  # of a server at saturation


@dataclass(frozen=True)
class Setting:
    """The settings with which a peer starts."""

    exported: Exported
    cores: int
    scratch: Path  # a folder for its own files


class Peer:
    """A way to serve the checkpoint, ready inside its `with` block; many threads may call `run` at the same time."""

    callers = CALLERS  # number of recordings that it gets at a time at saturation

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
        """End what `start` has started."""

    def run(self, recording: Recording) -> Any:
        """Return the answer to a recording; the benchmark measures this call."""
        raise NotImplementedError

    def text(self, answer: Any) -> str:
        """Return the transcript in an answer of `run`."""
        return str(answer)

    def members_ms(self) -> dict[str, dict[str, float]]:
        """Return the server's figures since the last call: member -> "queue", "input", "infer", "output" -> mean ms."""
        return {}
