"""Checkpoints with random weights: of the shapes of published ones, and tiny ones of the same kinds for a rehearsal.

Random weights are as fast as trained ones in a CTC model, whose work depends on the length of a recording alone. A
Whisper's work depends on how many tokens it writes, and random weights write for ever; so its checkpoint limits them
to what a speaker says in 30 s.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo" / "checkpoint"
sys.path.insert(0, str(ROOT / "tests" / "support" / "models"))
TOKENIZER_FILES = ("vocab.json", "tokenizer_config.json", "special_tokens_map.json")
NAME = "asr"  # of the served model
# English at 150 words a minute has 2.5 words a second, of 1.3 tokens each.
TOKENS_IN_30_S = 100


@dataclass(frozen=True)
class Model:
    """One checkpoint that is measured."""

    kind: Literal["ctc", "whisper"]
    write: Callable[[Path], None]  # into an empty folder


def precisions(model: Model) -> tuple[str, ...]:
    """Return the precisions in which a model is served; the first is the one that a GPU should get."""
    return ("fp32",) if model.kind == "whisper" else ("fp16", "fp32")


def wav2vec2(**shape: Any) -> Model:
    """Return a Wav2Vec2 with layer norm, as the large ones have it; its labels are those of the demo checkpoint."""

    def write(folder: Path) -> None:
        library = _transformers()
        config = library.Wav2Vec2Config(**_LAYER_NORM, **shape, vocab_size=32, pad_token_id=0)
        _save(library.Wav2Vec2ForCTC, config, folder)
        library.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
        for name in TOKENIZER_FILES:
            (folder / name).write_bytes((DEMO / name).read_bytes())

    return Model("ctc", write)


def parakeet(pieces: int, **encoder: Any) -> Model:
    """Return a Parakeet with a SentencePiece vocabulary of that size, and the blank."""

    def write(folder: Path) -> None:
        from tokenizers import Tokenizer, decoders, pre_tokenizers
        from tokenizers.models import Unigram

        library = _transformers()
        config = library.ParakeetCTCConfig(encoder_config=encoder, vocab_size=pieces + 1, pad_token_id=pieces)
        _save(library.ParakeetForCTC, config, folder)
        library.ParakeetFeatureExtractor(feature_size=encoder["num_mel_bins"]).save_pretrained(folder)
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = [f"▁{one}{two}{three}" for one in letters for two in letters for three in ("", *letters)]
        vocabulary = ["<unk>", "▁", *letters, *words][:pieces]
        tokenizer = Tokenizer(Unigram([(piece, -1.0) for piece in vocabulary], unk_id=0))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        fast = library.ParakeetTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")
        fast.save_pretrained(folder)

    return Model("ctc", write)


def whisper(text_tokens: int, mels: int, **shape: Any) -> Model:
    """Return a multilingual Whisper with windows of 30 s."""

    def write(folder: Path) -> None:
        import tiny_whisper

        library = _transformers()
        tokenizer = tiny_whisper.write_tokenizer(folder, text_tokens=text_tokens)
        end = tokenizer.get_vocab()["<|endoftext|>"]
        ids = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end)
        start = tokenizer.get_vocab()["<|startoftranscript|>"]
        config = library.WhisperConfig(
            vocab_size=len(tokenizer),
            num_mel_bins=mels,
            decoder_start_token_id=start,
            suppress_tokens=None,
            begin_suppress_tokens=None,
            **ids,
            **shape,
        )
        settings = tiny_whisper.generation_config(tokenizer, config.max_target_positions)
        settings.max_new_tokens = TOKENS_IN_30_S
        # Nothing ends an answer early, and no timestamp begins another window.
        settings.suppress_tokens = [
            *settings.suppress_tokens,
            end,
            *range(settings.no_timestamps_token_id, len(tokenizer)),
        ]
        _save(library.WhisperForConditionalGeneration, config, folder, settings)
        library.WhisperFeatureExtractor(feature_size=mels).save_pretrained(folder)

    return Model("whisper", write)


def _transformers() -> Any:
    """Return the library, whose classes have no types; to know the names of models, nobody waits for its import."""
    import transformers

    return transformers


def _save(network: Any, config: Any, folder: Path, generation_config: Any = None) -> None:
    import torch

    torch.manual_seed(0)
    model = network(config)
    if generation_config is not None:
        model.generation_config = generation_config
    model.save_pretrained(folder)


_LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_PARAKEET = {"hidden_size": 1024, "num_attention_heads": 8, "intermediate_size": 4096, "num_mel_bins": 80}

LARGE = {
    "wav2vec2-large": wav2vec2(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
    "parakeet-ctc-0.6b": parakeet(1024, num_hidden_layers=24, **_PARAKEET),
    "parakeet-ctc-1.1b": parakeet(1024, num_hidden_layers=42, **_PARAKEET),
    "whisper-large-v3-turbo": whisper(
        50_257,
        128,
        d_model=1280,
        encoder_layers=32,
        encoder_attention_heads=20,
        encoder_ffn_dim=5120,
        decoder_layers=4,
        decoder_attention_heads=20,
        decoder_ffn_dim=5120,
    ),
}
TINY = {
    "tiny-wav2vec2": wav2vec2(conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, **_TINY),
    "tiny-parakeet": parakeet(64, num_mel_bins=80, subsampling_conv_channels=8, conv_kernel_size=5, **_TINY),
    "tiny-whisper": whisper(
        0,
        80,
        d_model=32,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
    ),
}
