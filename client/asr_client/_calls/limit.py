"""How long a recording may be for a model to take it at once: what a client learns of that, so as to send it once."""

import contextlib

from asr_client._audio import Payload
from asr_client._calls.protocol import DescribeSettings, ModelSettings
from asr_client._calls.retry import RetryState, ask
from asr_client._calls.steps import Steps
from asr_client._errors import AsrError, AudioTooLong
from asr_client._options import RetryPolicy

_ASK_FROM_BYTES = 2**20  # to send a smaller recording twice costs little
_NO_RETRY = RetryPolicy(max_attempts=1)


class Limit:
    """The limit of one model. Threads may share it.

    Attributes:
        longest_s: the longest recording that the model takes at once, in seconds; None if that is not known.
    """

    def __init__(self, model: str, version: str) -> None:
        self.longest_s: float | None = None
        self._model, self._version = model, version
        self._has_asked = False

    def note(self, error: AsrError) -> None:
        """Take the limit from a refusal of the model."""
        if isinstance(error, AudioTooLong) and error.limit_s is not None:
            self.longest_s = error.limit_s

    def matters(self, payload: Payload) -> bool:
        """Return whether to ask for the limit before the recording is sent."""
        is_open = self.longest_s is None and not self._has_asked
        return is_open and len(payload.data) >= _ASK_FROM_BYTES and payload.seconds() > 0

    def ask(self, state: RetryState, timeout_s: float) -> Steps[None]:
        """Ask the server, once; one that does not tell will tell with its first refusal."""
        self._has_asked = True
        with contextlib.suppress(AsrError, KeyError, ValueError):
            model = yield from self._settings(self._model, self._version, state, timeout_s)
            # The first step of an ensemble reads the recording; a Whisper names the model that does it.
            reader = model.steps[0] if model.steps else model.parameters["preprocess"]
            settings = yield from self._settings(reader, "", state, timeout_s)
            self.longest_s = float(settings.parameters["max_audio_seconds"])

    def _settings(self, model: str, version: str, state: RetryState, timeout_s: float) -> Steps[ModelSettings]:
        return ask(DescribeSettings(model, version), _NO_RETRY, state, timeout_s)
