#!/usr/bin/env python3
"""Stand in for trtexec, with TensorRT-RTX, which builds an engine without a GPU: `trtexec.py --onnx=… --saveEngine=…`

`build_engine.sh` of an export calls it as it calls trtexec (`TRTEXEC=…`), with the same arguments. It runs in an
environment of its own (`make check-tensorrt`) and needs nothing of this project. It prints one line of JSON: what was
built, or why TensorRT-RTX refuses the graph, with exit status 1.

TensorRT-RTX is another product than the TensorRT of data centres, and Triton loads none of its engines.
"""

import argparse
import ctypes
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# The package that has the libraries. The bindings look for them on LD_LIBRARY_PATH, under names that they lack there;
# the loader takes a library that is loaded already.
LIBRARIES = "onnxruntime_ep_nv_tensorrt_rtx"
# A profile whose largest shapes do not fit the graph is an error at run time, though only a warning of the builder.
INCONSISTENT = "not self-consistent"
Shapes = dict[str, tuple[int, ...]]


class RefusedError(Exception):
    """TensorRT-RTX does not take the graph or its profile."""


def main() -> int:
    """Build the engine and print the facts."""
    arguments = read_arguments()
    trt = load()
    try:
        facts = build(trt, arguments)
    except RefusedError as refused:
        print(json.dumps({"tensorrt_rtx": trt.__version__, "refused": str(refused)}))
        return 1
    print(json.dumps(facts))
    return 0


def read_arguments() -> argparse.Namespace:
    """Read those arguments of trtexec that `build_engine.sh` gives; argparse refuses any other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--saveEngine", type=Path, required=True)
    parser.add_argument("--stronglyTyped", action="store_true")
    parser.add_argument("--noTF32", action="store_true")
    for end in ("min", "opt", "max"):
        parser.add_argument(f"--{end}Shapes", type=shapes, required=True, help="input:1x2x3, separated by commas")
    parser.add_argument("--memPoolSize", type=workspace_mib, help="workspace:MIB")
    parser.add_argument("--timingCacheFile", help="ignored: nothing is timed without a GPU")
    parser.add_argument("--skipInference", action="store_true", help="nothing is ever run")
    return parser.parse_args()


def shapes(text: str) -> Shapes:
    """Read `audio:1x16384,lengths:1x1`."""
    pairs = (item.partition(":") for item in text.split(","))
    return {name: tuple(int(size) for size in sizes.split("x")) for name, _, sizes in pairs}


def workspace_mib(text: str) -> int:
    """Read `workspace:4096`."""
    name, _, size = text.partition(":")
    if name != "workspace":
        raise ValueError(text)
    return int(size)


def load() -> Any:
    """Return the module of TensorRT-RTX."""
    found = find_spec(LIBRARIES)
    if found is None or found.origin is None:
        raise SystemExit(f"the package {LIBRARIES} is not installed here; run it by make check-tensorrt")
    for name in ("libtensorrt_rtx.so.*", "libtensorrt_onnxparser_rtx.so.*"):
        ctypes.CDLL(str(next(Path(found.origin).parent.glob(name))), mode=ctypes.RTLD_GLOBAL)
    import tensorrt_rtx_bindings

    return tensorrt_rtx_bindings


def build(trt: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Build and save the engine, and return its facts.

    Raises:
        RefusedError: the parser or the builder refuses the graph; the message is theirs.
    """
    messages: list[str] = []

    class Log(trt.ILogger):  # type: ignore[misc]
        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR or INCONSISTENT in message:
                messages.append(message)

    logger = Log()
    builder = trt.Builder(logger)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed if arguments.stronglyTyped else 0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(arguments.onnx):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise RefusedError("; ".join(sorted({f"{error.node_operator()}: {error.desc()}" for error in errors})))
    config = builder.create_builder_config()
    if arguments.memPoolSize is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, arguments.memPoolSize << 20)
    if arguments.noTF32:
        config.clear_flag(trt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    ends = (arguments.minShapes, arguments.optShapes, arguments.maxShapes)
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        if not all(name in end for end in ends):
            raise RefusedError(f"the profile has no shape of the input {name}")
        profile.set_shape(name, *(end[name] for end in ends))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None or messages:
        raise RefusedError("; ".join(messages))
    arguments.saveEngine.write_bytes(engine)
    return {"tensorrt_rtx": trt.__version__, "layers": network.num_layers, "engine_bytes": engine.nbytes}


if __name__ == "__main__":
    sys.exit(main())
