"""`triton-asr transcribe`: recordings in, text or subtitles out."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_client import formats
from asr_client._audio import Encoding
from asr_client._errors import AsrError
from asr_client._options import CHANNELS
from asr_client.commands import connection, decoding, groups, output

if TYPE_CHECKING:
    from asr_client import Audio, Transcription

STDIN = "-"
_DIGITS = 6  # a longer number is none of channels


@groups.grouped
def transcribe(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Recordings; - is standard input.")],
    format: Annotated[
        formats.Format,
        typer.Option("--format", "-f", help="What to write; srt, vtt, tsv and ctm also ask for times."),
    ] = "txt",
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", metavar="DIR", help="Write one file for each recording into this folder."),
    ] = None,
    word_timestamps: Annotated[
        bool, typer.Option("--word-timestamps", help="Ask when each word was said (shown by -f json).")
    ] = False,
    nbest: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of texts from beam search (shown by -f json).")
    ] = 1,
    timestamps: Annotated[
        bool,
        typer.Option(
            "--timestamps", help="Whisper: ask when each segment was said; subtitles are then made of segments."
        ),
    ] = False,
    concurrency: connection.Concurrency = 8,
    encoding: Annotated[Encoding, typer.Option(help="What the recordings hold: audio files, or raw samples.")] = "file",
    sampling_rate: Annotated[int | None, typer.Option(min=1, metavar="HZ", help="Rate of raw samples.")] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="mixed|separate|N",
            help="separate: each channel is a speaker, transcribed by itself. N: channels of raw samples (1 by "
            "default); N,separate for both.",
        ),
    ] = None,
    server: connection.Connection = connection.DEFAULT,
    decode: decoding.Decoding = decoding.DEFAULT,
    generate: decoding.Generation = decoding.DEFAULT_GENERATION,
) -> None:
    """Transcribe recordings.

    Standard output gets the text of one recording. Several recordings give FILE<TAB>TEXT lines (with separate channels,
    one for each turn), one JSON object a line, or one CTM; srt, vtt and tsv hold one recording each, and need -o. With
    -o, each recording gets a file of its name, with a number if two have the same name.

    A recording that fails is reported on standard error and does not stop the others. Exit code: 0 all transcribed,
    1 some failed, 2 wrong usage.
    """
    count, are_separate = _channels(channels)
    _check_usage(files, format, output_dir, encoding, sampling_rate, count)
    if are_separate and nbest > 1:
        raise typer.BadParameter("--nbest gives several texts of mixed channels: leave out --channels separate")
    write = _writer(files, format, output_dir)
    options = replace(
        generate.added_to(decode.options()),
        # Subtitles can be made of segments, too; CTM is made of words.
        word_timestamps=word_timestamps or format == "ctm" or (format in formats.TIMED_FORMATS and not timestamps),
        nbest=nbest,
        timestamps=timestamps,
    )
    recordings = [_recording(file, encoding, sampling_rate, count) for file in files]
    failed = 0
    with server.client() as client, progress_bar(len(files)) as bar:
        client.check_model()  # one error, instead of one for each recording
        for outcome in client.transcribe_iter(
            recordings,
            concurrency=concurrency,
            on_progress=lambda _: bar.update(),
            channels="separate" if are_separate else "mixed",
            options=options,
        ):
            try:
                write(outcome.index, outcome.unwrap())
            except AsrError as error:
                failed += 1
                report_failure(files[outcome.index], error)
    if failed:
        raise typer.Exit(1)


def output_stems(files: Sequence[str]) -> list[str]:
    """Return a name without suffix for each file's output. All differ, on any file system.

    The first file of a stem keeps the stem; the others get the next free number.
    """
    stems = ["stdin" if file == STDIN else Path(file).stem for file in files]
    taken = {stem.casefold() for stem in stems}
    seen: set[str] = set()
    names = []
    for stem in stems:
        name = stem
        number = 2
        if stem.casefold() in seen:
            while (name := f"{stem}-{number}").casefold() in taken:
                number += 1
            taken.add(name.casefold())
        seen.add(stem.casefold())
        names.append(name)
    return names


def progress_bar(total: int) -> AbstractContextManager[Any]:
    """Return a progress bar on standard error; it stays hidden for a single item, and without a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, unit="file", file=sys.stderr, disable=True if total == 1 else None, leave=False)


