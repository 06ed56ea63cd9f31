"""The options of an export, and its result."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from asr_contract.gpu import onnx_runtime
from asr_contract.labels import Labels
from asr_contract.names import DEFAULT_NAME, ModelNames, WhisperNames

from asr_export.choices import EXPORTERS, PRECISIONS, Exporter, Precision
from asr_export.errors import ExportError
from asr_export.graph.gate import Parity
from asr_export.graph.tensorrt import check_precision
from asr_export.graph.word_errors import WordErrors
from asr_export.repository.language_model import LanguageModel, read

PLATFORMS = ("onnxruntime", "tensorrt")
_VERSIONS_OF = ("triton-asr-kit", "torch", "transformers", "onnx", "numpy")

# A CTC model takes a recording in one piece, so the limit on its length limits memory.
DEFAULT_STREAMS = 64
MAX_WORD_LAG_MS = 500.0  # more is no lag, but another word
DEFAULT_SECONDS = 40.0


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export: what to read, how to convert it and how to serve it."""

    name: str = DEFAULT_NAME  # of the model that clients call
    revision: str | None = None  # branch, tag or commit of a hub id
    language: str | None = None  # of a multi-lingual checkpoint (MMS), as its vocabulary names it
    max_batch_size: int = 16  # recordings in one run of the acoustic model
    # The longest recording; it limits memory together with max_batch_size. None: the default of the kind of model.
    max_audio_seconds: float | None = None
    platform: str = "onnxruntime"  # one of PLATFORMS; it runs the acoustic model
    precision: Precision | None = None  # of the acoustic model; None: fp16 for a checkpoint on a GPU, else fp32
    exporter: Exporter = "torchscript"
    gpu: bool = False  # the acoustic model, or Whisper, runs only on a GPU
    check_manifest: str | None = None  # recordings and texts on which the export compares word error rates
    max_wer_loss: float = 0.5  # percentage points above PyTorch's word error rate on that manifest
    max_queue: int | None = None  # recordings that may wait for the acoustic model; None: one batch
    # An n-gram language model for beam search: an ARPA file, or KenLM's binary form of one. None: the checkpoint's own.
    lm: str | None = None
    lexicon: str | None = None  # the words that it may write, one a line; None: all words of the language model
    max_streams: int | None = None  # live streams at a time; None: 64, or 16 for a Whisper
    ragged: bool = False  # a TensorRT engine takes recordings of any length in one batch, as ONNX Runtime does
    variant: str | None = None  # of the ONNX graphs in the folder; None: the weights if there are any, else fp32
    word_lag_ms: float = 0.0  # by which a Whisper's attention is late; its word times become earlier by that

    def seconds(self, default: float) -> float:
        """Return the longest recording in seconds: the option, or `default` if it is not set."""
        return default if self.max_audio_seconds is None else self.max_audio_seconds

    def streams(self, default: int) -> int:
        """Return the number of live streams at a time: the option, or `default` if it is not set."""
        return default if self.max_streams is None else self.max_streams

    @property
    def queue(self) -> int:
        """Number of recordings that may wait for the acoustic model; the server refuses any more immediately."""
        return self.max_batch_size if self.max_queue is None else self.max_queue

    def language_model(self, labels: Labels) -> LanguageModel | None:
        """Read and return the language model; None if the options name none.

        Raises:
            LanguageModelError: the language model cannot be used with these labels.
        """
        if self.lm is None:
            return None
        return read(Path(self.lm), Path(self.lexicon) if self.lexicon else None, labels)

    def refuse(self, kind: str, names: tuple[str, ...]) -> None:
        """Refuse options that do not apply to a kind of model, so that none is ignored silently.

        Raises:
            ExportError: one of `names` is set; the message names the first.
        """
        defaults = ExportOptions()
        for name in names:
            if getattr(self, name) != getattr(defaults, name):
                raise ExportError(f"--{name.replace('_', '-')} is not for {kind}")


@dataclass(frozen=True)
class ExportResult:
    """The result of an export: what it wrote and what its checks measured."""

    output: Path
    models: ModelNames | WhisperNames
    labels: Labels | None  # None for Whisper, which has a tokenizer instead
    parity: Parity  # of the graph that was written, in its precision
    padding_safe: bool = True  # False: padding changes the outputs of this graph, so a batch holds equal lengths only
    word_errors: WordErrors | None = None  # on `check_manifest`
    language_model: LanguageModel | None = None
    reference: str = "PyTorch"  # what `parity` compares the graph with


def check_options(options: ExportOptions) -> None:
    """Refuse invalid limits, choices and combinations of options.

    Raises:
        ExportError: an option is invalid; the message names it and what it needs.
    """
    if options.platform not in PLATFORMS:
        raise ExportError(f"platform is {options.platform!r}; needs one of {', '.join(PLATFORMS)}")
    if options.max_batch_size < 1:
        raise ExportError(f"max batch size is {options.max_batch_size}; needs 1 or more")
    if options.max_queue is not None and options.max_queue < 1:
        raise ExportError(f"max queue is {options.max_queue}; needs 1 or more")
    if not -MAX_WORD_LAG_MS <= options.word_lag_ms <= MAX_WORD_LAG_MS:
        raise ExportError(
            f"word lag is {options.word_lag_ms} ms; needs from -{MAX_WORD_LAG_MS:g} to {MAX_WORD_LAG_MS:g}"
        )
    if options.max_streams is not None and options.max_streams < 1:
        raise ExportError(f"max streams is {options.max_streams}; needs 1 or more")
    if options.max_audio_seconds is not None and not 0 < options.max_audio_seconds < float("inf"):
        raise ExportError(f"max audio seconds is {options.max_audio_seconds}; needs a number above 0")
    if options.lexicon is not None and options.lm is None:
        raise ExportError("--lexicon is for a language model; needs --lm, too")
    if options.precision not in (None, *PRECISIONS):
        raise ExportError(f"precision is {options.precision!r}; needs one of {', '.join(PRECISIONS)}")
    if options.exporter not in EXPORTERS:
        raise ExportError(f"exporter is {options.exporter!r}; needs one of {', '.join(EXPORTERS)}")
    if options.gpu and options.precision == "int8":
        raise ExportError(
            "int8 is for CPUs: on a GPU, ONNX Runtime has no such matrix product and would run it on the CPU; choose "
            "fp16 or fp32 with --gpu"
        )
    if options.platform == "tensorrt":
        if not options.ragged:
            options.refuse("a TensorRT engine without --ragged, which takes no live streams", ("max_streams",))
        check_precision(options.precision or "fp32")
    else:
        options.refuse("ONNX Runtime, whose batches are always ragged, but for --platform tensorrt", ("ragged",))


def library_versions(*others: str) -> dict[str, str]:
    """Return the versions of Python and of the libraries that take part in an export, by name."""
    names = (*_VERSIONS_OF, onnx_runtime(), *others)
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
