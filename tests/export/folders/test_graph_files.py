"""The graphs of a folder: which files belong together, which variant is taken, what is missing."""

from pathlib import Path

import pytest
from asr_export import CheckpointError
from asr_export.checkpoint.graph_files import CTC, WHISPER, Kind, choose, names
from asr_export.checkpoint.loading import Source

APART = ["encoder_model", "decoder_model", "decoder_with_past_model"]
MERGED = ["encoder_model", "decoder_model_merged"]
TASK = "automatic-speech-recognition"


def source(folder: Path, *files: str) -> Source:
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).touch()
    return Source("someone/model", None, folder, ["*.json"])


@pytest.mark.parametrize(
    ("files", "kind", "variant", "expected"),
    [
        (["model.onnx"], CTC, None, ["model.onnx"]),
        (["onnx/model.onnx", "onnx/model_q4f16.onnx"], CTC, None, ["onnx/model.onnx"]),
        (["onnx/model.onnx", "onnx/model_q4f16.onnx"], CTC, "q4f16", ["onnx/model_q4f16.onnx"]),
        (["model_quantized.onnx"], CTC, None, ["model_quantized.onnx"]),
        (["model.onnx", "onnx/model.onnx"], CTC, None, ["model.onnx"]),
        ([f"{name}.onnx" for name in [*APART, MERGED[1]]], WHISPER, None, [f"{name}.onnx" for name in APART]),
        ([f"onnx/{name}.onnx" for name in MERGED], WHISPER, None, [f"onnx/{name}.onnx" for name in MERGED]),
        # As whisper-base on the hub: only the merged decoder is there in float16.
        (
            [*(f"onnx/{name}.onnx" for name in APART), *(f"onnx/{name}_fp16.onnx" for name in MERGED)],
            WHISPER,
            "fp16",
            [f"onnx/{name}_fp16.onnx" for name in MERGED],
        ),
    ],
)
def test_the_files_of_a_variant(
    files: list[str], kind: Kind, variant: str | None, expected: list[str], tmp_path: Path
) -> None:
    chosen = choose(source(tmp_path, *files), kind, variant)
    assert chosen is not None
    assert [path.relative_to(tmp_path).as_posix() for path in chosen.paths.values()] == expected
    assert set(chosen.source.file_hashes()) == set(expected)


@pytest.mark.parametrize(
    ("files", "kind", "variant", "message"),
    [
        (["model.onnx"], CTC, "q8", r"needs model_q8.onnx .*, has none of these; the variants fp32 are complete"),
        (["model_fp16.onnx", "model_q4.onnx"], CTC, None, "has its graphs in fp16, q4: choose one with --variant"),
        (["encoder_model.onnx", "decoder_model.onnx"], WHISPER, None, f"decoder_with_past_.*--task {TASK}-with-past"),
        (["encoder_model_q4.onnx"], WHISPER, None, r"encoder_model_q4.onnx and decoder_model_q4.onnx .*, has encoder"),
        (["model.onnx"], WHISPER, "fp32", "encoder_model.onnx and decoder_model.onnx .* has none of these"),
        (["model_fp16.onnx"], WHISPER, "fp16", "has none of these"),
    ],
)
def test_what_is_not_there(files: list[str], kind: Kind, variant: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"^someone/model .*{message}"):
        choose(source(tmp_path, *files), kind, variant)


def test_weights_come_before_graphs_unless_a_variant_is_asked_for(tmp_path: Path) -> None:
    both = source(tmp_path, "model.safetensors", "model.onnx", "model_fp16.onnx")
    assert choose(both, CTC, None) is None
    assert names(both, CTC) == ["fp32", "fp16"]
    chosen = choose(both, CTC, "fp16")
    assert chosen is not None
    assert (chosen.variant, chosen.plain) == ("fp16", {"model": tmp_path / "model.onnx"})


def test_a_folder_without_any_is_left_to_the_weights(tmp_path: Path) -> None:
    assert choose(source(tmp_path, "config.json"), CTC, None) is None


def test_a_pointer_of_git_lfs_is_refused(tmp_path: Path) -> None:
    folder = source(tmp_path, "model.onnx")
    (tmp_path / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="model.onnx is a pointer of Git LFS"):
        choose(folder, CTC, None)
