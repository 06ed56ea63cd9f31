"""The page in a browser: serve an exported repository with the gateway, and open its page, until Ctrl-C.

python demo/page.py REPOSITORY
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path

_READY = re.compile(r"ready: page (\S+)")
_DESKTOPS = ("DISPLAY", "WAYLAND_DISPLAY")  # variables that tell of one


def main() -> int:
    """Serve; the exit code is that of `triton-asr serve`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    repository = parser.parse_args().repository
    command = Path(sys.executable).with_name("triton-asr")
    print(f"$ triton-asr serve {repository} --gateway", file=sys.stderr)
    # Ctrl-C reaches the server, too, which then ends by itself.
    signal.signal(signal.SIGINT, lambda *_: None)
    with subprocess.Popen([command, "serve", repository, "--gateway"], stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        for line in serving.stdout:
            print(line, end="", flush=True)
            if ready := _READY.match(line):
                _open(ready[1])
    return serving.returncode


def _open(url: str) -> None:
    print(f"The page: {url}   (Ctrl-C stops the server)", flush=True)
    if any(map(os.environ.get, _DESKTOPS)):
        webbrowser.open(url)


if __name__ == "__main__":
    sys.exit(main())
