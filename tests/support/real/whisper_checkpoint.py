"""Turn a Whisper of CTranslate2 (faster-whisper) into a checkpoint folder of HuggingFace.

The reverse of `ctranslate2.converters.TransformersConverter`: weights in float32, and the files of configuration that
transformers saves. transformers and faster-whisper write the same texts with the two.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from real.ctranslate2 import Model, read

HEAD_SIZE = 64  # of every Whisper
MULTILINGUAL_VOCABULARY = 51_865  # labels; those of English alone have one less
SIDES = ("encoder", "decoder")

State = dict[str, NDArray[np.float32]]
Json = dict[str, Any]


def write_checkpoint(source: Path, output: Path) -> Path:
    """Write the checkpoint of a folder with model.bin, config.json, tokenizer.json and vocabulary; return its folder.

    Raises:
        ValueError: the folder holds another kind of model, or variables that a Whisper does not have.
    """
    model = read(source / "model.bin")
    if (model.spec, model.revision) != ("WhisperSpec", 3):
        raise ValueError(f"{source} holds {model.spec}, revision {model.revision}; needs WhisperSpec, revision 3")
    state = _Weights(model).state()
    settings = json.loads((source / "config.json").read_text(encoding="utf-8"))
    vocabulary = _vocabulary(source)
    labels = len(state["model.decoder.embed_tokens.weight"])
    if len(vocabulary) != labels:
        raise ValueError(f"the vocabulary of {source} has {len(vocabulary)} tokens; the model has {labels}")
    output.mkdir(parents=True, exist_ok=True)
    for name, content in _configuration(state, settings, vocabulary).items():
        (output / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (output / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    weights = {name: np.ascontiguousarray(value) for name, value in state.items()}
    save_file(weights, output / "model.safetensors", {"format": "pt"})
    return output


class _Weights:
    """Maps the variables of CTranslate2 to the names of transformers, and notes which ones were used."""

    def __init__(self, model: Model) -> None:
        self._variables: Mapping[str, NDArray[Any]] = model.variables
        self._used = {"decoder/projection/weight", "decoder/alignment_heads"}  # the embedding; and what config.json has
        self._state: State = {}

    def state(self) -> State:
        """Return all weights, float32, by the names of transformers.

        Raises:
            ValueError: variables are left over.
        """
        for side in SIDES:
            for number in range(self._layers(side)):
                self._layer(side, f"{side}/layer_{number}", f"model.{side}.layers.{number}")
            self._norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
            self._plain(f"{side}/position_encodings/encodings", f"model.{side}.embed_positions.weight")
        for conv in ("conv1", "conv2"):
            for kind in ("weight", "bias"):
                self._plain(f"encoder/{conv}/{kind}", f"model.encoder.{conv}.{kind}")
        self._plain("decoder/embeddings/weight", "model.decoder.embed_tokens.weight")
        left = {name for name, value in self._variables.items() if value.ndim} - self._used
        if left:
            raise ValueError(f"the model has the variables {', '.join(sorted(left))}; a Whisper has not")
        return self._state

    def _layers(self, side: str) -> int:
        names = {name.split("/")[1] for name in self._variables if name.startswith(f"{side}/layer_")}
        return len(names - {"layer_norm"})

    def _layer(self, side: str, source: str, target: str) -> None:
        own, cross = f"{target}.self_attn", f"{target}.encoder_attn"
        self._linear(f"{source}/self_attention/linear_0", f"{own}.q_proj", f"{own}.k_proj", f"{own}.v_proj")
        self._linear(f"{source}/self_attention/linear_1", f"{own}.out_proj")
        self._norm(f"{source}/self_attention/layer_norm", f"{own}_layer_norm")
        if side == "decoder":
            self._linear(f"{source}/attention/linear_0", f"{cross}.q_proj")
            self._linear(f"{source}/attention/linear_1", f"{cross}.k_proj", f"{cross}.v_proj")
            self._linear(f"{source}/attention/linear_2", f"{cross}.out_proj")
            self._norm(f"{source}/attention/layer_norm", f"{cross}_layer_norm")
        self._linear(f"{source}/ffn/linear_0", f"{target}.fc1")
        self._linear(f"{source}/ffn/linear_1", f"{target}.fc2")
        self._norm(f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")

    def _linear(self, source: str, *targets: str) -> None:
        """One matrix, or several that CTranslate2 has put one below the other."""
        matrices = np.split(self._weight(f"{source}/weight"), len(targets))
        biases = np.split(self._weight(f"{source}/bias"), len(targets))
        for target, matrix, bias in zip(targets, matrices, biases, strict=True):
            self._state[f"{target}.weight"] = matrix
            if not target.endswith("k_proj"):
                self._state[f"{target}.bias"] = bias
            elif bias.any():
                raise ValueError(f"{source} has a bias of its keys; those of a Whisper have none")

    def _norm(self, source: str, target: str) -> None:
        self._plain(f"{source}/gamma", f"{target}.weight")
        self._plain(f"{source}/beta", f"{target}.bias")

    def _plain(self, source: str, target: str) -> None:
        self._state[target] = self._weight(source)

    def _weight(self, name: str) -> NDArray[np.float32]:
        self._used |= {name, f"{name}_scale"}
        value = self._variables[name].astype(np.float32)
        scale = self._variables.get(f"{name}_scale")  # of int8: one for each row
        return value if scale is None else value / scale.astype(np.float32).reshape(-1, *[1] * (value.ndim - 1))


def _vocabulary(source: Path) -> list[str]:
    """Return the tokens in their order, special ones included."""
    if (source / "vocabulary.json").is_file():
        return list(json.loads((source / "vocabulary.json").read_text(encoding="utf-8")))
    return (source / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _configuration(state: State, settings: Json, vocabulary: list[str]) -> dict[str, Json]:
    """Return the content of each JSON file of the checkpoint."""
    ids = {token: number for number, token in enumerate(vocabulary)}
    multilingual = len(vocabulary) >= MULTILINGUAL_VOCABULARY
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    conv1 = state["model.encoder.conv1.weight"]
    forced = [[1, None], [2, ids["<|transcribe|>"]]] if multilingual else [[1, ids["<|notimestamps|>"]]]
    shared: Json = {
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end),
        "decoder_start_token_id": start,
        "begin_suppress_tokens": settings["suppress_ids_begin"],
        "suppress_tokens": settings["suppress_ids"],
        "forced_decoder_ids": forced,
        "max_length": len(state["model.decoder.embed_positions.weight"]),
    }
    generation: Json = {
        **shared,
        "alignment_heads": settings["alignment_heads"],
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": 50,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "return_timestamps": False,
    }
    if multilingual:
        # The languages stand between the start of a transcript and the first task.
        languages = vocabulary[start + 1 : ids["<|translate|>"]]
        generation["lang_to_id"] = {token: ids[token] for token in languages}
        generation["task_to_id"] = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return {
        "config": {**_shape(state), **shared},
        "generation_config": generation,
        "preprocessor_config": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "processor_class": "WhisperProcessor",
            "feature_size": conv1.shape[1],
            "sampling_rate": 16_000,
            "chunk_length": 30,
            "hop_length": 160,
            "n_fft": 400,
            "n_samples": 480_000,
            "nb_max_frames": 3_000,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": False,
        },
        "tokenizer_config": {
            "tokenizer_class": "WhisperTokenizer",
            "processor_class": "WhisperProcessor",
            "add_prefix_space": False,
            "add_bos_token": False,
            **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>"),
            "errors": "replace",
            "model_max_length": 1024,
            "return_attention_mask": False,
            "clean_up_tokenization_spaces": True,
        },
    }


def _shape(state: State) -> Json:
    """Return what config.json says of the network itself, read off the weights."""
    labels, width = state["model.decoder.embed_tokens.weight"].shape
    layers = {
        side: sum(bool(re.fullmatch(rf"model\.{side}\.layers\.\d+\.fc1\.weight", n)) for n in state) for side in SIDES
    }
    shape: Json = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": width,
        "num_hidden_layers": layers["encoder"],
        "num_mel_bins": state["model.encoder.conv1.weight"].shape[1],
        "max_source_positions": len(state["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(state["model.decoder.embed_positions.weight"]),
        "is_encoder_decoder": True,
        "scale_embedding": False,
        "use_cache": True,
        "vocab_size": labels,
        "torch_dtype": "float32",
    }
    for side in SIDES:
        shape[f"{side}_layers"] = layers[side]
        shape[f"{side}_attention_heads"] = width // HEAD_SIZE
        shape[f"{side}_ffn_dim"] = len(state[f"model.{side}.layers.0.fc1.weight"])
    return shape
