"""`TritonSpeechToText` in a real Spark, against a real Triton."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spark_service
from asr_client import Client
from asr_server import TritonServer
from asr_spark import TritonSpeechToText

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# All tests of the server are on one worker of pytest-xdist, which starts one Spark.
pytestmark = [pytest.mark.spark, pytest.mark.e2e, pytest.mark.usefixtures("server")]
STRUCT = (
    "struct<text:string,confidence:double,duration:double,language:string,"
    "words:array<struct<word:string,start:double,end:double,confidence:double>>,"
    "error:struct<type:string,message:string>>"
)


def stt(server: TritonServer, **params: object) -> TritonSpeechToText:
    return TritonSpeechToText(**({"inputCol": "audio", "outputCol": "speech", "urls": [server.grpc_url]} | params))


def table(session: "SparkSession", values: list[object], kind: str) -> "DataFrame":
    """A table of numbered rows in one partition."""
    return session.createDataFrame(list(enumerate(values)), f"number int, audio {kind}").coalesce(1)


def test_bytes_of_every_kind_in_one_batch(
    session: "SparkSession", server: TritonServer, texts: dict[Path, str]
) -> None:
    file, text = next(iter(texts.items()))
    values = [None, b"", b"no audio at all", file.read_bytes(), file.read_bytes()[:100], None, file.read_bytes()]
    results = stt(server).transform(table(session, values, "binary"))
    assert results.schema["speech"].dataType.simpleString() == STRUCT
    rows = results.collect()
    assert [row.number for row in rows] == list(range(len(values)))
    assert [row.speech and row.speech.text for row in rows] == [None, None, None, text, None, None, text]
    errors = [row.speech and row.speech.error and row.speech.error.type for row in rows]
    assert errors == [None, "InvalidAudio", "InvalidRequest", None, "InvalidRequest", None, None]


def test_paths_that_spark_gives(session: "SparkSession", server: TritonServer, texts: dict[Path, str], tmp_path: Path):
    """Every name that a file can have, in each column of Spark that has it."""
    from pyspark.sql import functions as F

    file, text = next(iter(texts.items()))
    for name in ("a b.wav", "ü#x.wav", "100%.wav", "a%20c.wav", "q?.wav", "p+q.wav"):
        (tmp_path / name).write_bytes(file.read_bytes())
    files = session.read.format("binaryFile").load(str(tmp_path))
    for column in (F.col("path"), F.col("_metadata.file_path"), F.input_file_name()):
        rows = stt(server).transform(files.select(column.alias("audio"))).collect()
        assert [(row.speech.text, row.speech.error) for row in rows] == 6 * [(text, None)]


def test_missing_files_and_strange_schemes(session: "SparkSession", server: TritonServer, texts: dict[Path, str]):
    file, text = next(iter(texts.items()))
    values = [str(file), "/nowhere/a.wav", "gopher://a/b.wav", None, "", file.as_uri()]
    rows = stt(server).transform(table(session, values, "string")).collect()
    assert [row.speech and row.speech.text for row in rows] == [text, None, None, None, None, text]
    errors = [row.speech and row.speech.error and row.speech.error.type for row in rows]
    assert errors == [None, "InvalidAudio", "InvalidAudio", None, "InvalidAudio", None]


@pytest.mark.parametrize("kind", ["float", "double"])
def test_samples(session: "SparkSession", server: TritonServer, kind: str) -> None:
    rate = 16_000
    samples = spark_service.samples(rate)
    values = [samples.tolist(), [float("nan")] * rate, [], None, [0.0, None]]
    rows = stt(server, samplingRate=rate).transform(table(session, values, f"array<{kind}>")).collect()
    with Client(server.grpc_url) as client:
        assert rows[0].speech.text == client.transcribe(samples, sampling_rate=rate).text != ""
    errors = [row.speech and row.speech.error and row.speech.error.type for row in rows]
    assert errors == [None, "InvalidRequest", "InvalidAudio", None, "InvalidAudio"]


def test_over_http(session: "SparkSession", server: TritonServer, texts: dict[Path, str]) -> None:
    file, text = next(iter(texts.items()))
    over_http = stt(server, urls=[server.http_url], protocol="http")
    assert over_http.transform(table(session, [str(file)], "string")).collect()[0].speech.text == text


def test_words_and_options_reach_the_server(session: "SparkSession", server: TritonServer, texts: dict[Path, str]):
    file = next(iter(texts))
    data = table(session, [str(file)], "string")
    beam = stt(server, word_timestamps=True, decoder="beam", nbest=2)
    speech = beam.transform(data).collect()[0].speech
    with Client(server.grpc_url) as client:
        told = client.transcribe(file, word_timestamps=True, decoder="beam", nbest=2)
    assert [(word.word, word.start, word.end) for word in speech.words] == [
        (word.word, word.start, word.end) for word in told.words
    ]
    assert [choice.text for choice in speech.alternatives] == [choice.text for choice in told.alternatives]


def test_a_filter_and_two_selects_send_each_row_once(
    session: "SparkSession", server: TritonServer, calls: tuple[Path, dict[str, str]]
) -> None:
    from pyspark.sql import functions as F

    folder, told = calls
    files = session.read.format("binaryFile").load(str(folder)).select(F.col("path").alias("audio"))
    before = spark_service.all_answered(server)
    results = stt(server).transform(files)
    rows = results.filter("speech.text != ''").select("audio", "speech").select("audio", "speech.text").collect()
    answered = spark_service.all_answered(server) - before
    assert answered == len(told)
    assert {Path(row.audio).name: row.text for row in rows} == {name: text for name, text in told.items() if text}


def test_the_summary(session: "SparkSession", server: TritonServer, texts: dict[Path, str]) -> None:
    file = next(iter(texts))
    transformer = stt(server)
    rows = transformer.transform(table(session, [str(file), None, "/nowhere", str(file)], "string")).collect()
    summary = transformer.summary()
    assert (summary.rows, summary.without_recording, summary.errors) == (4, 1, {"InvalidAudio": 1})
    assert summary.audio_s == pytest.approx(2 * rows[0].speech.duration)
    assert summary.rtfx == summary.audio_s / summary.elapsed_s > 0
    assert str(summary).startswith("4 rows (1 without a recording), ")


def test_two_of_them_in_one_query(session: "SparkSession", server: TritonServer, texts: dict[Path, str]) -> None:
    file, text = next(iter(texts.items()))
    first, second = stt(server, outputCol="a"), stt(server, outputCol="b", word_timestamps=True)
    rows = second.transform(first.transform(table(session, [str(file), "/nowhere"], "string"))).collect()
    assert [(row.a.text, row.b.text) for row in rows] == [(text, text), (None, None)]
    assert (rows[0].a.words, len(rows[0].b.words)) == ([], len(text.split()))
    assert [each.summary().errors for each in (first, second)] == 2 * [{"InvalidAudio": 1}]


def test_large_arrow_types(session: "SparkSession", server: TritonServer, texts: dict[Path, str]) -> None:
    file, text = next(iter(texts.items()))
    session.conf.set("spark.sql.execution.arrow.useLargeVarTypes", "true")
    try:
        rows = stt(server).transform(table(session, [str(file), None], "string")).collect()
    finally:
        session.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")
    assert [row.speech and row.speech.text for row in rows] == [text, None]


def test_many_small_batches(session: "SparkSession", server: TritonServer, calls: tuple[Path, dict[str, str]]) -> None:
    """Rows keep their results when Arrow arrays are shorter than the requests under way, and partitions are empty."""
    folder, told = calls
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "3")
    try:
        data = table(session, [str(folder / name) for name in told], "string").repartition(5).filter("number >= 0")
        rows = stt(server).transform(data.union(data.limit(0))).collect()
    finally:
        session.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert {Path(row.audio).name: row.speech.text for row in rows} == told


def test_no_listener_fails_the_job_with_the_address(session: "SparkSession") -> None:
    from pyspark.errors import PythonException

    nobody = TritonSpeechToText(inputCol="audio", outputCol="speech", urls=["127.0.0.1:1"], failAfterS=2)
    results = nobody.transform(table(session, ["a.wav"], "string"))
    began_at = time.monotonic()
    with pytest.raises(PythonException, match="nobody has answered for .* s .* at model 'asr' at 127.0.0.1:1: "):
        results.collect()
    assert time.monotonic() - began_at < 60


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"model": "other"}, "model 'other' at 127.0.0.1:.*: ModelNotFound: "),
        ({"model": "preprocess"}, "model 'preprocess' at 127.0.0.1:.*: ModelMismatch: "),
        ({"beam_width": 4}, "model 'asr' at 127.0.0.1:.*: OptionRefused: .*needs decoder=beam"),
        ({"language": "de"}, "model 'asr' at 127.0.0.1:.*: OptionRefused: "),
        ({"headersFile": "/nowhere"}, "InvalidOption: cannot read headersFile /nowhere on this executor"),
    ],
)
def test_what_concerns_every_row_fails_the_job(
    session: "SparkSession", server: TritonServer, texts: dict[Path, str], params: dict[str, object], message: str
) -> None:
    from pyspark.errors import PythonException

    with pytest.raises(PythonException, match=message):
        stt(server, **params).transform(table(session, [str(next(iter(texts)))], "string")).collect()


def test_columns_are_checked_before_a_job_begins(session: "SparkSession", server: TritonServer) -> None:
    with pytest.raises(ValueError, match="column audio is int; needs string"):
        stt(server).transform(table(session, [1], "int"))
    with pytest.raises(ValueError, match="does not tell its sampling rate: call setSamplingRate"):
        stt(server).transform(table(session, [[0.0]], "array<float>"))
    with pytest.raises(ValueError, match="column Number exists already"):
        stt(server, outputCol="Number").transform(table(session, ["a"], "string"))


def test_a_column_within_a_struct(session: "SparkSession", server: TritonServer, texts: dict[Path, str]) -> None:
    file, text = next(iter(texts.items()))
    data = table(session, [str(file)], "string").selectExpr("struct(audio) AS call")
    assert stt(server, inputCol="call.audio").transform(data).collect()[0].speech.text == text


def test_a_saved_pipeline(
    session: "SparkSession", server: TritonServer, texts: dict[Path, str], tmp_path: Path
) -> None:
    """The tests of faults load one in another process."""
    from pyspark.ml import Pipeline, PipelineModel

    file, text = next(iter(texts.items()))
    data = table(session, [str(file)], "string")
    saved = stt(server, hotwords=["acme"], headersFile=str(tmp_path / "headers"))
    (tmp_path / "headers").write_text("authorization: s3cret\n")
    Pipeline(stages=[saved]).fit(data).write().save(str(tmp_path / "pipeline"))
    (metadata,) = (tmp_path / "pipeline" / "stages").glob("*/metadata/part-*")
    assert json.loads(metadata.read_text())["class"] == "asr_spark.TritonSpeechToText"
    files = [path for path in (tmp_path / "pipeline").rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    assert loaded.stages[0].getHotwords() == "acme"
    assert loaded.transform(data).collect()[0].speech.text == text


def test_headers_reach_no_plan(session: "SparkSession", server: TritonServer, texts: dict[Path, str], tmp_path: Path):
    (tmp_path / "headers").write_text("authorization: s3cret\n")
    results = stt(server, headersFile=str(tmp_path / "headers")).transform(
        table(session, [str(next(iter(texts)))], "string")
    )
    assert results.collect()[0].speech.error is None
    assert "s3cret" not in results._jdf.queryExecution().toString()
