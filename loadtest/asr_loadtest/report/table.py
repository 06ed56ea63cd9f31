"""The report for a terminal: what callers saw, what the server did, and the result."""

from collections.abc import Iterable, Sequence

from asr_loadtest.report import columns, wording
from asr_loadtest.report.columns import Column
from asr_loadtest.results import Report, Step

_GAP = "  "


def text(report: Report) -> str:
    """Return the report as lines, each with a newline. A void step has its reasons in place of figures."""
    tables = [_table(report.steps, columns.results(report), with_reasons=True)]
    valid = [step for step in report.steps if not step.void]
    if (members := columns.members(report)) and valid:
        tables.append(_table(valid, members, with_reasons=False))
    blocks = [f"{wording.target(report)}\n{wording.profile(report)}", *tables, "\n".join(_closing(report))]
    return "\n\n".join(blocks) + "\n"


def _closing(report: Report) -> Iterable[str]:
    for step in report.steps:
        if step.errors and not step.void:
            kinds = ", ".join(f"{number} {name}" for name, number in sorted(step.errors.items()))
            example = f"; the first: {step.error_example}" if step.error_example else ""
            yield wording.clean(f"errors at {wording.load(step.load)}: {kinds}{example}")
    yield wording.verdict(report)


def _table(steps: Sequence[Step], chosen: Sequence[Column], *, with_reasons: bool) -> str:
    labels = ["load", *(wording.load(step.load) for step in steps)]
    cells = [[column.head, *("" if step.void else column.cell(step) for step in steps)] for column in chosen]
    first = max(map(len, labels))
    widths = [max(map(len, column)) for column in cells]
    _widen(widths, chosen)
    lines = [groups] if (groups := _groups(chosen, widths, first)) else []
    for row, label in enumerate(labels):
        step = steps[row - 1] if row else None
        if step is not None and step.void:
            lines.append(f"{label:<{first}}{_GAP}void: {wording.clean('; '.join(step.void))}")
            continue
        figures = _GAP.join(f"{column[row]:>{width}}" for column, width in zip(cells, widths, strict=True))
        lines.append(f"{label:<{first}}{_GAP}{figures}")
        if step is not None and step.missed and with_reasons:
            lines.append(f"{'':<{first}}{_GAP}missed: {wording.clean('; '.join(step.missed))}")
    return "\n".join(line.rstrip() for line in lines)


def _widen(widths: list[int], chosen: Sequence[Column]) -> None:
    """Widen the first column of each group to make room for the group's name."""
    for start, end, name in _spans(chosen):
        width = sum(widths[start:end]) + len(_GAP) * (end - start - 1)
        widths[start] += max(0, len(name) - width)


def _groups(chosen: Sequence[Column], widths: Sequence[int], first: int) -> str:
    line = " " * first
    for start, end, name in _spans(chosen):
        width = sum(widths[start:end]) + len(_GAP) * (end - start - 1)
        line += f"{_GAP}{name:^{width}}"
    return line.rstrip()


def _spans(chosen: Sequence[Column]) -> list[tuple[int, int, str]]:
    """Return (first, last + 1, name) of neighbouring columns of the same group."""
    spans: list[tuple[int, int, str]] = []
    for index, column in enumerate(chosen):
        if spans and spans[-1][2] == column.group:
            spans[-1] = (spans[-1][0], index + 1, column.group)
        else:
            spans.append((index, index + 1, column.group))
    return [(start, end, wording.clean(name)) for start, end, name in spans]
