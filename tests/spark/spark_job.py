"""A Spark job in a process of its own: `python spark_job.py '{"master": "local[2]", …}'`; the fields are below.

It writes its summary, or the text of the one recording.
"""

import json
import os
import sys
from pathlib import Path

import pyspark
from asr_spark import TritonSpeechToText
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

job = json.loads(sys.argv[1])
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
builder = SparkSession.builder.master(job.get("master", "local[1]")).config("spark.ui.enabled", "false")
builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
builder = builder.config("spark.executor.memory", "512m").config("spark.sql.shuffle.partitions", "2")
session = builder.getOrCreate()
session.sparkContext.setLogLevel("OFF")

if "pipeline" in job:  # a saved pipeline, and one recording
    table = session.createDataFrame([(job["audio"],)], ["audio"])
    sys.stdout.write(PipelineModel.load(job["pipeline"]).transform(table).collect()[0].speech.text)
    sys.exit()

stt = TritonSpeechToText(inputCol="path", outputCol="speech", **job["params"])
if "checkpoint" in job:  # a stream: batches of a few files, until there are no more
    schema = session.read.format("binaryFile").load(job["input"]).schema
    files = session.readStream.format("binaryFile").schema(schema).option("maxFilesPerTrigger", 10).load(job["input"])
    results = stt.transform(files.select("path")).select("path", "speech.text", "speech.error")
    stream = results.writeStream.format("json").option("checkpointLocation", job["checkpoint"])
    stream.trigger(availableNow=True).start(job["output"]).awaitTermination()
else:  # a batch
    files = session.read.format("binaryFile").load(job["input"]).select("path").repartition(8, F.col("path"))
    stt.transform(files).select("path", "speech.text", "speech.error").write.json(job["output"])
sys.stdout.write(f"{stt.summary()}\n")
session.stop()
