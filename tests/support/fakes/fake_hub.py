"""The part of the hub's HTTP interface that a snapshot download uses, over a folder, on a free port of loopback."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(repository: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the address, and the names of the files that have been downloaded so far."""
    downloaded: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            address = self.path.split("?")[0]
            if address in (f"/api/models/{repository}/revision/{rev}" for rev in ("main", COMMIT)):
                self._send(json.dumps({"id": repository, "sha": COMMIT}).encode(), body)
            elif address == f"/api/models/{repository}/tree/{COMMIT}":
                files = {
                    path.relative_to(folder).as_posix(): path.read_bytes()
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                }
                tree = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in files.items()
                ]
                self._send(json.dumps(tree).encode(), body)
            elif self.path.startswith(f"/{repository}/resolve/{COMMIT}/"):
                path = folder / self.path.partition(f"/{COMMIT}/")[2]
                if body:
                    downloaded.append(path.name)
                self._send(path.read_bytes(), body)
            else:
                missing = "RevisionNotFound" if f"/{repository}/" in self.path else "RepoNotFound"
                self._send(b"", body, status=404, headers={"X-Error-Code": missing})

        def _send(self, content: bytes, body: bool, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", downloaded
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
