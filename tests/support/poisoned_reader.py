"""Decode files in a process whose memory is full of a pattern, and tell what came out.

    python poisoned_reader.py PATTERN < FILES > DIGESTS

The heap is filled by glibc (MALLOC_PERTURB_, set by the caller), numpy's uninitialised arrays here. A sample that
nobody has written then depends on the pattern. FILES are lengths in decimal, a line each, before their bytes.
"""

import hashlib
import sys
from io import BytesIO
from typing import Any

import numpy as np

EMPTY, EMPTY_LIKE = np.empty, np.empty_like


def main() -> None:
    """Write a line for each file: the digest of its samples, or the refusal."""
    pattern = int(sys.argv[1])

    def poisoned(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        if not array.dtype.hasobject:
            array.reshape(-1).view(np.uint8)[:] = pattern
        return array

    np.empty = lambda *args, **kwargs: poisoned(EMPTY(*args, **kwargs))  # type: ignore[assignment]
    np.empty_like = lambda *args, **kwargs: poisoned(EMPTY_LIKE(*args, **kwargs))  # type: ignore[assignment]
    from asr_serving.audio import container
    from asr_serving.audio import waveform as audio

    while line := sys.stdin.buffer.readline():
        data = sys.stdin.buffer.read(int(line))
        digest, count = hashlib.sha256(), 0
        try:
            for samples, _ in container.blocks(BytesIO(data)):
                digest.update(samples.tobytes())
                count += len(samples)
            waveform, _ = audio.load(data, audio.Limits(16_000, 400, 3_600))
            digest.update(waveform.tobytes())
            sys.stdout.write(f"{count} {digest.hexdigest()}\n")
        except ValueError as refused:
            sys.stdout.write(f"{count} {digest.hexdigest()} {refused}\n")


if __name__ == "__main__":
    main()
