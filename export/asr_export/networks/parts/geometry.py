"""The position of a model's frames in a recording."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """The position of frames in a recording; every field is in samples at the model's rate."""

    receptive_field: int  # samples that one frame depends on, before the encoder mixes frames
    stride: int  # between two frames of the output
    shortest: int  # the shortest recording that the model can take
