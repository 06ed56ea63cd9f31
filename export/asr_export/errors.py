"""The errors of an export.

ExportError
├── CheckpointError      the checkpoint cannot be found, read or trusted
│   └── UnsupportedCheckpoint    the checkpoint is sound, but the kit does not export its kind
├── GraphError           a ready ONNX graph or its file of labels does not fit
├── LanguageModelError   a language model or its lexicon cannot be read or does not fit
├── GateError            the exported graph does not compute what the checkpoint computes
└── OutputError          the output folder cannot take the models
"""


class ExportError(Exception):
    """Base of all errors that `asr_export` raises."""


class CheckpointError(ExportError):
    """The checkpoint cannot be found, read or trusted."""


class UnsupportedCheckpoint(CheckpointError):
    """The kit does not export this kind of checkpoint; the message names the kinds that it exports."""


class GraphError(ExportError):
    """The kit cannot wrap a ready ONNX graph or use its file of labels; the message says what does not fit."""


class LanguageModelError(ExportError):
    """A language model or its lexicon cannot be read, or does not fit the labels of the acoustic model."""


class GateError(ExportError):
    """The exported graph failed a check; nothing was written."""


class OutputError(ExportError):
    """The output folder cannot take the models."""
