"""`Wav2Vec2ForCTC`, `HubertForCTC` and `WhisperForCTC`, whose models are on servers."""

from typing import Self

from asr_spark.sparknlp.recognizer import Recognizer
from asr_spark.sparknlp.setters import GeneratorSetters

__all__ = ["HubertForCTC", "Wav2Vec2ForCTC", "WhisperForCTC"]


class Wav2Vec2ForCTC(Recognizer):
    """Transcribes audio with a CTC model on servers, of whatever kind the server has; see `Recognizer`."""


class HubertForCTC(Recognizer):
    """Transcribes audio with a CTC model on servers, of whatever kind the server has; see `Recognizer`."""


class WhisperForCTC(GeneratorSetters, Recognizer):
    """Transcribes audio with a Whisper on servers; see `Recognizer`.

    Languages and tasks may be written as Spark NLP writes them (`<|de|>`, `<|translate|>`), or plainly.
    """

    def setLanguage(self, value: str | None) -> Self:
        """Set `language`: a code or an English name, such as de, german or <|de|>; auto: detect it."""
        return super().setLanguage(_plain(value))

    def setTask(self, value: str | None) -> Self:
        """Set `task`: transcribe or translate, also as <|transcribe|> or <|translate|>."""
        return super().setTask(_plain(value))


def _plain(token: str | None) -> str | None:
    """Return a token of Whisper's vocabulary without its marks; anything else as it is."""
    if isinstance(token, str) and token.startswith("<|") and token.endswith("|>"):
        return token[2:-2]
    return token
