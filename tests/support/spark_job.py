"""A Spark job in a process of its own: `python spark_job.py '{"master": "local[2]", …}'`; it writes its summary.

It loads a saved pipeline.
"""

import json
import os
import sys

from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main(job: dict[str, str]) -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(job["master"]).config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    session = builder.config("spark.executor.memory", "512m").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    model = PipelineModel.load(job["pipeline"])
    files = session.read.format("binaryFile").load(job["input"]).select("path").repartition(2, F.col("path"))
    model.transform(files).select("path", "speech.text", "speech.error").write.json(job["output"])
    sys.stdout.write(f"{model.stages[0].summary()}\n")
    session.stop()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
