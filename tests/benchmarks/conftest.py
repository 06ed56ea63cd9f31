import sys
from pathlib import Path

# The files of benchmarks/ are scripts and their neighbours, not a package.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
