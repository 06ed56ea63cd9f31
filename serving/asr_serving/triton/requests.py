"""Input from Triton: a model's settings, and requests."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import triton_python_backend_utils as pb_utils
from asr_contract import tensors
from asr_contract.errors import RequestError
from numpy.typing import NDArray

from asr_serving.sequences import Piece

Loaded = TypeVar("Loaded")

START, END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


def settings(args: dict[str, str], needed: Collection[str], optional: Collection[str] = ()) -> dict[str, str]:
    """Return the parameters of a model's configuration. Triton itself would ignore a misspelt key.

    Args:
        args: of `initialize`.
        needed: names that must be there.
        optional: names that may be there.

    Raises:
        TritonModelException: a name is missing or unknown.
    """
    parameters = json.loads(args["model_config"])["parameters"]
    found = {key: item["string_value"] for key, item in parameters.items()}
    if found.keys() - set(optional) != set(needed):
        takes = f", and takes {sorted(optional)}" if optional else ""
        raise pb_utils.TritonModelException(f"parameters are {sorted(found)}; needs {sorted(needed)}{takes}")
    return found


def load(args: dict[str, str], loader: Callable[[Path], Loaded]) -> Loaded:
    """Return what a loader makes of the files that an export put beside a model's adapter.

    Args:
        args: of `initialize`.
        loader: takes their folder.

    Raises:
        TritonModelException: it fails.
    """
    folder = Path(args["model_repository"], args["model_version"])
    try:
        return loader(folder)
    except Exception as error:  # the errors of ONNX Runtime and tokenizers have no common base
        raise pb_utils.TritonModelException(f"cannot load {folder}: {error}") from error


def parameters(request: Any) -> dict[str, Any]:
    """Return the parameters of a request."""
    return dict(json.loads(request.parameters() or "{}"))


def array(request: Any, name: str) -> NDArray[Any]:
    """Return an input tensor of a request."""
    values: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return values


def row(request: Any, name: str) -> NDArray[Any]:
    """Return the one row of an input tensor.

    Raises:
        RequestError: the request has several rows, or an empty one.
    """
    values = array(request, name)
    if len(values) != 1 or not values.size:
        raise RequestError(f"{name} has shape {list(values.shape)}; needs one row: one recording per request")
    found: NDArray[Any] = values[0]
    return found


def optional_row(request: Any, name: str) -> NDArray[Any] | None:
    """Return the one row of an input tensor; None if the request does not have it.

    Raises:
        RequestError: the request has several rows, or an empty one.
    """
    return None if pb_utils.get_input_tensor_by_name(request, name) is None else row(request, name)


def audio(request: Any) -> bytes:
    """Return the AUDIO of a request.

    Raises:
        RequestError: AUDIO has more or less than one element.
    """
    elements = array(request, tensors.AUDIO)
    if elements.shape != (1, 1):
        raise RequestError(f"AUDIO has shape {list(elements.shape)}; needs [1, 1]: one recording per request")
    return bytes(elements[0, 0])


def piece(request: Any) -> Piece:
    """Return a request of a sequence.

    Raises:
        RequestError: AUDIO has more or less than one element.
    """
    flags = request.flags()
    return Piece(request.correlation_id(), audio(request), parameters(request), bool(flags & START), bool(flags & END))
