"""Triton adapter of the Whisper step that runs the graphs: windows come in, tokens go out."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where an export puts asr_contract and asr_serving

from asr_serving.triton import requests as incoming
from asr_serving.triton import responses

SETTINGS = {"intra_op_thread_count", "max_rows", "max_queue"}


class TritonPythonModel:
    """`features` FP32 [mels, frames] and `window` JSON [1] -> `written` JSON [1] and `alignment` FP32."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graphs and what the export put beside them."""
        from asr_serving.whisper import graphs, wire  # here: Triton imports this file twice, ONNX Runtime is large
        from asr_serving.whisper.engine import Engine
        from asr_serving.whisper.settings import FILE, Settings

        settings = incoming.settings(args, SETTINGS)
        gpu = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        self.wire = wire
        threads = int(settings["intra_op_thread_count"])
        backend = incoming.load(args, lambda folder: graphs.load(folder, gpu, threads))
        checkpoint = incoming.load(args, lambda folder: Settings.load(folder / FILE))
        self.engine = Engine(backend, checkpoint, int(settings["max_rows"]), int(settings["max_queue"]))

    def execute(self, requests: list[Any]) -> None:
        """Queue each window; the answer follows when it is written."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                window = incoming.array(request, self.wire.WINDOW)[0]
                task = self.wire.read_task(incoming.array(request, self.wire.FEATURES), window)
                self.engine.submit(task).add_done_callback(partial(self._send, sender))
            except Exception as refused:  # noqa: BLE001 - raised from here, it would leave the caller waiting
                responses.send(sender, responses.error(refused))

    def finalize(self) -> None:
        """Give up all windows."""
        self.engine.close()

    def _send(self, sender: Any, future: Any) -> None:
        try:
            response = responses.response(self.wire.written_outputs(future.result()))
        except Exception as failed:  # noqa: BLE001 - as above
            response = responses.error(failed)
        responses.send(sender, response)
