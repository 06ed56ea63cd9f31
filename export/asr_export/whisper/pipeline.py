"""The whole export of a Whisper: checkpoint -> encoder and decoders -> gate -> repository."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from asr_export.checkpoint.loading import Source
from asr_export.options import ExportOptions, ExportResult, library_versions
from asr_export.repository.models import WhisperDeployment, write_whisper
from asr_export.whisper.artefacts import OPSET, write_artefacts
from asr_export.whisper.checkpoint import ARCHITECTURE, load
from asr_export.whisper.gate import check_artefacts

# Whisper takes one window at a time, so memory does not depend on the length of a recording.
DEFAULT_SECONDS = 600.0
_NOT_FOR_WHISPER = ("language", "platform", "precision", "exporter", "check_manifest")


def export_whisper(
    source: Source, output: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> ExportResult:
    """Export a Whisper, as `asr_export.export_checkpoint` says, from a located source with checked options."""
    options.refuse(
        "Whisper, which is exported in fp32 for ONNX Runtime; a request names its language", _NOT_FOR_WHISPER
    )
    options.refuse("Whisper, whose decoder is a language model", ("lm", "lexicon"))
    options.refuse("Whisper, which takes no live streams", ("max_streams",))
    loaded = load(source)
    if loaded.left_aside:
        settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in loaded.left_aside.items())
        on_step(f"ignoring {settings} of generation_config.json, because the service decodes greedily")
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        on_step("tracing encoder, decoder and decoder with past")
        write_artefacts(loaded, Path(work))
        on_step("checking them against PyTorch")
        parity = check_artefacts(Path(work), loaded)
        deployment = WhisperDeployment(
            max_batch_size=options.max_batch_size,
            max_queue=options.queue,
            max_audio_seconds=options.seconds(DEFAULT_SECONDS),
            sampling_rate=loaded.settings.sampling_rate,
            gpu=options.gpu,
        )
        report = {
            "source": source.name,
            "revision": source.revision,
            "files_sha256": source.file_hashes(),
            "architecture": ARCHITECTURE,
            "precision": "fp32",
            "opset": OPSET,
            "padding_safe": True,  # every window has the same length
            "left_aside": loaded.left_aside,
            "parity": asdict(parity),
            "options": asdict(options),
            "versions": library_versions("tokenizers"),
        }
        on_step(f"writing {output}")
        names = write_whisper(output, options.name, Path(work), deployment, report)
    return ExportResult(output, names, None, parity)
