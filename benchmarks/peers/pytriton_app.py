"""A PyTriton server, as in PyTriton's documentation: transformers behind the `@batch` decorator.

python peers/pytriton_app.py CHECKPOINT GRPC_PORT HTTP_PORT METRICS_PORT
"""

import sys
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MODEL = "wav2vec2"
MAX_BATCH = 16


def main(checkpoint: str, grpc_port: str, http_port: str, metrics_port: str) -> None:
    """Serve until terminated."""
    library: Any = transformers  # its classes have no types
    processor = library.Wav2Vec2Processor.from_pretrained(checkpoint)
    model = library.AutoModelForCTC.from_pretrained(checkpoint).eval()

    @batch  # type: ignore[untyped-decorator]
    def infer(audio: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return texts `[n, 1]` of recordings `[n, samples]`; Triton batches only recordings of equal length."""
        inputs = processor(list(audio), sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs).logits
        texts = processor.batch_decode(logits.argmax(dim=-1))
        return {"text": np.char.encode(np.array(texts)[:, None], "utf-8")}

    config = TritonConfig(
        grpc_address="127.0.0.1",
        http_address="127.0.0.1",
        metrics_address="127.0.0.1",
        grpc_port=int(grpc_port),
        http_port=int(http_port),
        metrics_port=int(metrics_port),
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=MODEL,
            infer_func=infer,
            inputs=[Tensor(name="audio", dtype=np.float32, shape=(-1,))],
            outputs=[Tensor(name="text", dtype=bytes, shape=(1,))],
            config=ModelConfig(max_batch_size=MAX_BATCH),
        )
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
