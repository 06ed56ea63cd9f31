"""The search for a setting, on fake servers of known speed."""

import json
import random
from collections.abc import Callable

from asr_loadtest.results import Machine, Profile, Slo
from asr_loadtest.tuning import evidence
from asr_loadtest.tuning.evidence import Measure, Run, Tuning
from asr_loadtest.tuning.search import MIN_ROUNDS, Search
from asr_loadtest.tuning.settings import Setting, Space

CURRENT = Setting(1, 0, 16, 0)
SPACE = Space(2, (1, 2), (0, 1), (8, 16), (0, 2_000))
BEST = Setting(2, 1, 8, 0)

Speed = Callable[[Setting], float]


class FakeServer:
    """Measures by a formula, with a neighbour who slows whole rounds down, and noise of its own."""

    def __init__(self, speed: Speed, noise: float = 0.0, neighbour: float = 0.0) -> None:
        self.speed, self.noise, self.neighbour = speed, noise, neighbour
        self.chance = random.Random(5)
        self.rounds: dict[int, float] = {}

    def measure(self, setting: Setting, measure: Measure, number: int, seconds: float) -> Run:
        slow = self.rounds.setdefault(number, 1 - self.neighbour * self.chance.random())
        value = self.speed(setting) * slow * (1 + self.noise * self.chance.uniform(-1, 1))
        return Run(setting, measure, number, value)


def search(server: FakeServer) -> Search:
    ticks = iter(range(10_000))
    return Search(server.measure, SPACE, CURRENT, "saturated", budget_s=1_000, clock=lambda: next(ticks))


def faster(setting: Setting) -> float:
    """20 % by the placement, 10 % by the batch."""
    return 100 * (1.2 if setting.instances == 2 else 1.0) * (1.1 if setting.max_batch == 8 else 1.0)


def test_the_best_of_all_dimensions_is_found() -> None:
    best, gain, noise, _ = search(FakeServer(faster)).run()
    assert best == BEST
    assert abs(gain - 0.32) < 1e-9
    assert noise < 1e-9


def test_a_neighbour_who_slows_rounds_down_does_not_mislead() -> None:
    best, _, noise, _ = search(FakeServer(faster, neighbour=0.6)).run()
    assert best == BEST
    assert noise < 1e-9


def test_noise_alone_is_seldom_taken_for_a_gain() -> None:
    taken = 0
    for seed in range(200):
        server = FakeServer(lambda setting: 100.0, noise=0.2)
        server.chance = random.Random(seed)
        made = search(server)
        # The budget ends with the three rounds of the screening: only the fewest rounds of confirmation follow.
        made.clock = lambda made=made: 0.0 if len({run.round for run in made.runs}) < 3 else 1e9
        taken += made.run()[0] != CURRENT
        assert max(run.round for run in made.runs) == 3 + MIN_ROUNDS
    assert taken < 0.1 * 200


def test_a_gain_within_the_noise_is_named_and_not_taken() -> None:
    best, gain, noise, reason = search(
        FakeServer(lambda setting: 103.0 if setting.instances == 2 else 100.0, noise=0.3)
    ).run()
    assert (best, gain) == (CURRENT, 0.0)
    assert f"noise {noise:.1%}" in reason
    assert "the current setting stays" in reason


def test_the_current_setting_is_in_every_round() -> None:
    made = search(FakeServer(faster))
    made.run()
    for number in {run.round for run in made.runs}:
        assert CURRENT in [run.setting for run in made.runs if run.round == number]


def test_the_order_of_confirmation_rotates() -> None:
    made = search(FakeServer(faster))
    made.run()
    last = max(run.round for run in made.runs)
    firsts = [next(run.setting for run in made.runs if run.round == number) for number in (last - 1, last)]
    assert firsts[0] != firsts[1]


def test_settings_that_fail_are_passed_over() -> None:
    def measure(setting: Setting, measure: Measure, number: int, seconds: float) -> Run:
        if setting == CURRENT:
            return Run(setting, measure, number, 100.0)
        return Run(setting, measure, number, None, failed="out of memory")

    made = Search(measure, SPACE, CURRENT, "saturated", budget_s=60)
    assert made.run() == (CURRENT, 0.0, 0.0, "no other setting could be measured: the current one stays")


def test_the_evidence_is_whole_and_readable() -> None:
    made = search(FakeServer(faster))
    best, gain, noise, reason = made.run()
    tuning = Tuning(
        started_at="2025-06-01T12:00:00+00:00",
        command="triton-asr tune models recordings",
        machine=Machine("Test CPU", 2, 2**34, "3.11", {}),
        repository="models",
        model="asr",
        profile=Profile("recordings", 1, 5.0, 5.0, 5.0, 5.0, {}),
        slo=Slo(),
        method="by hand",
        current=CURRENT,
        best=best,
        gain=gain,
        noise=noise,
        reason=reason,
        runs=(*made.runs, Run(BEST, "saturated", 99, None, failed="out of\x1b memory")),
    )
    content = json.loads(evidence.to_json(tuning))
    assert content["is_better"] is True
    assert content["best"]["instances"] == 2
    assert len(content["runs"]) == len(tuning.runs)
    text = evidence.text(tuning)
    assert "+32.0%" in text
    assert "failed: out of" in text
    assert "\x1b" not in text
