"""Recordings in the rows of a column: what a row holds, and how its audio is read in the worker.

A row holds a path or a URI, the bytes of an audio file, or an array of samples. Local files are read by the client,
remote ones through fsspec. An executor opens only what its own packages and credentials can open.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from asr_client import Audio, InvalidAudio

# One letter before a colon is no scheme: Hadoop has none, but a drive has.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)")
# Hadoop's names of the same store.
_FSSPEC_NAMES = {"s3a": "s3", "s3n": "s3"}
# A larger remote file goes through a file on the executor's disk, so that `concurrency` of them fit into memory.
LARGEST_IN_MEMORY = 32 * 2**20


@dataclass(frozen=True)
class Row:
    """The recording of one row."""

    value: str | memoryview | pa.Array
    sampling_rate: int | None  # Hz, of samples

    @contextmanager
    def opened(self) -> Iterator[Audio]:
        """Give the recording in a form that the client takes, for the time of a `with` block.

        Raises:
            InvalidAudio: it cannot be read.
        """
        if isinstance(self.value, str):
            with _file(self.value) as source:
                yield Audio(source)
        elif isinstance(self.value, memoryview):
            yield Audio(self.value)
        else:
            yield Audio(_samples(self.value), self.sampling_rate)


def rows(column: pa.Array, sampling_rate: int | None) -> Iterator[Row | None]:
    """Yield the recordings of a column in the order of its rows; None where the column is null.

    Raises:
        TypeError: the column's type is not supported.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values: Iterator[Any] = (value.as_py() for value in column)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = (memoryview(value.as_buffer()) if value.is_valid else None for value in column)
    elif (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_floating(kind.value_type):
        values = (value.values for value in column)
    else:
        raise TypeError(f"the input column is {kind} in Arrow; needs string, binary, or a list of float or double")
    for value in values:
        yield None if value is None else Row(value, sampling_rate)


def _samples(values: pa.Array) -> Any:
    if values.null_count:
        raise InvalidAudio(f"the array has {values.null_count} nulls among its {len(values)} samples; needs numbers")
    return values.to_numpy()


@contextmanager
def _file(name: str) -> Iterator[Path | bytes]:
    """Give a local file's path, or a remote file's content (by a path if it is large)."""
    match = _SCHEME.match(name)
    scheme = match[1].lower() if match else ""
    if not name:
        raise InvalidAudio("the path is empty; needs a path, or a URI such as s3a://bucket/call.wav")
    if scheme in ("", "file"):
        yield _local(name[len("file:") :] if scheme else name, is_uri=bool(scheme))
        return
    with _remote(_FSSPEC_NAMES.get(scheme, scheme), name) as content:
        yield content


def _local(path: str, *, is_uri: bool) -> Path:
    """Return the path of a local file.

    Of a file `a b`, Spark gives `file:/a b` in binaryFile's `path`, `file:/a%20b` in `_metadata.file_path`, and
    `file:///a%20b` as `input_file_name()`. So the likelier name comes first, and the other one if there is no such
    file.
    """
    if not is_uri:
        return _regular(Path(path))
    is_encoded = path.startswith("//")
    if is_encoded:
        path = "/" + path[2:].partition("/")[2]  # without the host, which is empty or this machine
    names = dict.fromkeys((unquote(path), path) if is_encoded else (path, unquote(path)))
    paths = [Path(name) for name in names]
    return _regular(next((path for path in paths if _exists(path)), paths[0]))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, not allowed to look, a NUL
        return False


def _regular(path: Path) -> Path:
    """Return the path, unless what is there could keep a reader waiting for ever, such as a named pipe."""
    if _exists(path) and not path.is_file():
        raise InvalidAudio(f"cannot read {path}: it is no regular file")
    return path


@contextmanager
def _remote(scheme: str, uri: str) -> Iterator[Path | bytes]:
    """Give the content of a remote file, which is read once."""
    files, path = _file_system(scheme, uri)
    path, size = _found(files, path, uri)
    if size is not None and size <= LARGEST_IN_MEMORY:
        with _reading(uri):
            content = files.cat_file(path)
        yield content
        return
    with tempfile.TemporaryDirectory(prefix="asr-spark-") as folder:
        copy = Path(folder) / "recording"
        with _reading(uri):
            files.get_file(path, str(copy))
        yield copy


def _file_system(scheme: str, uri: str) -> tuple[Any, str]:
    """Return the file system of a scheme, and the path there. fsspec keeps the file systems, and their connections."""
    try:
        import fsspec
    except ModuleNotFoundError as missing:
        raise InvalidAudio(
            f"cannot read {uri}: remote files need the package fsspec on the executors, and the one for {scheme}:"
        ) from missing
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        raise InvalidAudio(
            f"cannot read {uri}: fsspec knows no scheme {scheme}:; needs a path, file:, s3a:, gs:, hdfs: or another of "
            "fsspec's"
        ) from error
    except ImportError as error:
        raise InvalidAudio(f"cannot read {uri}: a package is missing on the executors: {error}") from error
    address = f"{scheme}:{uri.partition(':')[2]}"
    with _reading(uri):
        # Not `fsspec.open`, which takes "::" in a name for a chain of file systems.
        return kind(**kind._get_kwargs_from_urls(address)), kind._strip_protocol(address)


def _found(files: Any, path: str, uri: str) -> tuple[str, int | None]:
    """Return the path and the size of a remote file. Its name may be percent-encoded, as Spark's `_metadata` has it."""
    decoded = unquote(path)
    with _reading(uri):
        try:
            return path, files.info(path).get("size")
        except FileNotFoundError:
            if decoded == path:
                raise
            return decoded, files.info(decoded).get("size")


@contextmanager
def _reading(uri: str) -> Iterator[None]:
    """Turn what file systems raise, each with errors of its own, into an error of the row."""
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidAudio(f"cannot read {uri}: no such file") from error
    except Exception as error:
        detail = str(error) or type(error).__name__
        raise InvalidAudio(f"cannot read {uri}: {detail}") from error
