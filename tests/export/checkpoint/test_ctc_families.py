"""The families of the kit are those of transformers."""

import json
from pathlib import Path

import pytest
from asr_export import UnsupportedCheckpoint
from asr_export.checkpoint import loading
from asr_export.checkpoint.families import FAMILIES
from asr_export.checkpoint.loading import load, locate
from asr_export.networks.lasr import LasrNetwork
from transformers import LasrCTCConfig, LasrFeatureExtractor, LasrForCTC
from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES


def test_every_ctc_model_of_transformers_is_known() -> None:
    assert {name: family.architecture for name, family in FAMILIES.items()} == MODEL_FOR_CTC_MAPPING_NAMES


def test_a_family_that_is_new_in_transformers_says_which_class_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = {name: family for name, family in FAMILIES.items() if name != "lasr_ctc"}
    monkeypatch.setattr(loading, "FAMILIES", without)
    config = {"model_type": "lasr_ctc", "architectures": ["LasrForCTC"]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UnsupportedCheckpoint, match="is of class LasrForCTC, a CTC model .* needs code"):
        load(locate(str(tmp_path)))


def test_positions_that_change_with_the_length_are_refused() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "rope_parameters": rope}
    model = LasrForCTC(LasrCTCConfig(encoder_config=shape))
    with pytest.raises(UnsupportedCheckpoint, match="of type 'dynamic', whose frequencies change"):
        LasrNetwork(model, LasrFeatureExtractor())
