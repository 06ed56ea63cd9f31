"""The ONNX graphs of a folder that optimum made: beside config.json or in `onnx/`, each perhaps in several variants.

A variant is what follows the name of a graph: `model_quantized.onnx` is the graph `model` in the variant `quantized`.
The variant without an ending is called fp32.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asr_export.checkpoint import hub
from asr_export.checkpoint.loading import Source, has_weights, refuse_pointers
from asr_export.errors import CheckpointError

PLAIN = "fp32"
SUFFIX = ".onnx"
_FOLDERS = ("", "onnx/")  # optimum writes beside config.json; on the hub, most repositories have a folder
_DATA = ("_data*", ".data*")  # the ends of the files that hold the weights of a large graph


@dataclass(frozen=True)
class Kind:
    """The graphs that make a model of some kind."""

    sets: tuple[tuple[str, ...], ...]  # the first complete one is taken
    task: str  # of `optimum-cli export onnx`, which writes them


CTC = Kind((("model",),), "automatic-speech-recognition")
WHISPER = Kind(
    (("encoder_model", "decoder_model", "decoder_with_past_model"), ("encoder_model", "decoder_model_merged")),
    "automatic-speech-recognition-with-past",
)


@dataclass(frozen=True)
class GraphFiles:
    """The graphs of one variant, on this machine."""

    source: Source  # hashes the graphs, too
    variant: str
    paths: dict[str, Path]  # graph -> its file
    plain: dict[str, Path] | None  # the same in fp32, if this is another variant and they are on this machine


def choose(source: Source, kind: Kind, variant: str | None) -> GraphFiles | None:
    """Choose the graphs of a checkpoint, and download them if they are on the hub.

    Args:
        source: the checkpoint.
        kind: CTC or WHISPER.
        variant: the user's choice. None: fp32, or the only variant there is; no graphs if there are weights.

    Returns:
        None if the export takes the weights.

    Raises:
        CheckpointError: no variant of that name, several to choose from, or one that lacks a graph.
    """
    if variant is None and has_weights(source):
        return None
    found = _find(_list(source), kind)
    if not found and variant is None:
        return None
    name = variant or _default(source, found, kind)
    files = _complete(source, found, name, kind)
    patterns = [f"{file}{end}" for file in files.values() for end in ("", *_DATA)]
    if source.revision is not None:
        hub.download(source.name, source.revision, patterns)
    chosen = Source(source.name, source.revision, source.folder, [*source.patterns, *patterns])
    refuse_pointers(chosen)
    paths = {graph: source.folder / file for graph, file in files.items()}
    plain = {graph: source.folder / file for graph, file in (_first(found, PLAIN, kind) or {}).items()}
    is_there = name != PLAIN and plain and all(path.is_file() for path in plain.values())
    return GraphFiles(chosen, name, paths, plain if is_there else None)


def in_one_place(paths: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Return graphs whose files are no links: copies in `folder` if need be.

    The hub's cache is made of links, and ONNX follows neither soft nor hard ones to the weights beside a graph.
    """
    if not any(path.is_symlink() for path in paths.values()):
        return paths
    for path in paths.values():
        for file in (path, *(data for end in _DATA for data in path.parent.glob(f"{path.name}{end}"))):
            shutil.copyfile(file, folder / file.name)
    return {graph: folder / path.name for graph, path in paths.items()}


def names(source: Source, kind: Kind) -> list[str]:
    """Return the complete variants that are in the folder."""
    return _variants(_find(_local(source), kind), kind)


def _list(source: Source) -> Iterable[str]:
    return (hub.list_files(source.name, source.revision) if source.revision else None) or _local(source)


def _local(source: Source) -> Iterable[str]:
    found = (path for folder in _FOLDERS for path in sorted(source.folder.glob(f"{folder}*{SUFFIX}")))
    return [path.relative_to(source.folder).as_posix() for path in found]


def _find(listing: Iterable[str], kind: Kind) -> dict[str, dict[str, str]]:
    """Return variant -> graph -> path; a file beside config.json comes before one in a folder."""
    known = sorted({graph for graphs in kind.sets for graph in graphs}, key=len, reverse=True)
    found: dict[str, dict[str, str]] = {}
    paths = [path for path in listing if path.endswith(SUFFIX)]
    for folder in _FOLDERS:
        for path in paths:
            stem = path.removeprefix(folder).removesuffix(SUFFIX)
            graph = next((name for name in known if stem == name or stem.startswith(f"{name}_")), None)
            if graph is not None and path == f"{folder}{stem}{SUFFIX}":
                found.setdefault(stem[len(graph) + 1 :] or PLAIN, {}).setdefault(graph, path)
    return found


def _first(found: dict[str, dict[str, str]], variant: str, kind: Kind) -> dict[str, str] | None:
    """Return the files of the first complete set of graphs of a variant."""
    files = found.get(variant, {})
    return next(
        ({graph: files[graph] for graph in graphs} for graphs in kind.sets if set(graphs) <= files.keys()), None
    )


def _variants(found: dict[str, dict[str, str]], kind: Kind) -> list[str]:
    return sorted((name for name in found if _first(found, name, kind)), key=lambda name: (name != PLAIN, name))


def _default(source: Source, found: dict[str, dict[str, str]], kind: Kind) -> str:
    complete = _variants(found, kind)
    if PLAIN in complete or len(complete) == 1:
        return complete[0]
    if not complete:
        return min(found, key=lambda name: (name != PLAIN, name))
    raise CheckpointError(f"{source.name} has its graphs in {', '.join(complete)}: choose one with --variant")


def _complete(source: Source, found: dict[str, dict[str, str]], variant: str, kind: Kind) -> dict[str, str]:
    files = _first(found, variant, kind)
    if files is not None:
        return files
    end = "" if variant == PLAIN else f"_{variant}"
    ways = " or ".join(" and ".join(f"{graph}{end}{SUFFIX}" for graph in graphs) for graphs in kind.sets)
    there = ", ".join(sorted(found.get(variant, {}).values()))
    whole = _variants(found, kind)
    others = f"; the variants {', '.join(whole)} are complete" if whole else ""
    raise CheckpointError(
        f"{source.name} has no whole set of ONNX graphs of the variant {variant}: needs {ways} (beside config.json or "
        f"in onnx/), has {there or 'none of these'}{others}. `optimum-cli export onnx --task {kind.task}` writes them"
    )
