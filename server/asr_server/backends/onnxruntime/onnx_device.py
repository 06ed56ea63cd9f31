"""The device of an instance: which one it is, a session on it, and a run there."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from asr_contract import gpu as gpus
from numpy.typing import NDArray

Array = NDArray[Any]


def gpu(args: Mapping[str, str], warn: Callable[[str], None]) -> int | None:
    """Return the number of the instance's GPU; None for a CPU.

    Triton turns KIND_AUTO into KIND_GPU where the machine has a GPU. With an ONNX Runtime without CUDA, such an
    instance runs on the CPU, as it does in a Triton without GPU support. One of KIND_GPU does not.

    Args:
        args: of the instance, from Triton.
        warn: takes the text of a warning.
    """
    if args["model_instance_kind"] != "GPU":
        return None
    if not gpus.has_cuda() and _is_auto(Path(args["model_repository"])):
        warn(
            f"{args['model_name']} is of KIND_AUTO and runs on the CPU, though there is a GPU, because onnxruntime has "
            f"no CUDA; for the GPU, {gpus.INSTALL}"
        )
        return None
    return int(args["model_instance_device_id"])


def open_session(ort: Any, file: Path, options: Any, gpu: int | None, cuda_options: Mapping[str, str]) -> Any:
    """Return a session of a graph.

    Raises:
        asr_contract.gpu.GpuError: the GPU cannot be used.
    """
    if gpu is None:
        return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return gpus.open_session(file, options, gpu, cuda_options)


def run_on_cpu(session: Any, names: Sequence[str], feed: Mapping[str, Array], options: Any) -> list[Array]:
    """Return the outputs `names` of a run."""
    return list(session.run(list(names), feed, options))


def run_on_gpu(session: Any, names: Sequence[str], feed: Mapping[str, Array], options: Any) -> list[Array]:
    """Return the outputs `names` of a run.

    Inputs are bound where they are, in the memory of the host. ONNX Runtime copies each to where its first operator
    runs, which for lengths is the host. Results come back to the host in one copy.
    """
    binding = session.io_binding()
    for name, array in feed.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(array))
    for name in names:
        binding.bind_output(name, "cpu")
    with gpus.under_way():
        session.run_with_iobinding(binding, options)
    return [value.numpy() for value in binding.get_outputs()]


def _is_auto(model: Path) -> bool:
    """Return whether no instance group of a model is of KIND_GPU; Triton hands over the kind that it made of it."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    try:
        text = (model / "config.pbtxt").read_text(encoding="utf-8")
        config = text_format.Parse(text, model_config_pb2.ModelConfig(), allow_unknown_field=True)
    except (OSError, text_format.ParseError):
        return False
    return all(group.kind != model_config_pb2.ModelInstanceGroup.KIND_GPU for group in config.instance_group)
