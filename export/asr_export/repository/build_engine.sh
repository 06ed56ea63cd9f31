#!/bin/sh
# Builds the TensorRT engine of this model, 1/model.plan, from 1/model.onnx. Written by triton-asr export.
#
# Run it on the GPU host: an engine works only with the kind of GPU and the release of TensorRT that built it, so use the
# release that your Triton has. NVIDIA's images of the same month have the same release: build in
# nvcr.io/nvidia/tensorrt:YY.MM-py3, which has trtexec, and serve in nvcr.io/nvidia/tritonserver:YY.MM-py3.
#
# Settings, from the environment:
#   TRTEXEC        the program; default: the one on PATH, else the one of NVIDIA's packages
#   WORKSPACE_MIB  GPU memory in MiB that the layers may use beside weights, inputs and outputs, at most; default: all that
#                  the GPU has. With less, the largest shapes may not fit
#   TIMING_CACHE   file that makes a second build faster; default timing.cache, beside this script
#   TF32           1 allows TF32 in float32 layers: faster, but the figures of the export no longer hold; default 0
# The script passes its arguments on to trtexec.
set -eu

cd "$(dirname "$0")"

trtexec=${TRTEXEC:-}
if [ -z "$trtexec" ]; then
    for candidate in trtexec /opt/tensorrt/bin/trtexec /usr/src/tensorrt/bin/trtexec /usr/local/tensorrt/bin/trtexec; do
        if command -v "$candidate" >/dev/null 2>&1; then
            trtexec=$candidate
            break
        fi
    done
fi
if [ -z "$trtexec" ] || ! command -v "$trtexec" >/dev/null 2>&1; then
    echo "build_engine.sh: ${trtexec:-trtexec} is not here. It comes with TensorRT, for example in the image" >&2
    echo "nvcr.io/nvidia/tensorrt:YY.MM-py3 (take the month of your Triton). If it is elsewhere, set TRTEXEC=/path/to/trtexec" >&2
    exit 1
fi

if [ "${TF32:-0}" != 1 ]; then
    set -- --noTF32 "$@"
fi
if [ -n "${WORKSPACE_MIB:-}" ]; then
    set -- --memPoolSize=workspace:"$WORKSPACE_MIB" "$@"
fi

# Strongly typed: every layer computes in the type that the graph names (TensorRT 11 has no other mode). The file has
# another name until it is complete, so that Triton never loads half an engine.
"$trtexec" \
    --onnx=1/model.onnx \
    --saveEngine=1/model.plan.part \
    --stronglyTyped \
    --minShapes=@MIN_SHAPES@ \
    --optShapes=@OPT_SHAPES@ \
    --maxShapes=@MAX_SHAPES@ \
    --timingCacheFile="${TIMING_CACHE:-timing.cache}" \
    --skipInference \
    "$@"
mv 1/model.plan.part 1/model.plan
echo "build_engine.sh: $(pwd)/1/model.plan is ready; triton-asr serve, or tritonserver, can load it"
