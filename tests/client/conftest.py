import sys
from collections.abc import Iterator

import pytest
import triton_asr.main as command
from asr_client import AsrError
from client_caller import Caller
from command_line import Ran, Run
from fake_inference import FakeTriton, serving
from strangers import secrets


@pytest.fixture(autouse=True)
def errors_tell_strangers_nothing() -> Iterator[None]:
    """Look at each error that a test makes the client raise: `public` names nothing behind the service."""
    told: list[tuple[str, list[str]]] = []
    made = AsrError.__init__

    def note(self: AsrError, *message: object, public: str | None = None) -> None:
        made(self, *message, public=public)
        if found := secrets(self.public):
            told.append((self.public, found))

    AsrError.__init__ = note  # type: ignore[method-assign]
    try:
        yield
    finally:
        AsrError.__init__ = made  # type: ignore[method-assign]
    assert told == []


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param == "async")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The console command."""

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["triton-asr", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            command.main()
        captured = capsys.readouterr()
        return Ran(int(exited.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(params=["grpc", "http"])
def triton(request: pytest.FixtureRequest) -> Iterator[FakeTriton]:
    with serving(FakeTriton(request.param)) as double:
        yield double


@pytest.fixture
def grpc_triton() -> Iterator[FakeTriton]:
    with serving(FakeTriton("grpc")) as double:
        yield double
