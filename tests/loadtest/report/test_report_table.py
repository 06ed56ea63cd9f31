"""The report in a terminal."""

from asr_loadtest.report import table
from asr_loadtest.results import Capacity, MemberLoad
from loadtest_reports import closed, latency, report, search, step, streams


def test_a_row_for_each_load() -> None:
    text = table.text(report(step(2.0, 31.0), step(8.0, 90.0), closed(4)))
    assert [line.split()[0] for line in text.splitlines()[4:7]] == ["2/s", "8/s", "4"]
    assert "31" in text.splitlines()[4].split()


def test_a_void_step_shows_its_reason_in_place_of_figures() -> None:
    text = table.text(report(step(4.0, 77.0, void=("40 of 90 requests were sent late",)), slo_free := step(2.0)))
    assert slo_free.ok
    (line,) = [line for line in text.splitlines() if line.startswith("4/s")]
    assert line.split(maxsplit=1)[1] == "void: 40 of 90 requests were sent late"
    assert "77" not in text


def test_a_missed_promise_is_said_below_its_step() -> None:
    lines = table.text(report(step(9.0, missed=("p95 900 ms > 500 ms",)))).splitlines()
    (row,) = [number for number, line in enumerate(lines) if line.startswith("9/s") and "RTFx" in lines[number - 1]]
    assert lines[row + 1].strip() == "missed: p95 900 ms > 500 ms"


def test_the_capacity_comes_last() -> None:
    last = table.text(search()).splitlines()[-1]
    assert last.startswith("Capacity: 4.00 requests/s, 20.0 s of audio per second")
    assert "8.00 requests/s missed it" in last


def test_a_search_that_found_nothing_says_so() -> None:
    assert "No rate kept p95 ≤ 500 ms" in table.text(search(rate=None)).splitlines()[-1]


def test_a_figure_without_enough_samples_is_a_dash() -> None:
    lines = table.text(report(step(latency=latency(50.0, count=100)))).splitlines()
    head, row = lines[3], lines[4]
    assert row[head.index("p99 ms") :].split()[0] == "–"  # noqa: RUF001


def test_members_stand_under_their_names_and_without_statistics_there_is_no_such_table() -> None:
    assert "acoustic" in table.text(report(step()))
    assert "queue ms" not in table.text(report(step(members=())))


def test_a_member_that_did_nothing_has_dashes() -> None:
    idle = MemberLoad("acoustic", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert table.text(report(step(members=(idle,)))).splitlines()[8].split() == ["4/s", *3 * ["–"]]  # noqa: RUF001


def test_what_a_server_says_cannot_command_the_terminal() -> None:
    text = table.text(report(step(errors={"ServerError": 3}, error_example="\x1b[2Jgone\r\nagain")))
    assert "\x1b" not in text
    assert "\r" not in text


def test_live_streams_have_lags_and_late_pieces() -> None:
    made = report(streams(1), streams(8), kind="search", capacity=Capacity(8.0, 7.9, 9.0, 0.125))
    lines = table.text(made).splitlines()
    assert "lag of partial results" in lines[3]
    assert "lag of final results" in lines[3]
    assert [line.split("  ")[0] for line in lines[5:7]] == ["1 stream", "8 streams"]
    assert lines[6].split()[2:] == ["7.92", "50", "125", "200", "900", "2,250", "1", "%", "0", "%", "0"]
    assert lines[-1].startswith("Capacity: 8 live streams, 7.90 s of audio per second, with p95 ≤ 500 ms")
    assert "9 live streams missed it" in lines[-1]
