"""Export of a HuggingFace speech checkpoint or a ready CTC graph: checked ONNX graph -> Triton model repository."""

from importlib import import_module
from typing import TYPE_CHECKING

from asr_contract.labels import Labels
from asr_contract.names import ModelNames

from asr_export.errors import (
    CheckpointError,
    ExportError,
    GateError,
    GraphError,
    LanguageModelError,
    OutputError,
    UnsupportedCheckpoint,
)

if TYPE_CHECKING:
    from asr_export.graph.gate import Parity
    from asr_export.options import ExportOptions, ExportResult
    from asr_export.pipeline import export_checkpoint
    from asr_export.ready_graph.pipeline import GraphOptions, export_graph

__all__ = [
    "CheckpointError",
    "ExportError",
    "ExportOptions",
    "ExportResult",
    "GateError",
    "GraphError",
    "GraphOptions",
    "Labels",
    "LanguageModelError",
    "ModelNames",
    "OutputError",
    "Parity",
    "UnsupportedCheckpoint",
    "export_checkpoint",
    "export_graph",
]

_LAZY = {
    "ExportOptions": "options",
    "ExportResult": "options",
    "GraphOptions": "ready_graph.pipeline",
    "Parity": "graph.gate",
    "export_checkpoint": "pipeline",
    "export_graph": "ready_graph.pipeline",
}


def __getattr__(name: str) -> object:
    # torch and transformers take seconds to load. The other subcommands of the command line must neither wait for them
    # nor need them installed.
    if name in _LAZY:
        return getattr(import_module(f"asr_export.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
