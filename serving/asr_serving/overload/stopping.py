"""The check for a server that is about to stop.

When Triton stops, it fails every request that still needs another step. So the models refuse new requests a little
earlier, and the server stops when the running ones are done.
"""

import os
from pathlib import Path

from asr_contract.errors import Stopping

# Variable: path of a file that `triton-asr serve` makes when it is about to stop; unset under any other server.
_FILE = "TRITON_ASR_STOPPING"


def check() -> None:
    """Raise an error for a new request if the server is about to stop.

    Raises:
        Stopping: the server is about to stop.
    """
    file = os.environ.get(_FILE, "")
    if file and Path(file).exists():
        raise Stopping("the server is stopping")
