"""`triton-asr evaluate`: measure the errors in the transcripts of a manifest's recordings."""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from asr_contract import word_errors
from asr_contract.manifest import Entry

from asr_client import manifest as manifests
from asr_client._options import DecodeOptions
from asr_client.commands import connection, decoding, groups, output
from asr_client.commands.report import Item, Report
from asr_client.commands.transcribe import progress_bar

if TYPE_CHECKING:
    from asr_client import Client, Outcome

TABLE_WIDTHS = (60, 160)  # characters: narrowest and widest table, for any terminal


@groups.grouped
def evaluate(
    manifest: Annotated[
        Path,
        typer.Argument(help="TSV with the header audio<TAB>text, or JSON lines with these keys; paths relative to it."),
    ],
    normalize: Annotated[
        bool,
        typer.Option(
            "--normalize/--no-normalize",
            help="Ignore case and punctuation (apostrophes within words stay), or compare the texts as they are.",
        ),
    ] = True,
    worst: Annotated[int, typer.Option(min=0, metavar="N", help="Show the N worst transcripts.")] = 5,
    table: Annotated[bool, typer.Option("--table", help="Show all transcripts instead.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write figures and all transcripts to this file.")
    ] = None,
    concurrency: connection.Concurrency = 8,
    server: connection.Connection = connection.DEFAULT,
    decode: decoding.Decoding = decoding.DEFAULT,
    generate: decoding.Generation = decoding.DEFAULT_GENERATION,
) -> None:
    """Transcribe the recordings of a manifest and measure the word and character error rate.

    Recordings that fail are reported on standard error, left out of the rates, and make the exit code 1.
    """
    import jiwer  # noqa: F401 (if it is missing, fail now, not after an hour of transcribing)

    entries = manifests.read(manifest)
    options = generate.added_to(decode.options())
    with server.client() as client:
        client.check_model()
        report = _run(client, entries, concurrency, normalize, options)
    for item in report.failed:
        typer.echo(connection.failure(item.audio, Exception(item.error)), err=True)
    _show(report, worst, table)
    if json_file is not None:
        content = {"model": server.model, "normalized": normalize, **report.to_json()}
        output.write_file(json_file, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    if report.failed:
        raise typer.Exit(1)


def _run(client: "Client", entries: list[Entry], concurrency: int, normalize: bool, options: DecodeOptions) -> Report:
    """Transcribe and score all entries."""
    with progress_bar(len(entries)) as bar:
        begin = time.monotonic()
        outcomes = client.transcribe_many(
            (entry.path for entry in entries),
            concurrency=concurrency,
            on_progress=lambda _: bar.update(),
            options=options,
        )
        wall_s = time.monotonic() - begin
    pairs = zip(entries, outcomes, strict=True)
    return Report([_item(entry, outcome, normalize) for entry, outcome in pairs], wall_s)


def _item(entry: Entry, outcome: "Outcome", normalize: bool) -> Item:
    prepare = word_errors.normalize if normalize else str.strip
    reference = prepare(entry.text)
    result = outcome.transcription
    if result is None:
        return Item(entry.audio, reference, error=str(outcome.error))
    transcript = prepare(result.text)
    score = word_errors.score(reference, transcript)
    return Item(entry.audio, reference, transcript, score, result.confidence, result.duration)


def _show(report: Report, worst: int, table: bool) -> None:
    low, high = TABLE_WIDTHS
    if table:
        width = max(low, min(high, shutil.get_terminal_size((100, 24)).columns))
        lines = [*report.table(width), ""]
    elif worst_lines := report.worst_lines(worst):
        lines = [f"worst {min(worst, len(report.worst(worst)))}:", *worst_lines, ""]
    else:
        lines = []
    typer.echo("\n".join([*lines, *report.summary()]))
