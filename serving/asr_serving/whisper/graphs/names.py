"""The names of the inputs and outputs of a Whisper's graphs, for their exporter and for their runner.

Keys and values of the decoder have the names that optimum gives them.
"""

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"  # files
FEATURES, HIDDEN = "input_features", "last_hidden_state"
TOKENS, PADDING, READ = "input_ids", "padding", "read"
LOGITS, ALIGNMENT = "logits", "alignment"
_PARTS = ("key", "value")


def heard(layers: int) -> list[str]:
    """Return the names of the encoder's keys and values: outputs of the encoder, inputs of the decoder."""
    return [f"encoder.{layer}.{part}" for layer in range(layers) for part in _PARTS]


def past(layers: int) -> list[str]:
    """Return the names of the decoder's keys and values of earlier tokens: its inputs."""
    return [f"past_key_values.{layer}.{part}" for layer in range(layers) for part in _PARTS]


def present(layers: int) -> list[str]:
    """Return the names of the decoder's keys and values of all tokens: its outputs."""
    return [f"present.{layer}.{part}" for layer in range(layers) for part in _PARTS]
