"""The process of a library: `worker.py LIBRARY FOLDER PRECISION THREADS WORKERS PACKAGES`, in its own environment.

It loads the model and writes a line of JSON: the versions of the packages, which commas separate. Then it reads jobs, a
line of JSON each: the paths of WAV files (16 kHz, mono, 16 bits), the number of callers, and whether the files are
long. It answers with a line of JSON: the seconds that the job took, without the reading of the files, and the texts.
All libraries search greedily, in English, without a second try.
"""

import json
import os
import queue
import sys
import time
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000
LONG_BATCH = 8  # windows side by side where a library takes several; faster-whisper's default
# Without this, the pipeline of transformers keeps five beams and ends after 256 tokens.
GREEDY = {"num_beams": 1, "max_new_tokens": 440}

# (samples [n] at 16 kHz, whether they are longer than a window) -> text
Transcribe = Callable[[Any, bool], str]


def main() -> None:
    """Answer until standard input ends."""
    library, folder, precision = sys.argv[1:4]
    threads, workers = map(int, sys.argv[4:6])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print
    free: queue.Queue[Transcribe] = queue.Queue()
    for transcribe in LIBRARIES[library](Path(folder), precision, threads, workers):
        free.put(transcribe)
    print(json.dumps({name: version(name) for name in sys.argv[6].split(",")}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(work(free, **json.loads(line))), file=answers, flush=True)


def work(free: "queue.Queue[Transcribe]", paths: list[str], callers: int, is_long: bool) -> dict[str, Any]:
    """Do a job; return its seconds and texts."""
    recordings = [read(path) for path in paths]

    def hear(samples: Any) -> str:
        transcribe = free.get()
        try:
            return transcribe(samples, is_long).strip()
        finally:
            free.put(transcribe)

    with ThreadPoolExecutor(callers) as pool:
        begin = time.perf_counter()
        texts = list(pool.map(hear, recordings))
        return {"seconds": time.perf_counter() - begin, "texts": texts}


def read(path: str) -> Any:
    """Return the samples of a WAV file, float32 within ±1."""
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def faster_whisper(folder: Path, precision: str, threads: int, workers: int) -> list[Transcribe]:
    """Load one model with several workers; long recordings go through `BatchedInferencePipeline`."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    kind = {"fp32": "float32", "int8": "int8"}[precision]
    model = WhisperModel(str(folder), device="cpu", compute_type=kind, cpu_threads=threads, num_workers=workers)
    batched = BatchedInferencePipeline(model)
    asked: dict[str, Any] = {"language": "en", "beam_size": 1, "temperature": 0.0, "without_timestamps": True}

    def transcribe(samples: Any, is_long: bool) -> str:
        if is_long:
            segments, _ = batched.transcribe(samples, batch_size=LONG_BATCH, **asked)
        else:
            segments, _ = model.transcribe(samples, condition_on_previous_text=False, **asked)
        return "".join(segment.text for segment in segments)

    return [transcribe] * workers


def whisper_cpp(folder: Path, precision: str, threads: int, workers: int) -> list[Transcribe]:
    """Load a model for each worker, because one computes one recording at a time."""
    from pywhispercpp.model import Model

    def load() -> Transcribe:
        model = Model(
            str(folder / f"{precision}.bin"),
            redirect_whispercpp_logs_to=None,
            n_threads=threads,
            language="en",
            temperature_inc=0.0,  # no second try
            print_progress=False,
        )

        def transcribe(samples: Any, is_long: bool) -> str:
            return " ".join(
                segment.text
                for segment in model.transcribe(samples, no_timestamps=not is_long, single_segment=not is_long)
            )

        return transcribe

    return [load() for _ in range(workers)]


def onnx_asr(folder: Path, precision: str, threads: int, workers: int) -> list[Transcribe]:
    """Load one model; it knows no recordings that are longer than a window.

    It begins each text as for a multilingual model, with a language and a task. A model of English alone was trained
    without them, and then writes nothing for many recordings. So the prompt becomes what the model was trained with, by
    a private attribute; `language` names what stands in its second place.
    """
    import onnx_asr as library
    import onnxruntime

    assert precision == "fp32"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = library.load_model("whisper", folder, sess_options=options, providers=["CPUExecutionProvider"])
    model.asr._transcribe_input = model.asr._transcribe_input[:, [0, -1]]  # <|startoftranscript|>, <|notimestamps|>
    return [lambda samples, _: str(model.recognize(samples, sample_rate=RATE, language="notimestamps"))] * workers


def transformers(folder: Path, precision: str, threads: int, workers: int) -> list[Transcribe]:
    """Load the pipeline; `chunk_length_s` and batches for long recordings, as its documentation has it."""
    import torch
    import transformers as library

    assert precision == "fp32"
    torch.set_num_threads(threads)
    return _pipeline(library, library.WhisperForConditionalGeneration.from_pretrained(folder), folder, workers)


def optimum(folder: Path, precision: str, threads: int, workers: int) -> list[Transcribe]:
    """Load optimum's own graphs in the pipeline of transformers."""
    import onnxruntime
    import torch
    import transformers as library
    from optimum.onnxruntime import ORTModelForSpeechSeq2Seq

    assert precision == "fp32"
    torch.set_num_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = ORTModelForSpeechSeq2Seq.from_pretrained(folder, session_options=options)
    return _pipeline(library, model, folder, workers)


def _pipeline(library: Any, model: Any, folder: Path, workers: int) -> list[Transcribe]:
    library.logging.set_verbosity_error()
    pipeline = library.pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=library.AutoTokenizer.from_pretrained(folder),
        feature_extractor=library.AutoFeatureExtractor.from_pretrained(folder),
        device="cpu",
    )

    def transcribe(samples: Any, is_long: bool) -> str:
        asked = {"chunk_length_s": 30, "batch_size": LONG_BATCH} if is_long else {}
        # The pipeline takes the dictionary apart: it needs a new one each time.
        heard = pipeline({"raw": samples, "sampling_rate": RATE}, generate_kwargs=GREEDY, **asked)
        return str(heard["text"])

    return [transcribe] * workers


LIBRARIES: dict[str, Callable[[Path, str, int, int], list[Transcribe]]] = {
    "faster-whisper": faster_whisper,
    "whisper.cpp": whisper_cpp,
    "onnx-asr": onnx_asr,
    "transformers": transformers,
    "optimum": optimum,
}

if __name__ == "__main__":
    main()
