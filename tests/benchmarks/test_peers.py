"""Every peer that needs no more than some seconds to start, on the demo checkpoint."""

import exports
import pytest
from checkpoints import DEMO, Exported
from compare import MANIFEST, PEERS, check
from peers.peer import Setting
from speech import from_samples, samples_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(Exported(DEMO, {"fp32": exports.exported(exports.DEMO)}), 2, tmp_path_factory.mktemp("peers"))


@pytest.mark.parametrize(
    "name", ["workers", "pipeline", pytest.param("optimum", marks=pytest.mark.optimum), "fastapi", "kit"]
)
def test_a_peer_says_what_the_bare_loop_says(name: str, setting: Setting) -> None:
    recordings = [from_samples(samples) for samples in samples_of(MANIFEST)[:2]]

    with PEERS["loop"](setting) as loop, PEERS[name](setting) as peer:
        assert check({"loop": loop, name: peer}, recordings) == {"loop": 0, name: 0}
