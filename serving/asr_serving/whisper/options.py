"""The request parameters of the generate step, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from asr_contract import parameters as contract
from asr_contract.errors import ParameterError

from asr_serving.whisper.settings import Settings

TRANSCRIBE = "transcribe"
AUTO = "auto"
_LIMIT = "max_new_tokens"


@dataclass(frozen=True)
class Options:
    """How to transcribe one recording."""

    language: str | None  # a code of the checkpoint; None: to be detected in the first window
    task: str | None  # transcribe or translate; None: no token of a task, as the checkpoint has it
    timestamps: bool = False  # write timestamps, and fill WORDS with the segments between them
    prompt: tuple[int, ...] = ()  # tokens of what comes before the recording
    max_new_tokens: int | None = None  # of one window; None: what the checkpoint says
    temperature_fallback: bool = False  # try again where the text repeats itself or is unlikely

    def init_tokens(self, settings: Settings, language: str | None) -> list[int]:
        """<|startoftranscript|> and what follows it up to the first written token."""
        tokens = [settings.start]
        if settings.languages:
            tokens.append(settings.languages[language or ""])
            tokens += [] if self.task is None else [settings.tasks[self.task]]
        return tokens if self.timestamps else [*tokens, settings.no_timestamps]


def parse(parameters: Mapping[str, object], settings: Settings, encode: Callable[[str], list[int]]) -> Options:
    """Options from the parameters of a request.

    Args:
        parameters: as they came.
        settings: of the checkpoint.
        encode: text -> token ids, without special tokens around them.

    Raises:
        ParameterError: a parameter that no step of the ensemble knows, or a malformed value.
    """
    if "word_timestamps" in parameters:
        raise ParameterError(
            "word_timestamps is not for this model, which tells no times of words; timestamps=true fills WORDS with "
            "segments and their times"
        )
    asked = contract.read({name: value for name, value in parameters.items() if name != _LIMIT}, "whisper")
    options = Options(
        language=_language(asked.language, settings),
        task=settings.task if asked.task is None else _task(asked.task, settings),
        timestamps=asked.timestamps,
        prompt=_prompt(asked.prompt, settings, encode),
        temperature_fallback=asked.temperature_fallback,
    )
    if _LIMIT not in parameters:
        return options
    # Every language has one token: any stands for the one that is yet to be detected.
    taken = len(options.prompt) + len(options.init_tokens(settings, next(iter(settings.languages), None)))
    limit = contract.Integer(1, settings.max_positions - taken).check(_LIMIT, parameters[_LIMIT])
    return replace(options, max_new_tokens=limit)


def _language(value: str | None, settings: Settings) -> str | None:
    if value is None:
        return settings.language
    code = value.lower()
    if code == AUTO:
        return settings.language if not settings.languages else None
    valid = sorted(settings.languages) or [str(settings.language)]
    if code not in valid:
        raise ParameterError(f"language is {value!r}; needs {AUTO} or one of {', '.join(valid)}")
    return code


def _task(value: str, settings: Settings) -> str:
    valid = tuple(settings.tasks) or (TRANSCRIBE,)
    if value not in valid:
        only = "" if settings.tasks else f" (this checkpoint knows {settings.language} alone)"
        raise ParameterError(f"task is {value!r}; needs one of {', '.join(valid)}{only}")
    return value


def _prompt(value: str, settings: Settings, encode: Callable[[str], list[int]]) -> tuple[int, ...]:
    if not value.strip():
        return ()
    tokens = encode(" " + value.strip())
    if any(token >= settings.end for token in tokens):
        raise ParameterError(f"prompt {value[:80]!r} holds a special token (such as <|en|>); needs plain text")
    if len(tokens) > settings.max_prompt_tokens:
        raise ParameterError(
            f"prompt has {len(tokens)} tokens; needs {settings.max_prompt_tokens} or fewer: keep what comes last"
        )
    return (settings.previous, *tokens)
