"""Scripts that are started as users start them: by `spark-submit`, in a process of its own."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "spark" / "examples"
# Half of the processor time of a short job is the JVM's better compiler.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_OPTIONS = ["--driver-java-options", QUICK, "--conf", "spark.ui.enabled=false"]


def command(script: str, *arguments: object) -> list[str]:
    """Return the command that runs an example on this machine."""
    submit = str(Path(sys.executable).with_name("spark-submit"))
    return [submit, "--master", "local[2]", *_OPTIONS, str(EXAMPLES / script), *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return an environment in which `spark-submit` finds the packages of this process."""
    folder = str(Path(sys.executable).parent)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}


def run(script: str, *arguments: object, status: int = 0) -> list[str]:
    """Return the lines that an example prints; Spark gives standard output and error of a script as one."""
    words = command(script, *arguments)
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=280)
    assert done.returncode == status, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr[-5_000:]}"
    return done.stdout.splitlines()
