"""Figures and results in words, the same in the terminal, on the page and in the plots."""

from collections.abc import Iterable

from asr_loadtest.results import Capacity, Load, Report, Slo, Step

NOTHING = "\N{EN DASH}"  # where nothing was measured, or too little for a figure
_PROTOCOLS = {"grpc": "gRPC", "http": "HTTP", "openai": "OpenAI's protocol"}


def clean(text: str) -> str:
    """Return text from outside (file names, a server's words) safe for a terminal and a page."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def milliseconds(value: float | None) -> str:
    """Return milliseconds with two digits or more: 0.52, 5.2, 52, 5,213."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return a rate per second with three digits or more: 0.52, 5.20, 52.1, 521."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """Return a share (0 to 1) in percent: 0 %, 0.03 %, 0.5 %, 1.2 %, 35 %."""
    if share is None:
        return NOTHING
    value = share * 100
    digits = f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits} %"


def mebibytes(value: float | None) -> str:
    """Return bytes in MiB, or in GiB from ten thousand MiB on."""
    if value is None:
        return NOTHING
    mib = value / 2**20
    return f"{mib:.1f} MiB" if abs(mib) < 100 else f"{mib:,.0f} MiB" if abs(mib) < 10_000 else f"{mib / 1024:.1f} GiB"


def duration(seconds: float) -> str:
    """Return seconds as a duration: 45 s, 5 min, 2 h 20 min."""
    if seconds < 120:
        return f"{seconds:g} s" if seconds == round(seconds, 1) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def load(step_load: Load) -> str:
    """Return the load of a step, in a word or two."""
    if step_load.loop == "streams":
        return "1 stream" if step_load.rate == 1 else f"{step_load.rate:g} streams"
    if step_load.loop == "closed":
        callers = "1 caller" if step_load.callers == 1 else f"{step_load.callers} callers"
        return callers if step_load.rate is None else f"{callers}, {step_load.rate:.4g}/s"
    return f"{step_load.rate:.4g}/s"


def unit(report: Report) -> str:
    """Return the unit of the loads."""
    return "live streams" if report.of_streams else "requests/s"


def promises(slo: Slo) -> tuple[str, ...]:
    """Return the promises of the service, one by one."""
    named = (
        ("p95 ≤ {} ms", slo.p95_ms, milliseconds),
        ("p99 ≤ {} ms", slo.p99_ms, milliseconds),
        ("errors ≤ {}", slo.error_rate, percent),
        ("changed transcripts ≤ {}", slo.changed_rate, percent),
    )
    return tuple(words.format(form(value)) for words, value, form in named if value is not None)


def changed(step: Step) -> str:
    """Return how many transcripts differ from the baseline, and their share."""
    if not step.checked:
        return NOTHING
    return f"{step.changed} ({percent(step.changed / step.checked)})" if step.changed else "0"


def capacity(found: Capacity, report: Report) -> str:
    """Return the result of a search, in a sentence or two."""
    promised = listing(promises(report.slo)) or "the promises"
    counted, number = unit(report), "number" if report.of_streams else "rate"

    def amount(value: float) -> str:
        return f"{value:g} {counted}" if report.of_streams else f"{rate(value)} {counted}"

    if found.rate is None:
        lowest = "" if found.failed_rate is None else f", not even {amount(found.failed_rate)}"
        return f"No {number} kept {promised}{lowest}."
    audio = "" if found.audio_rate is None else f", {rate(found.audio_rate)} s of audio per second"
    limit = (
        f"No {number} up to the highest one allowed missed it."
        if found.failed_rate is None
        else f"{amount(found.failed_rate)} missed it: found to within {percent(found.tolerance)}."
    )
    return f"{amount(found.rate)}{audio}, with {promised}. {limit}"


def verdict(report: Report) -> str:
    """Return the result of a load test, in a sentence or two."""
    if report.capacity is not None:
        return f"Capacity: {capacity(report.capacity, report)}"
    valid = [step for step in report.steps if not step.void]
    void = len(report.steps) - len(valid)
    left_out = f" {void} of {len(report.steps)} steps void." if void else ""
    if not valid:
        return "No result: every step is void."
    if report.kind == "search":
        return f"No result: the search could not go on.{left_out}"
    if report.slo.is_empty:
        return f"Measured without a promise.{left_out}"
    missed = sum(1 for step in valid if step.missed)
    if missed:
        return f"Missed: {missed} of {len(valid)} valid steps did not keep {listing(promises(report.slo))}.{left_out}"
    every = "The step" if len(report.steps) == 1 else f"{len(valid)} of {len(report.steps)} steps were valid, and each"
    return f"{every} kept {listing(promises(report.slo))}."


def target(report: Report) -> str:
    """Return the model and the server that were tested, in a line."""
    protocol = _PROTOCOLS.get(report.target.protocol, report.target.protocol)
    return clean(f"{report.target.model} at {report.target.url} by {protocol} ({report.target.server})")


def profile(report: Report) -> str:
    """Return the recordings that were sent, in a line."""
    sent = report.profile
    recordings = "1 recording" if sent.recordings == 1 else f"{sent.recordings:,} recordings"
    return clean(
        f"{recordings} of {sent.source}: {sent.min_s:.1f} to {sent.max_s:.1f} s, {sent.mean_s:.1f} s on average"
    )


def listing(items: Iterable[str]) -> str:
    """Return "a, b and c"."""
    *first, last = [*items] or [""]
    return f"{', '.join(first)} and {last}" if first else last
