"""What can go wrong in an export.

ExportError
├── CheckpointError      the checkpoint cannot be found, read or trusted
│   └── UnsupportedCheckpoint    it is sound, but of a kind that the kit does not export
├── GraphError           a ready ONNX graph, or its file of labels, does not fit
├── LanguageModelError   a language model, or its lexicon, cannot be read or does not fit
├── GateError            the exported graph is not what the checkpoint means
└── OutputError      the output folder cannot take the models
"""


class ExportError(Exception):
    """Base of all errors that `asr_export` raises."""


class CheckpointError(ExportError):
    """The checkpoint cannot be found, read or trusted."""


class UnsupportedCheckpoint(CheckpointError):
    """The checkpoint is of a kind that the kit does not export; the message names those that it does."""


class GraphError(ExportError):
    """A ready ONNX graph, or its file of labels, is not what the kit can wrap; the message says what does not fit."""


class LanguageModelError(ExportError):
    """A language model or its lexicon cannot be read, or does not go with the labels of the acoustic model."""


class GateError(ExportError):
    """The exported graph failed a check; nothing was written."""


class OutputError(ExportError):
    """The output folder cannot take the models."""
