"""What can go wrong in an export.

ExportError
├── CheckpointError      the checkpoint cannot be found, read or trusted
│   └── UnsupportedCheckpoint    it is sound, but of a kind that the kit does not export
├── GateError            the exported graph is not what the checkpoint means
└── OutputError      the output folder cannot take the models
"""


class ExportError(Exception):
    """Base of all errors that `asr_export` raises."""


class CheckpointError(ExportError):
    """The checkpoint cannot be found, read or trusted."""


class UnsupportedCheckpoint(CheckpointError):
    """The checkpoint is of a kind that the kit does not export; the message names those that it does."""


class GateError(ExportError):
    """The exported graph failed a check; nothing was written."""


class OutputError(ExportError):
    """The output folder cannot take the models."""
