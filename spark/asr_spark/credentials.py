"""Headers and TLS of the executors' connections: from files and environment variables of the executors.

No header's value comes from the driver, so none is in a saved pipeline, a query plan or an event log.

    TRITON_ASR_HEADERS        lines "Name: value"; a file of such lines (headersFile) goes before it
    TRITON_ASR_TLS            1: encrypt the connection
    TRITON_ASR_TLS_CA         file (PEM) with the authorities to trust
    TRITON_ASR_TLS_CERT       file (PEM) with the certificate of this client
    TRITON_ASR_TLS_KEY        file (PEM) with its private key
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asr_client import InvalidOption, Tls

# A line that is no header may be a token, so what stands in the place of a name is looked at here, and never shown.
_NAME = re.compile(r"[0-9A-Za-z_.-]+")
_YES = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


@dataclass(frozen=True, kw_only=True)
class CredentialFiles:
    """The files on the executors that hold credentials; None leaves one to the environment."""

    tls: bool = False
    headers: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None


@dataclass(frozen=True)
class Credentials:
    """What a connection needs. Its text does not show the headers."""

    tls: Tls | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)


def credentials(files: CredentialFiles, environment: Mapping[str, str] = os.environ) -> Credentials:
    """Read the credentials of this machine.

    Raises:
        InvalidOption: a file cannot be read, or something has the wrong form. The message shows no header's value.
    """
    ca = files.tls_ca or environment.get("TRITON_ASR_TLS_CA") or None
    cert = files.tls_cert or environment.get("TRITON_ASR_TLS_CERT") or None
    key = files.tls_key or environment.get("TRITON_ASR_TLS_KEY") or None
    wanted = files.tls or _flag("TRITON_ASR_TLS", environment) or bool(ca or cert or key)
    tls = Tls(ca_file=ca, cert_file=cert, key_file=key) if wanted else None
    if files.headers is not None:
        return Credentials(tls, _headers(_read(files.headers), files.headers))
    return Credentials(tls, _headers(environment.get("TRITON_ASR_HEADERS", ""), "TRITON_ASR_HEADERS"))


def _flag(name: str, environment: Mapping[str, str]) -> bool:
    text = environment.get(name, "")
    if text.lower() not in _YES:
        raise InvalidOption(f"the environment variable {name} is {text!r}; needs 1 or 0")
    return _YES[text.lower()]


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidOption(f"headersFile {file} is not UTF-8; needs lines 'Name: value'") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidOption(f"cannot read headersFile {file} on this executor: {reason}") from error


def _headers(text: str, where: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of a text of lines "Name: value"; empty lines are left out."""
    headers = []
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not _NAME.fullmatch(name.strip()):
            raise InvalidOption(f"line {number} of {where} is no header (its text is not shown); needs 'Name: value'")
        headers.append((name.strip(), value.strip()))
    return tuple(headers)
