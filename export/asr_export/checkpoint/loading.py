"""A hub id or a folder -> a checked CTC checkpoint in memory, from safetensors only."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES

from asr_export.checkpoint import hub, peft
from asr_export.checkpoint import languages as adapters
from asr_export.checkpoint.families import FAMILIES, Family
from asr_export.errors import CheckpointError, UnsupportedCheckpoint
from asr_export.networks.parts.geometry import Geometry

# All files that an export reads. It does not even download pickled weights (*.bin, *.pt): they are code, not data.
_FILES = ["*.json", "merges.txt", "model*.safetensors"]
# Where AutoFeatureExtractor looks.
FEATURE_FILES = ("preprocessor_config.json", "processor_config.json")
_PHONEME_TOKENIZER = "Wav2Vec2PhonemeCTCTokenizer"
_LFS_POINTER = b"version https://git-lfs"
# The language model of a Wav2Vec2ProcessorWithLM; in this folder, *.bin is a file of KenLM.
LANGUAGE_MODEL = "language_model"
LANGUAGE_MODEL_SUFFIXES = (".arpa", ".bin", ".binary")
_FILES += [f"{LANGUAGE_MODEL}/{name}" for name in ("attrs.json", "unigrams.txt")]
_FILES += [f"{LANGUAGE_MODEL}/*{suffix}" for suffix in LANGUAGE_MODEL_SUFFIXES]
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Source:
    """The origin of a checkpoint, and its files."""

    name: str  # as the user wrote it: a hub id or a folder
    revision: str | None  # the commit that was downloaded; None for a folder
    folder: Path  # holds the files
    patterns: list[str]  # of the files that an export reads

    def file_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every file that an export reads, by name."""
        files = sorted({path for pattern in self.patterns for path in self.folder.glob(pattern)})
        return {path.relative_to(self.folder).as_posix(): sha256(path) for path in files}


@dataclass(frozen=True)
class Checkpoint:
    """A CTC model with the feature extractor and the tokenizer that belong to it."""

    source: Source
    family: Family
    config: Any  # config.json
    model: Any  # transformers' …ForCTC, in eval mode, float32; None if the checkpoint is not loaded for its weights
    feature_extractor: Any  # of the class that the family names
    tokenizer: Any  # Wav2Vec2CTCTokenizer or another with a vocabulary

    @property
    def geometry(self) -> Geometry:
        """The position of the model's frames in a recording."""
        return self.family.geometry(self.config, self.feature_extractor)

    @property
    def columns(self) -> int:
        """Number of columns of the model's outputs."""
        if self.model is None:
            return int(self.config.vocab_size)
        return int(getattr(self.model, self.family.head).weight.shape[0])

    def decode(self, columns: Sequence[int]) -> str:
        """Return the tokenizer's text of columns of the head."""
        skips = self.family.skips_special_tokens
        return str(self.tokenizer.decode(columns, skip_special_tokens=skips))


def locate(checkpoint: str, revision: str | None = None, language: str | None = None) -> Source:
    """Find a checkpoint folder, or download a hub id.

    For a multi-lingual checkpoint, it downloads only the adapter of one language.

    Raises:
        CheckpointError: no such folder, no such repository or revision, no access, or no network.
        UnsupportedCheckpoint: it is an adapter of PEFT.
    """
    try:
        folder = Path(checkpoint).expanduser()
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint} is in a home folder that is not known here: give the full path") from error
    if folder.is_dir():
        if revision is not None:
            raise CheckpointError(f"{checkpoint} is a folder: --revision is only for a hub id")
        peft.refuse(folder, checkpoint)
        source = Source(checkpoint, None, folder, _files(language))
        refuse_pointers(source)
        return source
    if not _HUB_ID.fullmatch(checkpoint) or checkpoint.startswith("."):
        raise CheckpointError(f"{checkpoint} is neither a folder nor a hub id (as in facebook/wav2vec2-base-960h)")
    snapshot = hub.download(checkpoint, revision, _files(language))
    peft.refuse(snapshot, checkpoint)
    # A snapshot's folder is named by the commit that the revision pointed to.
    return Source(checkpoint, snapshot.name, snapshot, _files(language))


def refuse_pointers(source: Source) -> None:
    """Refuse files that `git clone` left as pointers with a clear message; the readers' own messages are unclear."""
    for path in sorted({path for pattern in source.patterns for path in source.folder.glob(pattern) if path.is_file()}):
        with path.open("rb") as file:
            if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise CheckpointError(
                    f"{path} is a pointer of Git LFS, not the file itself: get it with `git lfs pull` in that folder, "
                    "or download the checkpoint with `hf download`"
                )


def _files(language: str | None) -> list[str]:
    # MMS has an adapter for each of a thousand languages.
    return [*_FILES, f"adapter.{language}.safetensors"] if language else _FILES


def read_config(source: Source) -> Any:
    """Return config.json.

    Raises:
        CheckpointError: the file is missing or broken, or names no type of model that transformers knows.
    """
    return read(AutoConfig, source.folder, "config.json", "the model's shape")


def has_weights(source: Source) -> bool:
    """Return whether there are weights that the export loads."""
    return any(source.folder.glob("model*.safetensors"))


