"""The page: its files, with headers that let a browser run nothing else and load nothing from elsewhere."""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

INDEX = "index.html"
_FOLDER = "page"
_MEDIA_TYPES = {  # files of other kinds, such as an editor's, are not served
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "mp3": "audio/mpeg",
    "svg": "image/svg+xml",
    "wav": "audio/wav",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src blob:; connect-src 'self'{sockets}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), screen-wake-lock=(self), camera=(), geolocation=()",
    # A browser asks each time whether its copy is still the same, so that files of two releases never meet.
    "cache-control": "no-cache",
}
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:.]+\](:\d+)?", re.ASCII)


@dataclass(frozen=True)
class _Asset:
    content: bytes
    media_type: str
    etag: str


class Assets:
    """The endpoints of the page. They need no key, and hold no secret.

    Args:
        needs_key: whether callers of the API need one; the page then asks for it.
    """

    def __init__(self, needs_key: bool) -> None:
        self._needs_key = needs_key
        self._assets = dict(_read(files(__package__) / _FOLDER))

    async def index(self, request: Request) -> Response:
        """Answer with the page."""
        return self._answer(INDEX, request.headers)

    async def file(self, request: Request) -> Response:
        """Answer with a file that the page loads."""
        return self._answer(request.path_params["name"], request.headers)

    async def settings(self, request: Request) -> Response:
        """Answer with what the page has to know before it calls the API."""
        return JSONResponse({"needs_key": self._needs_key}, headers=_headers(request.headers))

    def _answer(self, name: str, asked: Headers) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            raise HTTPException(404)
        headers = {**_headers(asked), "etag": asset.etag}
        known = {tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")}
        if asset.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.media_type)


def _read(folder: Traversable, within: str = "") -> list[tuple[str, _Asset]]:
    """Return the files of a folder and of those within it, by their paths."""
    found = []
    for entry in folder.iterdir():
        name = f"{within}{entry.name}"
        if entry.is_dir():
            found += _read(entry, f"{name}/")
        elif media_type := _MEDIA_TYPES.get(entry.name.rpartition(".")[2]):
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found.append((name, _Asset(content, media_type, etag)))
    return found


def _headers(asked: Headers) -> dict[str, str]:
    # Older Safaris do not count a socket of the same host as 'self'. What a caller writes as its host may be anything.
    host = asked.get("host", "")
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return {**_HEADERS, "content-security-policy": _POLICY.format(sockets=sockets)}
