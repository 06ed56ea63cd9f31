"""A Spark job in a process of its own: `python spark_job.py '{"master": "local[2]", …}'`; it writes its summary.

It loads a saved pipeline. A job that fails writes after how many seconds, and why; its status is 1.
"""

import json
import os
import sys
import time

from pyspark.errors import PySparkException
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from spark_submit import QUICK


def main(job: dict[str, str]) -> int:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(job["master"]).config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.driver.extraJavaOptions", QUICK).config("spark.executor.extraJavaOptions", QUICK)
    session = builder.config("spark.executor.memory", "512m").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    model = PipelineModel.load(job["pipeline"])
    files = session.read.format("binaryFile").load(job["input"]).select("path").repartition(2, F.col("path"))
    began_at = time.monotonic()
    try:
        model.transform(files).select("path", "speech.text", "speech.error").write.json(job["output"])
    except PySparkException as error:
        sys.stdout.write(f"{time.monotonic() - began_at:.1f}\n{error}\n")
        return 1
    sys.stdout.write(f"{model.stages[0].summary()}\n")
    session.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
