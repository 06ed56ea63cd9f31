"""The request parameters of the generate step, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from whisper_settings import Settings

# Read by the preprocess step, which has checked their values before this step runs.
AUDIO_PARAMETERS = ("encoding", "sample_rate", "channels")
OWN_PARAMETERS = ("language", "max_new_tokens", "prompt", "task", "temperature_fallback", "timestamps")
TASKS = ("transcribe", "translate")
AUTO = "auto"


class ParameterError(ValueError):
    """A request parameter is unknown or malformed; the message names the valid choices."""


@dataclass(frozen=True)
class Options:
    """How to transcribe one recording."""

    language: str | None  # a code of the checkpoint; None: to be detected in the first window
    task: str | None  # one of TASKS; None: no token of a task, as the checkpoint has it
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
    unknown = sorted(parameters.keys() - set(OWN_PARAMETERS) - set(AUDIO_PARAMETERS))
    if unknown:
        valid = ", ".join((*AUDIO_PARAMETERS, *OWN_PARAMETERS))
        raise ParameterError(f"unknown parameter {', '.join(map(repr, unknown))}; needs some of {valid}")
    options = Options(
        language=_language(parameters.get("language"), settings),
        task=_task(parameters["task"], settings) if "task" in parameters else settings.task,
        timestamps=_boolean(parameters, "timestamps"),
        prompt=_prompt(parameters.get("prompt", ""), settings, encode),
        max_new_tokens=None,
        temperature_fallback=_boolean(parameters, "temperature_fallback"),
    )
    if "max_new_tokens" not in parameters:
        return options
    # Every language has one token: any stands for the one that is yet to be detected.
    taken = len(options.prompt) + len(options.init_tokens(settings, next(iter(settings.languages), None)))
    most = settings.max_positions - taken
    limit = _integer(parameters["max_new_tokens"], "max_new_tokens", 1, most)
    return Options(**{**vars(options), "max_new_tokens": limit})


def _language(value: object, settings: Settings) -> str | None:
    if value is None:
        return settings.language
    code = value.lower() if isinstance(value, str) else value
    if code == AUTO:
        return settings.language if not settings.languages else None
    valid = sorted(settings.languages) or [str(settings.language)]
    if code not in valid:
        raise ParameterError(f"language is {value!r}; needs {AUTO} or one of {', '.join(valid)}")
    return str(code)


def _task(value: object, settings: Settings) -> str:
    valid = tuple(settings.tasks) or TASKS[:1]
    if value not in valid:
        only = "" if settings.tasks else f" (this checkpoint knows {settings.language} alone)"
        raise ParameterError(f"task is {value!r}; needs one of {', '.join(valid)}{only}")
    return str(value)


def _prompt(value: object, settings: Settings, encode: Callable[[str], list[int]]) -> tuple[int, ...]:
    if not isinstance(value, str):
        raise ParameterError(f"prompt is {value!r}; needs text")
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


def _boolean(parameters: Mapping[str, object], name: str) -> bool:
    value = parameters.get(name, False)
    # A client that has only text parameters sends "true".
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise ParameterError(f"{name} is {value!r}; needs true or false")
    return value


def _integer(value: object, name: str, low: int, high: int) -> int:
    # A bool is an int to Python; a string is what a client sends that has only text parameters.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(high)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParameterError(f"{name} is {value!r}; needs a whole number from {low} to {high}")
    return value
