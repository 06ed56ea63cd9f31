"""How a server decodes, from what a request says and from what the model knows."""

import re
from collections.abc import Sequence

from asr_client import DecodeOptions, ModelInfo
from asr_contract.parameters import Task

from asr_gateway.errors import ApiError
from asr_gateway.forms import SUBTITLES, Form, Subtitles

_LONGEST_NAME = 4  # words; a longer phrase of a prompt is a sentence
_PHRASE_ENDS = re.compile(r"[,;:.!?\n\r\t()\"]+")
_WITHIN_NAMES = " -'\N{RIGHT SINGLE QUOTATION MARK}"
_REGION = re.compile(r"[-_]")  # of en-US, zh_CN


def options(form: Form, model: ModelInfo, task: Task) -> DecodeOptions:
    """Return the options for a recording.

    Raises:
        ApiError: the model cannot translate.
    """
    if not model.knows_languages:
        if task == "translate":
            message = f"The model {model.name!r} cannot translate; a Whisper with several languages can."
            raise ApiError(400, "unsupported_value", message, param="model")
        return DecodeOptions(
            hotwords=hotwords(form.keywords, form.prompt), word_timestamps=_needs_words(form, True), vad=form.vad
        )
    return DecodeOptions(
        # A Whisper cannot choose among a few languages: it detects any, or takes one.
        language=_language(form.languages[0]) if len(form.languages) == 1 else None,
        prompt=prompt(form.keywords, form.prompt),
        task="translate" if task == "translate" else None,
        word_timestamps=_needs_words(form, False),
        # The segments of separate channels are merged in time.
        timestamps=has_segments(form) or form.channels == "separate",
        vad=form.vad,
    )


def live(
    model: ModelInfo, *, languages: Sequence[str], keywords: Sequence[str], context: str, vad: bool
) -> DecodeOptions:
    """Return the options for a session of live audio.

    Args:
        model: of the session.
        languages: that may be spoken.
        keywords: as in a form.
        context: the prompt, as in a form.
        vad: whether the model needs a voice detector; a live Whisper always has one.
    """
    if model.knows_languages:
        language = _language(languages[0]) if len(languages) == 1 else None
        return DecodeOptions(language=language, prompt=prompt(keywords, context))
    return DecodeOptions(hotwords=hotwords(keywords, context), vad=vad)


def has_segments(form: Form) -> bool:
    """Return whether the answer has segments: they are what verbose_json has unless it is asked for words alone."""
    return form.format == "verbose_json" and form.granularities != {"word"}


def has_words(form: Form) -> bool:
    """Return whether the answer has words with their times."""
    return form.format == "verbose_json" and "word" in form.granularities


def has_logprobs(form: Form) -> bool:
    """Return whether the answer has log-probs: json, verbose_json and events have a place for them."""
    return form.wants_logprobs and form.format in ("json", "verbose_json")


def subtitles(form: Form) -> tuple[Subtitles, ...]:
    """Return the subtitles that the answer has beside the transcript: verbose_json has a place for them."""
    return form.subtitles if form.format == "verbose_json" else ()


def hotwords(keywords: Sequence[str], prompt: str) -> list[str]:
    """Return the words that a CTC model listens for: the keywords, and the names in the prompt.

    Names are short phrases of letters between commas and other marks. Sentences are no names, and a CTC model has no
    use for what was said before.
    """
    phrases = [" ".join(phrase.split()) for phrase in _PHRASE_ENDS.split(prompt)]
    names = [phrase for phrase in phrases if 0 < len(phrase.split()) <= _LONGEST_NAME and _is_written(phrase)]
    listed = [word.strip() for keyword in keywords for word in keyword.split(",")]
    return list(dict.fromkeys(filter(None, [*listed, *names])))


def prompt(keywords: Sequence[str], prompt: str) -> str:
    """Return the text before the recording, from which a Whisper takes its spelling."""
    return " ".join(filter(None, [f"{', '.join(keywords)}." if keywords else "", prompt]))


def _needs_words(form: Form, makes_segments: bool) -> bool:
    """Return whether times of words are needed. The segments of a CTC model are made of words."""
    return (
        form.format in SUBTITLES
        or bool(subtitles(form))
        or has_words(form)
        or has_logprobs(form)
        or (makes_segments and has_segments(form))
    )


def _language(language: str) -> str:
    """Return the language without its region."""
    return _REGION.split(language)[0]


def _is_written(phrase: str) -> bool:
    return all(character.isalpha() or character in _WITHIN_NAMES for character in phrase)
