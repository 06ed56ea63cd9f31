"""What the exported labels spell is what the checkpoint's own tokenizer decodes."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints
from asr_contract.labels import Labels as ServedLabels
from asr_export import UnsupportedCheckpoint
from asr_export.checkpoint.labels import read_labels
from asr_export.checkpoint.loading import Checkpoint, load, locate
from decode import decode
from vocabularies import LATIN, VOCABULARIES, with_vocabulary

SIZE = len(tiny_checkpoints.ALPHABET)


@pytest.fixture
def checkpoint_with(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> Callable[[list[str], dict[str, object]], Checkpoint]:
    def make(vocabulary: list[str], options: dict[str, object]) -> Checkpoint:
        folder = with_vocabulary(tiny_checkpoint("wav2vec2-group-norm"), tmp_path / "checkpoint", vocabulary, options)
        return load(locate(str(folder)))

    return make


@pytest.mark.parametrize("name", VOCABULARIES)
def test_text_equals_the_tokenizers(
    name: str, checkpoint_with: Callable[[list[str], dict[str, object]], Checkpoint]
) -> None:
    vocabulary, options = VOCABULARIES[name]
    checkpoint = checkpoint_with(vocabulary, options)
    served = ServedLabels(**asdict(read_labels(checkpoint)))
    random = np.random.default_rng(0)
    # Repeats and blanks as a model makes them, and every label of the tokenizer.
    ids = np.repeat(random.integers(0, len(vocabulary), size=(40, 30)), random.integers(1, 4, size=30), axis=1)
    log_probs = np.where(np.arange(SIZE) == ids[:, :, None], 0.0, -30.0).astype(np.float32)
    decoded = decode(list(log_probs), [ids.shape[1]] * len(ids), served)
    assert [hypothesis.text for hypothesis in decoded] == checkpoint.tokenizer.batch_decode(ids)


def test_frames_lie_where_the_convolutions_hear_them(
    checkpoint_with: Callable[[list[str], dict[str, object]], Checkpoint],
) -> None:
    labels = read_labels(checkpoint_with(LATIN, {}))
    assert (labels.sampling_rate, labels.stride_samples, labels.receptive_field_samples) == (16_000, 320, 400)


def test_a_vocabulary_larger_than_the_head_is_refused(
    checkpoint_with: Callable[[list[str], dict[str, object]], Checkpoint],
) -> None:
    checkpoint = checkpoint_with([*LATIN, "Ä"], {})
    with pytest.raises(UnsupportedCheckpoint, match="33 labels, the model only 32 columns"):
        read_labels(checkpoint)


def test_a_tokenizer_without_blank_is_refused(
    checkpoint_with: Callable[[list[str], dict[str, object]], Checkpoint],
) -> None:
    checkpoint = checkpoint_with(LATIN, {})
    checkpoint.tokenizer.pad_token = None
    with pytest.raises(UnsupportedCheckpoint, match="is the CTC blank, is None"):
        read_labels(checkpoint)


def test_importing_the_package_does_not_import_torch() -> None:
    import subprocess

    program = (
        "import sys, asr_export, asr_export.command; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
