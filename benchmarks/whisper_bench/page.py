"""The figures of `compare_whisper.py` -> the tables of docs/benchmarks-whisper.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from places import NOT_YET, Cells, fill, read_results, table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks-whisper.md"
RESULTS = ROOT / "benchmarks" / "results" / "whisper.json"
TITLES = {
    "faster-whisper-int8": "faster-whisper, int8",
    "faster-whisper-fp32": "faster-whisper, float32",
    "whisper.cpp-f16": "whisper.cpp, f16",
    "onnx-asr": "onnx-asr",
    "transformers": "`transformers` pipeline",
    "optimum": "optimum, in that pipeline",
    "kit-fp32": "**this kit**, fp32",
    "kit-fp16": "**this kit**, fp16",
    "kit-int8": "**this kit**, int8",
    "kit-fp32-vad": "**this kit**, fp32, `vad`",
    "kit-fp16-vad": "**this kit**, fp16, `vad`",
    "kit-int8-vad": "**this kit**, int8, `vad`",
}

Found = dict[str, Any]


def write_page() -> Path:
    """Put the results into the page; return its path."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read_results(RESULTS)), encoding="utf-8")
    return PAGE


def page(text: str, results: Found) -> str:
    """Return the page's text with the figures in place of those that it has.

    Raises:
        ValueError: the page has no place for a table.
    """
    return fill(text, _parts(results), str(PAGE))


def _parts(results: Found) -> Iterator[tuple[str, str]]:
    comparison = results.get("comparison", {})
    for name in ("one caller", "eight callers", "long file"):
        found = comparison.get(name.replace(" ", "_"))
        yield name, _speeds(found) if found else NOT_YET
    yield "word errors", _word_errors(comparison["eight_callers"]["word_errors"]) if comparison else NOT_YET
    yield "head of line", _head_of_line(comparison["head_of_line"]) if comparison else NOT_YET
    yield "hour", _hour(results["hour"]["kits"]) if "hour" in results else NOT_YET
    yield "live", _live(results["live"]["kits"]) if "live" in results else NOT_YET
    yield "left out", _left_out(results)
    yield "machine", _machines(results)


def _speeds(found: Found) -> str:
    columns = ["", "audio s/s", "range", "of faster-whisper int8", "range", "of its float32", "WER, %"]
    rows = []
    for name, one in found["contenders"].items():
        ratios = [
            None if {name, reference} & set(found["unfit"]) else one["ratios"].get(reference)
            for reference in ("faster-whisper-int8", "faster-whisper-fp32")
        ]
        rows.append(
            [
                TITLES[name],
                f"{one['rtfx']['median']:.1f}",
                _range(one["rtfx"], 1),
                *((f"{ratios[0]['median']:.2f}", _range(ratios[0], 2)) if ratios[0] else ("", "")),
                f"{ratios[1]['median']:.2f}" if ratios[1] else "",
                f"{one['wer']:.2f}",
            ]
        )
    said = f"{found['recordings']} recordings" if found["recordings"] > 1 else "One recording"
    callers = f"{found['callers']} callers" if found["callers"] > 1 else "one caller"
    lines = f"{said}, {found['audio_s']:.0f} s in all; {callers}; {found['rounds']} rounds.\n\n{table(columns, rows)}"
    if number := found.get("not_whole"):
        lines += f"\n{number} more were left out, because not all contenders wrote them whole.\n"
    if unfit := found["unfit"]:
        lines += f"\nWithout ratios, because many of its texts stop early or loop: {_titles(unfit)}.\n"
    if apart := found.get("do_not_hear_it"):
        lines += f"\nNo recordings that are longer than a window: {_titles(apart)}.\n"
    return lines


def _word_errors(found: Found) -> str:
    rows = [(TITLES[name], f"{wer:.2f}") for name, wer in found["wer"].items()]
    said = f"{found['recordings']} recordings, {found['audio_s']:.0f} s, {found['words']} words.\n\n"
    return said + table(["", "WER, %"], rows)


def _head_of_line(found: Found) -> str:
    columns = [
        "",
        "alone, s",
        "behind, s",
        "times as long",
        "a window, s",
        "windows after the caller has gone",
        "idle, s",
    ]
    rows: list[Cells] = []
    for name, one in found.items():
        names = ("alone_s", "behind_s", "behind_to_alone", "window_s")
        cells = [f"{one[key]['median']:.2f} ({_range(one[key], 2)})" for key in names]
        left, idle = one["windows_after_caller_has_gone"], one["idle_after_s"]
        rows.append([TITLES[name], *cells, f"{left['max']:g} at most", f"{idle['median']:.1f} ({_range(idle, 1)})"])
    first = next(iter(found.values()))
    said = (
        f"{first['short_s']:.0f} s of speech behind a recording of {first['long_s']:.0f} s; {first['rounds']} rounds."
    )
    return f"{said}\n\n{table(columns, rows)}"


def _hour(found: Found) -> str:
    columns = ["", "WER, %", "audio s/s", "memory of the server at most, MB"]
    rows: list[Cells] = []
    for name, one in found.items():
        for how, row in one["rows"].items():
            cells = f"{row['wer']:.2f}", f"{row['rtfx']:.1f}", f"{row['most_mb']:.0f}"
            rows.append([f"{TITLES[name]}, {how}", *cells])
        prompts = f"{TITLES[name]}, {one['prompts']['recordings']} prompts, each alone"
        rows.append([prompts, f"{one['prompts']['wer']:.2f}", "", f"before: {one['before_mb']:.0f}"])
    first = next(iter(found.values()))
    return f"{first['audio_s']:.0f} s, {first['words']} words.\n\n{table(columns, rows)}"


def _live(found: Found) -> str:
    names = ("first_partial", "word_shown", "word_stable", "final")
    titles = ["first partial result", "word shown", "word stable", "final result"]
    columns = ["", "streams", *(f"{title}, s" for title in titles), "WER, %", "as recordings, %", "late pieces, %"]
    rows = [
        [
            TITLES[name],
            str(row["streams"]),
            *(f"{row[f'{lag}_p50_s']:.2f}, {row[f'{lag}_p95_s']:.2f}" for lag in names),
            f"{row['wer']:.2f}",
            f"{row['recordings_wer']:.2f}",
            f"{100 * row['late_pieces']:.1f}",
        ]
        for name, measured in found.items()
        for row in measured
    ]
    return table(columns, rows)


def _left_out(results: Found) -> str:
    reasons = {name: why for part in results.values() for name, why in part["left_out"].items()}
    if not reasons:
        return "Nothing was left out.\n"
    return "".join(f"- {TITLES[name]}: `{why}`\n" for name, why in reasons.items())


def _machines(results: Found) -> str:
    lines = []
    for part, found in results.items():
        machine = found["machine"]
        versions = dict(machine["versions"])
        for packages in found.get("one_caller", {}).get("versions", {}).values():
            versions |= {name: version for name, version in packages.items() if name not in versions}
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        lines.append(f"- {part}: {machine['cpu']}, {machine['cores']} cores; Python {machine['python']}, {listed}.\n")
    return "".join(lines) or NOT_YET


def _titles(names: list[str]) -> str:
    return ", ".join(TITLES[name] for name in names)


def _range(spread: dict[str, float], digits: int) -> str:
    return f"{spread['min']:.{digits}f} to {spread['max']:.{digits}f}"
