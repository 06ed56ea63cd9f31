"""What to do when a model that needs a TensorRT engine does not load; Triton's own words name neither."""

from collections.abc import Mapping
from pathlib import Path

SCRIPT = "build_engine.sh"  # `triton-asr export --platform tensorrt` leaves it in such a model's folder


def advice(repository: Path, failures: Mapping[str, str]) -> list[str]:
    """Return one line for each such model among those that failed, by name with Triton's reason."""
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
