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
from asr_export.repository.model_folder import write_json
from asr_serving.ctc.spelling import Speller
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


@pytest.mark.parametrize("kind", ["parakeet", "omniasr", "lasr", "granite-speech5"])
@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_pieces_are_written_as_the_tokenizer_writes_them(
    kind: str, decoder: str, tiny_checkpoint: Callable[[str], Path]
) -> None:
    checkpoint = load(locate(str(tiny_checkpoint(kind))))
    labels = read_labels(checkpoint)
    random = np.random.default_rng(0)
    ids = np.repeat(random.integers(0, SIZE, size=(40, 30)), random.integers(1, 4, size=30), axis=1)
    log_probs = np.where(np.arange(SIZE) == ids[:, :, None], 0.0, -30.0).astype(np.float32)
    decoded = decode(list(log_probs), [ids.shape[1]] * len(ids), labels, decoder=decoder)
    assert [hypothesis.text for hypothesis in decoded] == [checkpoint.decode(row).strip() for row in ids.tolist()]
    for hypothesis in decoded:
        assert "".join(word.word for word in hypothesis.words) == hypothesis.text.replace(" ", "")


def test_bytes_of_a_character_come_together(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    labels = read_labels(load(locate(str(tiny_checkpoint("granite-speech5")))))
    write_json(tmp_path / "labels.json", asdict(labels))
    served = ServedLabels.load(tmp_path / "labels.json")
    assert served == labels
    first, second = (labels.labels.index(byte.decode("utf-8", "surrogateescape")) for byte in (b"\xc3", b"\x9f"))
    assert labels.text([first, second, first]) == "ß\N{REPLACEMENT CHARACTER}"
    # A message that names the labels is sent to callers, as UTF-8.
    assert Speller(labels).alphabet().encode() == "'.ADEHILMNORSTUé▁".encode()


def test_the_blank_that_the_config_names_must_be_a_column(tiny_checkpoint: Callable[[str], Path]) -> None:
    checkpoint = load(locate(str(tiny_checkpoint("omniasr"))))
    checkpoint.config.blank_token_id = SIZE
    with pytest.raises(UnsupportedCheckpoint, match=f"config.json names the CTC blank .column {SIZE}.; needs one of"):
        read_labels(checkpoint)


def test_importing_the_package_does_not_import_torch() -> None:
    import subprocess

    program = (
        "import sys, asr_export, asr_export.command; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