def report_failure(source: str, error: AsrError) -> None:
    """Write one line to standard error."""
    output.emit(connection.failure(source, error) + "\n", error=True)


def _check_usage(
    files: Sequence[str],
    format: formats.Format,
    output_dir: Path | None,
    encoding: Encoding,
    sampling_rate: int | None,
    channels: int | None,
) -> None:
    if files.count(STDIN) > 1:
        raise typer.BadParameter("- (standard input) is given more than once")
    if len(files) > 1 and output_dir is None and format not in formats.JOINABLE_FORMATS:
        raise typer.BadParameter(f"{format} holds one recording: give -o DIR, and each gets a file")
    if output_dir is not None and output_dir.exists() and not output_dir.is_dir():
        raise typer.BadParameter(
            f"-o {output_dir} is a file; needs a folder, in which every recording gets a file of its own. For one "
            "file, leave out -o and redirect standard output"
        )
    if encoding == "file" and (sampling_rate or channels):
        raise typer.BadParameter(
            "--sampling-rate and a number of --channels are for raw samples: give --encoding pcm_s16le, too"
        )
    if encoding != "file" and not sampling_rate:
        raise typer.BadParameter(f"--encoding {encoding} needs --sampling-rate")


def _channels(value: str | None) -> tuple[int | None, bool]:
    """Return the number of channels of raw samples, None if it is not given, and whether each is heard by itself.

    Raises:
        typer.BadParameter: the option says neither, or one of them twice.
    """
    words = [word.strip() for word in value.split(",")] if value is not None else []
    choices = [word for word in words if word in CHANNELS]
    numbers = [int(word) for word in words if word.isdecimal() and len(word) < _DIGITS and int(word) > 0]
    if len(choices) > 1 or len(numbers) > 1 or len(choices) + len(numbers) < len(words):
        raise typer.BadParameter(
            f"--channels is {value!r}; needs {' or '.join(CHANNELS)}; for raw samples their number, as in 2,separate"
        )
    return next(iter(numbers), None), choices == ["separate"]


def _recording(file: str, encoding: Encoding, sampling_rate: int | None, channels: int | None) -> "Audio":
    from asr_client import Audio

    source = sys.stdin.buffer if file == STDIN else file
    return Audio(source, sampling_rate, encoding, channels)


def _writer(
    files: Sequence[str], format: formats.Format, output_dir: Path | None
) -> Callable[[int, "Transcription"], None]:
    """Return the function that writes the transcription of file number n.

    Raises:
        AsrError: the folder cannot be made. The function raises it when a file cannot be written.
    """
    stems = output_stems(files)
    names = stems if format == "ctm" else files

    def content(index: int, result: "Transcription") -> str:
        return formats.render(result, format, name=names[index])

    if output_dir is None:
        prefixes = [f"{name}\t" if format == "txt" and len(files) > 1 else "" for name in names]
        held = output.json_for_stdout if format == "json" else str

        def emit(index: int, result: "Transcription") -> None:
            text = held(content(index, result))
            if prefixes[index]:  # of each line: speakers have several
                text = "".join(f"{prefixes[index]}{line}\n" for line in text.removesuffix("\n").split("\n"))
            output.emit(text)

        return emit
    folder = output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AsrError(f"cannot make the folder {folder}: {error.strerror or error}") from error

    def write(index: int, result: "Transcription") -> None:
        output.write_file(folder / f"{stems[index]}.{format}", content(index, result))

    return write
