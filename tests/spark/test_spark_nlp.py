"""Spark NLP's stages in a real Spark: its schema, its metadata, and what becomes of each row."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spark_service
from asr_client import Client, Transcription
from asr_server import TritonServer
from asr_spark.sparknlp import AudioAssembler, Wav2Vec2ForCTC, WhisperForCTC, start
from fake_inference import FakeTriton, serving
from pyspark.errors import PythonException, SparkRuntimeException
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

# With the server, all tests are of one group of pytest-xdist, and share one Spark.
pytestmark = [pytest.mark.spark, pytest.mark.e2e, pytest.mark.usefixtures("server")]
RATE = 16_000

# As Spark NLP declares it: name, type, and whether a null is possible.
FIELDS = [
    ("annotatorType", "string", True),
    ("begin", "int", False),
    ("end", "int", False),
    ("result", "string", True),
    ("metadata", "map<string,string>", True),
    ("embeddings", "array<float>", True),
]


@pytest.fixture
def urls(session: "SparkSession", server: TritonServer) -> Iterator[list[str]]:
    """The server's address, which is also in Spark's configuration."""
    assert start(urls=[server.grpc_url]) is session
    yield [server.grpc_url]
    session.conf.unset("spark.triton.asr.urls")


def table(session: "SparkSession", values: list[object], kind: str = "array<float>") -> "DataFrame":
    return session.createDataFrame(list(enumerate(values)), f"number int, audio {kind}").coalesce(1)


def pipeline(recognizer: Wav2Vec2ForCTC | WhisperForCTC) -> Pipeline:
    recognizer.setInputCols(["audio_assembler"]).setOutputCol("text")
    return Pipeline().setStages([AudioAssembler(), recognizer])


def annotations(data: "DataFrame", recognizer: Wav2Vec2ForCTC | WhisperForCTC) -> "list[list[Row]]":
    """The annotations of each row, in the order of the rows."""
    rows = pipeline(recognizer).fit(data).transform(data).collect()
    return [row.text for row in sorted(rows, key=lambda row: row.number)]


def test_the_schema_is_that_of_spark_nlp(session: "SparkSession", urls: list[str]) -> None:
    data = table(session, [[0.0]])
    schema = pipeline(Wav2Vec2ForCTC.pretrained()).fit(data).transform(data).schema
    assert schema.names == ["number", "audio", "audio_assembler", "text"]
    audio, text = schema["audio_assembler"], schema["text"]
    assert (audio.metadata, text.metadata) == ({"annotatorType": "audio"}, {"annotatorType": "document"})
    assert (audio.nullable, text.nullable) == (False, False)
    fields = text.dataType.elementType.fields
    assert [(field.name, field.dataType.simpleString(), field.nullable) for field in fields] == FIELDS
    assert not fields[-1].dataType.containsNull
    assert audio.dataType.simpleString() == (
        "array<struct<annotatorType:string,result:array<float>,metadata:map<string,string>>>"
    )


@pytest.mark.parametrize("kind", ["array<float>", "array<double>"])
def test_a_transcript(session: "SparkSession", urls: list[str], kind: str) -> None:
    samples = spark_service.samples(RATE)
    [[annotation]] = annotations(table(session, [samples.tolist()], kind), Wav2Vec2ForCTC.pretrained())
    with Client(urls[0]) as client:
        told = client.transcribe(samples, sampling_rate=RATE)
    assert "MIDDLE CLASSES" in annotation.result == told.text
    assert (annotation.annotatorType, annotation.begin, annotation.end) == ("document", 0, len(told.text) - 1)
    assert annotation.embeddings == []
    metadata = annotation.metadata
    assert {name: metadata[name] for name in ("audio", "sentence", "length")} == {
        "audio": "0",
        "sentence": "0",
        "length": str(len(samples)),
    }
    assert float(metadata["confidence"]) == pytest.approx(told.confidence)
    assert float(metadata["duration"]) == told.duration
    assert len(metadata) == 5


def test_words_and_alternatives_are_json(session: "SparkSession", urls: list[str]) -> None:
    samples = spark_service.samples(RATE)
    recognizer = Wav2Vec2ForCTC().setUrls(urls).setWordTimestamps(True).setDecoder("beam").setNbest(2)
    [[annotation]] = annotations(table(session, [samples.tolist()]), recognizer)
    with Client(urls[0]) as client:
        told = client.transcribe(samples, sampling_rate=RATE, word_timestamps=True, decoder="beam", nbest=2)
    words = json.loads(annotation.metadata["words"])
    assert [(word["word"], word["start"], word["end"]) for word in words] == [
        (word.word, word.start, word.end) for word in told.words
    ]
    texts = [choice["text"] for choice in json.loads(annotation.metadata["alternatives"])]
    assert texts == [choice.text for choice in told.alternatives]


def test_rows_without_a_transcript(session: "SparkSession", server: TritonServer, urls: list[str]) -> None:
    samples = spark_service.samples(RATE).tolist()
    before = spark_service.all_answered(server)
    data = table(session, [None, samples, [], [0.0, None], samples])
    found = annotations(data, Wav2Vec2ForCTC.pretrained())
    assert [[annotation.result != "" for annotation in row] for row in found] == [[], [True], [], [False], [True]]
    failed = found[3][0]
    assert (failed.begin, failed.end, failed.result) == (0, -1, "")
    assert failed.metadata["error_type"] == "InvalidAudio"
    assert "1 nulls among its 2 samples" in failed.metadata["error"]
    assert spark_service.all_answered(server) - before == 2  # each recording was sent once


def test_a_filter_sends_each_recording_once(session: "SparkSession", server: TritonServer, urls: list[str]) -> None:
    data = table(session, [spark_service.samples(RATE).tolist(), [0.0] * RATE])
    before = spark_service.all_answered(server)
    transcribed = pipeline(Wav2Vec2ForCTC.pretrained()).fit(data).transform(data)
    assert len(transcribed.filter("text[0].result != ''").select("text.result", "text.metadata").collect()) == 1
    assert spark_service.all_answered(server) - before == 2


def test_a_name_that_the_servers_do_not_have(session: "SparkSession", urls: list[str]) -> None:
    data = table(session, [[0.0] * RATE])
    with pytest.raises(PythonException, match="model 'asr_wav2vec2_base_960h' .* is not found; it has asr$"):
        annotations(data, Wav2Vec2ForCTC.pretrained("asr_wav2vec2_base_960h"))


def test_options_of_whisper_reach_the_server(session: "SparkSession") -> None:
    fake = FakeTriton("grpc", model=lambda seen: Transcription("hallo", 0.5, 1.0, language="de"))
    with serving(fake):
        whisper = WhisperForCTC.pretrained().setUrls(fake.url).setLanguage("<|de|>").setTask("<|translate|>")
        [[annotation]] = annotations(table(session, [[0.0] * RATE]), whisper.setSamplingRate(8_000))
    assert (annotation.result, annotation.metadata["language"]) == ("hallo", "de")
    (seen,) = fake.seen
    assert {"language": "de", "task": "translate", "sample_rate": 8_000}.items() <= seen.parameters.items()


def test_a_saved_pipeline(session: "SparkSession", urls: list[str], tmp_path: Path) -> None:
    data = table(session, [spark_service.samples(RATE).tolist()])
    fitted = pipeline(Wav2Vec2ForCTC.pretrained().setBatchSize(3)).fit(data)
    fitted.write().save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    assert [type(stage) for stage in loaded.stages] == [AudioAssembler, Wav2Vec2ForCTC]
    assert loaded.stages[1].getBatchSize() == 3
    [row] = loaded.transform(data).collect()
    assert "MIDDLE CLASSES" in row.text[0].result


def test_columns_are_checked_before_a_job_begins(session: "SparkSession") -> None:
    data = table(session, [[0.0]])
    recognizer = Wav2Vec2ForCTC().setOutputCol("text")
    with pytest.raises(ValueError, match="inputCols is not set"):
        recognizer.transform(data)
    with pytest.raises(ValueError, match="column audio is array<float>; needs annotations of audio, from AudioAss"):
        recognizer.setInputCols("audio").transform(data)
    with pytest.raises(ValueError, match="column number is int; needs array<float> or array<double>"):
        AudioAssembler().setInputCol("number").transform(data)
    assembled = AudioAssembler().transform(data)
    with pytest.raises(ValueError, match="column number exists already"):
        recognizer.setInputCols("audio_assembler").setOutputCol("number").transform(assembled)
    with pytest.raises(ValueError, match=re.escape("call setUrls(['HOST:PORT']), or set spark.triton.asr.urls")):
        recognizer.setOutputCol("text").transform(assembled)


def test_no_annotation_gets_lost(session: "SparkSession", urls: list[str]) -> None:
    assembled = AudioAssembler().transform(table(session, [[0.0]]))
    twice = assembled.withColumn("audio_assembler", F.concat("audio_assembler", "audio_assembler"))
    recognizer = Wav2Vec2ForCTC().setInputCols("audio_assembler").setOutputCol("text")
    with pytest.raises(SparkRuntimeException, match="a row has more than one annotation of audio"):
        recognizer.transform(twice).collect()
