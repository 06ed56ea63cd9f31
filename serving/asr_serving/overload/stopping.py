"""Whether the server is about to stop.

Triton fails every request that still has a step before it when it stops. So the models refuse new requests a little
earlier, and the server stops when those under way are done.
"""

import os
from pathlib import Path

from asr_contract.errors import Stopping

# Names a file that `triton-asr serve` makes when it is about to stop; empty where something else serves.
_FILE = "TRITON_ASR_STOPPING"


def check() -> None:
    """Refuse a new request when the server is about to stop.

    Raises:
        Stopping: it is.
    """
    file = os.environ.get(_FILE, "")
    if file and Path(file).exists():
        raise Stopping("the server is stopping")
