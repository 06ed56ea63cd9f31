"""Which requests of a ragged batch run together on a CPU.

A graph that takes a ragged batch pads it to its longest item. A GPU computes the padding beside the rest; a CPU is busy
with every sample of it, and gains next to nothing from a batch: 16 recordings of 1 to 20 s in one run took 2.2 times as
long as one after the other (docs/decisions/0028-batches-are-divided-on-a-cpu.md). So a batch is divided: what is long
runs by itself, and what is short shares a run with others of its length.
"""

from collections.abc import Sequence

# Elements (samples) of one shared run, padding included. Below it the run's own cost shows: recordings of 0.5 s took
# 0.9 of their time in runs of four; at 1 to 2 s there was nothing left to gain, and at 10 s sharing cost 4 to 20 %.
SHARED_RUN_ELEMENTS = 32_000
MAX_PADDING = 0.05  # of a shared run's elements


def divide(sizes: Sequence[int]) -> list[list[int]]:
    """Which items share a run.

    Args:
        sizes: elements of each item, in the order of their arrival.

    Returns:
        Indices of `sizes`, each in one run; runs in the order of the first arrival in each.
    """
    runs: list[list[int]] = []
    total = 0
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        # Items come longest first, so that a run's first one is what the others are padded to.
        padded = (len(runs[-1]) + 1) * sizes[runs[-1][0]] if runs else 0
        if runs and padded <= SHARED_RUN_ELEMENTS and total + sizes[index] >= (1 - MAX_PADDING) * padded:
            runs[-1].append(index)
            total += sizes[index]
        else:
            runs.append([index])
            total = sizes[index]
    return sorted(map(sorted, runs))