def load(source: Source, language: str | None = None, weights: bool = True) -> Checkpoint:
    """Load the model, feature extractor and tokenizer of a checkpoint, and check that they make a CTC recogniser.

    Args:
        source: the files.
        language: of a multi-lingual checkpoint.
        weights: False: `model` stays None.

    Raises:
        CheckpointError: a file is missing or broken.
        UnsupportedCheckpoint: it is not CTC, or the kit does not know its architecture.
    """
    folder = source.folder
    config = read_config(source)
    family = check_family(config, source.name)
    feature_extractor = read_features(folder, "the sampling rate")
    if type(feature_extractor).__name__ != family.feature_extractor:
        raise UnsupportedCheckpoint(
            f"{source.name} has a {type(feature_extractor).__name__}; {family.architecture} needs a "
            f"{family.feature_extractor}"
        )
    if not (folder / "vocab.json").is_file() and not (folder / "tokenizer.json").is_file():
        raise CheckpointError(
            f"{source.name} has no tokenizer: needs vocab.json (and tokenizer_config.json), which says what text the "
            "outputs stand for. A checkpoint that is only pre-trained has none: fine-tune it for CTC first"
        )
    adapters.check_language(folder, config, language)
    chosen: dict[str, Any] = {"target_lang": language} if language else {}
    if _tokenizer_class(folder) == _PHONEME_TOKENIZER:
        chosen["do_phonemize"] = False  # this is for texts and needs one more package; an export has no texts
    tokenizer = read(AutoTokenizer, folder, "tokenizer_config.json", "the vocabulary", **chosen)
    model = load_model(source, config, family.model_class()) if weights else None
    if language and weights:
        adapters.load_adapter(folder, model, language)
    return Checkpoint(source, family, config, model, feature_extractor, tokenizer)


def _tokenizer_class(folder: Path) -> str | None:
    try:
        name = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["tokenizer_class"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # loading the tokenizer reports what is wrong
    return name if isinstance(name, str) else None


def check_family(config: Any, name: str) -> Family:
    """Return the CTC family of a checkpoint.

    Raises:
        UnsupportedCheckpoint: it is not CTC, or the kit does not know its architecture.
    """
    supported = ", ".join(family.architecture for family in FAMILIES.values())
    architectures = config.architectures or []
    family = FAMILIES.get(config.model_type)
    if family is None and config.model_type in MODEL_FOR_CTC_MAPPING_NAMES:
        raise UnsupportedCheckpoint(
            f"{name} is of class {MODEL_FOR_CTC_MAPPING_NAMES[config.model_type]}, a CTC model that this version of "
            f"the kit does not know: it needs code for its features and its network; supported: {supported}. A graph "
            "of it that you have made yourself can be exported (docs/export.md)"
        )
    if family is None:
        raise UnsupportedCheckpoint(
            f"{name} is of type {config.model_type!r} ({', '.join(architectures) or 'no architecture named'}); "
            f"supported: {supported}"
        )
    if family.architecture not in architectures:
        raise UnsupportedCheckpoint(
            f"{name} is not a CTC checkpoint: config.json says {', '.join(architectures) or 'no architecture'}; "
            f"supported: {supported}. A pre-trained encoder must be fine-tuned for CTC first"
        )
    return family


def read_features(folder: Path, purpose: str) -> Any:
    """Load the feature extractor: transformers 4 saves it in a file of its own, transformers 5 in the processor's.

    Raises:
        CheckpointError: both files are missing, or the one that counts is broken; the message names the `purpose`.
    """
    return read(AutoFeatureExtractor, folder, FEATURE_FILES, purpose)


def read(loader: Any, folder: Path, files: str | tuple[str, ...], purpose: str, **options: Any) -> Any:
    """Load one part of a checkpoint with transformers' Auto class `loader`, after checking the JSON `files` it reads.

    Raises:
        CheckpointError: all of them are missing, or one is broken; the message names the `purpose`.
    """
    names = (files,) if isinstance(files, str) else files
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise CheckpointError(f"{folder} has no {' or '.join(names)}, which holds {purpose}")
    path = paths[0]
    try:
        for path in paths:
            json.loads(path.read_text(encoding="utf-8"))
        return loader.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except (ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise CheckpointError(f"cannot read {path}: {' '.join(str(error).split())}") from error


def load_model(source: Source, config: Any, model_class: Any, **options: Any) -> Any:
    """Load the model in eval mode, float32, from safetensors only; `options` go to its class.

    Raises:
        CheckpointError: there are no safetensors, or they do not fill the model.
        UnsupportedCheckpoint: the weights are quantised.
    """
    _require_safetensors(source)
    _refuse_quantised(source, config)
    try:
        # "eager" attention: the fused kinds leave operators in the graph that neither runtime takes with a mask.
        model, report = model_class.from_pretrained(
            source.folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
            **options,
        )
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot load the weights of {source.name}: {error}") from error
    # SpecAugment uses `masked_spec_embed` only in training: a checkpoint without it is complete.
    missing = sorted(key for key in report["missing_keys"] if "masked_spec_embed" not in key)
    if missing or report["mismatched_keys"]:
        shown = ", ".join(missing[:5]) or str(report["mismatched_keys"][0])
        raise CheckpointError(f"the weights of {source.name} do not fill the model: {len(missing)} missing ({shown})")
    return model.eval()


def _refuse_quantised(source: Source, config: Any) -> None:
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else type(quantised).__name__
        raise UnsupportedCheckpoint(
            f"{source.name} is quantised ({method}); needs weights in fp32, fp16 or bf16: export the checkpoint that "
            "it was made from, with --precision int8 if it must be small"
        )


def _require_safetensors(source: Source) -> None:
    if has_weights(source):
        return
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt") for path in source.folder.glob(pattern))
    raise CheckpointError(
        f"{source.name} has no model.safetensors"
        + (f", only {', '.join(pickled)}" if pickled else "")
        + ". The export does not load pickled weights, which can run code: convert them first, in a safe place, with "
        "model.save_pretrained(folder, safe_serialization=True)"
    )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
