"""A Whisper checkpoint in memory, with its tokens and limits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asr_serving.whisper.settings import Settings
from transformers import (
    AutoConfig,
    AutoTokenizer,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from asr_export.checkpoint import loading as checkpoints
from asr_export.errors import CheckpointError, UnsupportedCheckpoint
from asr_export.whisper import generation_config
from asr_export.whisper.generation_config import Defaults

MODEL_TYPE = "whisper"
ARCHITECTURE = "WhisperForConditionalGeneration"
# transformers' default for every model that sets no limit. For Whisper it would end each transcript after 20 tokens.
_UNSET_MAX_LENGTH = 20


@dataclass(frozen=True)
class WhisperCheckpoint:
    """A Whisper with the feature extractor and the tokenizer that belong to it."""

    source: checkpoints.Source
    config: Any  # config.json
    model: Any  # WhisperForConditionalGeneration, in eval mode, float32; None if it is not loaded for its weights
    feature_extractor: WhisperFeatureExtractor
    tokenizer: WhisperTokenizer
    settings: Settings
    names_language_or_task: bool  # False: the default task is the kit's own
    left_aside: dict[str, Any]  # unused settings of generation_config.json, because the service decodes greedily
    alignment_heads: list[tuple[int, int]]  # (layer, head) of the decoder's cross-attention that follow the audio


def load(source: checkpoints.Source, weights: bool = True) -> WhisperCheckpoint:
    """Load the model, feature extractor, tokenizer and generation settings of a Whisper checkpoint.

    Args:
        source: the files.
        weights: False: `model` stays None.

    Raises:
        CheckpointError: a file is missing or broken.
        UnsupportedCheckpoint: the checkpoint has no decoder, or settings that the decode step does not know.
    """
    folder, name = source.folder, source.name
    config = checkpoints.read(AutoConfig, folder, "config.json", "the model's shape")
    if ARCHITECTURE not in (config.architectures or []):
        raise UnsupportedCheckpoint(
            f"{name} is a Whisper of architecture {', '.join(config.architectures or []) or 'unknown'}; needs "
            f"{ARCHITECTURE}"
        )
    feature_extractor = checkpoints.read_features(folder, "the features")
    tokenizer = checkpoints.read(AutoTokenizer, folder, "tokenizer_config.json", "the vocabulary")
    if not isinstance(tokenizer, WhisperTokenizer):
        raise UnsupportedCheckpoint(f"{name} has a {type(tokenizer).__name__}; needs a WhisperTokenizer")
    generation = generation_config.read(folder, name)
    defaults = generation_config.defaults(name, generation.config, config)
    settings = _settings(name, config, generation.config, defaults, feature_extractor, tokenizer)
    model = None
    if weights:
        model = checkpoints.load_model(
            source, config, WhisperForConditionalGeneration, generation_config=generation.config
        )
    return WhisperCheckpoint(
        source,
        config,
        model,
        feature_extractor,
        tokenizer,
        settings,
        defaults.is_named,
        generation.left_aside,
        generation_config.alignment_heads(name, generation.config, config),
    )


def _settings(name: str, config: Any, generation: Any, defaults: Defaults, extractor: Any, tokenizer: Any) -> Settings:
    _check_features(name, config, extractor)
    languages = generation_config.languages(name, generation)
    size = config.vocab_size
    unset = generation.max_length in (None, _UNSET_MAX_LENGTH)
    return Settings(
        sampling_rate=extractor.sampling_rate,
        n_fft=extractor.n_fft,
        hop_length=extractor.hop_length,
        window_samples=extractor.n_samples,
        window_frames=extractor.nb_max_frames,
        vocab_size=size,
        max_positions=config.max_target_positions,
        max_length=config.max_target_positions if unset else min(generation.max_length, config.max_target_positions),
        max_new_tokens=generation.max_new_tokens,
        start=generation.decoder_start_token_id,
        end=generation.eos_token_id,
        previous=tokenizer.convert_tokens_to_ids("<|startofprev|>"),
        no_timestamps=generation.no_timestamps_token_id,
        suppress=_ids(generation.suppress_tokens, size),
        begin_suppress=_ids(generation.begin_suppress_tokens, size),
        max_initial_timestamp_index=getattr(generation, "max_initial_timestamp_index", None),
        languages=languages,
        tasks={task: generation.task_to_id[task] for task in generation_config.TASKS} if languages else {},
        language=defaults.language,
        task=defaults.task,
        word_times=True,
        word_lag_s=0.0,
    )


def _check_features(name: str, config: Any, extractor: Any) -> None:
    if not isinstance(extractor, WhisperFeatureExtractor):
        raise UnsupportedCheckpoint(f"{name} has a {type(extractor).__name__}; needs a WhisperFeatureExtractor")
    frames, bands = 2 * config.max_source_positions, config.num_mel_bins
    if (extractor.nb_max_frames, extractor.feature_size) != (frames, bands):
        raise CheckpointError(
            f"{name}: the feature extractor makes {extractor.nb_max_frames} frames of {extractor.feature_size} mel "
            f"bands; the model needs {frames} of {bands}"
        )
    if extractor.dither:
        raise UnsupportedCheckpoint(f"{name}: the feature extractor adds noise (dither {extractor.dither}); needs 0")


def _ids(tokens: Iterable[int] | None, size: int) -> list[int]:
    return sorted({token for token in tokens or () if 0 <= token < size})
