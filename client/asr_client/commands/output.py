"""The output of commands: to terminals and pipes of any encoding, and to files."""

import codecs
import contextlib
import io
import json
import secrets
import sys
from pathlib import Path

from asr_client._errors import AsrError

_JSON_ESCAPE = "asr_client.json"  # error handler of codecs


def use_any_encoding() -> None:
    """Make standard output and standard error write characters that they cannot encode as \\xe9, \\u516d or \\udce9.

    File names and transcripts may hold such characters. An exception would end the whole run.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where a test or a notebook has put something else
            stream.reconfigure(errors="backslashreplace")


def emit(text: str, *, error: bool = False) -> None:
    """Write to standard output, or to standard error, without disturbing the progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr if error else sys.stdout, end="")


def json_for_stdout(text: str) -> str:
    """Return the JSON with escapes for the characters that standard output's encoding cannot hold."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, _JSON_ESCAPE).decode(encoding)


def _escape_for_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_JSON_ESCAPE, _escape_for_json)


def write_file(path: Path, text: str) -> None:
    """Write a whole file in UTF-8, or nothing: an old file stays until the new one is complete.

    Raises:
        AsrError: the file cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")  # names of files may hold what UTF-8 cannot
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):  # /dev/stdout, a pipe: do not replace it
            path.write_bytes(data)
        else:
            _replace(path, data)
    except OSError as error:
        raise AsrError(f"cannot write {path}: {error.strerror or error}") from error


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{secrets.token_hex(8)}.part")  # short, because the file's own name may be of full length
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
