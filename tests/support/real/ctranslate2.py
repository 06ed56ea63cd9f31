"""Read a model file of CTranslate2, the format in which faster-whisper's models come.

The format is that of `ctranslate2.specs.model_spec` (binary version 6), which says what follows what; no code of it is
needed to read it.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 6
# In the order of CTranslate2's enum DataType. Its last one, bfloat16, numpy does not know.
_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


@dataclass(frozen=True)
class Model:
    """What a model file holds."""

    spec: str  # name of the kind of model, such as WhisperSpec
    revision: int
    variables: Mapping[str, NDArray[Any]]  # by name, as they are stored; also by their second names


def read(file: Path) -> Model:
    """Return the content of a `model.bin`.

    Raises:
        ValueError: it has another version, a type that numpy lacks, or bytes too many or too few.
    """
    reader = _Reader(memoryview(file.read_bytes()), file)
    version = reader.number("I")
    if version != VERSION:
        raise ValueError(f"{file} has binary version {version}; needs {VERSION}")
    spec, revision = reader.text(), reader.number("I")
    variables: dict[str, NDArray[Any]] = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        dtype = reader.number("B")
        if dtype >= len(_DTYPES):
            raise ValueError(f"{name} of {file} has data type {dtype}; needs one of 0 to {len(_DTYPES) - 1}")
        variables[name] = np.frombuffer(reader.bytes(reader.number("I")), _DTYPES[dtype]).reshape(shape)
    for _ in range(reader.number("I")):
        alias = reader.text()
        variables[alias] = variables[reader.text()]
    if reader.left:
        raise ValueError(f"{file} has {reader.left} bytes too many")
    return Model(spec, revision, variables)


class _Reader:
    """Little-endian numbers, texts and bytes, one after the other."""

    def __init__(self, data: memoryview, file: Path) -> None:
        self._data, self._file, self._at = data, file, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def bytes(self, size: int) -> memoryview:
        if size > self.left:
            raise ValueError(f"{self._file} ends at byte {len(self._data)}; needs {self._at + size}")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, kind: str) -> int:
        """Return an unsigned number of one of struct's kinds: B, H or I."""
        (value,) = struct.unpack(f"<{kind}", self.bytes(struct.calcsize(f"<{kind}")))
        return int(value)

    def text(self) -> str:
        return bytes(self.bytes(self.number("H"))).rstrip(b"\0").decode()
