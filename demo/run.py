"""The first thing to run: serve an exported repository with a real Triton, and transcribe the sample recordings.

python demo/run.py REPOSITORY MANIFEST
"""

import argparse
import subprocess
import sys
from pathlib import Path

from asr_server import TritonServer, TritonServerError


def main() -> int:
    """Serve, evaluate, stop; the exit code is that of `triton-asr evaluate`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("manifest", type=Path)
    arguments = parser.parse_args()
    repository, manifest = arguments.repository, str(arguments.manifest)
    command = Path(sys.executable).with_name("triton-asr")
    log: list[str] = []
    print(f"$ triton-asr serve {repository}", file=sys.stderr)
    try:
        with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server:
            print(f"  {', '.join(server.models)} ready: gRPC on {server.grpc_url}", file=sys.stderr)
            evaluate = ["evaluate", manifest, "--table", "--url", server.grpc_url]
            print(f"$ triton-asr {' '.join(evaluate)}", file=sys.stderr)
            status = subprocess.run([command, *evaluate], check=False).returncode
        if status:
            print(*log, sep="\n", file=sys.stderr)
        else:
            print("Now with your own voice, in the browser: make page", file=sys.stderr)
        return status
    except TritonServerError as error:
        print(*log, f"error: {error}", sep="\n", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
