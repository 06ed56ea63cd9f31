"""The figures of a step of requests.

Latencies, errors and transcripts are those of the requests that were *scheduled* in the measured time, however late
their answers came. Throughput counts the answers that *came* in that time, whenever they had been requested: a server
that works off a queue after an overload does not show what it can carry.
"""

from collections import Counter
from collections.abc import Sequence

from asr_loadtest import transcripts
from asr_loadtest.recordings import Recording
from asr_loadtest.requests.generator import Exchange
from asr_loadtest.results import Latency, Load, Slo, Step, Window
from asr_loadtest.server_view.watch import Observation
from asr_loadtest.steps import latency, slo, validity
from asr_loadtest.steps.figures import REJECTED, generator_of, share, window_edges
from asr_loadtest.transcripts import Baseline


def assess(
    load: Load,
    exchanges: Sequence[Exchange],
    observation: Observation,
    recordings: Sequence[Recording],
    baselines: Sequence[Baseline] | None,
    promises: Slo,
    late_tolerance_ms: float,
) -> Step:
    """Return the step: its figures, whether it is valid, and whether it kept its promises."""
    begin_s, end_s = load.ramp_s, load.ramp_s + load.measured_s
    measured = [exchange for exchange in exchanges if begin_s <= exchange.scheduled_s < end_s]
    answered = _answered(exchanges, begin_s, end_s)
    succeeded = [exchange for exchange in answered if exchange.error is None]
    errors = Counter(exchange.error for exchange in measured if exchange.error is not None)
    answers = ((exchange.recording, exchange.text) for exchange in measured if exchange.text is not None)
    comparison = transcripts.compare(answers, recordings, baselines)
    late_ms = [1e3 * (exchange.sent_s - exchange.scheduled_s) for exchange in measured if exchange.sent_s is not None]
    generator = generator_of(
        late_ms,
        len(measured),
        observation.cpu_cores,
        late_tolerance_ms,
        # Requests of a closed loop have no scheduled time that they could miss.
        can_be_late=load.loop == "open",
    )
    overall, windows = _latency(measured), _windows(exchanges, begin_s, end_s)
    missed = slo.missed(
        promises, overall, share(errors.total(), len(measured)), share(comparison.changed, comparison.checked)
    )
    if load.loop == "open":
        under_way = (_under_way(exchanges, begin_s), _under_way(exchanges, end_s))
        mean = _mean_under_way(exchanges, begin_s, end_s)
        missed += slo.unstable(promises, windows, len(measured), under_way, mean)
    return Step(
        load=load,
        offered_rate=len(measured) / load.measured_s,
        achieved_rate=len(answered) / load.measured_s,
        answered_rate=len(succeeded) / load.measured_s,
        audio_rate=sum(recordings[exchange.recording].seconds or 0.0 for exchange in succeeded) / load.measured_s,
        latency=overall,
        by_class=_by_class(measured, recordings),
        windows=windows,
        errors=dict(errors.most_common()),
        error_example=next((exchange.message for exchange in measured if exchange.error is not None), None),
        rejected_latency=_latency(measured, REJECTED),
        requests=len(measured),
        checked=comparison.checked,
        changed=comparison.changed,
        wer=comparison.wer,
        solo_wer=comparison.baseline_wer,
        members=observation.members,
        resources=observation.resources,
        generator=generator,
        void=validity.void(generator, promises),
        missed=missed,
    )


def _answered(exchanges: Sequence[Exchange], begin_s: float, end_s: float) -> list[Exchange]:
    """Return the requests whose answer or error came in this time."""
    return [exchange for exchange in exchanges if exchange.done_s is not None and begin_s <= exchange.done_s < end_s]


def _latency(exchanges: Sequence[Exchange], error: str | None = None) -> Latency:
    """Return the latency of the requests that ended in `error`; None: of those that succeeded."""
    values = [exchange.latency_ms for exchange in exchanges if exchange.error == error]
    return latency.summary([value for value in values if value is not None])


def _windows(exchanges: Sequence[Exchange], begin_s: float, end_s: float) -> tuple[Window, ...]:
    windows = []
    for low_s, high_s in window_edges(begin_s, end_s):
        succeeded = [exchange for exchange in _answered(exchanges, low_s, high_s) if exchange.error is None]
        windows.append(
            Window(
                start_s=low_s - begin_s,
                end_s=high_s - begin_s,
                latency=_latency([exchange for exchange in exchanges if low_s <= exchange.scheduled_s < high_s]),
                answered_rate=len(succeeded) / (high_s - low_s),
            )
        )
    return tuple(windows)


def _by_class(measured: Sequence[Exchange], recordings: Sequence[Recording]) -> dict[str, Latency]:
    classes: dict[str, list[Exchange]] = {}
    for exchange in sorted(measured, key=lambda exchange: recordings[exchange.recording].seconds or 0.0):
        classes.setdefault(recordings[exchange.recording].length_class, []).append(exchange)
    return {name: _latency(members) for name, members in classes.items()}


def _under_way(exchanges: Sequence[Exchange], at_s: float) -> int:
    """Return how many requests were scheduled by this time, and not answered."""
    return sum(_end(exchange, at_s) > at_s for exchange in exchanges if exchange.scheduled_s <= at_s)


def _mean_under_way(exchanges: Sequence[Exchange], begin_s: float, end_s: float) -> float:
    spans = (
        min(_end(exchange, end_s), end_s) - max(exchange.scheduled_s, begin_s)
        for exchange in exchanges
        if exchange.scheduled_s < end_s
    )
    return sum(max(0.0, span) for span in spans) / (end_s - begin_s)


def _end(exchange: Exchange, never_s: float) -> float:
    """Return when the answer came; just after `never_s` when none did."""
    return never_s + 1.0 if exchange.done_s is None else exchange.done_s
