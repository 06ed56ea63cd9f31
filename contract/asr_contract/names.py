"""The names of an export's models: "asr" by default; any other name becomes a prefix of its steps' names."""

from dataclasses import dataclass

DEFAULT_NAME = "asr"
LONG_SUFFIX = "_long"  # the model beside an ensemble that takes recordings of any length
STREAM_SUFFIX = "_stream"  # the model beside an ensemble that takes live streams
PREPROCESS = "preprocess"
ACOUSTIC = "acoustic"
CTC_DECODE = "ctc_decode"
WHISPER_GENERATE = "whisper_generate"
# An export's name cannot end in one of these: it would look like a step of another export.
RESERVED_ENDS = (PREPROCESS, ACOUSTIC, CTC_DECODE, WHISPER_GENERATE, LONG_SUFFIX, STREAM_SUFFIX)


@dataclass(frozen=True)
class ModelNames:
    """The names of the models in one export of a CTC model."""

    ensemble: str
    preprocess: str
    acoustic: str
    ctc_decode: str
    long: str  # for recordings of any length; "" if there is none
    stream: str  # for live streams; "" if there is none

    @property
    def runner(self) -> str:
        """Return the name of the model that runs the network."""
        return self.acoustic

    @staticmethod
    def of(name: str, preprocess: str) -> "ModelNames":
        """Return the names for an export called `name` that uses the given preprocess step."""
        prefix = _prefix(name)
        return ModelNames(
            name, preprocess, prefix + ACOUSTIC, prefix + CTC_DECODE, name + LONG_SUFFIX, name + STREAM_SUFFIX
        )


@dataclass(frozen=True)
class WhisperNames:
    """The names of the models in one export of a Whisper checkpoint."""

    ensemble: str  # the model that callers know; it is no ensemble, but has the place of one
    preprocess: str
    whisper_generate: str
    long: str  # for recordings of any length
    stream: str  # for live streams

    @property
    def runner(self) -> str:
        """Return the name of the model that runs the network."""
        return self.whisper_generate

    @staticmethod
    def of(name: str, preprocess: str) -> "WhisperNames":
        """Return the names for an export called `name` that uses the given preprocess step."""
        return WhisperNames(
            name, preprocess, _prefix(name) + WHISPER_GENERATE, name + LONG_SUFFIX, name + STREAM_SUFFIX
        )


def _prefix(name: str) -> str:
    return "" if name == DEFAULT_NAME else f"{name}_"
