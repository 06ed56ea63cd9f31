"""The settings that tuning changes in a repository, and all that it leaves alone."""

import shutil
from pathlib import Path

import pytest
from asr_loadtest.tuning.settings import (
    InvalidRepository,
    ModelFolders,
    Setting,
    Space,
    default_space,
    link_copy,
    write_configs,
)
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

TEMPLATES = Path(__file__).parents[3] / "model_repository"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The checked-in models, with a file in place of the graph."""
    for model in ("asr", "preprocess", "acoustic", "ctc_decode"):
        (tmp_path / "models" / model / "1").mkdir(parents=True)
        shutil.copy(TEMPLATES / model / "config.pbtxt", tmp_path / "models" / model)
    (tmp_path / "models" / "acoustic" / "1" / "model.onnx").write_bytes(b"weights")
    return tmp_path / "models"


def config(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_current_setting_is_read(repository: Path) -> None:
    assert ModelFolders(repository, "asr").setting() == Setting(instances=1, threads=0, max_batch=16, queue_delay_us=0)


def test_the_current_setting_changes_nothing(repository: Path) -> None:
    folders = ModelFolders(repository, "asr")
    assert folders.configs(folders.setting()) == {}


def test_a_setting_is_written_and_the_rest_stays(repository: Path) -> None:
    folders = ModelFolders(repository, "asr")
    before = config((repository / "acoustic" / "config.pbtxt").read_text())
    after = config(folders.configs(Setting(2, 4, 16, 3_000))["acoustic"])
    assert after.instance_group[0].count == 2
    assert after.parameters["intra_op_thread_count"].string_value == "4"
    assert after.dynamic_batching.max_queue_delay_microseconds == 3_000
    assert after.instance_group[0].kind == before.instance_group[0].kind
    assert after.dynamic_batching.default_queue_policy == before.dynamic_batching.default_queue_policy
    assert list(after.input) == list(before.input)
    assert list(after.model_warmup) == list(before.model_warmup)


def test_the_ensemble_promises_no_larger_batch_than_its_model_takes(repository: Path) -> None:
    folders = ModelFolders(repository, "asr")
    assert config(folders.configs(Setting(1, 0, 4, 0))["asr"]).max_batch_size == 4
    assert "asr" not in folders.configs(Setting(1, 0, 64, 0))


def test_what_was_written_is_read_back(repository: Path) -> None:
    folders, setting = ModelFolders(repository, "asr"), Setting(4, 2, 8, 500)
    write_configs(repository, folders.configs(setting))
    assert folders.setting() == setting


def test_the_backup_is_of_what_was_there_first(repository: Path) -> None:
    folders = ModelFolders(repository, "asr")
    original = (repository / "acoustic" / "config.pbtxt").read_text()
    for instances in (2, 4):
        write_configs(repository, folders.configs(Setting(instances, 1, 16, 0)), backup=True)
    assert (repository / "acoustic" / "config.pbtxt.before-tune").read_text() == original
    assert not list((repository / "acoustic").glob(".*"))


def test_a_copy_shares_the_weights_and_not_the_configurations(repository: Path, tmp_path: Path) -> None:
    link_copy(repository, tmp_path / "copy")
    write_configs(tmp_path / "copy", {"acoustic": "changed"})
    assert (tmp_path / "copy" / "acoustic" / "1" / "model.onnx").samefile(repository / "acoustic" / "1" / "model.onnx")
    assert "changed" not in (repository / "acoustic" / "config.pbtxt").read_text()


def test_a_whisper_is_tuned_by_its_parameter(repository: Path) -> None:
    for model in ("asr_whisper", "whisper_generate"):
        shutil.copytree(TEMPLATES / model, repository / model)
    folders = ModelFolders(repository, "asr_whisper")
    assert folders.acoustic == "whisper_generate"
    assert folders.setting() == Setting(1, 0, 16, 0)
    changed = folders.configs(Setting(1, 2, 8, 0))
    assert changed.keys() == {"whisper_generate"}
    parameters = config(changed["whisper_generate"]).parameters
    assert [parameters[name].string_value for name in ("intra_op_thread_count", "max_rows")] == ["2", "8"]
    assert default_space(2, folders.setting(), folders.takes_delays).queue_delays_us == (0,)
    with pytest.raises(InvalidRepository, match="needs a queue delay of 0"):
        folders.configs(Setting(1, 0, 16, 2_000))


def test_a_repository_without_onnx_runtime_is_refused(repository: Path) -> None:
    changed = config((repository / "acoustic" / "config.pbtxt").read_text())
    changed.backend = "tensorrt"
    write_configs(repository, {"acoustic": text_format.MessageToString(changed)})
    with pytest.raises(InvalidRepository, match="no step of asr .* runs on ONNX Runtime"):
        ModelFolders(repository, "asr")


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRepository, match="cannot read"):
        ModelFolders(tmp_path, "asr")


def test_placements_fill_the_cores_and_do_not_crowd_them() -> None:
    space = Space(4, (1, 2, 4, 8), (0, 1, 2, 4), (16,), (0,))
    assert space.placements() == ((1, 0), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1))


def test_the_default_space_holds_the_current_setting() -> None:
    current = Setting(1, 0, 16, 0)
    space = default_space(6, current)
    assert (current.instances, current.threads) in space.placements()
    assert current.max_batch in space.max_batches
    assert (1, 6) in space.placements()
