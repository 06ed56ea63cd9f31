"""The request parameters of the generate step, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from asr_contract import languages
from asr_contract import parameters as contract
from asr_contract.errors import ParameterError

from asr_serving.whisper.settings import Settings

TRANSCRIBE, TRANSLATE = "transcribe", "translate"
AUTO = "auto"


@dataclass(frozen=True)
class Options:
    """How to transcribe one recording."""

    language: str | None  # a code of the checkpoint; None: detect it in the first window
    task: str | None  # transcribe or translate; None: the checkpoint uses no token of a task
    timestamps: bool = False  # write timestamps, and fill WORDS with the segments between them
    prompt: tuple[int, ...] = ()  # tokens of the text before the recording
    max_new_tokens: int | None = None  # of one window; None: the limit of the checkpoint
    temperature_fallback: bool = False  # try again if the text repeats itself or is unlikely
    word_timestamps: bool = False  # fill WORDS with words and their times
    prefix: tuple[int, ...] = ()  # tokens with which the text begins
    vad: bool = False  # leave out what a voice detector takes for silence

    def init_tokens(self, settings: Settings, language: str | None) -> list[int]:
        """Return the tokens from <|startoftranscript|> up to the first written token."""
        tokens = [settings.start]
        if settings.languages:
            tokens.append(settings.languages[language or ""])
            tokens += [] if self.task is None else [settings.tasks[self.task]]
        return tokens if self.timestamps else [*tokens, settings.no_timestamps]

    def alignment_tokens(self, settings: Settings, language: str | None, text: list[int]) -> list[int]:
        """Return the tokens whose attention tells the times of a text: no prompt, no timestamps (openai-whisper)."""
        start = replace(self, timestamps=False).init_tokens(settings, language)
        return [*start, *text, settings.end]


def parse(parameters: Mapping[str, object], settings: Settings, encode: Callable[[str], list[int]]) -> Options:
    """Return the options in the parameters of a request.

    Args:
        parameters: of the request.
        settings: of the checkpoint.
        encode: returns the token ids of a text, without special tokens around them.

    Raises:
        ParameterError: a parameter that no step of the ensemble knows, or a malformed value.
    """
    asked = contract.read(parameters, "whisper")
    if asked.word_timestamps and not settings.word_times:
        raise ParameterError(
            "word_timestamps is not for this model: its graphs came with the checkpoint, and give no times of words "
            "(an export of its weights does); timestamps=true fills WORDS with segments and their times"
        )
    options = Options(
        language=_language(asked.language, settings),
        task=settings.task if asked.task is None else _task(asked.task, settings),
        timestamps=asked.timestamps,
        prompt=_prompt(asked.prompt, settings, encode),
        temperature_fallback=asked.temperature_fallback,
        word_timestamps=asked.word_timestamps,
        vad=asked.vad,
    )
    if asked.max_new_tokens is None:
        return options
    # Every language has one token, so any of them can stand for one that is not detected yet.
    taken = len(options.prompt) + len(options.init_tokens(settings, next(iter(settings.languages), None)))
    limit = contract.Integer(1, settings.max_positions - taken).check("max_new_tokens", asked.max_new_tokens)
    return replace(options, max_new_tokens=limit)


def _language(value: str | None, settings: Settings) -> str | None:
    if value is None:
        return settings.language
    code = languages.code(value)
    if code == AUTO:
        return settings.language if not settings.languages else None
    valid = sorted(settings.languages) or [str(settings.language)]
    if code not in valid:
        choices = ", ".join(map(languages.described, valid))
        raise ParameterError(f"language is {value[:80]!r}; needs {AUTO} or one of {choices}")
    return code


def _task(value: str, settings: Settings) -> str:
    valid = tuple(settings.tasks) or (TRANSCRIBE,)
    if value not in valid:
        only = "" if settings.tasks else f" (this checkpoint knows only {settings.language})"
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
            f"prompt has {len(tokens)} tokens; needs {settings.max_prompt_tokens} or fewer: keep the last part"
        )
    return (settings.previous, *tokens)
