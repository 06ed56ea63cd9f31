"""The two networks of a Whisper, as they are traced: the encoder, and the decoder of rows at different places.

They are written out here: transformers' own decoder goes through cache and mask classes, which change from version to
version and leave their traces in a graph. In shapes, `n` is the number of rows, `size` the channels of a head. The
names of inputs and outputs are those of `asr_serving.whisper.graphs.names`.
"""

from typing import Any

import torch
from asr_serving.whisper.graphs import names
from torch import Tensor, nn

from asr_export.graph.trace import Axes
from asr_export.networks.parts.attention import by_head, project


class Network(nn.Module):
    """One of the networks, with the names and dynamic dimensions of its inputs and outputs."""

    inputs: Axes
    outputs: Axes

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs for the tracer: two rows, since with one it fixes the batch size."""
        raise NotImplementedError


class Encoder(Network):
    """A window of log-mel features -> what the decoder hears of it.

    `input_features` float32 `[n, mels, frames]` -> `last_hidden_state` `[n, positions, channels]`, and for each layer
    of the decoder the keys and values of its cross-attention, `[n, heads, positions, size]`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        self._layers = model.model.decoder.layers
        self._heads = config.decoder_attention_heads
        self._encoder = model.model.encoder
        self._shape = (2, config.num_mel_bins, 2 * config.max_source_positions)
        heard = names.heard(config.decoder_layers)
        self.inputs = {names.FEATURES: {0: "n"}}
        self.outputs = {names.HIDDEN: {0: "n"}, **{name: {0: "n"} for name in heard}}

    def example(self) -> tuple[Tensor, ...]:
        return (torch.zeros(self._shape),)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        hidden = self._encoder(features).last_hidden_state
        heard = [
            part
            for layer in self._layers
            for part in project(hidden, self._heads, layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)
        ]
        return hidden, *heard


class Decoder(Network):
    """Further tokens of rows at different places: prompts, with an empty past, or one token more.

    The keys of a row's earlier tokens are at the end of its past, so that new ones follow them in every row; `padding`
    counts the places before them that hold nothing. Logits are computed only at the places `read` of the new tokens,
    because the output layer is most of the work.

    Inputs:
        `input_ids` int64 `[n, length]`, `padding` int64 `[n]`, `read` int64 `[n, k]`, earlier keys and values
        `[n, heads, past, size]`, those of the encoder.

    Outputs:
        `logits` `[n, k, vocab]`, `alignment` `[n, alignment heads, length, positions]`, the weights of those heads of
        cross-attention that follow the audio, and keys and values `[n, heads, past + length, size]`.
    """

    _no_bias: Tensor

    def __init__(self, model: Any, alignment_heads: list[tuple[int, int]]) -> None:
        super().__init__()
        config = model.config
        self._decoder = model.model.decoder
        self._heads, self._channels = config.decoder_attention_heads, config.d_model
        self._positions, self._layers = config.max_source_positions, config.decoder_layers
        self._alignment_heads = alignment_heads
        # The graph has the embedding once. Only a product with a bias (Gemm) takes a matrix as it lies there.
        self._head = self._decoder.embed_tokens.weight
        self.register_buffer("_no_bias", torch.zeros(config.vocab_size), persistent=False)
        self.inputs = {names.TOKENS: {0: "n", 1: "length"}, names.PADDING: {0: "n"}, names.READ: {0: "n", 1: "k"}}
        self.inputs |= {name: {0: "n", 2: "past"} for name in names.past(self._layers)}
        self.inputs |= {name: {0: "n"} for name in names.heard(self._layers)}
        self.outputs = {names.LOGITS: {0: "n", 1: "k"}, names.ALIGNMENT: {0: "n", 2: "length"}}
        self.outputs |= {name: {0: "n", 2: "total"} for name in names.present(self._layers)}

    def example(self) -> tuple[Tensor, ...]:
        size = self._channels // self._heads
        own, heard = (torch.zeros((2, self._heads, length, size)) for length in (3, self._positions))
        count = 2 * self._layers
        tokens, places = torch.ones((2, 4), dtype=torch.int64), torch.zeros((2, 2), dtype=torch.int64)
        return tokens, torch.zeros(2, dtype=torch.int64), places, *[own] * count, *[heard] * count

    def forward(self, tokens: Tensor, padding: Tensor, read: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        past, heard = cache[: 2 * self._layers], cache[2 * self._layers :]
        before, length = past[0].shape[2], tokens.shape[1]
        places = before + torch.arange(length)  # among the keys
        keys = torch.arange(before + length)
        hidden = self._decoder.embed_tokens(tokens) + self._embed_places(places[None, :] - padding[:, None])
        is_heard = (keys[None, None, :] <= places[None, :, None]) & (keys[None, None, :] >= padding[:, None, None])
        mask = torch.where(is_heard, 0.0, torch.finfo(hidden.dtype).min)[:, None]
        present: list[Tensor] = []
        weights: list[Tensor] = []
        for index, layer in enumerate(self._decoder.layers):
            pair = slice(2 * index, 2 * index + 2)
            attention, normed = layer.self_attn, layer.self_attn_layer_norm(hidden)
            new = project(normed, self._heads, attention.k_proj, attention.v_proj)
            joined = [torch.cat(parts, dim=2) for parts in zip(past[pair], new, strict=True)]
            present += joined
            mixed, _ = self._attend(attention, normed, joined[0], joined[1], mask)
            hidden = hidden + mixed
            cross = layer.encoder_attn
            key, value = heard[pair]
            mixed, shares = self._attend(cross, layer.encoder_attn_layer_norm(hidden), key, value, 0.0)
            weights += [shares[:, head : head + 1] for at, head in self._alignment_heads if at == index]
            hidden = hidden + mixed
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
        return self._logits(hidden, read), torch.cat(weights, dim=1), *present

    def _embed_places(self, places: Tensor) -> Tensor:
        known: Tensor = self._decoder.embed_positions.weight
        return known[torch.where(places < 0, 0, places)]

    def _attend(
        self, attention: Any, normed: Tensor, key: Tensor, value: Tensor, mask: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Return what attention adds to hidden states, and its weights `[n, heads, length, keys]`."""
        # Scaled before the product, as by transformers: the order of rounding is the same.
        query = by_head(attention.q_proj(normed) * attention.scaling, self._heads)
        shares = torch.softmax(query @ key.transpose(2, 3) + mask, dim=-1)
        mixed = (shares @ value).transpose(1, 2)
        # By its own shape: that of another tensor would be computed anew in each layer of each step.
        return attention.out_proj(mixed.reshape(mixed.shape[0], mixed.shape[1], -1)), shares

    def _logits(self, hidden: Tensor, read: Tensor) -> Tensor:
        wanted = torch.gather(hidden, 1, read[:, :, None].expand(-1, -1, self._channels))
        normed = self._decoder.layer_norm(wanted)
        flat = torch.addmm(self._no_bias, normed.reshape(-1, self._channels), self._head.t())
        return flat.reshape(read.shape[0], read.shape[1], -1)
