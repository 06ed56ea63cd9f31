"""Small CTC graphs as other toolkits export them: other names, axes, types and habits than the kit's own."""

from collections.abc import Sequence
from pathlib import Path

import torch
from asr_export.graph.trace import Quiet
from torch import Tensor, nn

RATE = 16_000
STRIDE, FIELD = 320, 400
CHARACTERS = ["<blk>", "|", *"ETAONIHSRDLU"]
PIECES = ["<blk>", "<unk>", "▁THE", "▁S", "ING", "ED", "▁", "A", "▁TO", "E", "T", "▁WE", "ER", "▁NO"]


class Recognizer(nn.Module):
    """Strided convolutions over a normalised waveform, and less the mean of all frames: padding leaks into both.

    With lengths, both are taken over an item's own samples and frames.
    """

    def __init__(self, columns: int, *, values: str = "logits", layout: Sequence[int] = (0, 1, 2), mixing: bool = True):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(columns)
            self.first = nn.Conv1d(1, 16, 80, stride=40)
            self.second = nn.Conv1d(16, 24, 9, stride=8)
            self.head = nn.Linear(24, columns)
        with torch.no_grad():
            self.head.weight.mul_(12)
        self.values = values
        self.layout = tuple(layout)
        self.mixing = mixing

    def scores(self, waveforms: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """`[n, time]` and `[n]` -> scores in the layout asked for and frames int64 `[n]`."""
        samples = _valid(waveforms.shape[1], lengths)
        waveforms = _standardize(waveforms, samples)[:, None]
        hidden = torch.relu(self.second(torch.relu(self.first(waveforms)))).transpose(1, 2)
        frames = None if lengths is None else torch.div(lengths - FIELD, STRIDE, rounding_mode="trunc") + 1
        if self.mixing:
            valid = _valid(hidden.shape[1], frames)
            hidden = hidden - _mean(hidden, None if valid is None else valid[:, :, None])
        rows = self.head(hidden)
        if self.values == "log_probs":
            rows = torch.log_softmax(rows, dim=2)
        if self.values == "probabilities":
            rows = torch.softmax(rows, dim=2)
        return rows.permute(self.layout), frames


class WaveformOnly(Recognizer):
    """`x` `[n, time]` -> `y`: it cannot tell padding from audio."""

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x, None)[0]


class WithLengths(Recognizer):
    """As NeMo and WeNet have it, and exact under padding."""

    def forward(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        rows, frames = self.scores(x, x_lens.to(torch.int64))
        assert frames is not None
        return rows, frames.to(x_lens.dtype)


class WithLengthsIn(Recognizer):
    """It takes lengths, but counts no frames: a waveform `[n, 1, time]` and lengths `[n, 1]`."""

    def forward(self, x: Tensor, x_lens: Tensor) -> Tensor:
        return self.scores(x[:, 0], x_lens[:, 0].to(torch.int64))[0]


class Ignorant(Recognizer):
    """It takes lengths and looks at them for its count of frames only."""

    def forward(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        frames = torch.div(x_lens - FIELD, STRIDE, rounding_mode="trunc") + 1
        return self.scores(x, None)[0], frames


class Spectrogram(nn.Module):
    """A log spectrogram of centred windows and a strided convolution, as toolkits on mel bands have them."""

    HOP, WINDOW, SUBSAMPLING = 160, 512, 4

    def __init__(self, columns: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(columns)
            self.conv = nn.Conv1d(self.WINDOW // 2 + 1, 16, 5, stride=self.SUBSAMPLING, padding=2)
            self.head = nn.Linear(16, columns)
        self.register_buffer("window", torch.hann_window(self.WINDOW))

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.stft(x, self.WINDOW, self.HOP, window=self.window, pad_mode="reflect", return_complex=False)
        bands = torch.log((parts * parts).sum(dim=3) + 1e-5)
        scores: Tensor = self.head(torch.relu(self.conv(bands)).transpose(1, 2))
        return scores


def write(
    model: nn.Module,
    path: Path,
    *,
    lengths: Tensor | None = None,
    channel: bool = False,
    axes: Sequence[int] = (0, 1),
    opset: int = 17,
) -> Path:
    """Export a model with names of its own and every axis dynamic.

    Args:
        model: one of the classes above, without its `forward`'s `x_lens` where `lengths` is None.
        path: of the file.
        lengths: an example of the second input, for two items.
        channel: `x` is `[n, 1, time]`.
        axes: of the scores that are items and frames.
        opset: of the graph.
    """
    audio = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    audio = audio[:, None] if channel else audio
    outputs = ["y", "y_lens"][: 1 if lengths is None or isinstance(model, WithLengthsIn) else 2]
    with Quiet():
        torch.onnx.export(
            model.eval(),
            (audio,) if lengths is None else (audio, lengths),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["x"] if lengths is None else ["x", "x_lens"],
            output_names=outputs,
            dynamic_axes={
                "x": {0: "N", 2 if channel else 1: "T"},
                "x_lens": {0: "N"},
                "y": {axes[0]: "N", axes[1]: "F"},
                "y_lens": {0: "N"},
            },
        )
    return path


def write_labels(labels: Sequence[str], path: Path) -> Path:
    """One label a line."""
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    return path


def _valid(width: int, lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else torch.arange(width)[None, :] < lengths[:, None]


def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return values.mean(dim=1, keepdim=True)
    return torch.where(valid, values, 0.0).sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True)


def _standardize(waveforms: Tensor, valid: Tensor | None) -> Tensor:
    centred = waveforms - _mean(waveforms, valid)
    centred = centred if valid is None else torch.where(valid, centred, 0.0)
    return centred / torch.sqrt(_mean(centred * centred, valid) + 1e-5)
