"""The speech recognizers under Spark NLP's names: `TritonSpeechToText` between annotations."""

from typing import Any, NoReturn, Self

from pyspark.ml import Transformer
from pyspark.ml.param.shared import HasInputCols, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from asr_spark.decoding import DecodingParams
from asr_spark.params import ConnectionParams
from asr_spark.sparknlp import annotation
from asr_spark.sparknlp.session import URLS, configured_urls
from asr_spark.sparknlp.setters import ModelSetters
from asr_spark.transformer import TritonSpeechToText

SAMPLING_RATE = 16_000  # Hz, of Spark NLP's arrays


class Recognizer(
    Transformer,
    HasInputCols,
    HasOutputCol,
    ConnectionParams,
    DecodingParams,
    ModelSetters,
    DefaultParamsReadable[Any],
    DefaultParamsWritable,
):
    """Transcribes annotations of audio into annotations of documents, with a model on servers.

    `setUrls` or Spark's configuration `spark.triton.asr.urls` says where the servers are. A row without samples gets no
    annotation. A recording that fails gets an empty `result`, and `error` and `error_type` in its metadata.

    The metadata is a map of texts: `audio`, `sentence`, `length` (samples), `confidence` (0 to 1), `duration`
    (seconds), `language` (Whisper), `words` (JSON, after `setWordTimestamps(True)` or `setTimestamps(True)`) and
    `alternatives` (JSON, after `setNbest`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(samplingRate=SAMPLING_RATE)

    @classmethod
    def pretrained(cls, name: str | None = None, lang: str | None = None, remote_loc: str | None = None) -> Self:
        """Return a recognizer that uses a model of the servers. Nothing is downloaded.

        Args:
            name: of the model on the servers, as in `triton-asr export --name`; "asr" by default. A name that they do
                not have ends the job, with an error that says which they have.
            lang: has no effect, because the name alone chooses the model.
            remote_loc: is not possible.
        """
        if remote_loc is not None:
            raise ValueError(
                f"remote_loc is {remote_loc!r}; needs None: models come from the servers of setUrls(…), or of Spark's "
                f"configuration {URLS}"
            )
        return cls() if name is None else cls().setModel(name)

    @classmethod
    def loadSavedModel(cls, folder: str, spark_session: object = None) -> NoReturn:
        """Raise ValueError: models do not run in Spark."""
        raise ValueError(
            f"{cls.__name__} cannot load {folder}, because its models run on servers: export the checkpoint with "
            "'triton-asr export CHECKPOINT --output REPOSITORY --name NAME', serve the repository, and call "
            f"{cls.__name__}.pretrained('NAME')"
        )

    def setInputCols(self, *value: str | list[str]) -> Self:
        """Set `inputCols`: one column, of annotations of audio, as a name or a list."""
        names = [name for each in value for name in ([each] if isinstance(each, str) else each)]
        if len(names) != 1:
            raise ValueError(f"inputCols is {names}; needs one column, of annotations of audio")
        return self._set(inputCols=names)

    def setOutputCol(self, value: str) -> Self:
        """Set `outputCol`."""
        return self._set(outputCol=value)

    def setBatchSize(self, v: int) -> Self:
        """Set `concurrency`, the requests at a time of each task: the server makes batches of all tasks' requests."""
        return self.setConcurrency(v)

    def getBatchSize(self) -> int:
        """Return `concurrency`."""
        return self.getConcurrency()

    def _transform(self, dataset: DataFrame) -> DataFrame:
        output = self.getOutputCol()
        audio = F.col(self._input_col(dataset))
        if output in dataset.columns:
            raise ValueError(f"column {output} exists already; needs another outputCol, or drop it first")
        samples, speech = f"{self.uid}__samples", f"{self.uid}__speech"
        recognizer = self._recognizer(dataset).setInputCol(samples).setOutputCol(speech)
        transcribed = recognizer.transform(dataset.withColumn(samples, annotation.samples(audio)))
        documents = annotation.document(
            audio,
            F.col(speech),
            timed=self.getWordTimestamps() or self.getTimestamps(),
            alternatives=self.getNbest() > 1,
        )
        annotated = transcribed.withColumn(output, documents).drop(samples, speech)
        return annotated.withMetadata(output, annotation.column_metadata(annotation.DOCUMENT))

    def _recognizer(self, dataset: DataFrame) -> TritonSpeechToText:
        """Return a TritonSpeechToText with the Params of this one, and with addresses."""
        recognizer: TritonSpeechToText = self._copyValues(TritonSpeechToText())
        if not recognizer.isDefined(recognizer.urls):
            urls = configured_urls(dataset.sparkSession)
            if not urls:
                raise ValueError(
                    f"no address of a server: call setUrls(['HOST:PORT']), or set {URLS} in Spark's configuration "
                    "(asr_spark.sparknlp.start(urls=['HOST:PORT']), or spark-submit --conf)"
                )
            recognizer.setUrls(urls)
        return recognizer

    def _input_col(self, dataset: DataFrame) -> str:
        """Return the name of the input column. Raise ValueError if it holds no annotations of audio."""
        if not self.isDefined(self.inputCols):
            raise ValueError("inputCols is not set: call setInputCols(['audio_assembler'])")
        (name,) = self.getInputCols()
        kind = dataset.select(F.col(name)).schema[0].dataType
        if not annotation.is_audio(kind):
            raise ValueError(
                f"column {name} is {kind.simpleString()}; needs annotations of audio, from "
                "AudioAssembler().setInputCol('samples').setOutputCol('audio_assembler')"
            )
        return name
