"""The columns of the tables, for the terminal and for the page. No column is asked for the cell of a void step."""

from collections.abc import Callable
from dataclasses import dataclass

from asr_loadtest.report import wording
from asr_loadtest.results import Latency, MemberLoad, Report, Step, StreamFigures


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    head: str
    cell: Callable[[Step], str]  # text of a step
    group: str = ""  # head above it, which neighbouring columns share


def results(report: Report) -> tuple[Column, ...]:
    """Return the columns of what callers saw."""
    columns = [
        *(_of_streams() if report.of_streams else _of_requests()),
        Column("errors", lambda step: wording.percent(step.error_rate)),
    ]
    if any(step.checked for step in report.steps):
        columns.append(Column("changed", wording.changed))
    if any(step.wer is not None for step in report.steps):
        columns.append(Column("WER", lambda step: wording.percent(step.wer)))
    return tuple(columns)


def _of_requests() -> tuple[Column, ...]:
    return (
        Column("answered/s", lambda step: wording.rate(step.answered_rate)),
        Column("RTFx", lambda step: wording.rate(step.audio_rate)),
        *_quantiles("", lambda step: step.latency, ("p50", "p95", "p99")),
    )


def _of_streams() -> tuple[Column, ...]:
    def figures(value: Callable[[StreamFigures], str]) -> Callable[[Step], str]:
        return lambda step: wording.NOTHING if step.streams is None else value(step.streams)

    return (
        Column("RTFx", lambda step: wording.rate(step.audio_rate)),
        *_quantiles("lag of partial results", lambda step: step.latency, ("p50", "p95", "p99")),
        *_quantiles("lag of final results", lambda step: step.streams.final if step.streams else None, ("p50", "p95")),
        Column("late pieces", figures(lambda found: wording.percent(found.late_pieces / max(1, found.pieces)))),
    )


def _quantiles(group: str, latency: Callable[[Step], Latency | None], names: tuple[str, ...]) -> tuple[Column, ...]:
    def cell(name: str) -> Callable[[Step], str]:
        return lambda step: wording.milliseconds(getattr(latency(step), f"{name}_ms", None))

    return tuple(Column(f"{name} ms", cell(name), group) for name in names)


def members(report: Report) -> tuple[Column, ...]:
    """Return the columns of what the server did, three for each member; none when it gave no statistics."""
    return tuple(column for model in member_names(report) for column in _of_member(model))


def member_names(report: Report) -> tuple[str, ...]:
    """Return the models with statistics, in the order of the ensemble."""
    return tuple(dict.fromkeys(member.model for step in report.steps for member in step.members))


def member(step: Step, model: str) -> MemberLoad | None:
    """Return what one model did in a step."""
    return next((found for found in step.members if found.model == model), None)


def generator() -> tuple[Column, ...]:
    """Return the columns of what the load generator did."""
    return (
        Column("scheduled", lambda step: f"{step.generator.scheduled:,}"),
        Column("sent", lambda step: f"{step.generator.sent:,}"),
        Column("late", lambda step: f"{step.generator.late:,}"),
        Column("latest ms", lambda step: wording.milliseconds(step.generator.worst_late_ms)),
        Column("cores", lambda step: f"{step.generator.cpu_cores:.2f}"),
    )


def _of_member(model: str) -> tuple[Column, ...]:
    def cell(value: Callable[[MemberLoad], str]) -> Callable[[Step], str]:
        def of(step: Step) -> str:
            found = member(step, model)
            return wording.NOTHING if found is None or not found.inferences else value(found)

        return of

    return (
        Column("batch", cell(lambda found: f"{found.average_batch:.1f}"), model),
        Column("queue ms", cell(lambda found: wording.milliseconds(found.queue_ms)), model),
        Column("compute ms", cell(lambda found: wording.milliseconds(found.compute_ms)), model),
    )
