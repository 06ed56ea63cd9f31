"""Checkpoints that exporters and decoders elsewhere have failed at; docs/compatibility.md has the sources."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints
import torch
from asr_contract.labels import Labels as ServedLabels
from asr_export import CheckpointError, UnsupportedCheckpoint
from asr_export.checkpoint.labels import read_labels
from asr_export.checkpoint.loading import Checkpoint, load, locate
from asr_export.checkpoint.text_gate import check_text
from asr_export.networks.parts.batch import pad_ragged
from asr_serving.ctc.hypotheses import Hypothesis
from decode import decode
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models
from transformers import ParakeetTokenizerFast, PreTrainedTokenizerFast
from vocabularies import VOCABULARIES, with_vocabulary

LATIN = tiny_checkpoints.ALPHABET
SIZE = len(LATIN)
TOKENIZER_FILES = ("vocab.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

Tokenized = Callable[..., Path]


@pytest.fixture
def folder(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be changed."""
    return Path(shutil.copytree(tiny_checkpoint("wav2vec2-layer-norm"), tmp_path / "checkpoint"))


@pytest.fixture
def tokenized(folder: Path) -> Tokenized:
    """The same with these files of a tokenizer, as a person or another program wrote them."""

    def write(vocabulary: Any, added: dict[str, int] | None = None, **config: Any) -> Path:
        for name in TOKENIZER_FILES:
            (folder / name).unlink(missing_ok=True)
        text = vocabulary if isinstance(vocabulary, str) else json.dumps(vocabulary)
        (folder / "vocab.json").write_text(text, encoding="utf-8")
        config = {"tokenizer_class": "Wav2Vec2CTCTokenizer", **config}
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        if added:
            (folder / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
        return folder

    return write


def loaded(folder: Path) -> Checkpoint:
    return load(locate(str(folder)))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def heard(checkpoint: Checkpoint, path: list[int]) -> Hypothesis:
    """What the decode step makes of these columns, one a frame, once the text gate has let the labels pass."""
    labels = read_labels(checkpoint)
    check_text(checkpoint, labels)
    log_probs = np.where(np.arange(SIZE) == np.array(path)[:, None], 0.0, -30.0).astype(np.float32)
    (hypothesis,) = decode([log_probs], [len(path)], ServedLabels(**asdict(labels)))
    assert hypothesis.text == checkpoint.tokenizer.decode(path).strip()
    return hypothesis


def columns(labels: list[str], start: int = 0) -> dict[str, int]:
    return {label: start + column for column, label in enumerate(labels)}


def filled(*labels: str) -> dict[str, int]:
    """A vocabulary of the usual labels, whose last ones are these."""
    return columns([*LATIN[: SIZE - len(labels)], *labels])


def path_of(vocabulary: dict[str, int], *labels: str) -> list[int]:
    """Each label for two frames."""
    return [vocabulary[label] for label in labels for _ in range(2)]


# As in the tutorial for fine-tuning: lower case, the blank last.
TUTORIAL = columns(["|", *"abcdefghijklmnopqrstuvwxyz'", "[UNK]", "[PAD]"])
TUTORIAL_NAMES = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
PHONEMES = columns([*LATIN[:4], "dʒ", "tʃ", *"mstɚoŋθðʃuæɛbdfhjkln"])
SPACE = columns([" " if label == "|" else label for label in LATIN])
LOWER = columns([label.lower() for label in LATIN])
SPOKEN: dict[str, tuple[dict[str, Any], dict[str, int], list[str], list[str]]] = {
    # name: (the tokenizer's files, the vocabulary, labels as they are heard, the words)
    "letters that repeat": ({}, columns(LATIN), ["C", "A", "R", "<pad>", "R", "Y", "Y"], ["CARRY"]),
    "letters written lower": ({"do_lower_case": True}, columns(LATIN), [*"THE", "|", *"CAT"], ["the", "cat"]),
    "lower case, written lower": ({"do_lower_case": True}, LOWER, [*"the", "|", *"cat"], ["the", "cat"]),
    "the tutorial's": (TUTORIAL_NAMES, TUTORIAL, ["[PAD]", *"it", "[PAD]", "|", *"is"], ["it", "is"]),
    "specials beyond the head": (
        {**TUTORIAL_NAMES, "bos_token": "<s>", "eos_token": "</s>", "added": columns(["<s>", "</s>"], SIZE)},
        {**TUTORIAL, "é": 30, "è": 31},
        [*"été", "|", *"è"],
        ["été", "è"],
    ),
    "tokens added after training": ({"added": columns([" ", "Ä", "Ö"], SIZE)}, columns(LATIN), [*"NO"], ["NO"]),
    "labels of several characters": (
        {},
        filled("ʈʰ", "æ", "æ̃", "˧", "kʰ"),
        ["ʈʰ", "æ", "æ̃", "|", "˧", "kʰ"],
        ["ʈʰææ̃", "˧kʰ"],
    ),
    "a label called null": ({}, filled("null"), ["A", "null"], ["Anull"]),
    "an empty label": ({}, filled(""), ["A", "", "S"], ["AS"]),
    "a space that separates": ({"word_delimiter_token": " "}, SPACE, [*"SO", " ", *"IT"], ["SO", "IT"]),
    "phonemes": (
        {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer", "word_delimiter_token": None},
        PHONEMES,
        ["m", "dʒ", "s", "t", "<pad>", "t", "ɚ"],
        ["m", "dʒ", "s", "t", "t", "ɚ"],
    ),
    "phonemes with a delimiter": (
        {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer", "word_delimiter_token": "|"},
        {**PHONEMES, "|": SIZE - 1},
        ["m", "tʃ", "|", "s"],
        ["m", "tʃ", "s"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOKEN)
def test_what_is_heard_is_written_as_the_tokenizer_writes_it(name: str, tokenized: Tokenized) -> None:
    config, vocabulary, spoken, words = SPOKEN[name]
    hypothesis = heard(loaded(tokenized(vocabulary, **config)), path_of(vocabulary, *spoken))
    assert [word.word for word in hypothesis.words] == words
    assert hypothesis.text == " ".join(words)


def test_without_a_delimiter_every_label_is_a_word(tokenized: Tokenized) -> None:
    vocabulary = columns(["一" if label == "|" else label for label in filled("二", "三")])
    hypothesis = heard(loaded(tokenized(vocabulary)), path_of(vocabulary, "一", "三", "二"))
    assert (hypothesis.text, [word.word for word in hypothesis.words]) == ("一三二", ["一", "三", "二"])


def test_a_column_that_the_vocabulary_leaves_out_is_the_unknown_token(tokenized: Tokenized) -> None:
    vocabulary = {label: column for label, column in columns(LATIN).items() if label not in ("H", "I")}
    path = path_of(columns(LATIN), "T", "H", "E", "I")
    assert heard(loaded(tokenized(vocabulary)), path).text == "T<unk>E<unk>"


@pytest.mark.parametrize("name", VOCABULARIES)
def test_the_text_gate_lets_pass_what_is_supported(name: str, folder: Path, tmp_path: Path) -> None:
    checkpoint = loaded(with_vocabulary(folder, tmp_path / "other", *VOCABULARIES[name]))
    check_text(checkpoint, read_labels(checkpoint))


def test_the_text_gate_lets_sentencepiece_pass(tiny_checkpoint: Callable[[str], Path]) -> None:
    checkpoint = loaded(tiny_checkpoint("parakeet"))
    check_text(checkpoint, read_labels(checkpoint))


def fast(vocabulary: list[str], decoder: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(columns(vocabulary), unk_token="<unk>"))
    tokenizer.decoder = decoder
    return tokenizer


LETTERS = "abcdefghijklmno"
BYTES = ["<0xE4>", "<0xB8>", "<0xAD>"]
BYTE_FALLBACK = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
PIECES: dict[str, tuple[list[str], Any]] = {
    "word pieces": ([*LETTERS, *(f"##{letter}" for letter in LETTERS)], decoders.WordPiece()),
    "BPE with </w>": ([*LETTERS, *(f"{letter}</w>" for letter in LETTERS)], decoders.BPEDecoder()),
    "bytes in place of characters": ([*BYTES, *LETTERS[:12], *(f"▁{letter}" for letter in LETTERS)], BYTE_FALLBACK),
}


@pytest.mark.parametrize("kind", [PreTrainedTokenizerFast, ParakeetTokenizerFast])
@pytest.mark.parametrize("name", PIECES)
def test_pieces_that_are_joined_in_another_way_are_refused(name: str, kind: Any, folder: Path) -> None:
    pieces, decoder = PIECES[name]
    for file in TOKENIZER_FILES:
        (folder / file).unlink(missing_ok=True)
    tokenizer = fast(["<pad>", "<unk>", *pieces], decoder)
    kind(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
    checkpoint = loaded(folder)
    with pytest.raises(UnsupportedCheckpoint, match="writes .* where the decode step spells .* is not supported"):
        check_text(checkpoint, read_labels(checkpoint))


def test_another_sign_between_words_is_refused(tokenized: Tokenized) -> None:
    checkpoint = loaded(tokenized(columns(LATIN), replace_word_delimiter_char="_"))
    with pytest.raises(UnsupportedCheckpoint, match="is not supported"):
        check_text(checkpoint, read_labels(checkpoint))


def test_columns_that_are_no_numbers_are_named(tokenized: Tokenized) -> None:
    checkpoint = loaded(tokenized({label: str(column) for label, column in columns(LATIN).items()}))
    with pytest.raises(UnsupportedCheckpoint, match="has '0' as the column of '<pad>'; needs whole numbers"):
        read_labels(checkpoint)


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4cac19622fc3\nsize 377611120\n"


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.json", "config.json", "preprocessor_config.json"])
def test_a_pointer_of_git_lfs_is_called_one(file: str, folder: Path) -> None:
    (folder / file).write_text(LFS_POINTER, encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"{file} is a pointer of Git LFS, .*: get it with `git lfs pull`"):
        locate(str(folder))


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "torchao"])
def test_quantised_weights_are_refused_with_a_way_out(method: str, folder: Path) -> None:
    edit(folder / "config.json", quantization_config={"quant_method": method, "load_in_8bit": True, "bits": 8})
    with pytest.raises(UnsupportedCheckpoint, match=rf"is quantised \({method}\); needs .* --precision int8"):
        loaded(folder)


def weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = checkpoint.model.state_dict()
    return state


def old_names(folder: Path) -> None:
    """Rename the weights of the positional convolution as transformers wrote them before torch 2.1."""
    file = folder / "model.safetensors"
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = load_file(file)
    renamed = {key: tensor for key, tensor in tensors.items() if not any(name in key for name in old)}
    for key, tensor in tensors.items():
        for new_name, old_name in old.items():
            if new_name in key:
                renamed[key.replace(new_name, old_name)] = tensor
    assert len(renamed) == len(tensors)
    assert sum("weight_g" in key or "weight_v" in key for key in renamed) == 2
    save_file(renamed, file, metadata={"format": "pt"})


def shards(folder: Path) -> None:
    """Write the weights as two files with an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    index = {}
    for number, names in enumerate((list(tensors)[::2], list(tensors)[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    content = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")


def half(folder: Path) -> None:
    """Write the weights in fp16, and say so."""
    file = folder / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    edit(folder / "config.json", dtype="float16", torch_dtype="float16")


@pytest.mark.parametrize(("change", "exact"), [(old_names, True), (shards, True), (half, False)])
def test_weights_in_other_forms_are_the_same_weights(
    change: Callable[[Path], None], exact: bool, folder: Path, tiny_checkpoint: Callable[[str], Path]
) -> None:
    expected = weights(loaded(tiny_checkpoint("wav2vec2-layer-norm")))
    change(folder)
    found = weights(loaded(folder))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, expected[name] if exact else expected[name].half().float(), rtol=0, atol=0)


def test_a_shard_that_is_missing_is_named(folder: Path) -> None:
    shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"No such file.*model-00002-of-00002\.safetensors"):
        loaded(folder)


@pytest.mark.parametrize("normalise", [True, False])
def test_audio_is_normalised_where_the_feature_extractor_says_so(normalise: bool, folder: Path) -> None:
    edit(folder / "preprocessor_config.json", do_normalize=normalise)
    checkpoint = loaded(folder)
    audio = (0.2 + 0.05 * np.random.default_rng(0).normal(size=16_000)).astype(np.float32)
    extractor = checkpoint.feature_extractor
    features = extractor(audio, sampling_rate=16_000, return_tensors="pt").input_values
    network = checkpoint.family.network(checkpoint.model, extractor)
    lengths = torch.tensor([[len(audio)]], dtype=torch.int32)
    with torch.inference_mode():
        logits, frames = network(*pad_ragged(torch.from_numpy(audio), lengths))
        logits = logits[:, : int(frames)]
        torch.testing.assert_close(logits, checkpoint.model(features).logits, rtol=1e-4, atol=1e-4)
    assert int(frames) == 49
