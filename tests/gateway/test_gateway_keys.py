"""API keys: what a file holds, and who gets in."""

import hashlib
from pathlib import Path

import pytest
from asr_gateway.errors import ApiError, GatewayError
from asr_gateway.keys import Keys, add
from gateway_app import service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def refused(keys: Keys, header: str | None) -> str:
    with pytest.raises(ApiError) as caught:
        keys.caller(header)
    assert (caught.value.status, caught.value.headers) == (401, {"www-authenticate": "Bearer"})
    return caught.value.code


def test_without_a_file_everybody_may_call() -> None:
    keys = Keys(None)
    assert not keys.are_needed
    assert keys.caller(None) == ""


def test_a_key_says_who_calls(file: Path) -> None:
    alice, bob = (add(file, name) for name in ("alice", "bob"))
    keys = Keys(file)
    assert keys.caller(f"Bearer {alice}") == "alice"
    assert keys.caller(f"bearer  {bob} ") == "bob"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi"])
def test_no_key(file: Path, header: str | None) -> None:
    add(file, "alice")
    assert refused(Keys(file), header) == "missing_api_key"


def test_a_wrong_key(file: Path) -> None:
    key = add(file, "alice")
    for wrong in (key[:-1], f"{key}x", "\xe9", hashlib.sha256(key.encode()).hexdigest()):
        assert refused(Keys(file), f"Bearer {wrong}") == "invalid_api_key"


def test_the_file_has_hashes_and_belongs_to_its_owner(file: Path) -> None:
    key = add(file, "alice")
    assert file.read_text() == f"{hashlib.sha256(key.encode()).hexdigest()}  alice\n"
    assert file.stat().st_mode & 0o077 == 0


def test_what_sha256sum_writes_is_a_key(file: Path) -> None:
    file.write_text(f"# mine\n\n{hashlib.sha256(b'secret').hexdigest()} *-")  # without an end of line
    add(file, "alice")
    assert Keys(file).caller("Bearer secret") == "-"
    assert len(Keys(file)) == 2


def test_a_file_is_read_again(file: Path) -> None:
    alice = add(file, "alice")
    keys = Keys(file)
    bob = add(file, "bob")
    assert refused(keys, f"Bearer {bob}") == "invalid_api_key"
    keys.reload()
    assert keys.caller(f"Bearer {bob}") == "bob"
    file.write_text("nonsense\n")
    with pytest.raises(GatewayError, match="line 1"):
        keys.reload()
    assert keys.caller(f"Bearer {alice}") == "alice"  # as before


def test_a_broken_line_is_named_and_not_shown(file: Path) -> None:
    file.write_text(f"{add(file, 'alice')}  alice\n")  # the key in place of its hash
    with pytest.raises(GatewayError, match=f"{file}, line 1") as caught:
        Keys(file)
    assert "sk-asr-" not in str(caught.value)


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(GatewayError, match="cannot read the keys"):
        Keys(file)


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "x" * 65])
def test_names(file: Path, name: str) -> None:
    with pytest.raises(GatewayError, match="the name is"):
        add(file, name)
    assert not file.exists()


def test_only_the_api_needs_a_key(file: Path) -> None:
    key = add(file, "alice")
    with service(keys=file) as called:
        assert called.post().status_code == 401
        assert called.http.get("/v1/nothing").status_code == 401
        assert called.http.get("/health").status_code == 200
        assert called.http.get("/metrics").status_code == 200
        called.http.headers["authorization"] = f"Bearer {key}"
        assert called.post().status_code == 200
