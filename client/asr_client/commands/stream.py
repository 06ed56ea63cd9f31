"""`triton-asr stream`: transcribe speech while somebody is speaking."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer
from asr_contract.parameters import MAX_SILENCE_MS, MIN_SILENCE_MS

from asr_client import _columns, audio_files
from asr_client._errors import InvalidAudio
from asr_client.commands import connection, decoding, groups, microphone, output

if TYPE_CHECKING:
    from asr_client import StreamResult

STDIN = "-"
CHUNK_S = 0.1
_CLEAR_LINE = "\r\033[K"


@groups.grouped
def stream(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="A recording to play to the server; - is raw 16-bit samples on stdin."),
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Listen to the microphone, until Ctrl-C.")] = False,
    realtime: Annotated[bool, typer.Option("--realtime", help="Send a file as fast as it was spoken.")] = False,
    sampling_rate: Annotated[int | None, typer.Option(min=1, metavar="HZ", help="Rate of raw samples.")] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels of raw samples, interleaved.")] = 1,
    silence_ms: Annotated[
        int | None,
        typer.Option(
            min=MIN_SILENCE_MS,
            max=MAX_SILENCE_MS,
            metavar="MS",
            help="Silence that ends a segment.  [default: the model's]",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Literal["txt", "json"], typer.Option("--format", "-f", help="json: every result, one a line.")
    ] = "txt",
    server: Annotated[connection.Connection, groups.Without("protocol")] = connection.DEFAULT,
    decode: decoding.Decoding = decoding.DEFAULT,
    generate: decoding.Generation = decoding.DEFAULT_GENERATION,
) -> None:
    """Transcribe live: from the microphone, from a pipe, or from a file as if it were live.

    Each finished segment gets a line. On a terminal, the current segment is shown below it, and redrawn as it grows.
    """
    if (file is None) == (not mic):
        raise typer.BadParameter("needs a FILE, or --mic", param_hint="FILE")
    if (file == STDIN) == (sampling_rate is None):
        raise typer.BadParameter(
            "raw samples on stdin (-) need it; nothing else takes it", param_hint="--sampling-rate"
        )
    options = generate.added_to(decode.options())
    if mic:
        chunks, rate = microphone.listen(CHUNK_S), microphone.SAMPLING_RATE
    elif file == STDIN:
        rate = sampling_rate or 0
        chunks = _raw(sys.stdin.buffer, int(CHUNK_S * rate) * 2 * channels)
    else:
        chunks, rate, channels = _recording(str(file))
    if realtime:
        chunks = _paced(chunks, CHUNK_S)
    show = _as_json if format == "json" else _Screen()
    with server.client() as client:
        try:
            results = client.stream(
                chunks,
                sampling_rate=rate,
                channels=1 if mic else channels,
                silence_ms=silence_ms,
                options=options,
            )
            for result in results:
                show(result)
        except KeyboardInterrupt:
            typer.echo("", err=True)


class _Screen:
    """Writes final segments as lines of standard output; on a terminal, the current segment below them."""

    def __init__(self) -> None:
        self._draws = sys.stdout.isatty()

    def __call__(self, result: "StreamResult") -> None:
        if self._draws:
            sys.stdout.write(_CLEAR_LINE)
        if result.is_final:
            sys.stdout.write(result.text + "\n")
        elif self._draws:
            import shutil

            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(_columns.end(result.text, width))
        sys.stdout.flush()


def _as_json(result: "StreamResult") -> None:
    content = asdict(result)
    for word in content["words"]:
        del word["speaker"]  # of separate channels, which a live stream does not have
    sys.stdout.write(output.json_for_stdout(json.dumps(content, ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def _raw(file: IO[bytes], chunk_bytes: int) -> Iterator[bytes]:
    while chunk := file.read(chunk_bytes):
        yield chunk


def _recording(path: str) -> tuple[Iterator[bytes], int, int]:
    """Return 16-bit samples, their rate in Hz and their channels."""
    import wave

    try:
        opened = wave.open(path, "rb")  # noqa: SIM115 - _frames closes it
    except (OSError, EOFError, wave.Error) as error:
        if isinstance(error, OSError):
            raise InvalidAudio(f"cannot read {path}: {error.strerror or error}") from error
        return _decoded(path)
    if opened.getsampwidth() != 2 or opened.getcomptype() != "NONE" or not opened.getnframes():
        opened.close()
        return _decoded(path)
    return _frames(opened), opened.getframerate(), opened.getnchannels()


def _frames(opened: Any) -> Iterator[bytes]:
    with opened:
        while chunk := opened.readframes(int(CHUNK_S * opened.getframerate())):
            yield chunk


def _decoded(path: str) -> tuple[Iterator[bytes], int, int]:
    with ExitStack() as stack:
        file = stack.enter_context(Path(path).open("rb"))
        sound = audio_files.read(file, path)
        stack.pop_all()  # _pieces closes it
    size = int(CHUNK_S * sound.sampling_rate) * 2 * sound.channels
    return _pieces(file, sound, size), sound.sampling_rate, sound.channels


def _pieces(file: IO[bytes], sound: audio_files.Sound, size: int) -> Iterator[bytes]:
    """Yield the samples of a file, `size` bytes at a time."""
    with file:
        rest = b""
        for block in sound.blocks:
            rest += block.tobytes()
            while len(rest) >= size:
                yield rest[:size]
                rest = rest[size:]
        if rest:
            yield rest


def _paced(chunks: Iterator[Any], each_s: float) -> Iterator[Any]:
    """Yield each chunk when it has been spoken."""
    due = time.monotonic()
    for chunk in chunks:
        due += each_s
        time.sleep(max(0.0, due - time.monotonic()))
        yield chunk
