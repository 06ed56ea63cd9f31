"""Whisper checkpoints with random weights and real vocabularies' layout, small enough to export in seconds.

Fresh weights answer every recording with one token for ever. These are scaled until what is said depends on the
recording, timestamps come and go, and some transcripts end by themselves.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

RATE = 16_000
_TEXT = "Mister Quilter is the apostle of the middle classes, isn't he? Äpfel, garçon, señor, 東京 и Москва. " * 3
# What a kind differs in: seconds of one window, mel bands, English only, and the seed.
_KINDS: dict[str, dict[str, Any]] = {
    "multilingual": {"window_s": 2, "mels": 80, "seed": 0},
    "128-mels": {"window_s": 3, "mels": 128, "seed": 1, "max_initial_timestamp_index": 50},
    "english": {"window_s": 2, "mels": 80, "seed": 10, "english": True},
    "thirty-seconds": {"window_s": 30, "mels": 80, "seed": 7},
}
KINDS = tuple(_KINDS)


def write(kind: str, folder: Path) -> Path:
    """Write a checkpoint of one of KINDS in HuggingFace format, the same one every time."""
    about = _KINDS[kind]
    english = about.get("english", False)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(folder, english)
    ids = tokenizer.get_vocab()
    end = ids["<|endoftext|>"]
    positions = 128 if about["window_s"] == 30 else 64
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=about["mels"],
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=about["window_s"] * 50,
        max_target_positions=positions,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(about["seed"])
        model = WhisperForConditionalGeneration(config).eval()
        _stir(model, ids, about["seed"])
    model.generation_config = generation_config(tokenizer, positions, english)
    if "max_initial_timestamp_index" in about:
        model.generation_config.max_initial_timestamp_index = about["max_initial_timestamp_index"]
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=about["mels"], chunk_length=about["window_s"]).save_pretrained(folder)
    return folder


def generation_config(tokenizer: WhisperTokenizer, positions: int, english: bool = False) -> GenerationConfig:
    """The settings of generation for a tokenizer of `write_tokenizer` and a decoder of so many positions."""
    ids = tokenizer.get_vocab()
    end = ids["<|endoftext|>"]
    settings = GenerationConfig(
        max_length=positions,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        begin_suppress_tokens=[tokenizer.encode(" ", add_special_tokens=False)[0], end],
        suppress_tokens=[1, 2, 7, *(ids[f"<|{name}|>"] for name in _UNSPOKEN)],
        is_multilingual=not english,
    )
    if english:
        settings.forced_decoder_ids = [[1, ids["<|notimestamps|>"]]]
    else:
        settings.lang_to_id = {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES}
        settings.task_to_id = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return settings


_UNSPOKEN = ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech")


def write_tokenizer(folder: Path, english: bool = False, text_tokens: int = 0) -> WhisperTokenizer:
    """Write a tokenizer with the special tokens of Whisper, after at least `text_tokens` tokens of text."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator([_TEXT], trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    trained.add_tokens([f"text{index}" for index in range(trained.get_vocab_size(), text_tokens)])
    trained.add_special_tokens(["<|endoftext|>"])
    # Asked for by the tokenizers of most published checkpoints.
    tokenizer = WhisperTokenizer(tokenizer_object=trained, clean_up_tokenization_spaces=True)
    languages = () if english else tuple(LANGUAGES)
    specials = ["startoftranscript", *languages, *_UNSPOKEN[1:], "notimestamps"]
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{name}|>" for name in specials]})
    tokenizer.add_tokens([f"<|{index / 50:.2f}|>" for index in range(1501)])
    tokenizer.save_pretrained(folder)
    return tokenizer


def _stir(model: WhisperForConditionalGeneration, ids: dict[str, int], seed: int) -> None:
    """Scale the weights so that transcripts vary."""
    generator = torch.Generator().manual_seed(seed)
    decoder = model.model.decoder
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed_positions" not in name:
                weight.mul_(6)
        # The embedding is the output layer, too: where it outweighs the rest, a token predicts itself.
        decoder.embed_positions.weight.normal_(std=1.2, generator=generator)
        decoder.embed_tokens.weight.normal_(std=0.3, generator=generator)
        decoder.layer_norm.weight.fill_(4)
        for layer in decoder.layers:
            layer.encoder_attn.out_proj.weight.mul_(4)
            layer.self_attn.out_proj.weight.mul_(4)
        # One of thousands would never win, nor lose against the sum of all timestamps.
        decoder.embed_tokens.weight[ids["<|endoftext|>"]].mul_(1.6)
        decoder.embed_tokens.weight[ids["<|0.00|>"] :].mul_(0.8)
