"""The generation_config.json of a Whisper: the settings that the decode step follows, leaves aside or refuses."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from asr_export.errors import CheckpointError, UnsupportedCheckpoint

FILE = "generation_config.json"
TASKS = ("transcribe", "translate")
# Settings that change greedy decoding and that the decode step does not know -> the values that change nothing.
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
    "stop_strings": (None,),
    "watermarking_config": (None,),
}
# Settings of every model in transformers which the decode step follows, and notes about the file.
_FOLLOWED = {
    *("decoder_start_token_id", "eos_token_id", "bos_token_id", "pad_token_id", "suppress_tokens"),
    *("begin_suppress_tokens", "max_length", "max_new_tokens", "transformers_version", "_from_model_config"),
}
# Whisper's own settings that are arguments of `generate()`; here a request sets them.
_OF_THE_CALL = {
    *("return_timestamps", "return_token_timestamps", "return_segments", "condition_on_prev_tokens"),
    *("prompt_condition_type", "logprob_threshold", "compression_ratio_threshold", "no_speech_threshold"),
}


@dataclass(frozen=True)
class Generation:
    """The default decoding of a checkpoint."""

    config: GenerationConfig  # without the settings left aside; the service gives what `generate()` gives with it
    left_aside: dict[str, Any]  # settings that the service does not use and that differ from transformers' default


@dataclass(frozen=True)
class Defaults:
    """The language and the task after <|startoftranscript|>, for requests that set none."""

    language: str | None  # code; None: the service detects it
    task: str | None  # one of TASKS; None: no token of a task
    is_named: bool  # True: the checkpoint names them; False: it names neither


def read(folder: Path, name: str) -> Generation:
    """Read the settings of a checkpoint.

    Args:
        folder: of the checkpoint.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: the file is missing or broken.
        UnsupportedCheckpoint: settings that the decode step cannot follow.
    """
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {FILE}, which names the special tokens")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"is {type(content).__name__}; needs an object")
        content = {key: value for key, value in content.items() if value is not None}
        _check(name, content)
        left_aside = _left_aside(content)
        config = GenerationConfig.from_dict({key: content[key] for key in content.keys() - left_aside.keys()})
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    return Generation(config, left_aside)


def _left_aside(content: dict[str, Any]) -> dict[str, Any]:
    """Return the settings left aside: sampling, beams, and other arguments of `generate()`."""
    known = GenerationConfig.from_dict({}).to_dict()
    of_all = {key for key in content.keys() & known.keys() - _FOLLOWED - _NEUTRAL.keys() if content[key] != known[key]}
    of_whisper = {key for key in content.keys() & _OF_THE_CALL if content[key] is not False}
    return {key: content[key] for key in sorted(of_all | of_whisper)}


def _check(name: str, content: dict[str, Any]) -> None:
    for attribute in ("decoder_start_token_id", "eos_token_id", "no_timestamps_token_id"):
        value = content.get(attribute)
        if not isinstance(value, int):
            raise UnsupportedCheckpoint(
                f"{name}: {FILE} has {attribute} {value!r}; needs one token id. Checkpoints from before 2023 lack it: "
                "take the file of the openai/whisper model that this one was made from"
            )
    for attribute, neutral in _NEUTRAL.items():
        value = content.get(attribute)
        if value not in neutral:
            raise UnsupportedCheckpoint(
                f"{name}: {FILE} has {attribute} {json.dumps(value)}, which the decode step does not know: remove it, "
                "if the transcripts are good without it"
            )


def alignment_heads(name: str, generation: Any, config: Any) -> list[tuple[int, int]]:
    """Return the heads of the decoder's cross-attention that follow the audio, as (layer, head).

    Without `alignment_heads` in the file they are all heads of the upper half of the layers, as in openai-whisper.

    Raises:
        CheckpointError: the file names heads that the decoder does not have.
    """
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    named = getattr(generation, "alignment_heads", None)
    if not named:
        return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
    try:
        found = sorted({(int(layer), int(head)) for layer, head in named})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{name}: {FILE} has alignment_heads {named!r}; needs pairs of layer and head") from error
    if not all(0 <= layer < layers and 0 <= head < heads for layer, head in found):
        raise CheckpointError(
            f"{name}: {FILE} has alignment_heads {named!r}; the decoder has {layers} layers of {heads} heads"
        )
    return found


def languages(name: str, config: Any) -> dict[str, int]:
    """Return language codes and their tokens; none for a checkpoint of one language.

    Raises:
        UnsupportedCheckpoint: the file names neither languages nor a single one, or lacks the tokens of the tasks.
    """
    tokens = getattr(config, "lang_to_id", None)
    if tokens and getattr(config, "is_multilingual", True):
        if not set(TASKS) <= set(getattr(config, "task_to_id", None) or {}):
            raise UnsupportedCheckpoint(f"{name}: {FILE} has no task_to_id for {', '.join(TASKS)}")
        return {token.strip("<|>"): index for token, index in tokens.items()}
    if getattr(config, "is_multilingual", None) is not False:
        raise UnsupportedCheckpoint(
            f"{name}: {FILE} names neither its languages (lang_to_id) nor a single one (is_multilingual false): take "
            "the file of the openai/whisper model that this one was made from"
        )
    return {}


def defaults(name: str, config: Any, model_config: Any) -> Defaults:
    """Return language and task as transformers' `generate()` takes them from a checkpoint.

    `language` and `task` of generation_config.json come first. Where it has neither, its `forced_decoder_ids` count, or
    else those of config.json. If a checkpoint names nothing, the kit sets the task "transcribe".

    Args:
        name: of the checkpoint, for messages.
        config: generation_config.json.
        model_config: config.json.

    Raises:
        UnsupportedCheckpoint: an unknown language or task, or forced tokens other than a language and a task.
    """
    known = languages(name, config)
    language, task = getattr(config, "language", None), getattr(config, "task", None)
    if language is not None or task is not None:
        return _named(name, language, task, known)
    forced = getattr(config, "forced_decoder_ids", None)
    if forced is None:
        forced = getattr(model_config, "forced_decoder_ids", None)
    if forced:
        return _forced(name, forced, config, known)
    return Defaults(None if known else "en", TASKS[0], is_named=False)


def _named(name: str, language: object, task: object, known: dict[str, int]) -> Defaults:
    if not known:
        raise UnsupportedCheckpoint(
            f"{name}: {FILE} has is_multilingual false, and a language or a task: remove language and task, because "
            "generate() fails on them, too"
        )
    code = None if language is None else _code(str(language))
    if code is not None and code not in known:
        raise UnsupportedCheckpoint(f"{name}: {FILE} has language {language!r}; needs one of its own lang_to_id")
    if task not in (None, *TASKS):
        raise UnsupportedCheckpoint(f"{name}: {FILE} has task {task!r}; needs {' or '.join(TASKS)}")
    return Defaults(code, TASKS[0] if task is None else str(task), is_named=True)


def _forced(name: str, forced: Any, config: Any, known: dict[str, int]) -> Defaults:
    """Return the defaults that forced tokens name.

    The form is `[[1, language or null], [2, task], [3, <|notimestamps|>]]`; all but the first may be missing.
    """
    codes = {token: code for code, token in known.items()}
    tasks = {config.task_to_id[task]: task for task in TASKS} if known else {}
    try:
        positions, tokens = zip(*forced, strict=True)
    except (TypeError, ValueError):
        positions, tokens = (), ()
    wanted = tokens[:-1] if tokens[-1:] == (config.no_timestamps_token_id,) else tokens
    is_known = not wanted if not known else wanted[:1] and wanted[0] in (None, *codes) and len(wanted) <= 2
    if list(positions) != list(range(1, len(forced) + 1)) or not is_known or not set(wanted[1:]) <= tasks.keys():
        needed = (
            "1: a language or null, 2: a task, then perhaps <|notimestamps|>" if known else "<|notimestamps|> alone"
        )
        raise UnsupportedCheckpoint(f"{name}: the checkpoint forces the tokens {json.dumps(forced)}; needs {needed}")
    if not known:
        return Defaults("en", TASKS[0], is_named=True)
    return Defaults(codes.get(wanted[0]), tasks[wanted[1]] if len(wanted) > 1 else None, is_named=True)


def _code(language: str) -> str:
    """Return the code of a language, given as a code, a token or a name."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    plain = language.lower().strip("<|>")
    return str(TO_LANGUAGE_CODE.get(plain, plain))
