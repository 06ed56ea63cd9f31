"""Evaluation manifests, by the kit's one reader, with this package's error."""

from pathlib import Path

from asr_contract import manifest as manifests
from asr_contract.manifest import Entry

from asr_client._errors import InvalidManifest


def read(manifest: Path) -> list[Entry]:
    """Return the entries of a manifest, in order; see `asr_contract.manifest`.

    Raises:
        InvalidManifest: it cannot be read, a line is malformed, or there are no entries.
    """
    try:
        return manifests.read(manifest)
    except manifests.ManifestError as error:
        raise InvalidManifest(str(error)) from error
