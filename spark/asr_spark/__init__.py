"""Speech recognition as a step of a Spark job: `TritonSpeechToText`, a Transformer of `pyspark.ml`.

    from asr_spark import TritonSpeechToText

    stt = TritonSpeechToText(inputCol="path", outputCol="speech", urls=["triton:8001"])
    stt.transform(spark.read.format("binaryFile").load("s3a://calls/").select("path"))

It needs the extra `spark`, on the driver and on the executors, and Java 17 or newer where Spark runs.
`asr_spark.worker`, which the executors run, knows no Spark.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asr_spark.summary import Summary
    from asr_spark.transformer import TritonSpeechToText

__all__ = ["Summary", "TritonSpeechToText"]

_MODULES = {"Summary": "summary", "TritonSpeechToText": "transformer"}


def __getattr__(name: str) -> object:
    """Import pyspark.ml with the first use: a Python worker on an executor does without."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in ("pyspark", "pyarrow", "py4j", "numpy"):
            raise
        raise ImportError(
            f"asr_spark.{name} needs the package {package}, which is not installed: "
            "pip install 'triton-asr-kit[spark]' (pyspark 4.1 or newer, and Java 17 or newer)"
        ) from missing
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
