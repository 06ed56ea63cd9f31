"""API keys: a file with the SHA-256 of each key and the name of its owner.

    <64 hex digits>  alice

That is what `sha256sum` writes. A fast hash suffices: `add` makes keys of 256 random bits, which nobody guesses.
"""

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from asr_gateway.errors import ApiError, GatewayError

PREFIX = "sk-asr-"
_LINE = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S.*)")
_NAME = re.compile(r"[\w.@+-]{1,64}")
_CHALLENGE = {"www-authenticate": "Bearer"}


class Keys:
    """Says who a caller is.

    Args:
        file: with the keys; None: everybody may call, and has no name.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._owners: list[tuple[bytes, str]] = []
        self.reload()

    @property
    def are_needed(self) -> bool:
        """Return whether a caller needs a key."""
        return self._file is not None

    def __len__(self) -> int:
        return len(self._owners)

    def reload(self) -> None:
        """Read the file again. After an error, the keys from before are still valid.

        Raises:
            GatewayError: the file cannot be read; the message names the line.
        """
        if self._file is not None:
            self._owners = _read(self._file)

    def caller(self, authorization: str | None) -> str:
        """Return the name of the owner of the key in an Authorization header; "" where no key is needed.

        Raises:
            ApiError: there is no key, or nobody has this one.
        """
        if self._file is None:
            return ""
        scheme, _, key = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            message = "No API key: send it in the header 'Authorization: Bearer KEY'."
            raise ApiError(401, "missing_api_key", message, headers=_CHALLENGE)
        presented = _digest(key.strip())
        # All are compared, so that the time tells nothing about which one is near.
        found = [name for digest, name in self._owners if hmac.compare_digest(digest, presented)]
        if not found:
            raise ApiError(401, "invalid_api_key", "Incorrect API key.", headers=_CHALLENGE)
        return found[0]


def add(file: Path, name: str) -> str:
    """Add a new key to the file, which is made if it is not there, and return the key. The file keeps its hash only.

    Raises:
        GatewayError: the name is not valid, or the file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise GatewayError(f"the name is {name!r}; needs 1 to 64 letters, digits and any of . _ @ + -")
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        if file.exists():
            _read(file)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as opened:
            written = opened.read()
            opened.write(f"{'' if not written or written.endswith(chr(10)) else chr(10)}{_digest(key).hex()}  {name}\n")
    except OSError as error:
        raise GatewayError(f"cannot write {file}: {error.strerror or error}") from error
    return key


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _read(file: Path) -> list[tuple[bytes, str]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(f"cannot read the keys in {file}: {error}") from error
    owners = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            # The line itself may hold a key, by mistake.
            raise GatewayError(
                f"{file}, line {number} is no key; needs the SHA-256 in 64 hex digits, two spaces and a name: "
                "`triton-asr gateway-key NAME --keys FILE` adds one"
            )
        owners.append((bytes.fromhex(found[1]), found[2]))
    return owners
