"""How a model's frames lie in a recording."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """All in samples at the model's rate."""

    receptive_field: int  # heard by one frame, before the encoder mixes them
    stride: int  # between two frames of the output
    shortest: int  # the shortest recording that the model can take
