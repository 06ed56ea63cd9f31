"""Checkpoints of every supported kind, with random weights and a shape that exports in a second."""

import json
from pathlib import Path

import piece_tokenizers
import torch
import transformers
from asr_export.checkpoint.families import FAMILIES
from safetensors.torch import save_file
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioForCTC,
    GraniteSpeech5CTCConfig,
    GraniteSpeech5ForCTC,
    HubertConfig,
    HubertForCTC,
    LasrCTCConfig,
    LasrForCTC,
    OmniASRCTCConfig,
    OmniASRForCTC,
    ParakeetCTCConfig,
    ParakeetForCTC,
    SEWConfig,
    SEWDConfig,
    SEWDForCTC,
    SEWForCTC,
    UniSpeechConfig,
    UniSpeechForCTC,
    UniSpeechSatConfig,
    UniSpeechSatForCTC,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2Config,
    Wav2Vec2ConformerConfig,
    Wav2Vec2ConformerForCTC,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WavLMConfig,
    WavLMForCTC,
)

ALPHABET = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
# Weights five times larger than a fresh model's: log-probs then spread over several nats, so that a slip in the graph
# shows, and the best path visits many labels.
_SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": len(ALPHABET),
    "pad_token_id": 0,
    "initializer_range": 0.1,
}
_LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
_SEW = {
    "conv_dim": (16,) * 5,
    "conv_kernel": (10, 3, 3, 3, 2),
    "conv_stride": (5, 2, 2, 2, 2),
    "squeeze_factor": 2,
}
_BERT = {
    "conv_depthwise_kernel_size": 5,
    "left_max_position_embeddings": 12,
    "right_max_position_embeddings": 4,
    "max_source_positions": 64,
    "output_hidden_size": 32,
    "initializer_range": 0.05,  # larger ones make more of float32's rounding than trained weights do
}
_PARAKEET = {
    **{name: _SHAPE[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")},
    "subsampling_conv_channels": 8,
    "conv_kernel_size": 5,
    "initializer_range": 0.1,
}
_OMNI = {
    **{name: _SHAPE[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")},
    **{name: _SHAPE[name] for name in ("conv_dim", "num_conv_pos_embeddings", "num_conv_pos_embedding_groups")},
    "initializer_range": 0.1,
}
_LASR = {
    **{name: _SHAPE[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")},
    "subsampling_conv_channels": 16,
    "conv_kernel_size": 8,
    "initializer_range": 0.1,
}
# Blocks of 16 frames, so that a recording of some seconds has several, and the third layer comes after the middle.
_GRANITE = {
    **{name: _SHAPE[name] for name in ("hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")},
    "num_hidden_layers": 4,
    "context_size": 16,
    "max_position_embeddings": 24,
    "initializer_range": 0.1,
}
_KINDS = {
    "wav2vec2-group-norm": (Wav2Vec2ForCTC, Wav2Vec2Config, {}),
    "wav2vec2-layer-norm": (Wav2Vec2ForCTC, Wav2Vec2Config, _LAYER_NORM),
    "wav2vec2-adapter": (Wav2Vec2ForCTC, Wav2Vec2Config, {**_LAYER_NORM, "add_adapter": True, "num_adapter_layers": 2}),
    "hubert-group-norm": (HubertForCTC, HubertConfig, {}),
    "hubert-layer-norm": (HubertForCTC, HubertConfig, _LAYER_NORM),
    "hubert-batch-norm": (HubertForCTC, HubertConfig, {"conv_pos_batch_norm": True}),
    "unispeech": (UniSpeechForCTC, UniSpeechConfig, {}),
    "unispeech-sat": (UniSpeechSatForCTC, UniSpeechSatConfig, _LAYER_NORM),
    "data2vec": (Data2VecAudioForCTC, Data2VecAudioConfig, {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 7}),
    "wavlm-group-norm": (WavLMForCTC, WavLMConfig, {"max_bucket_distance": 60, "num_buckets": 32}),
    "wavlm-layer-norm": (WavLMForCTC, WavLMConfig, {**_LAYER_NORM, "max_bucket_distance": 60, "num_buckets": 32}),
    "conformer-relative": (Wav2Vec2ConformerForCTC, Wav2Vec2ConformerConfig, {"position_embeddings_type": "relative"}),
    "conformer-rotary": (
        Wav2Vec2ConformerForCTC,
        Wav2Vec2ConformerConfig,
        {**_LAYER_NORM, "position_embeddings_type": "rotary", "conv_depthwise_kernel_size": 5},
    ),
    "sew": (SEWForCTC, SEWConfig, _SEW),
    "sew-d": (SEWDForCTC, SEWDConfig, {**_SEW, "position_buckets": 16, "max_position_embeddings": 64}),
    "sew-d-no-buckets": (
        SEWDForCTC,
        SEWDConfig,
        {**_SEW, "position_buckets": -1, "share_att_key": False, "max_position_embeddings": 32},
    ),
    "wav2vec2-bert": (Wav2Vec2BertForCTC, Wav2Vec2BertConfig, _BERT),
    "wav2vec2-bert-adapter": (
        Wav2Vec2BertForCTC,
        Wav2Vec2BertConfig,
        {**_BERT, "add_adapter": True, "use_intermediate_ffn_before_adapter": True, "output_hidden_size": 24},
    ),
    "wav2vec2-bert-relative": (
        Wav2Vec2BertForCTC,
        Wav2Vec2BertConfig,
        {**_BERT, "position_embeddings_type": "relative"},
    ),
    "wav2vec2-bert-rotary": (Wav2Vec2BertForCTC, Wav2Vec2BertConfig, {**_BERT, "position_embeddings_type": "rotary"}),
    "parakeet": (ParakeetForCTC, ParakeetCTCConfig, {"encoder_config": _PARAKEET, "pad_token_id": len(ALPHABET) - 1}),
    "omniasr": (OmniASRForCTC, OmniASRCTCConfig, {"audio_config": _OMNI, "pad_token_id": 1}),
    "lasr": (LasrForCTC, LasrCTCConfig, {"encoder_config": _LASR}),
    "granite-speech5": (GraniteSpeech5ForCTC, GraniteSpeech5CTCConfig, {"encoder_config": _GRANITE}),
    "granite-speech5-one-rate": (
        GraniteSpeech5ForCTC,
        GraniteSpeech5CTCConfig,
        {"encoder_config": {**_GRANITE, "subsample_layers": [2]}},
    ),
}
KINDS = tuple(_KINDS)


def model_type(kind: str) -> str:
    """The family of a kind, as config.json names it."""
    return str(_KINDS[kind][1].model_type)


def write(kind: str, folder: Path) -> Path:
    """Write a checkpoint of one of KINDS in HuggingFace format, the same one every time."""
    model_class, config_class, changes = _KINDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(KINDS.index(kind))
        model = model_class(config_class(**{**_SHAPE, **changes})).eval()
        if kind == "hubert-batch-norm":  # fresh statistics are those of the identity, which would hide a leak
            norm = model.hubert.encoder.pos_conv_embed.batch_norm
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.bias.data.normal_()
        with torch.no_grad():
            head = getattr(model, FAMILIES[model_type(kind)].head)
            head.weight.mul_(4)
            if kind.startswith("granite"):
                _balance(model, head)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    write_tokens = piece_tokenizers.WRITERS.get(model_type(kind))
    if write_tokens:
        write_tokens(folder, len(ALPHABET))
    else:
        write_tokenizer(folder, ALPHABET)
    extractor = getattr(transformers, FAMILIES[model_type(kind)].feature_extractor)
    if extractor is Wav2Vec2FeatureExtractor:
        normalized_with_mask = changes.get("feat_extract_norm") == "layer"
        extractor(do_normalize=True, return_attention_mask=normalized_with_mask).save_pretrained(folder)
    else:
        extractor().save_pretrained(folder)
    return folder


def _balance(model: GraniteSpeech5ForCTC, head: torch.nn.Linear) -> None:
    """Take from each frame, and from each label, what all frames have: means over time leave little else."""
    noise = 0.1 * torch.randn(48_000).numpy()
    extracted = transformers.GraniteSpeech5FeatureExtractor()(noise, sampling_rate=16_000, return_tensors="pt")
    features = extracted["input_features"]
    heard = model.encoder.input_linear
    heard.weight.mul_(10)
    heard.bias.copy_(-heard.weight @ features[0].mean(dim=0))
    for _ in range(5):  # the layers after the middle hear the head, too
        head.bias.sub_(model(features).logits[0].mean(dim=0))


def write_tokenizer(folder: Path, labels: list[str], **options: object) -> None:
    """Write vocab.json and tokenizer_config.json for labels in column order."""
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({label: column for column, label in enumerate(labels)}), encoding="utf-8")
    Wav2Vec2CTCTokenizer(str(vocabulary), **options).save_pretrained(folder)


def write_multilingual(folder: Path, vocabularies: dict[str, list[str]]) -> Path:
    """Write a checkpoint as MMS has them: an adapter and a vocabulary for each language."""
    shape = {**_SHAPE, **_LAYER_NORM, "adapter_attn_dim": 8}
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        for language, labels in vocabularies.items():
            model = Wav2Vec2ForCTC(Wav2Vec2Config(**{**shape, "vocab_size": len(labels)})).eval()
            if language == next(iter(vocabularies)):
                model.save_pretrained(folder)
            adapter = {name: 3 * weight.detach() for name, weight in model._get_adapters().items()}
            save_file(adapter, folder / f"adapter.{language}.safetensors")
    nested = {
        language: {label: column for column, label in enumerate(labels)} for language, labels in vocabularies.items()
    }
    (folder / "vocab.json").write_text(json.dumps(nested), encoding="utf-8")
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), target_lang=next(iter(vocabularies)))
    tokenizer.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder
