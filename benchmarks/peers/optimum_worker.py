"""The process of the peer `optimum`: `optimum_worker.py CHECKPOINT FOLDER CORES`, in the environment of optimum.

It exports the checkpoint and says so by a line; then it reads recordings (the number of bytes in four, and float32
samples) and answers each by a line of JSON.
"""

import json
import os
import sys
import warnings
from typing import Any

import numpy as np
import onnxruntime
import torch
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForCTC
from transformers import Wav2Vec2Processor

RATE = 16_000


def main() -> None:
    """Answer until standard input ends."""
    checkpoint, folder, cores = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the tracer prints
    torch.set_num_threads(int(cores))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(cores)
    processor: Any = Wav2Vec2Processor.from_pretrained(checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns
        main_export(checkpoint, folder, task="automatic-speech-recognition", do_validation=False)
    model = ORTModelForCTC.from_pretrained(folder, session_options=options)
    print(json.dumps("ready"), file=answers, flush=True)
    while size := sys.stdin.buffer.read(4):
        samples = np.frombuffer(sys.stdin.buffer.read(int.from_bytes(size, "little")), "<f4")
        inputs = processor(samples, sampling_rate=RATE, return_tensors="pt")
        logits = model(inputs.input_values).logits
        print(json.dumps(processor.batch_decode(logits.argmax(dim=-1))[0]), file=answers, flush=True)


if __name__ == "__main__":
    main()
