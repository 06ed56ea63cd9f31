"""The division of a ragged batch into runs on a CPU.

A graph that takes a ragged batch pads it to its longest item. A GPU computes the padding in parallel with the rest. A
CPU spends time on every sample of it, and gains almost nothing from a batch: 16 recordings of 1 to 20 s in one run took
2.2 times as long as one after the other (docs/decisions/0028-batches-are-divided-on-a-cpu.md). So this module divides a
batch: a long item runs alone, and a short item shares a run with others of its length.
"""

from collections.abc import Sequence

# Most elements (samples) of one shared run, including padding. For short recordings, the fixed cost of a run matters:
# recordings of 0.5 s took 0.9 of their time in runs of four. At 1 to 2 s sharing gained nothing, and at 10 s it cost 4
# to 20 %.
SHARED_RUN_ELEMENTS = 32_000
MAX_PADDING = 0.05  # of a shared run's elements


def divide(sizes: Sequence[int]) -> list[list[int]]:
    """Return which items share a run.

    Args:
        sizes: number of elements of each item, in the order of arrival.

    Returns:
        For each run, the indices of its items; the runs are in the order of their first arrivals.
    """
    runs: list[list[int]] = []
    total = 0
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        # Items come longest first, so the others of a run are padded to the length of its first one.
        padded = (len(runs[-1]) + 1) * sizes[runs[-1][0]] if runs else 0
        if runs and padded <= SHARED_RUN_ELEMENTS and total + sizes[index] >= (1 - MAX_PADDING) * padded:
            runs[-1].append(index)
            total += sizes[index]
        else:
            runs.append([index])
            total = sizes[index]
    return sorted(map(sorted, runs))
