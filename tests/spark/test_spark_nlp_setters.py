"""Spark NLP's setters: kept, mapped or refused, and never ignored. No session is needed."""

from collections.abc import Callable

import pytest
from asr_spark.sparknlp import AudioAssembler, HubertForCTC, Wav2Vec2ForCTC, WhisperForCTC
from asr_spark.sparknlp.recognizer import Recognizer

RECOGNIZERS = [Wav2Vec2ForCTC, HubertForCTC, WhisperForCTC]


@pytest.mark.parametrize("kind", RECOGNIZERS)
def test_the_model_is_the_one_that_is_named(kind: type[Recognizer]) -> None:
    assert kind.pretrained().getModel() == "asr"
    german = kind.pretrained("german", "de")
    assert isinstance(german, kind)
    assert german.getModel() == "german"


def test_a_model_cannot_come_from_elsewhere() -> None:
    with pytest.raises(ValueError, match="remote_loc is 's3://models'; needs None: models come from the servers"):
        Wav2Vec2ForCTC.pretrained("a", "en", "s3://models")
    with pytest.raises(ValueError, match="cannot load /models/a.*triton-asr export .*HubertForCTC.pretrained"):
        HubertForCTC.loadSavedModel("/models/a", object())


def test_the_input_is_one_column_as_a_name_or_a_list() -> None:
    assert Wav2Vec2ForCTC().setInputCols("a").getInputCols() == ["a"]
    assert Wav2Vec2ForCTC().setInputCols(["a"]).getInputCols() == ["a"]
    for columns in ([], ["a", "b"]):
        with pytest.raises(ValueError, match="needs one column, of annotations of audio"):
            Wav2Vec2ForCTC().setInputCols(columns)
    with pytest.raises(ValueError, match="needs one column"):
        Wav2Vec2ForCTC().setInputCols("a", "b")


def test_the_batch_size_is_the_requests_at_a_time() -> None:
    recognizer = WhisperForCTC().setBatchSize(4)
    assert (recognizer.getBatchSize(), recognizer.getConcurrency()) == (4, 4)


def test_columns_of_the_assembler() -> None:
    assembler = AudioAssembler()
    assert (assembler.getInputCol(), assembler.getOutputCol()) == ("audio", "audio_assembler")
    assembler.setInputCol("a").setOutputCol("b")
    assert (assembler.getInputCol(), assembler.getOutputCol()) == ("a", "b")


@pytest.mark.parametrize(
    ("language", "task"), [("<|de|>", "<|translate|>"), ("de", "translate")], ids=["tokens", "plain"]
)
def test_language_and_task(language: str, task: str) -> None:
    whisper = WhisperForCTC().setLanguage(language).setTask(task)
    assert (whisper.getLanguage(), whisper.getTask()) == ("de", "translate")


def test_a_task_that_is_none() -> None:
    with pytest.raises(ValueError, match="task is 'summarize'; needs one of transcribe, translate"):
        WhisperForCTC().setTask("<|summarize|>")


@pytest.mark.parametrize("kind", RECOGNIZERS)
@pytest.mark.parametrize(
    ("setter", "value"),
    [
        ("setDoNormalize", True),
        ("setReturnAttentionMask", True),
        ("setPaddingSide", "right"),
        ("setPaddingValue", 0.0),
        ("setFeatureSize", 1),
        ("setConfigProtoBytes", [1]),
        ("setLazyAnnotator", True),
    ],
)
def test_what_the_model_brings_along_cannot_be_set(kind: type[Recognizer], setter: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{setter}\(.*\) is not possible; .*: leave the call out"):
        getattr(kind(), setter)(value)


@pytest.mark.parametrize(
    ("setter", "accepted", "refused"),
    [
        (WhisperForCTC.setMinOutputLength, 0, 1),
        (WhisperForCTC.setMaxOutputLength, 448, 100),
        (WhisperForCTC.setDoSample, False, True),
        (WhisperForCTC.setTemperature, 1.0, 0.5),
        (WhisperForCTC.setTopK, 1, 50),
        (WhisperForCTC.setTopP, 1.0, 0.9),
        (WhisperForCTC.setRepetitionPenalty, 1.0, 1.2),
        (WhisperForCTC.setNoRepeatNgramSize, 0, 3),
        (WhisperForCTC.setBeamSize, 1, 5),
        (WhisperForCTC.setNReturnSequences, 1, 2),
        (WhisperForCTC.setLazyAnnotator, False, True),
    ],
)
def test_values_that_ask_for_what_happens_anyway(
    setter: Callable[[WhisperForCTC, object], object], accepted: object, refused: object
) -> None:
    whisper = WhisperForCTC()
    assert setter(whisper, accepted) is whisper
    with pytest.raises(ValueError, match=rf"{setter.__name__}\({refused}\) is not possible"):
        setter(whisper, refused)


def test_setters_of_other_annotators_are_not_there() -> None:
    for setter in ("setBeamSize", "setCaseSensitive"):
        with pytest.raises(AttributeError, match=setter):
            getattr(Wav2Vec2ForCTC(), setter)
