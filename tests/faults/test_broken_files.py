"""Broken audio files: each gets its own transcript or a refusal. `benchmarks/fuzz_audio.py` sends thousands."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from asr_client import Client
from asr_server import TritonServer
from fuzz_audio import fuzz, sources, stubs
from fuzzing import decodable
from fuzzing.mutations import KINDS, mutant

FILES = 300


@pytest.mark.e2e
def test_every_file_gets_its_own_transcript_or_a_refusal(
    server: TritonServer, repository: Path, files: list[bytes], texts: list[str], tmp_path: Path
) -> None:
    before = stubs(server.pid)

    found = asyncio.run(fuzz(server, repository, FILES, seed=0, save=tmp_path))

    assert found.failures == []
    assert {answer for counter in found.answers.values() for answer in counter} == {"transcript", "refused"}
    assert stubs(server.pid) == before
    with Client(server.grpc_url) as client:
        assert [client.transcribe(file).text for file in files] == texts


def test_a_file_depends_on_its_seed_and_number_alone() -> None:
    originals = sources()

    assert mutant(originals, 0, 7) == mutant(originals, 0, 7)
    assert mutant(originals, 0, 7) != mutant(originals, 1, 7)


def test_all_kinds_take_turns_and_all_but_one_change_the_file() -> None:
    originals = sources()
    made = [mutant(originals, 0, index) for index in range(20 * len(KINDS))]

    assert {file.kind for file in made[: len(KINDS)]} == set(KINDS)
    for kind in KINDS:
        changed = [file.data not in originals for file in made if file.kind == kind]
        assert any(changed) == (kind != "unchanged")


def test_the_oracle_knows_foreign_words_repeats_and_silence() -> None:
    own, foreign = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 1_000)).astype(np.float32)
    silence = np.zeros(500, np.float32)
    assert decodable.begins(own, own)
    assert decodable.begins(own[:600], own)
    assert decodable.begins(np.concatenate([silence, own[:600], silence, own[600:]]), own)
    assert not decodable.begins(np.concatenate([own, foreign]), own)
    assert not decodable.begins(np.concatenate([own, own]), own)
    assert not decodable.begins(np.concatenate([own[:600], own[:400]]), own)
    assert not decodable.begins(own[1:], own)
