"""The server of most tutorials: FastAPI over transformers. The environment variable CHECKPOINT names the folder.

FastAPI calls a plain function in one of 40 threads, and PyTorch uses all cores for each call.
"""

import io
import os
from typing import Annotated, Any

import soundfile
import torch
import transformers
from fastapi import Body, FastAPI

_library: Any = transformers  # its classes have no types
_processor = _library.Wav2Vec2Processor.from_pretrained(os.environ["CHECKPOINT"])
_model = _library.AutoModelForCTC.from_pretrained(os.environ["CHECKPOINT"]).eval()
app = FastAPI()


@app.post("/transcribe")
def transcribe(audio: Annotated[bytes, Body(media_type="audio/wav")]) -> dict[str, str]:
    """Return the text of a WAV file at 16 kHz."""
    samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32")
    inputs = _processor(samples, sampling_rate=rate, return_tensors="pt")
    with torch.inference_mode():
        logits = _model(**inputs).logits
    return {"text": _processor.batch_decode(logits.argmax(dim=-1))[0]}


@app.get("/ready")
def ready() -> None:
    """Answer; the app starts only after the model is loaded."""
