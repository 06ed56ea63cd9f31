"""The Triton that hosts the stand-in ONNX Runtime backend: its tensors, requests and responses, and a loaded model."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx

RAGGED = {
    "input": [{"name": "audio", "data_type": "TYPE_FP32", "dims": [-1], "allow_ragged_batch": True}],
    "batch_input": [
        {
            "kind": "BATCH_ITEM_SHAPE",
            "target_name": ["audio_shape"],
            "data_type": "TYPE_INT32",
            "source_input": ["audio"],
        }
    ],
    "output": [{"name": "frames", "data_type": "TYPE_INT32", "dims": [1]}],
}


class FakeTensor:
    def __init__(self, name: str, array: Any) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._array


class FakeError(Exception):
    INTERNAL = 1
    CANCELLED = 2

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


def response(output_tensors: Any = (), error: Any = None) -> Any:
    return SimpleNamespace(outputs={tensor.name(): tensor.as_numpy() for tensor in output_tensors}, error=error)


def request(asked: list[str], is_gone: bool = False, **inputs: Any) -> Any:
    sent: list[Any] = []
    return SimpleNamespace(
        is_cancelled=lambda: is_gone,
        inputs=lambda: [FakeTensor(name, np.asarray(array, np.float32)) for name, array in inputs.items()],
        requested_output_names=lambda: asked,
        get_response_sender=lambda: SimpleNamespace(send=lambda answer, flags: sent.append((answer, flags))),
        sent=sent,
    )


def arguments(folder: Path, config: dict[str, Any], gpu: int | None = None) -> dict[str, str]:
    return {
        "model_config": json.dumps(config),
        "model_repository": str(folder),
        "model_version": "1",
        "model_name": "tiny",
        "model_instance_kind": "CPU" if gpu is None else "GPU",
        "model_instance_device_id": str(gpu or 0),
    }


def pb_utils() -> Any:
    """What the backend imports of Triton."""
    warnings: list[str] = []
    return SimpleNamespace(
        Tensor=FakeTensor,
        InferenceResponse=response,
        TritonError=FakeError,
        TritonModelException=FakeError,
        TRITONSERVER_RESPONSE_COMPLETE_FINAL="final",
        Logger=SimpleNamespace(log_warn=warnings.append),
        warnings=warnings,
    )


def load(backend: ModuleType, folder: Path, graph: onnx.ModelProto, gpu: int | None = None, **changes: Any) -> Any:
    config = {
        "max_batch_size": 8,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
        "output": [
            {"name": "y", "data_type": "TYPE_FP32", "dims": [2]},
            {"name": "total", "data_type": "TYPE_FP32", "dims": [1]},
        ],
        **changes,
    }
    (folder / "1").mkdir(exist_ok=True)
    onnx.save(graph, folder / "1" / (config.get("default_model_filename") or "model.onnx"))
    model = backend.TritonPythonModel()
    model.initialize(arguments(folder, config, gpu))
    return model
