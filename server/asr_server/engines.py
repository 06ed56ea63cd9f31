"""Advice for models that need a TensorRT engine and do not load; Triton's own message names no cure."""

from collections.abc import Mapping
from pathlib import Path

SCRIPT = "build_engine.sh"  # `triton-asr export --platform tensorrt` writes it into such a model's folder


def advice(repository: Path, failures: Mapping[str, str]) -> list[str]:
    """Return lines of advice for the failed models that need an engine.

    Args:
        repository: the model repository.
        failures: Triton's reason for each model that failed, by the model's name.
    """
    lines = []
    for model, reason in failures.items():
        script = repository / model / SCRIPT
        if not script.is_file():
            continue
        if not any(script.parent.glob("*/model.plan")):
            lines.append(f"{model} has no TensorRT engine yet: run {script} on the GPU host")
        if "backend 'tensorrt'" in reason:
            lines.append(
                f"{model} needs Triton's TensorRT backend, which the pip-installed Triton lacks: run a full "
                "tritonserver (--tritonserver) on a machine with a GPU, or export with --platform onnxruntime"
            )
    return lines
