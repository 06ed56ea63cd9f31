"""The hub: the files of a repository, and their download."""

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from asr_export.errors import CheckpointError


def download(checkpoint: str, revision: str | None, patterns: list[str]) -> Path:
    """Download the files of a hub id that match `patterns`, unless the cache has them; return the snapshot's folder.

    Raises:
        CheckpointError: no such repository or revision, no access, or no network.
    """
    try:
        return Path(snapshot_download(checkpoint, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise CheckpointError(
            f"{checkpoint} is gated: accept its terms on the hub, then log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"no folder and no hub repository is called {checkpoint} (a private one needs `hf auth login`)"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{checkpoint} has no revision {revision!r}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise CheckpointError(
            f"there is no folder {checkpoint}, and as a hub id it cannot be downloaded: {reason}. Is the hub reachable?"
        ) from error


def list_files(checkpoint: str, revision: str) -> list[str] | None:
    """Return the paths of all files of a hub id at a commit; None if the hub is out of reach."""
    try:
        return HfApi().list_repo_files(checkpoint, revision=revision)
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError):
        return None
