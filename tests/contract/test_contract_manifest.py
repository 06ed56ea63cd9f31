"""Manifests of recordings and their texts."""

from pathlib import Path

import pytest
from asr_contract import manifest
from asr_contract.manifest import ManifestError


def read(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    file = tmp_path / "manifest"
    file.write_text(text, encoding="utf-8")
    return [(entry.audio, entry.text) for entry in manifest.read(file)]


@pytest.mark.parametrize(
    "text",
    [
        "audio\ttext\na.wav\thello\nb.wav\t\n",
        "\ufeffaudio\ttext\r\na.wav\thello\r\n\r\nb.wav\t\r\n",
        "voice\ttext\taudio\nx\thello\ta.wav\ny\t\tb.wav",
        '{"audio": "a.wav", "text": "hello"}\n\n{"audio": "b.wav", "text": "", "voice": 1}\n',
    ],
)
def test_manifests(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [("a.wav", "hello"), ("b.wav", "")]


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x0b", "\x0c", "\r"])
def test_only_a_newline_ends_a_line(tmp_path: Path, mark: str) -> None:
    assert read(tmp_path, f"audio\ttext\r\na.wav\tone{mark}two\r\n") == [("a.wav", f"one{mark}two")]


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    file = tmp_path / "m.tsv"
    file.write_text("audio\ttext\nsub/a.wav\tx\n/b.wav\ty\n")
    assert [entry.path for entry in manifest.read(file)] == [tmp_path / "sub/a.wav", Path("/b.wav")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; needs a header"),
        ("audio\ttext\n", "has a header but no recordings"),
        ("a.wav\thello\n", r"line 1: header is .*; needs columns audio and text"),
        ("audio\ttext\na.wav hello\n", r"line 2: has 1 column\(s\), the header 2"),
        ("audio\ttext\n\na.wav\tb\tc\n", r"line 3: has 3 column\(s\)"),
        ("audio\ttext\n \thello\n", "line 2: audio is empty"),
        ('{"audio": "a.wav", "text": "x"}\n{"audio": \n', "line 2: not JSON"),
        ('{"audio": "a.wav"}', "line 1: text is None; needs a string"),
        ('{"audio": 1, "text": "x"}', "line 1: audio is 1; needs a string"),
        ('{"audio": "a", "text": "x"}\n[]', "line 2: is list; needs an object"),
    ],
)
def test_malformed_manifests_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read(tmp_path, text)


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot read manifest"):
        manifest.read(tmp_path / "none.tsv")
