"""How the models of one export are called: "asr" by default; every other name becomes a prefix of its steps."""

from dataclasses import dataclass

DEFAULT_NAME = "asr"
LONG_SUFFIX = "_long"  # the model beside an ensemble that takes recordings of any length
STREAM_SUFFIX = "_stream"  # the model beside an ensemble that takes live streams
PREPROCESS = "preprocess"
ACOUSTIC = "acoustic"
CTC_DECODE = "ctc_decode"
WHISPER_GENERATE = "whisper_generate"
# The name of an export cannot end in one of these: it would look like a step of another one.
RESERVED_ENDS = (PREPROCESS, ACOUSTIC, CTC_DECODE, WHISPER_GENERATE, LONG_SUFFIX, STREAM_SUFFIX)


@dataclass(frozen=True)
class ModelNames:
    """What one export of a CTC model calls its models."""

    ensemble: str
    preprocess: str
    acoustic: str
    ctc_decode: str
    long: str  # for recordings of any length; "" where there is none
    stream: str  # for live streams; "" where there is none

    @property
    def runner(self) -> str:
        """The model that runs the network."""
        return self.acoustic

    @staticmethod
    def of(name: str, preprocess: str) -> "ModelNames":
        """Return the names for an export of that name, with the preprocess step that it shares."""
        prefix = _prefix(name)
        return ModelNames(
            name, preprocess, prefix + ACOUSTIC, prefix + CTC_DECODE, name + LONG_SUFFIX, name + STREAM_SUFFIX
        )


@dataclass(frozen=True)
class WhisperNames:
    """What one export of a Whisper calls its models."""

    ensemble: str
    preprocess: str
    whisper_generate: str

    @property
    def runner(self) -> str:
        """The model that runs the network."""
        return self.whisper_generate

    @staticmethod
    def of(name: str, preprocess: str) -> "WhisperNames":
        """Return the names for an export of that name, with the preprocess step that it shares."""
        return WhisperNames(name, preprocess, _prefix(name) + WHISPER_GENERATE)


def _prefix(name: str) -> str:
    return "" if name == DEFAULT_NAME else f"{name}_"
