"""Annotations: the structs that Spark NLP's columns hold, and the columns' metadata."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    FloatType,
    IntegerType,
    MapType,
    StringType,
    StructField,
    StructType,
)

AUDIO = "audio"
DOCUMENT = "document"

_METADATA = MapType(StringType(), StringType())
_EMBEDDINGS = ArrayType(FloatType(), containsNull=False)
_AUDIO_FIELDS = {
    "annotatorType": StringType.typeName(),
    "result": ArrayType(FloatType()).simpleString(),
    "metadata": _METADATA.simpleString(),
}

# The type of a column of documents, field for field and null for null.
DOCUMENTS = ArrayType(
    StructType(
        [
            StructField("annotatorType", StringType()),
            StructField("begin", IntegerType(), nullable=False),
            StructField("end", IntegerType(), nullable=False),
            StructField("result", StringType()),
            StructField("metadata", _METADATA),
            StructField("embeddings", _EMBEDDINGS),
        ]
    )
)


def column_metadata(annotator_type: str) -> dict[str, str]:
    """Return the metadata of a column, by which Spark NLP's annotators find their input."""
    return {"annotatorType": annotator_type}


def audio(samples: Column) -> Column:
    """Return one annotation for each array of samples; for a null, one without samples, as Spark NLP has it."""
    result = F.coalesce(samples.cast("array<float>"), F.array().cast("array<float>"))
    metadata = F.create_map(F.lit("length"), F.size(result).cast("string"), F.lit("audio"), F.lit("0"))
    return F.array(F.struct(F.lit(AUDIO).alias("annotatorType"), result.alias("result"), metadata.alias("metadata")))


def is_audio(kind: DataType) -> bool:
    """Return whether a column of this type holds annotations of audio."""
    element = kind.elementType if isinstance(kind, ArrayType) else None
    fields = element.fields if isinstance(element, StructType) else []
    return {field.name: field.dataType.simpleString() for field in fields} == _AUDIO_FIELDS


def samples(audio: Column) -> Column:
    """Return the samples of the one annotation in each row; null if it has none.

    More than one annotation in a row ends the job: nothing makes them, and none may get lost.
    """
    several = F.raise_error(F.lit("a row has more than one annotation of audio; needs one, as AudioAssembler makes it"))
    one = F.when(F.size(audio) > 1, several).otherwise(F.get(audio, F.lit(0))["result"])
    return F.when(F.size(one) > 0, one)


def document(audio: Column, speech: Column, *, timed: bool, alternatives: bool) -> Column:
    """Return one annotation for each transcript, and none for a row without samples.

    Args:
        audio: the annotations of audio, whose metadata goes on.
        speech: the output of `TritonSpeechToText` for them.
        timed: whether times were asked for.
        alternatives: whether `speech` has other likely texts.
    """
    text = F.coalesce(speech["text"], F.lit(""))
    facts = {
        "audio": F.lit("0"),
        "sentence": F.lit("0"),
        "confidence": speech["confidence"].cast("string"),
        "duration": speech["duration"].cast("string"),
        "language": speech["language"],
        "error": speech["error"]["message"],
        "error_type": speech["error"]["type"],
    }
    if timed:
        facts["words"] = F.to_json(speech["words"])
    if alternatives:
        facts["alternatives"] = F.to_json(speech["alternatives"])
    pairs = [part for name, fact in facts.items() for part in (F.lit(name), fact)]
    known = F.map_filter(F.create_map(*pairs), lambda name, fact: fact.isNotNull())
    earlier = F.map_filter(F.get(audio, F.lit(0))["metadata"], lambda name, fact: ~name.isin(*facts))
    annotation = F.struct(
        F.lit(DOCUMENT).alias("annotatorType"),
        F.lit(0).alias("begin"),
        F.coalesce(F.length(text) - 1, F.lit(-1)).alias("end"),  # never null, as its type says
        text.alias("result"),
        F.map_concat(earlier, known).alias("metadata"),
        F.array().cast(_EMBEDDINGS).alias("embeddings"),
    )
    documents = F.array(annotation).cast(DOCUMENTS)
    return F.when(speech.isNull(), F.array().cast(DOCUMENTS)).otherwise(documents)
