"""`TritonSpeechToText`: a column of recordings becomes a column of transcripts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from asr_contract.parameters import DecodeParameters
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, DoubleType, FloatType, StringType

from asr_spark import schema, task, worker
from asr_spark.credentials import Credentials
from asr_spark.decoding import DecodingParams
from asr_spark.params import ConnectionParams
from asr_spark.summary import Summary, accumulator, reporter, summary
from asr_spark.tally import Tally

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator

_INPUTS = "string (a path or URI), binary (an audio file), array<float> or array<double> (samples)"


class TritonSpeechToText(
    Transformer,
    HasInputCol,
    HasOutputCol,
    ConnectionParams,
    DecodingParams,
    DefaultParamsReadable["TritonSpeechToText"],
    DefaultParamsWritable,
):
    """Transcribes a column of recordings with a speech recognition model of Triton ASR Kit.

    The type of the input column decides what it holds: string (a path or URI, which the executor reads), binary (an
    audio file), or array<float> or array<double> (samples within ±1 at `samplingRate`).

    The output column is a struct: `text`, `confidence` (0 to 1), `duration` (seconds), `language`, `words` (with
    `start` and `end` in seconds, and `confidence`) and `error` (`type`, `message`). A recording that fails has an
    `error` and no `text`; a null has a null. With `nbest` above 1 there are `alternatives`, too.

    The job fails, with the address in its message, when the model is not there or is another kind of model, when
    access is denied, when the server refuses an option, and when nobody has answered for `failAfterS`.

        stt = TritonSpeechToText(inputCol="path", outputCol="speech", urls=["triton:8001"], word_timestamps=True)
        stt.transform(df).select("path", "speech.text")
    """

    _input_kwargs: dict[str, Any]  # what `keyword_only` was given

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        urls: Sequence[str] | str | None = None,
        model: str = worker.Settings.model,
        protocol: str = worker.Settings.protocol,
        samplingRate: int | None = None,
        concurrency: int = worker.Settings.concurrency,
        timeoutS: float = worker.Settings.timeout_s,
        failAfterS: float = worker.Settings.fail_after_s,
        tls: bool = False,
        headersFile: str | None = None,
        tlsCaFile: str | None = None,
        tlsCertFile: str | None = None,
        tlsKeyFile: str | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> None:
        """Prepare a Transformer; each argument is the Param of its name.

        Raises:
            ValueError: a value is not valid; the message says what is.
        """
        super().__init__()
        self._latest: list[Accumulator[Tally]] = []  # copies share it
        self._set_all(self._input_kwargs)

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        urls: Sequence[str] | str | None = None,
        model: str = worker.Settings.model,
        protocol: str = worker.Settings.protocol,
        samplingRate: int | None = None,
        concurrency: int = worker.Settings.concurrency,
        timeoutS: float = worker.Settings.timeout_s,
        failAfterS: float = worker.Settings.fail_after_s,
        tls: bool = False,
        headersFile: str | None = None,
        tlsCaFile: str | None = None,
        tlsCertFile: str | None = None,
        tlsKeyFile: str | None = None,
        **decoding: Unpack[DecodeParameters],
    ) -> Self:
        """Set the Params that are given.

        Raises:
            ValueError: a value is not valid; the message says what is.
        """
        return self._set_all(self._input_kwargs)

    def setInputCol(self, value: str) -> Self:
        """Set `inputCol`."""
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> Self:
        """Set `outputCol`."""
        return self._set(outputCol=value)

    def settings(self) -> worker.Settings:
        """Return what the tasks need to know.

        Raises:
            ValueError: a Param is missing, or does not fit the others.
        """
        for param in (self.inputCol, self.urls):
            if not self.isDefined(param) or self.getOrDefault(param) is None:
                raise ValueError(f"{param.name} is not set: call set{param.name[0].upper()}{param.name[1:]}(…)")
        settings = worker.Settings(
            urls=tuple(self.getUrls()),
            model=self.getModel(),
            protocol=self.getOrDefault(self.protocol),
            concurrency=self.getConcurrency(),
            timeout_s=self.getTimeoutS(),
            fail_after_s=self.getFailAfterS(),
            sampling_rate=self.getSamplingRate(),
            options=self.decode_options(),
            files=self.credential_files(),
        )
        worker.new_client(settings, Credentials(None, ())).close()  # it checks the addresses, and connects to none
        return settings

    def summary(self) -> Summary:
        """Return the summary of the DataFrame that this Transformer, or a copy of it, made last.

        Raises:
            RuntimeError: there is none yet, or the session is one of Spark Connect, which has no accumulators.
        """
        if not self._latest:
            raise RuntimeError(
                "there is no summary: transform() was not called yet, or with a session of Spark Connect, which has no "
                "accumulators: aggregate the output column instead"
            )
        return summary(self._latest[-1].value)

    def _set_all(self, values: dict[str, Any]) -> Self:
        for name, value in values.items():
            if not self.hasParam(name):
                known = ", ".join(param.name for param in self.params)
                raise TypeError(f"there is no Param {name!r}; needs some of {known}")
            if value is not None:
                self._set(**{name: value})
        return self

    def _transform(self, dataset: DataFrame) -> DataFrame:
        settings = self.settings()
        column = F.col(self.getInputCol())
        self._check_columns(dataset, dataset.select(column).schema[0].dataType)
        accumulated = accumulator(dataset.sparkSession)
        self._latest[:] = [accumulated] if accumulated is not None else []
        kind = schema.ddl(alternatives=settings.has_alternatives)
        # Deterministic, it would run once for each use of its column: a filter on the text would send rows twice.
        function = F.arrow_udf(  # type: ignore[attr-defined]
            task.work(settings, reporter(accumulated)), kind
        ).asNondeterministic()
        return dataset.withColumn(self.getOutputCol(), function(column))

    def _check_columns(self, dataset: DataFrame, kind: DataType) -> None:
        """Raise ValueError if the columns do not fit."""
        name = self.getInputCol()
        is_array = isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType | DoubleType)
        if not is_array and not isinstance(kind, StringType | BinaryType):
            raise ValueError(f"column {name} is {kind.simpleString()}; needs {_INPUTS}")
        if is_array and self.getSamplingRate() is None:
            raise ValueError(
                f"column {name} is {kind.simpleString()}, which does not tell its sampling rate: "
                "call setSamplingRate(16_000), or what it is, in Hz"
            )
        is_exact = dataset.sparkSession.conf.get("spark.sql.caseSensitive") == "true"
        fold = str if is_exact else str.lower
        if fold(self.getOutputCol()) in map(fold, dataset.columns):
            raise ValueError(f"column {self.getOutputCol()} exists already; needs another outputCol, or drop it first")


# Saved pipelines name the class by its module: by the one that users import, which stays.
TritonSpeechToText.__module__ = "asr_spark"
