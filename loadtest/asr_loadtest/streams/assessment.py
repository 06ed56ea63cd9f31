"""The figures of a step of live streams.

They count what *happened* in the measured time: results that came, and pieces that were due. A stream that the end of
the step cuts short counts here, but not for the transcripts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from asr_loadtest import transcripts
from asr_loadtest.recordings import Recording
from asr_loadtest.results import Latency, Load, Slo, Step, StreamFigures, Window
from asr_loadtest.server_view.watch import Observation
from asr_loadtest.steps import latency, slo, validity
from asr_loadtest.steps.figures import REJECTED, generator_of, share, window_edges
from asr_loadtest.streams.generator import Session
from asr_loadtest.streams.playback import LATE_PIECE_S, Lag, Piece
from asr_loadtest.transcripts import Baseline


def assess(
    load: Load,
    sessions: Sequence[Session],
    observation: Observation,
    recordings: Sequence[Recording],
    baselines: Sequence[Baseline] | None,
    promises: Slo,
    late_tolerance_ms: float,
) -> Step:
    """Return the step: its figures, whether it is valid, and whether it kept its promises."""
    begin_s, end_s = load.ramp_s, load.ramp_s + load.measured_s
    measured = [session for session in sessions if (session.end_s or end_s) >= begin_s and session.begin_s < end_s]
    failed = [session for session in measured if session.error is not None]
    pieces = [piece for session in measured for piece in _due(session, begin_s, end_s)]
    answers = ((session.recording, session.text) for session in measured if session.text is not None)
    comparison = transcripts.compare(answers, recordings, baselines)
    # Only sent pieces count: the server causes it when a piece is not sent, because the one before has no answer.
    late_ms = [1e3 * piece.late_s for piece in pieces]
    generator = generator_of(late_ms, len(pieces), observation.cpu_cores, late_tolerance_ms)
    lags, windows = _lags(_partials(sessions), begin_s, end_s), _windows(sessions, begin_s, end_s)
    carried = _answered_s(sessions, begin_s, end_s) / load.measured_s
    errors = Counter(session.error or "" for session in failed)
    missed = slo.missed(
        promises, lags, share(len(failed), len(measured)), share(comparison.changed, comparison.checked)
    )
    missed += slo.unstable(promises, windows, len(measured), (0, 0), 0.0)
    return Step(
        load=load,
        offered_rate=load.rate or 0.0,
        achieved_rate=carried,
        answered_rate=carried,
        audio_rate=carried,
        latency=lags,
        by_class={},
        windows=windows,
        errors=dict(errors.most_common()),
        error_example=next((session.message for session in failed), None),
        rejected_latency=_rejected(failed),
        requests=len(measured),
        checked=comparison.checked,
        changed=comparison.changed,
        wer=comparison.wer,
        solo_wer=comparison.baseline_wer,
        members=observation.members,
        resources=observation.resources,
        generator=generator,
        void=validity.void(generator, promises, "pieces"),
        missed=missed,
        streams=StreamFigures(
            final=_lags(_finals(sessions), begin_s, end_s),
            answer=_milliseconds(piece.answered_s - piece.due_s for piece in pieces if piece.answered_s is not None),
            pieces=len(pieces),
            late_pieces=sum(piece.sent_s - piece.due_s > LATE_PIECE_S for piece in pieces),
        ),
    )


def _due(session: Session, begin_s: float, end_s: float) -> list[Piece]:
    return [piece for piece in session.playback.sent if begin_s <= session.begin_s + piece.due_s < end_s]


def _partials(sessions: Sequence[Session]) -> Iterable[tuple[float, Lag]]:
    return ((session.begin_s, lag) for session in sessions for lag in session.playback.partials)


def _finals(sessions: Sequence[Session]) -> Iterable[tuple[float, Lag]]:
    return ((session.begin_s, lag) for session in sessions for lag in session.playback.finals)


def _lags(results: Iterable[tuple[float, Lag]], low_s: float, high_s: float) -> Latency:
    """Return the lags of the results that came in this time; each lag stands with the begin of its stream."""
    return _milliseconds(lag.seconds for stream_s, lag in results if low_s <= stream_s + lag.at_s < high_s)


def _milliseconds(seconds: Iterable[float]) -> Latency:
    return latency.summary([1e3 * value for value in seconds])


def _answered_s(sessions: Sequence[Session], low_s: float, high_s: float) -> float:
    """Return the seconds of audio whose answers came in this time."""
    total_s = 0.0
    for session in sessions:
        before_s = 0.0
        for piece in session.playback.sent:
            spoken_s, before_s = piece.due_s - before_s, piece.due_s
            if piece.answered_s is not None and low_s <= session.begin_s + piece.answered_s < high_s:
                total_s += spoken_s
    return total_s


def _windows(sessions: Sequence[Session], begin_s: float, end_s: float) -> tuple[Window, ...]:
    return tuple(
        Window(
            start_s=low_s - begin_s,
            end_s=high_s - begin_s,
            latency=_lags(_partials(sessions), low_s, high_s),
            answered_rate=_answered_s(sessions, low_s, high_s) / (high_s - low_s),
        )
        for low_s, high_s in window_edges(begin_s, end_s)
    )


def _rejected(failed: Sequence[Session]) -> Latency:
    return _milliseconds(
        session.end_s - session.begin_s for session in failed if session.error == REJECTED and session.end_s is not None
    )
