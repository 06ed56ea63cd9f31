"""The families of the kit are those of transformers, or it is known why not."""

import json
from pathlib import Path

import pytest
from asr_export import UnsupportedCheckpoint
from asr_export.checkpoint.families import FAMILIES, NOT_YET
from asr_export.checkpoint.loading import load, locate
from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES


def test_every_ctc_model_of_transformers_is_known() -> None:
    known = {name: family.architecture for name, family in FAMILIES.items()}
    assert known | {name: architecture for name, (architecture, _) in NOT_YET.items()} == MODEL_FOR_CTC_MAPPING_NAMES
    assert not FAMILIES.keys() & NOT_YET.keys()


@pytest.mark.parametrize("model_type", NOT_YET)
def test_a_family_that_cannot_be_had_says_what_it_needs(model_type: str, tmp_path: Path) -> None:
    architecture, needed = NOT_YET[model_type]
    config = {"model_type": model_type, "architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UnsupportedCheckpoint, match=f"is of class {architecture}, whose export needs {needed}"):
        load(locate(str(tmp_path)))
