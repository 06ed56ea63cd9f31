"""What the attempts of a task tell each other, so that a job does not wait for each of them.

Spark starts a failed task again, four times by default, and does not tell the new attempt why the one before failed.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# The second attempt may follow the loss of an executor, which a restart of the server's machine explains as well. It
# waits like the first one, unless a note tells otherwise. From the third one on, none waits.
_HASTY = 2


@dataclass(frozen=True)
class Attempt:
    """One attempt of a task to find somebody who answers."""

    number: int = 0  # of attempts before this one, whatever ended them
    note: Path | None = None  # a file that attempts on this machine leave when they give up; None: they leave none

    def is_hasty(self) -> bool:
        """Return whether an earlier attempt seems to have waited already."""
        return self.number >= _HASTY or (self.note is not None and self.note.exists())

    def give_up(self) -> None:
        """Leave the note."""
        if self.note is not None:
            with suppress(OSError):  # then the next attempt waits again
                self.note.touch()

    def answered(self) -> "Attempt":
        """Take the note away, because the server answers; return the attempt that waits for it in the next outage."""
        if self.note is not None:
            with suppress(OSError):
                self.note.unlink(missing_ok=True)
        return Attempt(note=self.note)


FIRST = Attempt()
