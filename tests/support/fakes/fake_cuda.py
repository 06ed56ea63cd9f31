"""A stand-in for ONNX Runtime's CUDA provider: its sessions run on the CPU, and tell what they were asked for."""

from dataclasses import dataclass, field
from typing import Any

import onnxruntime
import pytest
from asr_contract.gpu import CUDA

CPU = "CPUExecutionProvider"


@dataclass
class FakeCuda:
    """The provider of the sessions that are opened from now on."""

    works: bool = True  # False: as where CUDA's libraries are missing, which ONNX Runtime says in its log alone
    error: str = ""  # that opening raises
    sessions: list[dict[str, str]] = field(default_factory=list)  # the CUDA options of each

    def open(self, session: type[Any]) -> type[Any]:
        """Return a class in place of onnxruntime.InferenceSession."""
        provider = self

        class Session(session):  # type: ignore[misc]
            def __init__(self, path: str, options: Any, providers: list[Any], enable_fallback: int = 1) -> None:
                (cuda, cuda_options), cpu = providers
                assert (cuda, cpu, enable_fallback) == (CUDA, CPU, 0)
                provider.sessions.append(cuda_options)
                if provider.error:
                    raise RuntimeError(provider.error)
                super().__init__(path, options, providers=[CPU])

            def get_providers(self) -> list[str]:
                return [CUDA, CPU] if provider.works else [CPU]

            def run(self, *_: Any) -> Any:
                raise AssertionError("a run on a GPU binds its inputs and outputs")

        return Session


def install(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """Give ONNX Runtime the provider."""
    provider = FakeCuda()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", provider.open(onnxruntime.InferenceSession))
    return provider
