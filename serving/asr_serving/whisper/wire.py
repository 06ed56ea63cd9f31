"""The way of a window from one model to another: tensors and JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from asr_contract.errors import RequestError
from numpy.typing import NDArray

from asr_serving.whisper.options import Options
from asr_serving.whisper.tasks import Task, Written

FEATURES, WINDOW = "features", "window"  # inputs: float32 `[mels, frames]`, JSON
WRITTEN, ALIGNMENT = "written", "alignment"  # outputs: JSON, float32 `[heads, tokens, positions]`
_NOTHING = np.zeros((0, 0, 0), np.float32)


def task_inputs(task: Task) -> dict[str, NDArray[Any]]:
    """Return the input tensors for a window."""
    facts = {name: value for name, value in vars(task).items() if name != FEATURES}
    facts["options"] = asdict(task.options)
    return {FEATURES: task.features, WINDOW: np.array([json.dumps(facts).encode()], dtype=object)}


def read_task(features: NDArray[np.float32], window: bytes) -> Task:
    """Return the window in the input tensors.

    Raises:
        RequestError: the JSON is not what `task_inputs` writes.
    """
    try:
        facts = json.loads(window)
        asked = facts.pop("options")
        options = Options(**{**asked, **{name: tuple(asked[name]) for name in ("prompt", "prefix")}})
        return Task(features=features, options=options, **facts)
    except (ValueError, TypeError, KeyError) as error:
        raise RequestError(
            f"{WINDOW} is not a window of Whisper ({error!r}); this model is called by others"
        ) from error


def written_outputs(written: Written) -> dict[str, Any]:
    """Return the output tensors for what was written."""
    facts = {name: value for name, value in vars(written).items() if name != ALIGNMENT}
    return {
        WRITTEN: np.array([json.dumps(facts).encode()], dtype=object),
        ALIGNMENT: _NOTHING if written.alignment is None else written.alignment,
    }


def read_written(outputs: Mapping[str, NDArray[Any]]) -> Written:
    """Return what was written, from the output tensors."""
    alignment = outputs[ALIGNMENT]
    return Written(**json.loads(outputs[WRITTEN][0]), alignment=alignment if alignment.size else None)
