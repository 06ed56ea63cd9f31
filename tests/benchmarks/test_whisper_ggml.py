"""The ggml file has the sizes, tokens and tensors of the checkpoint, as whisper.cpp reads them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tiny_whisper
from safetensors.numpy import load_file
from transformers import WhisperFeatureExtractor, WhisperTokenizer
from whisper_bench.ggml import ggml_name, write_ggml


class Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def numbers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}i", self.take(4 * count))

    def take(self, size: int) -> bytes:
        self.at += size
        return self.content[self.at - size : self.at]


def test_a_written_file_can_be_read(tmp_path: Path) -> None:
    checkpoint = tiny_whisper.write("english", tmp_path / "checkpoint")
    weights = load_file(checkpoint / "model.safetensors")
    reader = Reader(write_ggml(checkpoint, tmp_path / "f16.bin").read_bytes())
    assert reader.numbers(1) == (0x67676D6C,)
    vocabulary = len(weights["model.decoder.embed_tokens.weight"])
    assert reader.numbers(11) == (vocabulary, 100, 32, 2, 2, 64, 32, 2, 2, 80, 1)

    mels, frequencies = reader.numbers(2)
    filters = np.frombuffer(reader.take(4 * mels * frequencies), "<f4").reshape(mels, frequencies)
    expected = WhisperFeatureExtractor.from_pretrained(checkpoint).mel_filters.T
    np.testing.assert_allclose(filters, expected, rtol=1e-6)

    tokens = [reader.take(*reader.numbers(1)) for _ in range(*reader.numbers(1))]
    said = "Mister Quilter, señor"
    ids = WhisperTokenizer.from_pretrained(checkpoint)(said, add_special_tokens=False).input_ids
    assert b"".join(tokens[index] for index in ids).decode() == said

    found = {}
    while reader.at < len(reader.content):
        dimensions, length, kind = reader.numbers(3)
        shape = reader.numbers(dimensions)[::-1]
        name = reader.take(length).decode()
        data = np.frombuffer(reader.take((4, 2)[kind] * int(np.prod(shape))), ("<f4", "<f2")[kind])
        found[name] = data.reshape(shape)
    by_name = {ggml_name(name): values for name, values in weights.items() if name != "proj_out.weight"}
    assert set(found) == set(by_name)
    for name, values in by_name.items():
        np.testing.assert_allclose(found[name].reshape(values.shape), values, rtol=1e-3, atol=1e-7)
    assert found["encoder.conv1.bias"].shape == (32, 1)
    assert found["decoder.blocks.1.cross_attn.key.weight"].dtype == np.float16
    assert found["encoder.positional_embedding"].dtype == np.float32


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.encoder.layers.3.self_attn.out_proj.bias", "encoder.blocks.3.attn.out.bias"),
        ("model.decoder.layers.0.encoder_attn_layer_norm.weight", "decoder.blocks.0.cross_attn_ln.weight"),
        ("model.decoder.embed_positions.weight", "decoder.positional_embedding"),
        ("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
        ("model.encoder.layer_norm.bias", "encoder.ln_post.bias"),
    ],
)
def test_names_of_whisper_cpp(name: str, expected: str) -> None:
    assert ggml_name(name) == expected


def test_a_tensor_that_no_whisper_has_is_refused() -> None:
    with pytest.raises(ValueError, match="the checkpoint has a tensor 'model.encoder.layers.0.adapter.weight'"):
        ggml_name("model.encoder.layers.0.adapter.weight")
