"""`AudioAssembler`, the first stage of a pipeline."""

from typing import Self

from pyspark.ml import Transformer
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, FloatType

from asr_spark.sparknlp import annotation

__all__ = ["AudioAssembler"]


class AudioAssembler(
    Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable["AudioAssembler"], DefaultParamsWritable
):
    """Makes annotations of a column of samples, array<float> or array<double>, for a speech recognizer.

    The input column is `audio` by default, the output column `audio_assembler`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(inputCol="audio", outputCol="audio_assembler")

    def setInputCol(self, value: str) -> Self:
        """Set `inputCol`."""
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> Self:
        """Set `outputCol`."""
        return self._set(outputCol=value)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, output = self.getInputCol(), self.getOutputCol()
        column = F.col(name)
        kind = dataset.select(column).schema[0].dataType
        if not (isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType | DoubleType)):
            raise ValueError(
                f"column {name} is {kind.simpleString()}; needs array<float> or array<double>. "
                "Give paths and audio files to asr_spark.TritonSpeechToText, without an AudioAssembler"
            )
        assembled = dataset.withColumn(output, annotation.audio(column))
        return assembled.withMetadata(output, annotation.column_metadata(annotation.AUDIO))
