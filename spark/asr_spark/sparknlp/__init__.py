"""Spark NLP's names for speech recognition, with the models on servers: its snippets run with other imports.

    import asr_spark.sparknlp as sparknlp
    from asr_spark.sparknlp.annotator import *
    from asr_spark.sparknlp.base import *

It is independent of Spark NLP, which need not be installed.
"""

from asr_spark.sparknlp.annotator import HubertForCTC, Wav2Vec2ForCTC, WhisperForCTC
from asr_spark.sparknlp.base import AudioAssembler
from asr_spark.sparknlp.session import start

__all__ = ["AudioAssembler", "HubertForCTC", "Wav2Vec2ForCTC", "WhisperForCTC", "start"]
