"""Spark NLP's setters for what is fixed here, when a model is exported. None of them is silently ignored.

A value that asks for what happens anyway is accepted. Any other one raises a ValueError that says what to do.
"""

from typing import NoReturn, Self

_CHECKPOINT = "the exported model prepares audio as its checkpoint says (preprocessor_config.json): leave the call out"
_GREEDY = "a Whisper decodes greedily on the server: leave the call out"


def _impossible(setter: str, value: object, why: str) -> ValueError:
    return ValueError(f"{setter}({value!r}) is not possible; {why}")


class ModelSetters:
    """The setters of every recognizer for what its model brings along."""

    def setDoNormalize(self, value: bool) -> NoReturn:
        """Raise ValueError: the model normalizes as its checkpoint does."""
        raise _impossible("setDoNormalize", value, _CHECKPOINT)

    def setReturnAttentionMask(self, value: bool) -> NoReturn:
        """Raise ValueError: the model masks as its checkpoint does."""
        raise _impossible("setReturnAttentionMask", value, _CHECKPOINT)

    def setPaddingSide(self, value: str) -> NoReturn:
        """Raise ValueError: the model pads as its checkpoint does."""
        raise _impossible("setPaddingSide", value, _CHECKPOINT)

    def setPaddingValue(self, value: float) -> NoReturn:
        """Raise ValueError: the model pads as its checkpoint does."""
        raise _impossible("setPaddingValue", value, _CHECKPOINT)

    def setFeatureSize(self, value: int) -> NoReturn:
        """Raise ValueError: the model has the features of its checkpoint."""
        raise _impossible("setFeatureSize", value, _CHECKPOINT)

    def setConfigProtoBytes(self, b: list[int]) -> NoReturn:
        """Raise ValueError: no model runs in Spark, and none in TensorFlow."""
        raise _impossible("setConfigProtoBytes", b, "no TensorFlow runs here: leave the call out")

    def setLazyAnnotator(self, value: bool) -> Self:
        """Accept False."""
        if value:
            raise _impossible("setLazyAnnotator", value, "there is no RecursivePipeline here: leave the call out")
        return self


class GeneratorSetters:
    """The setters of Whisper for how text is generated; the values that are accepted are Spark NLP's defaults."""

    def setMaxOutputLength(self, value: int) -> Self:
        """Accept 448, the positions of a Whisper's decoder."""
        return self._only(448, "setMaxOutputLength", value, f"call setMaxNewTokens({value!r}), which counts new tokens")

    def setMinOutputLength(self, value: int) -> Self:
        """Accept 0."""
        return self._only(0, "setMinOutputLength", value)

    def setDoSample(self, value: bool) -> Self:
        """Accept False."""
        return self._only(False, "setDoSample", value)

    def setTemperature(self, value: float) -> Self:
        """Accept 1.0."""
        return self._only(1.0, "setTemperature", value)

    def setTopK(self, value: int) -> Self:
        """Accept 1."""
        return self._only(1, "setTopK", value)

    def setTopP(self, value: float) -> Self:
        """Accept 1.0."""
        return self._only(1.0, "setTopP", value)

    def setRepetitionPenalty(self, value: float) -> Self:
        """Accept 1.0."""
        return self._only(1.0, "setRepetitionPenalty", value)

    def setNoRepeatNgramSize(self, value: int) -> Self:
        """Accept 0."""
        return self._only(0, "setNoRepeatNgramSize", value)

    def setBeamSize(self, value: int) -> Self:
        """Accept 1."""
        return self._only(1, "setBeamSize", value)

    def setNReturnSequences(self, value: int) -> Self:
        """Accept 1."""
        return self._only(1, "setNReturnSequences", value)

    def _only(self, accepted: float, setter: str, value: object, otherwise: str = _GREEDY) -> Self:
        """Raise ValueError unless the value is the accepted one."""
        if value != accepted:
            raise _impossible(setter, value, otherwise)
        return self
