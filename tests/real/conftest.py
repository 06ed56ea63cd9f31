"""Real models and recordings, once a session: `make test-real`, or in short `make test-real REAL=short`."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real.downloads import Unavailable
from real.results import Results
from real.speech import Recording

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "real.json"
IS_SHORT = os.environ.get("REAL") == "short"
PROMPTS = 20 if IS_SHORT else 60

sys.path.append(str(ROOT / "benchmarks"))  # scripts and their neighbours, not a package


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give the first test of a module time for an export, and every one for the work of many recordings."""
    if item.get_closest_marker("real"):
        item.add_marker(pytest.mark.timeout(1_800))


@pytest.fixture(scope="session")
def workplace() -> Iterator[Path]:
    """A folder for checkpoints and repositories: gigabytes, which pytest would keep for three runs."""
    with tempfile.TemporaryDirectory(prefix="triton-asr-kit-real-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def results() -> Iterator[Results]:
    """What this run has compared; written at its end."""
    from machine import machine

    found = Results()
    about = machine(("triton-asr-kit", "onnxruntime", "torch", "transformers"))
    about["load_before"] = round(os.getloadavg()[0], 1)  # of other work; cores that are wanted, over a minute
    yield found
    found.save(RESULTS, about)


@pytest.fixture(scope="session")
def prompts(workplace: Path, results: Results) -> Callable[[str, int], list[Recording]]:
    """Human telephone prompts in a language (en, fr, it, ru). Skipped where Debian's packages cannot be had."""
    from real import speech

    def get(language: str, count: int) -> list[Recording]:
        try:
            return speech.prompts(language, workplace / f"prompts-{language}", count)
        except Unavailable as error:
            if os.environ.get("CI"):
                raise
            results.missing.append(str(error))
            pytest.skip(str(error))

    return get


@pytest.fixture(scope="session")
def english(prompts: Callable[[str, int], list[Recording]]) -> list[Recording]:
    """English prompts, as many as this form of the run hears."""
    return prompts("en", PROMPTS)
