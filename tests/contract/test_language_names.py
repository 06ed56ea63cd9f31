"""The names of Whisper's languages."""

import pytest
from asr_contract import languages
from transformers.models.whisper import tokenization_whisper as reference


def test_names_and_aliases_are_those_of_transformers() -> None:
    assert languages.NAMES == reference.LANGUAGES
    names = {name: code for code, name in languages.NAMES.items()}
    assert {**names, **languages.ALIASES} == reference.TO_LANGUAGE_CODE


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("german", "de"),
        ("German", "de"),
        (" DE ", "de"),
        ("Castilian", "es"),
        ("Haitian  Creole", "ht"),
        ("haitian", "ht"),
        ("cantonese", "yue"),
        ("auto", "auto"),
        ("Klingon", "klingon"),
        ("", ""),
    ],
)
def test_a_name_in_any_case_has_a_code(language: str, code: str) -> None:
    assert languages.code(language) == code


def test_a_message_names_a_code_that_has_a_name() -> None:
    assert [languages.described(code) for code in ("de", "tlh")] == ["de (german)", "tlh"]
