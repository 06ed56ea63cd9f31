"""The options of the CUDA provider in a model's configuration, as Triton's own ONNX Runtime backend reads them.

It needs no Triton, and refuses at load time what the stand-in does not support.
"""

from collections.abc import Mapping
from typing import Any

# `parameters` of the configuration -> the values that they may have, and what the CUDA provider calls these.
_CHOICES: dict[str, dict[str, str]] = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
    "do_copy_in_default_stream": {"0": "0", "1": "1", "false": "0", "true": "1"},
}
_MEMORY_LIMIT = "gpu_mem_limit"  # bytes
_PARAMETERS = (*_CHOICES, _MEMORY_LIMIT)
_NOT_OURS = {
    "device_id": "the instance_group says which GPU",
    "has_user_compute_stream": "each session has a stream of its own",
    "user_compute_stream": "each session has a stream of its own",
    "enable_cuda_graph": "recordings differ in length, and a CUDA graph has one shape",
}


def check(config: Mapping[str, Any]) -> None:
    """Refuse what this backend does not support, on whichever device.

    Raises:
        ValueError: a value is wrong, or the configuration asks for another accelerator than CUDA.
    """
    options(config)
    if others := [str(entry["name"]) for entry in _accelerators(config, "cpu")]:
        raise ValueError(
            f"cpu_execution_accelerator is {', '.join(others)}; the stand-in ONNX Runtime backend has none"
        )


def options(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of the CUDA provider.

    Args:
        config: the model configuration as JSON. Options lie in `parameters`, and in `optimization`,
            `execution_accelerators`, `gpu_execution_accelerator { name: "cuda" }`; `parameters` take precedence, as in
            Triton.

    Raises:
        ValueError: a value is wrong, or the configuration asks for another accelerator or for CUDA graphs.
    """
    if (config.get("optimization", {}).get("cuda") or {}).get("graphs"):
        raise ValueError(f"optimization.cuda.graphs is true; {_NOT_OURS['enable_cuda_graph']}")
    found: dict[str, str] = {}
    for entry in _accelerators(config, "gpu"):
        if entry["name"] != "cuda":
            raise ValueError(
                f"gpu_execution_accelerator is {entry['name']}; the stand-in ONNX Runtime backend has cuda alone, and "
                "Triton's own has tensorrt, too"
            )
        found |= {key: str(value) for key, value in (entry.get("parameters") or {}).items()}
    for key in found:
        if key in _NOT_OURS:
            raise ValueError(f"gpu_execution_accelerator cuda has {key}; {_NOT_OURS[key]}")
    parameters = config.get("parameters", {})
    given = {key: str(parameters[key]["string_value"]) for key in _PARAMETERS if key in parameters}
    return {**found, **{key: _value(key, text) for key, text in given.items()}}


def _value(key: str, text: str) -> str:
    if key == _MEMORY_LIMIT:
        if not text.isdecimal() or not int(text):
            raise ValueError(f"the parameter {key} is {text!r}; needs a number of bytes above 0")
        return text
    if text.lower() not in (valid := _CHOICES[key]):
        meanings = ", ".join(word if word == meaning else f"{word} ({meaning})" for word, meaning in valid.items())
        raise ValueError(f"the parameter {key} is {text!r}; valid: {meanings}")
    return valid[text.lower()]


def _accelerators(config: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    found = config.get("optimization", {}).get("execution_accelerators") or {}
    return list(found.get(f"{kind}_execution_accelerator") or ())
