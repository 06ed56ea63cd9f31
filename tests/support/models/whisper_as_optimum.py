"""The three graphs of a Whisper as optimum writes them for `automatic-speech-recognition-with-past`, without optimum.

In shapes, `n` is the number of rows, `size` the channels of a head.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from asr_export.graph.trace import Axes, Quiet, trace
from asr_export.networks.parts.attention import attend, by_head, project
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

_PARTS = ("key", "value")


class Network(nn.Module):
    """One of the three networks, with the names and dynamic dimensions of its inputs and outputs."""

    inputs: Axes
    outputs: Axes

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs for the tracer: two rows, since with one it fixes the batch size."""
        raise NotImplementedError


class Encoder(Network):
    """`input_features` float32 `[n, mels, frames]`, one window -> `last_hidden_state` `[n, positions, channels]`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inputs = {"input_features": {0: "n"}}
        self.outputs = {"last_hidden_state": {0: "n"}}
        self._encoder = model.model.encoder
        self._shape = (2, model.config.num_mel_bins, 2 * model.config.max_source_positions)

    def example(self) -> tuple[Tensor, ...]:
        return (torch.zeros(self._shape),)

    def forward(self, features: Tensor) -> Tensor:
        hidden: Tensor = self._encoder(features).last_hidden_state
        return hidden


class _Decoder(Network):
    """The layers that both decoders run, and the names of their keys and values."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        self._decoder = model.model.decoder
        self._head = model.proj_out
        self._heads = config.decoder_attention_heads
        self._layers = config.decoder_layers
        self._positions, self._channels = config.max_source_positions, config.d_model

    def _names(self, stem: str, side: str, axes: dict[int, str]) -> Axes:
        return {f"{stem}.{layer}.{side}.{part}": axes for layer in range(self._layers) for part in _PARTS}

    def _decode(
        self, hidden: Tensor, own: list[list[Tensor]], heard: list[list[Tensor]], mask: Tensor | float
    ) -> tuple[Tensor, list[Tensor]]:
        """Return logits, and the keys and values of each layer's self-attention with those of these tokens.

        Args:
            hidden: embedded tokens `[n, length, channels]`.
            own: for each layer, the keys and values of earlier tokens `[n, heads, past, size]`; empty without any.
            heard: for each layer, keys and values of the encoder `[n, heads, positions, size]`.
            mask: added to the scores of self-attention.
        """
        present: list[Tensor] = []
        for layer, earlier, encoded in zip(self._decoder.layers, own, heard, strict=True):
            attention, normed = layer.self_attn, layer.self_attn_layer_norm(hidden)
            pair = project(normed, self._heads, attention.k_proj, attention.v_proj)
            if earlier:
                pair = [torch.cat(parts, dim=2) for parts in zip(earlier, pair, strict=True)]
            present += pair
            hidden = hidden + self._attend(attention, normed, pair, mask)
            hidden = hidden + self._attend(layer.encoder_attn, layer.encoder_attn_layer_norm(hidden), encoded, 0.0)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
        return self._head(self._decoder.layer_norm(hidden)), present

    def _attend(self, attention: Any, normed: Tensor, pair: list[Tensor], mask: Tensor | float) -> Tensor:
        key, value = pair
        # Scaled before the product, as by transformers: the order of rounding is the same.
        query = by_head(attention.q_proj(normed) * attention.scaling, self._heads)
        mixed: Tensor = attention.out_proj(attend(query @ key.transpose(2, 3) + mask, value))
        return mixed


class PromptDecoder(_Decoder):
    """`input_ids` int64 `[n, length]`, `encoder_hidden_states` -> `logits` `[n, length, vocab]`, keys and values.

    The keys and values are `present.<layer>.decoder.key`, `.value` and `present.<layer>.encoder.key`, `.value`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.inputs = {"input_ids": {0: "n", 1: "length"}, "encoder_hidden_states": {0: "n"}}
        self.outputs = {"logits": {0: "n", 1: "length"}}
        self.outputs |= self._names("present", "decoder", {0: "n", 2: "length"})
        self.outputs |= self._names("present", "encoder", {0: "n"})

    def example(self) -> tuple[Tensor, ...]:
        return torch.ones((2, 3), dtype=torch.int64), torch.zeros((2, self._positions, self._channels))

    def forward(self, tokens: Tensor, encoded: Tensor) -> tuple[Tensor, ...]:
        places = torch.arange(tokens.shape[1])
        hidden = self._decoder.embed_tokens(tokens) + self._decoder.embed_positions.weight[: tokens.shape[1]]
        mask = torch.where(places[None, :] > places[:, None], torch.finfo(hidden.dtype).min, 0.0)
        heard = [
            project(encoded, self._heads, layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)
            for layer in self._decoder.layers
        ]
        logits, present = self._decode(hidden, [[] for _ in heard], heard, mask)
        return logits, *present, *(tensor for pair in heard for tensor in pair)


class StepDecoder(_Decoder):
    """One more token of each row: `input_ids` int64 `[n, 1]` and all keys and values -> `logits` `[n, 1, vocab]`.

    The keys and values are `past_key_values.<layer>.…`; those of the decoder come back, one longer, as
    `present.<layer>.decoder.…`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.inputs = {"input_ids": {0: "n"}}
        self.inputs |= self._names("past_key_values", "decoder", {0: "n", 2: "past"})
        self.inputs |= self._names("past_key_values", "encoder", {0: "n"})
        self.outputs = {"logits": {0: "n"}, **self._names("present", "decoder", {0: "n", 2: "length"})}

    def example(self) -> tuple[Tensor, ...]:
        size = self._channels // self._heads
        own, heard = (torch.zeros((2, self._heads, length, size)) for length in (3, self._positions))
        count = len(_PARTS) * self._layers
        return torch.ones((2, 1), dtype=torch.int64), *[own] * count, *[heard] * count

    def forward(self, tokens: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        pairs = [list(past[index : index + 2]) for index in range(0, len(past), 2)]
        own, heard = pairs[: self._layers], pairs[self._layers :]
        length = own[0][0].shape[2]
        hidden = self._decoder.embed_tokens(tokens) + self._decoder.embed_positions.weight[length : length + 1]
        logits, present = self._decode(hidden, own, heard, 0.0)
        return logits, *present


def write(checkpoint: Path, folder: Path) -> None:
    """Write the three graphs of a checkpoint into a folder."""
    model = WhisperForConditionalGeneration.from_pretrained(checkpoint).eval()
    networks = {"encoder_model": Encoder, "decoder_model": PromptDecoder, "decoder_with_past_model": StepDecoder}
    for name, kind in networks.items():
        network = kind(model).eval()
        work = folder / "work"
        work.mkdir()
        with torch.inference_mode(), Quiet():
            trace(network, network.example(), network.inputs, network.outputs, work / f"{name}.onnx")
        (work / f"{name}.onnx").rename(folder / f"{name}.onnx")
        shutil.rmtree(work)
