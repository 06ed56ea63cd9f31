"""Write the tables of docs/real-models.md from what a full run of the tests with real models has found.

    python benchmarks/real_page.py build/real.json

`make test-real` does this at its end. The figures are kept in benchmarks/results/real.json; the text around the tables
is edited in the page itself.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from places import Cells, fill, table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "real-models.md"
RESULTS = ROOT / "benchmarks" / "results" / "real.json"

Found = dict[str, Any]


def main() -> None:
    """Take over the results of a run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="what the tests have written")
    arguments = parser.parse_args()
    found = json.loads(arguments.results.read_text(encoding="utf-8"))
    if found["missing"]:
        parser.error(f"{arguments.results} is of a run without all recordings: {'; '.join(found['missing'])}")
    RESULTS.write_text(f"{json.dumps(found, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(PAGE)


def page(text: str, found: Found) -> str:
    """Return the page's text with the figures in place of those between `<!-- NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: the page has no such place.
    """
    return fill(text, _parts(found), str(PAGE))


def _parts(found: Found) -> Iterator[tuple[str, str]]:
    """Yield name and content of each part that a run decides."""
    yield "packages", table(("package", "MB", "licence", "holds", "SHA-256"), map(_package, found["packages"]))
    yield "models", table(("model", "weights, MB", "repository, MB", "export, s"), map(_model, found["models"]))
    columns = ["model", "recordings", "seconds", "options", "compared", "different"]
    yield "comparisons", table(columns, _summed(found["comparisons"]))
    columns = ["model", "recordings", "files", "words", "served, %", "`generate()`, %"]
    yield "word errors", table(columns, map(_word_errors, found["word_errors"]))
    columns = ["model", "recordings", "seconds", "served", "`generate()`"]
    yield "speeds", table(columns, map(_speed, found["speeds"]))
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    place = (
        f"{machine['cpu']}, {machine['cores']} cores; other work wanted {machine['load_before']:g} cores before the run"
    )
    yield "machine", f"{place}; Python {machine['python']}, {versions}.\n"


def _package(row: Found) -> Cells:
    name = f"{row['registry']}: `{row['package']}` {row['version']}"
    return name, _megabytes(row["bytes"]), row["licence"], row["holds"], f"`{row['sha256']}`"


def _model(row: Found) -> Cells:
    sizes = _megabytes(row["checkpoint_bytes"]), _megabytes(row["repository_bytes"])
    return row["model"], *sizes, f"{row['export_s']:.0f}"


def _word_errors(row: Found) -> Cells:
    rates = (f"{100 * row[side]:.2f}" for side in ("served_wer", "generate_wer"))
    return row["model"], row["recordings"], str(row["files"]), str(row["words"]), *rates


def _speed(row: Found) -> Cells:
    figures = (f"{row[name]:.1f}" for name in ("served_rtfx", "generate_rtfx"))
    return row["model"], str(row["recordings"]), f"{row['seconds']:.0f}", *figures


def _summed(comparisons: Iterable[Found]) -> Iterator[Cells]:
    """Yield a row for all comparisons of a model that have recordings and options in common, and one for the total."""
    groups: dict[tuple[str, str, str], list[Found]] = {}
    for row in comparisons:
        groups.setdefault((row["model"], row["recordings"], row["options"]), []).append(row)
    compared = different = 0
    for (model, recordings, options), rows in groups.items():
        shortest, longest = min(row["shortest_s"] for row in rows), max(row["longest_s"] for row in rows)
        seconds = f"{longest:.1f}" if round(shortest, 1) == longest else f"{shortest:.2f} to {longest:.1f}"
        counts = sum(row["compared"] for row in rows), sum(row["different"] for row in rows)
        yield model, recordings, seconds, options or "none", *map(str, counts)
        compared, different = compared + counts[0], different + counts[1]
    yield "all", "", "", "", str(compared), str(different)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


if __name__ == "__main__":
    main()
