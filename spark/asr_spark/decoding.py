"""The Params of decoding: the request parameters of `asr_contract.parameters`, each under its own name."""

from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any, Self

from asr_client import DecodeOptions
from asr_contract.parameters import parameter
from pyspark.ml.param import Param, Params

_FIELDS: dict[str, "Field[Any]"] = {option.name: option for option in fields(DecodeOptions)}


def _param(name: str) -> "Param[Any]":
    """Return the Param of a request parameter, with its help, and with the check of its values."""
    about = parameter(_FIELDS[name])
    return Param(Params._dummy(), name, about.help, lambda value: _checked(name, value))


def _checked(name: str, value: object) -> Any:
    """Return the value in the parameter's type.

    Raises:
        ParameterError: it is not valid; the message says what is. It is a ValueError.
    """
    if name == "hotwords" and not isinstance(value, str):
        value = DecodeOptions(hotwords=value).hotword_text  # type: ignore[arg-type]
    return parameter(_FIELDS[name]).type.check(name, value)


class DecodingParams(Params):
    """How the server decodes. None lets the server choose."""

    word_timestamps = _param("word_timestamps")
    decoder = _param("decoder")
    beam_width = _param("beam_width")
    lm_weight = _param("lm_weight")
    word_score = _param("word_score")
    nbest = _param("nbest")
    hotwords = _param("hotwords")
    hotword_weight = _param("hotword_weight")
    vad = _param("vad")
    language = _param("language")
    task = _param("task")
    timestamps = _param("timestamps")
    prompt = _param("prompt")
    max_new_tokens = _param("max_new_tokens")
    temperature_fallback = _param("temperature_fallback")

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(**{name: option.default for name, option in _FIELDS.items()})

    def decode_options(self) -> DecodeOptions:
        """Return the options, as the client takes them."""
        values = {name: self.getOrDefault(name) for name in _FIELDS}
        return DecodeOptions(**{name: value for name, value in values.items() if value is not None})

    def setWordTimestamps(self, value: bool) -> Self:
        """Set `word_timestamps`."""
        return self._set(word_timestamps=value)

    def getWordTimestamps(self) -> bool:
        """Return `word_timestamps`."""
        value: bool = self.getOrDefault(self.word_timestamps)
        return value

    def setDecoder(self, value: str) -> Self:
        """Set `decoder`."""
        return self._set(decoder=value)

    def getDecoder(self) -> str:
        """Return `decoder`."""
        value: str = self.getOrDefault(self.decoder)
        return value

    def setBeamWidth(self, value: int) -> Self:
        """Set `beam_width`."""
        return self._set(beam_width=value)

    def getBeamWidth(self) -> int:
        """Return `beam_width`."""
        value: int = self.getOrDefault(self.beam_width)
        return value

    def setLmWeight(self, value: float | None) -> Self:
        """Set `lm_weight`."""
        return self._set(lm_weight=value)

    def getLmWeight(self) -> float | None:
        """Return `lm_weight`."""
        value: float | None = self.getOrDefault(self.lm_weight)
        return value

    def setWordScore(self, value: float | None) -> Self:
        """Set `word_score`."""
        return self._set(word_score=value)

    def getWordScore(self) -> float | None:
        """Return `word_score`."""
        value: float | None = self.getOrDefault(self.word_score)
        return value

    def setNbest(self, value: int) -> Self:
        """Set `nbest`."""
        return self._set(nbest=value)

    def getNbest(self) -> int:
        """Return `nbest`."""
        value: int = self.getOrDefault(self.nbest)
        return value

    def setHotwords(self, value: str | Sequence[str]) -> Self:
        """Set `hotwords`."""
        return self._set(hotwords=value)

    def getHotwords(self) -> str:
        """Return `hotwords`."""
        value: str = self.getOrDefault(self.hotwords)
        return value

    def setHotwordWeight(self, value: float) -> Self:
        """Set `hotword_weight`."""
        return self._set(hotword_weight=value)

    def getHotwordWeight(self) -> float:
        """Return `hotword_weight`."""
        value: float = self.getOrDefault(self.hotword_weight)
        return value

    def setVad(self, value: bool) -> Self:
        """Set `vad`."""
        return self._set(vad=value)

    def getVad(self) -> bool:
        """Return `vad`."""
        value: bool = self.getOrDefault(self.vad)
        return value

    def setLanguage(self, value: str | None) -> Self:
        """Set `language`."""
        return self._set(language=value)

    def getLanguage(self) -> str | None:
        """Return `language`."""
        value: str | None = self.getOrDefault(self.language)
        return value

    def setTask(self, value: str | None) -> Self:
        """Set `task`."""
        return self._set(task=value)

    def getTask(self) -> str | None:
        """Return `task`."""
        value: str | None = self.getOrDefault(self.task)
        return value

    def setTimestamps(self, value: bool) -> Self:
        """Set `timestamps`."""
        return self._set(timestamps=value)

    def getTimestamps(self) -> bool:
        """Return `timestamps`."""
        value: bool = self.getOrDefault(self.timestamps)
        return value

    def setPrompt(self, value: str) -> Self:
        """Set `prompt`."""
        return self._set(prompt=value)

    def getPrompt(self) -> str:
        """Return `prompt`."""
        value: str = self.getOrDefault(self.prompt)
        return value

    def setMaxNewTokens(self, value: int | None) -> Self:
        """Set `max_new_tokens`."""
        return self._set(max_new_tokens=value)

    def getMaxNewTokens(self) -> int | None:
        """Return `max_new_tokens`."""
        value: int | None = self.getOrDefault(self.max_new_tokens)
        return value

    def setTemperatureFallback(self, value: bool) -> Self:
        """Set `temperature_fallback`."""
        return self._set(temperature_fallback=value)

    def getTemperatureFallback(self) -> bool:
        """Return `temperature_fallback`."""
        value: bool = self.getOrDefault(self.temperature_fallback)
        return value
