"""The shipped checkpoint, through transformers alone."""

import json

import evaluate_heldout
import jiwer
import numpy as np
import pytest
import torch
from acoustic_model import LABELS, BlockConvolutions, build_model, greedy, padded
from evaluate_heldout import SAMPLE_RATE, Recogniser, sample_utterances


@pytest.fixture(scope="module")
def recogniser(demo):
    return Recogniser(demo / "checkpoint")


@pytest.fixture(scope="module")
def samples(demo):
    return {item.name: item for item in sample_utterances(demo / "samples" / "manifest.tsv")}


def test_the_files_are_those_of_a_plain_checkpoint(demo):
    folder = demo / "checkpoint"
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["Wav2Vec2ForCTC"]
    assert (config["feat_extract_norm"], config["do_stable_layer_norm"], config["conv_bias"]) == ("layer", True, True)
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    assert preprocessor["sampling_rate"] == SAMPLE_RATE
    assert preprocessor["do_normalize"] is preprocessor["return_attention_mask"] is True
    assert json.loads((folder / "vocab.json").read_text()) == {label: index for index, label in enumerate(LABELS)}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10_000_000


def test_the_labels_are_those_of_wav2vec2():
    assert len(LABELS) == 32
    assert LABELS[:11] == ("<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A", "O", "N", "I")


def test_it_knows_the_samples(recogniser, samples):
    texts = [recogniser.transcribe(item.audio) for item in samples.values()]
    assert jiwer.wer([item.text for item in samples.values()], texts) <= 0.10


@pytest.mark.parametrize("seconds", [0.1, 1, 5, 20])
def test_zeros_are_silence(recogniser, seconds):
    assert recogniser.transcribe(np.zeros(int(seconds * SAMPLE_RATE), np.float32)) == ""


def test_word_frames_spell_the_transcript(recogniser, samples):
    audio = samples["quilter.wav"].audio
    words = recogniser.word_frames(audio)
    assert " ".join(word for word, _, _ in words) == recogniser.transcribe(audio)
    edges = [frame for _, first, last in words for frame in (first, last)]
    assert edges == sorted(edges)
    assert edges[-1] < len(audio) / SAMPLE_RATE / evaluate_heldout.FRAME_S


def test_a_padded_batch_decodes_like_single_clips(recogniser, samples):
    clips = [item.audio for item in samples.values()]
    assert greedy(recogniser.model, clips) == [recogniser.transcribe(clip) for clip in clips]


@pytest.mark.parametrize("samples_in", [400, 401, 719, 720, 721, 16_000, 16_123])
def test_block_convolutions_equal_the_feature_extractor(samples_in):
    torch.manual_seed(0)
    extractor = build_model().eval().wav2vec2.feature_extractor
    audio = torch.randn(2, samples_in)
    with torch.inference_mode():
        torch.testing.assert_close(BlockConvolutions(extractor)(audio), extractor(audio), atol=1e-4, rtol=1e-4)


def test_padding_normalises_like_the_feature_extractor(recogniser):
    clips = [np.random.default_rng(0).normal(0.1, 0.3, count).astype(np.float32) for count in (900, 1600)]
    audio, mask = padded(clips)
    expected = recogniser.processor(clips, sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt")
    torch.testing.assert_close(audio, expected["input_values"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mask, expected["attention_mask"].long())
