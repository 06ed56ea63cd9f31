"""PEFT adapters (LoRA and others): the export refuses them, and says how to make a checkpoint from one."""

import json
from pathlib import Path

from asr_export.errors import CheckpointError, UnsupportedCheckpoint

FILE = "adapter_config.json"


def refuse(folder: Path, name: str) -> None:
    """Refuse a folder that holds an adapter.

    Args:
        folder: the folder of the files.
        name: of the checkpoint, for the message.

    Raises:
        UnsupportedCheckpoint: the folder holds an adapter; the message names its base model and says how to merge both.
        CheckpointError: the configuration file of the adapter is broken.
    """
    path = folder / FILE
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        base, kind = content.get("base_model_name_or_path"), content.get("peft_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    raise UnsupportedCheckpoint(
        f"{name} is a PEFT adapter ({kind or 'of an unnamed kind'}) of {base or 'an unnamed base model'}, not a whole "
        "checkpoint. Merge them and export the result: model = PeftModel.from_pretrained(base_model, adapter)"
        ".merge_and_unload(); model.save_pretrained(FOLDER); processor.save_pretrained(FOLDER), with the package peft "
        f"and the processor of the base model. If they are merged already, remove {FILE}"
    )
