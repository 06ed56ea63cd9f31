"""Ports that stay free between two uses, for what starts on a port that was chosen before, or starts there again.

A port that the system chose is one that it may give to another test at any moment. These are not: they lie outside the
range from which it takes ports for connections and for whoever asks for any.
"""

import random
import socket
from pathlib import Path


def free(count: int = 1) -> list[int]:
    """Return ports of 127.0.0.1 where nobody listens."""
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    candidates = [*range(1024, lowest), *range(highest + 1, 65536)]
    found: list[int] = []
    for port in random.SystemRandom().sample(candidates, len(candidates)):  # other tests choose, too
        if len(found) == count:
            break
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found
