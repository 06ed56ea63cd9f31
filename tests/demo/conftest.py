import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo"
sys.path.insert(0, str(DEMO))  # its scripts import each other as neighbours, as `python demo/train.py` has it


@pytest.fixture(scope="session")
def demo() -> Path:
    return DEMO


@pytest.fixture
def espeak() -> None:
    """Skips where the synthesiser, which only training and sample making need, is absent."""
    from synthesis import EspeakMissing, espeak_library

    try:
        espeak_library()
    except EspeakMissing as error:
        pytest.skip(str(error))
