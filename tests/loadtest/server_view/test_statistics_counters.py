"""The difference of two readings of Triton's counters."""

from asr_loadtest.server_view.triton_statistics import Counts, Snapshot, difference


def counts(requests: int, executions: int) -> Counts:
    """Each request waited 2 ms and took 1 + 5 + 0.5 ms."""
    return Counts(
        inferences=requests,
        executions=executions,
        queued=requests,
        queue_ns=2_000_000 * requests,
        computed=requests,
        input_ns=1_000_000 * requests,
        infer_ns=5_000_000 * requests,
        output_ns=500_000 * requests,
    )


def test_means_are_of_what_lies_between_the_readings() -> None:
    before, after = Snapshot({"acoustic": counts(1000, 1000)}), Snapshot({"acoustic": counts(1060, 1020)})
    (member,) = difference(before, after)
    assert (member.inferences, member.executions, member.average_batch) == (60, 20, 3.0)
    assert (member.queue_ms, member.compute_ms) == (2.0, 6.5)


def test_members_stay_in_the_order_of_the_ensemble() -> None:
    snapshot = Snapshot({"preprocess": counts(1, 1), "acoustic": counts(1, 1), "ctc_decode": counts(1, 1)})
    assert [member.model for member in difference(snapshot, snapshot)] == ["preprocess", "acoustic", "ctc_decode"]


def test_a_member_that_did_nothing_has_zeros() -> None:
    (member,) = difference(Snapshot({"acoustic": counts(7, 7)}), Snapshot({"acoustic": counts(7, 7)}))
    assert (member.average_batch, member.queue_ms, member.compute_ms) == (0.0, 0.0, 0.0)


def test_after_a_restart_the_counters_since_then_count() -> None:
    (member,) = difference(Snapshot({"acoustic": counts(500, 500)}), Snapshot({"acoustic": counts(12, 6)}))
    assert (member.inferences, member.average_batch) == (12, 2.0)


def test_without_a_reading_there_is_no_difference() -> None:
    assert difference(Snapshot(note="refused"), Snapshot({"acoustic": counts(1, 1)})) == ()
    assert difference(Snapshot({"acoustic": counts(1, 1)}), Snapshot(note="refused")) == ()
