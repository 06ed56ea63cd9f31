"""A Whisper checkpoint in memory, and what it says about its tokens and limits."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asr_serving.whisper.settings import Settings
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoTokenizer,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)

from asr_export.checkpoint import loading as checkpoints
from asr_export.errors import CheckpointError, UnsupportedCheckpoint

MODEL_TYPE = "whisper"
ARCHITECTURE = "WhisperForConditionalGeneration"
_TASKS = ("transcribe", "translate")
# Settings of generation_config.json that change greedy decoding and that the decode step does not know. Sampling and
# beams are not among them: it decodes greedily, whatever the checkpoint would do by default.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "repetition_penalty": (None, 1.0),
    "encoder_repetition_penalty": (None, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "bad_words_ids": (None,),
    "sequence_bias": (None,),
    "guidance_scale": (None, 1.0),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "exponential_decay_length_penalty": (None,),
}
# transformers' default for models that say nothing, meant for others: it would end every transcript after 20 tokens.
_UNSET_MAX_LENGTH = 20


@dataclass(frozen=True)
class WhisperCheckpoint:
    """A Whisper with the feature extractor and the tokenizer that belong to it."""

    source: checkpoints.Source
    model: Any  # WhisperForConditionalGeneration, in eval mode, float32
    feature_extractor: WhisperFeatureExtractor
    tokenizer: WhisperTokenizerFast
    settings: Settings


def load(source: checkpoints.Source) -> WhisperCheckpoint:
    """Load the model, feature extractor, tokenizer and generation settings of a Whisper checkpoint.

    Raises:
        CheckpointError: a file is missing or broken.
        UnsupportedCheckpoint: no decoder, or settings that the decode step does not know.
    """
    folder, name = source.folder, source.name
    config = checkpoints.read(AutoConfig, folder, "config.json", "the model's shape")
    if ARCHITECTURE not in (config.architectures or []):
        raise UnsupportedCheckpoint(
            f"{name} is a Whisper of architecture {', '.join(config.architectures or []) or 'unknown'}; needs "
            f"{ARCHITECTURE}"
        )
    feature_extractor = checkpoints.read(AutoFeatureExtractor, folder, "preprocessor_config.json", "the features")
    tokenizer = checkpoints.read(AutoTokenizer, folder, "tokenizer_config.json", "the vocabulary")
    if not isinstance(tokenizer, WhisperTokenizerFast):
        raise UnsupportedCheckpoint(f"{name} has a {type(tokenizer).__name__}; needs a WhisperTokenizerFast")
    if not (folder / "generation_config.json").is_file():
        raise CheckpointError(f"{folder} has no generation_config.json, which tells the special tokens")
    model = checkpoints.load_model(source, config, WhisperForConditionalGeneration)
    settings = _settings(name, config, model.generation_config, feature_extractor, tokenizer)
    return WhisperCheckpoint(source, model, feature_extractor, tokenizer, settings)


def _settings(name: str, config: Any, generation: Any, extractor: Any, tokenizer: Any) -> Settings:
    _check_features(name, config, extractor)
    _check_generation(name, generation)
    languages = _languages(name, generation)
    size = config.vocab_size
    default_language = _code(getattr(generation, "language", None), generation)
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
        tasks={task: generation.task_to_id[task] for task in _TASKS} if languages else {},
        language=default_language if languages else default_language or "en",
        task=(getattr(generation, "task", None) or _TASKS[0]) if languages else _TASKS[0],
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


def _check_generation(name: str, generation: Any) -> None:
    for attribute in ("decoder_start_token_id", "eos_token_id", "no_timestamps_token_id"):
        value = getattr(generation, attribute, None)
        if not isinstance(value, int):
            raise UnsupportedCheckpoint(
                f"{name}: generation_config.json has {attribute} {value!r}; needs one token id. Checkpoints from "
                "before 2023 lack it: take the file of the openai/whisper model that this one was made from"
            )
    for attribute, neutral in _NEUTRAL.items():
        value = getattr(generation, attribute, None)
        if value not in neutral:
            raise UnsupportedCheckpoint(
                f"{name}: generation_config.json has {attribute} {json.dumps(value)}, which the decode step does not "
                "know: remove it, if the transcripts are good without"
            )


def _languages(name: str, generation: Any) -> dict[str, int]:
    """Language codes and their tokens; none for a checkpoint of one language."""
    tokens = getattr(generation, "lang_to_id", None)
    if tokens and getattr(generation, "is_multilingual", True):
        if not set(_TASKS) <= set(getattr(generation, "task_to_id", None) or {}):
            raise UnsupportedCheckpoint(f"{name}: generation_config.json has no task_to_id for {', '.join(_TASKS)}")
        return {token.strip("<|>"): index for token, index in tokens.items()}
    if getattr(generation, "is_multilingual", None) is not False:
        raise UnsupportedCheckpoint(
            f"{name}: generation_config.json names neither its languages (lang_to_id) nor a single one "
            "(is_multilingual false): take the file of the openai/whisper model that this one was made from"
        )
    forced = getattr(generation, "forced_decoder_ids", None) or []
    if [token for _, token in forced] not in ([], [generation.no_timestamps_token_id]):
        raise UnsupportedCheckpoint(f"{name}: generation_config.json forces the tokens {forced}; needs none")
    return {}


def _code(language: str | None, generation: Any) -> str | None:
    """The code of a language that is given as a code, a token or a name."""
    if language is None:
        return None
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    plain = language.lower().strip("<|>")
    return str(TO_LANGUAGE_CODE.get(plain, plain))


def _ids(tokens: Iterable[int] | None, size: int) -> list[int]:
    return sorted({token for token in tokens or () if 0 <= token < size})
