"""The checked-in configurations have the tensors of the contract."""

from pathlib import Path
from typing import Any

import pytest
from asr_contract import tensors
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

MODELS = Path(__file__).parents[2] / "model_repository"
ALL = {output.name: output.datatype for output in tensors.OUTPUTS}
NAMES = {
    model_config_pb2.TYPE_STRING: "BYTES",
    model_config_pb2.TYPE_FP32: "FP32",
    model_config_pb2.TYPE_INT32: "INT32",
}
NEEDED = {output.name for output in tensors.OUTPUTS if not output.optional}


def read(model: str) -> Any:
    return text_format.Parse((MODELS / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def types(outputs: Any) -> dict[str, str]:
    return {tensor.name: NAMES[tensor.data_type] for tensor in outputs}


@pytest.mark.parametrize("model", ["asr", "asr_whisper"])
def test_ensembles(model: str) -> None:
    config = read(model)
    assert types(config.input) == tensors.INPUTS
    found = types(config.output)
    assert found.items() <= ALL.items()
    assert found.keys() >= NEEDED


def test_together_they_have_all_outputs() -> None:
    assert types(read("asr").output) | types(read("asr_whisper").output) == ALL


@pytest.mark.parametrize("model", ["ctc_decode", "asr_whisper", "asr_long", "asr_whisper_long"])
def test_steps_that_write_text(model: str) -> None:
    assert types(read(model).output).items() <= ALL.items()


@pytest.mark.parametrize("model", ["asr_stream", "asr_whisper_stream"])
def test_live_streams(model: str) -> None:
    config = read(model)
    assert types(config.input) == tensors.INPUTS
    assert types(config.output) == {output.name: output.datatype for output in tensors.STREAM_OUTPUTS}
