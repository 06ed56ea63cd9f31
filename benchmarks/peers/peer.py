"""The interface that every peer has for the benchmark."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints import Exported
from lifetime import Startable
from speech import Recording

CALLERS = 16  # of a server at saturation


@dataclass(frozen=True)
class Setting:
    """The settings with which a peer starts."""

    exported: Exported
    cores: int
    scratch: Path  # a folder for its own files


class Peer(Startable):
    """A way to serve the checkpoint, ready inside its `with` block; many threads may call `run` at the same time."""

    callers = CALLERS  # number of recordings that it gets at a time at saturation

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def run(self, recording: Recording) -> Any:
        """Return the answer to a recording; the benchmark measures this call."""
        raise NotImplementedError

    def text(self, answer: Any) -> str:
        """Return the transcript in an answer of `run`."""
        return str(answer)

    def members_ms(self) -> dict[str, dict[str, float]]:
        """Return the server's figures since the last call: member -> "queue", "input", "infer", "output" -> mean ms."""
        return {}
