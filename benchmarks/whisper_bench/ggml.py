"""A HuggingFace checkpoint of Whisper -> the file that whisper.cpp reads: ggml, float16.

whisper.cpp describes the format in models/convert-pt-to-ggml.py and reads it in `whisper_model_load`. All numbers are
little-endian: a magic number and the sizes of the model, the mel filters, the tokens, and each tensor with a header. As
its own converter does, matrices are float16; vectors, positions and biases of convolutions are float32.
"""

import json
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import WhisperFeatureExtractor

MAGIC = 0x67676D6C
FLOAT32, FLOAT16 = 0, 1
END = "<|endoftext|>"  # whisper.cpp names this token and those behind it itself
IN_A_LAYER = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
ELSEWHERE = {
    "encoder.conv1": "encoder.conv1",
    "encoder.conv2": "encoder.conv2",
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.embed_tokens": "decoder.token_embedding",
    "decoder.layer_norm": "decoder.ln",
}
POSITIONS = "embed_positions.weight"
OUTPUT = "proj_out.weight"  # the embedding again
CONVOLUTION_BIASES = ("encoder.conv1.bias", "encoder.conv2.bias")


def write_ggml(checkpoint: Path, output: Path) -> Path:
    """Write the file; return its path.

    Raises:
        ValueError: the checkpoint has a tensor that a Whisper does not have.
    """
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    with output.open("wb") as file:
        _write_numbers(file, MAGIC, *_sizes(config), FLOAT16)
        _write_filters(file, checkpoint)
        _write_tokens(file, checkpoint)
        for name, values in load_file(checkpoint / "model.safetensors").items():
            if name != OUTPUT:
                _write_tensor(file, ggml_name(name), values)
    return output


def ggml_name(name: str) -> str:
    """Return whisper.cpp's name for a tensor of transformers.

    Raises:
        ValueError: a Whisper has no such tensor.
    """
    path = name.removeprefix("model.")
    side, _, rest = path.partition(".")
    if rest == POSITIONS:
        return f"{side}.positional_embedding"
    parts, _, kind = path.rpartition(".")
    if rest.startswith("layers."):
        _, number, within = rest.removesuffix(f".{kind}").split(".", 2)
        if within in IN_A_LAYER:
            return f"{side}.blocks.{number}.{IN_A_LAYER[within]}.{kind}"
    elif parts in ELSEWHERE:
        return f"{ELSEWHERE[parts]}.{kind}"
    raise ValueError(f"the checkpoint has a tensor {name!r}; a Whisper has none of this name")


def byte_characters() -> dict[str, int]:
    """Return the character that stands for each byte in a vocabulary of GPT-2, which has only ones to be printed.

    Those of Latin-1 that can be printed stand for themselves; the other bytes follow in order, from U+0100 on.
    """
    themselves = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in themselves]
    return {chr(byte): byte for byte in themselves} | {chr(256 + index): byte for index, byte in enumerate(others)}


def _sizes(config: dict[str, int]) -> list[int]:
    """Return the sizes in the order of the file."""
    names = ["vocab_size", "max_source_positions", "d_model", "encoder_attention_heads", "encoder_layers"]
    names += ["max_target_positions", "d_model", "decoder_attention_heads", "decoder_layers", "num_mel_bins"]
    return [config[name] for name in names]


def _write_filters(file: BinaryIO, checkpoint: Path) -> None:
    filters = np.ascontiguousarray(WhisperFeatureExtractor.from_pretrained(checkpoint).mel_filters.T, "<f4")
    _write_numbers(file, *filters.shape)  # [mels, frequencies]
    file.write(filters.tobytes())


def _write_tokens(file: BinaryIO, checkpoint: Path) -> None:
    """Write the bytes of each token of a text, in the order of their numbers."""
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["content"] for token in tokenizer["added_tokens"]} | {END}
    vocabulary = {token: number for token, number in tokenizer["model"]["vocab"].items() if token not in special}
    bytes_of = byte_characters()
    _write_numbers(file, len(vocabulary))
    for token in sorted(vocabulary, key=vocabulary.__getitem__):
        content = bytes(bytes_of[character] for character in token)
        _write_numbers(file, len(content))
        file.write(content)


def _write_tensor(file: BinaryIO, name: str, values: NDArray[np.float32]) -> None:
    if name in CONVOLUTION_BIASES:
        values = values[:, None]
    is_half = values.ndim > 1 and name not in CONVOLUTION_BIASES and not name.endswith("positional_embedding")
    encoded = name.encode("ascii")
    _write_numbers(file, values.ndim, len(encoded), FLOAT16 if is_half else FLOAT32, *reversed(values.shape))
    file.write(encoded)
    file.write(np.ascontiguousarray(values, "<f2" if is_half else "<f4").tobytes())


def _write_numbers(file: BinaryIO, *numbers: int) -> None:
    file.write(struct.pack(f"<{len(numbers)}i", *numbers))
