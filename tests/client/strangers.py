"""Finds in a message what is not for strangers."""

import re

_SECRETS = re.compile(
    r"""
    localhost | host:\d+ | \b\d{1,3}(?:\.\d{1,3}){3}\b | \[[0-9a-f]*:[0-9a-f:]*\]   # addresses
    | \w:\d{2,5}\b                                                                  # ports
    | ://                                                                           # other addresses
    | (?<![\w/.])(?:~|\.{1,2})?/(?:[\w.-]+/)*[\w.-]+                                # paths; OGG/Opus is none
    | \b[A-Za-z]:\\                                                                 # paths of Windows
    | \bstub\ process | StatusCode | \bErrno | \b0x[0-9a-f]{4,} | Traceback         # of programs
    """,
    re.VERBOSE | re.IGNORECASE,
)


def secrets(text: str) -> list[str]:
    """Return the addresses, ports, paths and inner workings that a text names."""
    return _SECRETS.findall(text)
