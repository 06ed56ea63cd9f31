"""Statistics and processes of a real Triton, which serves two small Python models and an ensemble of them."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from asr_loadtest.server_view.processes import ServerProcesses
from asr_loadtest.server_view.triton_statistics import MemberStatistics, Snapshot, difference
from asr_server import TritonServer
from triton_counts import settled

pytestmark = pytest.mark.e2e

MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        tensors = (pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", tensor)]) for tensor in tensors]
"""
TENSORS = """
input { name: "X" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }
"""
STEP = """
step { model_name: "%s" model_version: -1 input_map { key: "X" value: "%s" } output_map { key: "Y" value: "%s" } }
"""
STUB = "triton_python_backend_stub"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """An ensemble `both` of `second` and `first`, in this order."""
    repository = tmp_path_factory.mktemp("models")
    for name in ("first", "second"):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.py").write_text(MODEL)
        config = f'backend: "python" {TENSORS} instance_group {{ kind: KIND_CPU }}'
        (repository / name / "config.pbtxt").write_text(config)
    (repository / "both" / "1").mkdir(parents=True)
    steps = STEP % ("second", "X", "between") + STEP % ("first", "between", "Y")
    (repository / "both" / "config.pbtxt").write_text(
        f'platform: "ensemble" {TENSORS} ensemble_scheduling {{ {steps} }}'
    )
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


def ask(server: TritonServer, model: str) -> None:
    with triton.InferenceServerClient(server.grpc_url) as client:
        tensor = triton.InferInput("X", [1], "FP32")
        tensor.set_data_from_numpy(np.zeros(1, dtype=np.float32))
        client.infer(model, [tensor])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_steps_of_an_ensemble_are_counted_in_their_order(server: TritonServer, protocol: str) -> None:
    async def between() -> tuple[Snapshot, Snapshot]:
        url = server.grpc_url if protocol == "grpc" else server.http_url
        async with MemberStatistics(url, protocol, "both") as statistics:
            assert await statistics.server() == "triton 2.51.0"
            await still()
            before = await statistics.read()
            for _ in range(3):
                await asyncio.to_thread(ask, server, "both")
            await still()
            return before, await statistics.read()

    async def still() -> None:
        await asyncio.gather(*(asyncio.to_thread(settled, server, member) for member in ("first", "second")))

    members = difference(*asyncio.run(between()))
    assert [(member.model, member.inferences, member.failures) for member in members] == [
        ("second", 3, 0),
        ("first", 3, 0),
    ]
    assert all(member.average_batch == 1.0 and member.infer_ms > 0 for member in members)


def test_a_plain_model_is_its_own_only_member(server: TritonServer) -> None:
    async def members() -> tuple[str, ...]:
        async with MemberStatistics(server.grpc_url, "grpc", "first") as statistics:
            return await statistics.members()

    assert asyncio.run(members()) == ("first",)


@pytest.mark.parametrize(("protocol", "model"), [("grpc", "absent"), ("http", "absent"), ("grpc", "first")])
def test_where_there_are_no_statistics_a_note_says_why(server: TritonServer, protocol: str, model: str) -> None:
    async def read() -> Snapshot:
        # gRPC at the port of metrics, or a model that is not there.
        url = server.metrics_url if model == "first" else server.grpc_url if protocol == "grpc" else server.http_url
        async with MemberStatistics(url, protocol, model) as statistics:
            return await statistics.read()

    snapshot = asyncio.run(read())
    assert not snapshot.counts
    assert snapshot.note is not None
    assert snapshot.note.startswith("the server gives no statistics: ")


def test_the_processes_of_models_are_part_of_the_server_and_may_die(server: TritonServer) -> None:
    found = ServerProcesses.find(server.grpc_url)
    assert found is not None
    before = found.sample(0.0)
    assert before.shared_memory_bytes is not None
    assert before.shared_memory_bytes >= 2 * 2**20  # each Python model has a file of 1 MiB or more
    # Of this server: other tests may have one of their own under way.
    stub = next(child for child in psutil.Process(server.pid).children(recursive=True) if child.name() == STUB)
    stub.kill()
    assert before.memory_bytes is not None
    for attempt in range(50):  # its memory goes a moment after it
        after = found.sample(1.0 + attempt)
        assert after.memory_bytes is not None
        if after.memory_bytes < before.memory_bytes:
            return
        time.sleep(0.1)
    pytest.fail("the memory of a process that was killed is still counted")
